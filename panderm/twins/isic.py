"""Twins of the ISIC archive's collections in its schemas old and new, and of the sets that come with masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from panderm.twins import layouts
from panderm.twins.canvas import seed_of
from panderm.twins.further import Looks, Twin
from panderm.twins.layouts import Laid, Row, Table
from panderm.twins.shots import Shot

_LOOKS: dict[str, Looks] = {
    **{name: {name: 1.0} for name in ("bcc", "df", "mel", "nv", "scc", "vasc")},
    "ak": {"akiec": 1.0},
    "sk": {"bkl": 1.0},
    "sl": {"bkl": 0.6, "nv": 0.4},
    "other": {"nv": 0.6, "bkl": 0.2, "bcc": 0.1, "mel": 0.1},
    "melanoma": {"mel": 0.85, "nv": 0.15},
    "unchanged": {"nv": 1.0},
    "changed": {"nv": 1.0},
    "": {"nv": 0.4, "mel": 0.2, "bkl": 0.2, "bcc": 0.1, "vasc": 0.1},
}


def _looks(label: str) -> Looks:
    return _LOOKS[label]


def _isic(start: int) -> Callable[[int, str], str]:
    return lambda number, _: f"ISIC_{start + number:07d}"


_SIZE = (128, 96)
TWINS: dict[str, Twin] = {
    "bcn20000": Twin(
        "dermoscopic",
        dict.fromkeys(("ak", "bcc", "df", "mel", "nv", "scc", "sk", "sl", "vasc"), 13),
        _looks,
        _SIZE,
        _isic(5_300_000),
        views=(1, 2, 1),
        lesions=(1,),
        least=4,
    ),
    "mskcc": Twin("dermoscopic", {"other": 65, "melanoma": 50}, _looks, _SIZE, _isic(1_200_000), lesions=(1, 2, 1), least=10),
    "hiba": Twin("dermoscopic", {"other": 65, "melanoma": 50}, _looks, _SIZE, _isic(3_200_000), lesions=(2, 1), least=10),
    "sddi1": Twin(
        "dermoscopic",
        {"unchanged": 65, "changed": 55},
        _looks,
        _SIZE,
        _isic(7_500_000),
        views=(5,),
        lesions=(2, 1, 2),
        looks_later=lambda label: {"mel": 0.6, "bkl": 0.4} if label == "changed" else None,
        least=25,
    ),
    "isic2018_seg": Twin("dermoscopic", {"": 90}, _looks, _SIZE, _isic(9_000), least=24),
    "ham10000_seg": Twin("dermoscopic", {"": 80}, _looks, _SIZE, _isic(2_700_000), views=(1, 2, 1), lesions=(1,), least=20),
}
"""Task -> what its twin holds."""


class _Words(NamedTuple):
    """What the archive writes for a label: ``diagnosis``, and the first three levels of the newest schema."""

    old: str
    levels: tuple[str, str, str]


_NEVUS = _Words("nevus", ("Benign", "Benign melanocytic proliferations", "Nevus"))
_MELANOMA = _Words("melanoma", ("Malignant", "Malignant melanocytic proliferations (Melanoma)", "Melanoma, NOS"))
_BCC = "Malignant adnexal epithelial proliferations - Follicular"
_WORDS: dict[str, tuple[_Words, ...]] = {
    "ak": (
        _Words("actinic keratosis", ("Indeterminate", "Indeterminate epidermal proliferations", "Solar or actinic keratosis")),
    ),
    "bcc": (_Words("basal cell carcinoma", ("Malignant", _BCC, "Basal cell carcinoma")),),
    "df": (_Words("dermatofibroma", ("Benign", "Benign soft tissue proliferations - Fibro-histiocytic", "Dermatofibroma")),),
    "mel": (
        _MELANOMA,
        _Words("melanoma", ("Malignant", "Malignant melanocytic proliferations (Melanoma)", "Melanoma in situ")),
    ),
    "nv": (_NEVUS,),
    "scc": (
        _Words("squamous cell carcinoma", ("Malignant", "Malignant epidermal proliferations", "Squamous cell carcinoma, NOS")),
    ),
    "sk": (_Words("seborrheic keratosis", ("Benign", "Benign epidermal proliferations", "Seborrheic keratosis")),),
    "sl": (_Words("solar lentigo", ("Benign", "Benign epidermal proliferations", "Solar lentigo")),),
    "vasc": (_Words("vascular lesion", ("Benign", "Benign soft tissue proliferations - Vascular", "Hemangioma")),),
    "metastasis": (
        _Words(
            "melanoma metastasis",
            ("Malignant", "Malignant melanocytic proliferations (Melanoma)", "Melanoma metastasis"),
        ),
    ),
    "akiec": (
        _Words(
            "squamous cell carcinoma", ("Malignant", "Malignant epidermal proliferations", "Squamous cell carcinoma in situ")
        ),
    ),
    "bkl": (_Words("pigmented benign keratosis", ("Benign", "Benign epidermal proliferations", "Pigmented benign keratosis")),),
    "changed": (_MELANOMA, _NEVUS),
    "unchanged": (_NEVUS,),
    "melanoma": (_MELANOMA,),
    "unnamed": (_Words("", ("", "", "")),),
}
_WORDS["other"] = (_NEVUS, *_WORDS["sk"], *_WORDS["bcc"])


def _words(shot: Shot) -> _Words:
    choice = _WORDS.get(shot.label)
    if choice is None:  # trouble: a word that the archive does not have
        return _Words(shot.label, ("", "", shot.label))
    return choice[seed_of("words", shot.picture.subject) % len(choice)]


def _person(shot: Shot) -> Row:
    return {
        "age_approx": "" if shot.age is None else f"{5 * round(shot.age / 5)}.0",
        "sex": shot.sex,
        "patient_id": shot.patient and f"IP_{int(shot.patient[1:]):07d}",
        "lesion_id": shot.lesion and f"IL_{int(shot.lesion[1:]):07d}",
    }


SITES = {
    **dict.fromkeys(("back",), "posterior torso"),
    **dict.fromkeys(("abdomen", "chest"), "anterior torso"),
    **dict.fromkeys(("face", "neck"), "head/neck"),
    "foot": "palms/soles",
}
"""Site drawn -> how the archive calls it, where it says so otherwise."""

_NEWEST = (
    *("isic_id", "attribution", "copyright_license", "acquisition_day", "age_approx", "anatom_site_1", "anatom_site_general"),
    *("anatom_site_special", "concomitant_biopsy", *(f"diagnosis_{level}" for level in range(1, 6))),
    *("diagnosis_confirm_type", "fitzpatrick_skin_type", "image_type", "lesion_id", "melanocytic", "patient_id", "sex"),
)
_MIDDLE = (
    *("isic_id", "attribution", "copyright_license", "age_approx", "anatom_site_general", "benign_malignant", "diagnosis"),
    *("diagnosis_confirm_type", "fitzpatrick_skin_type", "image_type", "lesion_id", "melanocytic", "patient_id", "sex"),
)
_OLD = (
    *("image_name", "patient_id", "sex", "age_approx", "anatom_site_general_challenge", "diagnosis", "benign_malignant"),
    "target",
)


def _row(shot: Shot) -> Row:
    words, site = _words(shot), SITES.get(shot.site, shot.site)
    nature = words.levels[0].casefold()
    if "contradicts" in shot.more:
        nature = "benign" if nature == "malignant" else "malignant"
    excised = nature == "malignant" or shot.label == "changed"
    return _person(shot) | {
        **dict.fromkeys(("isic_id", "image_name"), shot.name),
        "attribution": "Hospital of the Twins",
        "copyright_license": "CC-BY-NC",
        **dict.fromkeys(("anatom_site_general", "anatom_site_general_challenge"), site),
        "anatom_site_1": site.capitalize(),
        "benign_malignant": nature,
        "target": {"malignant": "1"}.get(nature, "0") if nature else "",
        "diagnosis": words.old or "unknown",
        **{f"diagnosis_{level + 1}": word for level, word in enumerate(words.levels)},
        **({"diagnosis_1": nature.capitalize()} if "contradicts" in shot.more else {}),
        "diagnosis_confirm_type": "histopathology" if excised else "serial imaging showing no change",
        "concomitant_biopsy": str(excised),
        "fitzpatrick_skin_type": ("I", "II", "III", "IV", "V", "VI")[int(shot.more["tone"]) - 1],
        "image_type": {"clinical": "clinical: close-up"}.get(shot.picture.kind, shot.picture.kind),
        "melanocytic": str(words.old in ("nevus", "melanoma")),
    }


def isic_archive(shots: list[Shot]) -> Laid:
    """Lay out an export: 2020's table for mskcc, the second schema for hiba, the newest for all others.

    A fifth of hiba's photos are close-ups of the clinic, as in the collection.
    """
    start = int(shots[0].name.removeprefix("ISIC_")) // 100_000
    if start == 12:
        rows = [_row(shot) for shot in shots]
        photos = {f"train/{shot.name}.jpg": shot for shot in shots}
        return Laid(photos, {"ISIC_2020_Training_GroundTruth.csv": Table(list(_OLD), rows, "image_name")})
    shots = [_close_up(shot) if start == 32 else shot for shot in shots]
    table = Table(list(_MIDDLE if start == 32 else _NEWEST), [_row(shot) for shot in shots], "isic_id")
    return _export(shots, table)


def ham10000_export(shots: list[Shot]) -> Laid:
    """Lay out HAM10000's photos as the archive exports them today, in the newest schema."""
    renumbered = [replace(shot, lesion=f"L{shot.lesion.removeprefix('HAM_')}") for shot in shots]
    return _export(renumbered, Table(list(_NEWEST), [_row(shot) for shot in renumbered], "isic_id"))


def _close_up(shot: Shot) -> Shot:
    clinical = seed_of("close-up", shot.picture.subject) % 5 == 0
    return replace(shot, picture=shot.picture._replace(kind="clinical")) if clinical else shot


def _export(shots: list[Shot], table: Table) -> Laid:
    texts = {"attribution.txt": b"Hospital of the Twins\n", "licenses/CC-BY-NC.txt": b"Creative Commons BY-NC\n"}
    return Laid({f"ISIC-images/{shot.name}.jpg": shot for shot in shots}, {"metadata.csv": table}, texts)


def isic_sequences(shots: list[Shot]) -> Laid:
    """Lay out an export in the newest schema with the day of each image and a column that says what changed."""
    rows = []
    for shot in shots:
        row = _row(shot) | {"acquisition_day": str(1 + 91 * (int(shot.visit) - 1)), "change": shot.label}
        if "contradicts" in shot.more:
            row |= {"change": "changed", "diagnosis_confirm_type": "serial imaging showing no change"}
        rows.append(row)
    return _export(shots, Table([*_NEWEST, "change"], rows, "isic_id"))


def masks(shots: list[Shot], path: Callable[[Shot], str]) -> dict[str, Shot]:
    """Return path -> mask of each photo; what is wrong with one stands in the photo's ``more`` as ``mask``.

    A mask is a photo with ``how`` among the masks of ``trouble.SPOILERS``; ``mask`` = ``none`` leaves it out.
    """
    wanted = [shot for shot in shots if shot.more.get("mask") != "none"]
    return {
        path(shot): replace(shot, name=f"{shot.name}_segmentation", how=shot.more.get("mask", "mask"), extra=True)
        for shot in wanted
    }


_PARTS = ("Training",) * 6 + ("Validation",) + ("Test",) * 3


def isic2018_seg(shots: list[Shot]) -> Laid:
    """Lay out the three parts of the challenge, and superpixels that nobody asks for."""

    def part(shot: Shot) -> str:
        return _PARTS[seed_of("part", shot.name) % len(_PARTS)]

    photos = {f"ISIC2018_Task1-2_{part(shot)}_Input/{shot.name}.jpg": shot for shot in shots}
    drawn = masks(shots, lambda shot: f"ISIC2018_Task1_{part(shot)}_GroundTruth/{shot.name}_segmentation.png")
    texts = {"ISIC2018_Task1-2_Training_Input/LICENSE.txt": b"CC-0\n"}
    texts["ISIC2018_Task1-2_Training_Input/ISIC_0009000_superpixels.png"] = b"\x89PNG\r\n\x1a\n"
    return Laid(photos | drawn, documents=texts)


def ham10000_seg(shots: list[Shot]) -> Laid:
    """Lay out HAM10000 with the folder of masks."""
    named = [replace(shot, label=shot.picture.shows, lesion=f"HAM_{int(shot.lesion[1:]):07d}") for shot in shots]
    laid = layouts.ham10000(named)
    laid.photos |= masks(named, lambda shot: f"HAM10000_segmentations_lesion_tschandl/{shot.name}_segmentation.png")
    return laid


LAYOUTS: dict[str, Callable[[list[Shot]], Laid]] = {
    "isic_archive": isic_archive,
    "isic_sequences": isic_sequences,
    "isic2018_seg": isic2018_seg,
    "ham10000_seg": ham10000_seg,
}
"""Reader's name -> how a delivery in its layout is laid out."""
