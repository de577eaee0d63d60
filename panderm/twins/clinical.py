"""Twins of the public collections of clinical photos and tissue patches, in their native layouts."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from panderm.catalog import benchmark
from panderm.twins.canvas import seed_of
from panderm.twins.eruption import ERUPTIONS
from panderm.twins.further import Looks, Twin
from panderm.twins.layouts import Laid, Row, Table, extension
from panderm.twins.lesion import KINDS
from panderm.twins.shots import Shot
from panderm.twins.tissue import TISSUES

_DRAWN = (*ERUPTIONS, *KINDS)


def condition_looks(label: str) -> Looks:
    """Return what is drawn for a condition: one of 18 looks, as a rule; conditions that share one are hard to tell apart."""
    own = seed_of("condition", label)
    return {_DRAWN[own % len(_DRAWN)]: 0.85, _DRAWN[own // 97 % len(_DRAWN)]: 0.15}


def _melanoma_looks(label: str) -> Looks:
    return {"mel": 0.85, "nv": 0.15} if label == "melanoma" else {"nv": 0.6, "bkl": 0.15, "df": 0.1, "mel": 0.15}


_TISSUE_OF = {
    "subcutis": "subcutaneous fat",
    "epidermis": "epidermis",
    "hairfollicle": "epidermis",
    "melanoma": "melanoma",
    "sqcc": "melanoma",
    "naevus": "naevus",
    "bcc": "naevus",
    "necrosis": "inflammation",
    "sebaceousglands": "inflammation",
}


def _tissue_looks(label: str) -> Looks:
    """Return the tissue drawn for a class of patches; those without one of their own share the dermis."""
    other = TISSUES[seed_of("tissue", label) % len(TISSUES)]
    return {other: 0.1, _TISSUE_OF.get(label.rsplit("_", 1)[-1], "reticular dermis"): 0.9}


def _each(task: str, images: int) -> dict[str, int]:
    return dict.fromkeys(benchmark_classes(task), images)


def benchmark_classes(task: str) -> tuple[str, ...]:
    """Return a task's classes, the labels of its twin where the layout spells them alike."""
    return benchmark(task).classes


def _slug(label: str) -> str:
    return "".join(part.title() for part in label.split()[:3])


_QUIRKY = (
    *("Acne_Keloidalis_Nuchae", "Actinic_solar_Damage(Actinic_Cheilitis)", "Beau's_Lines", "Cutaneous_T-Cell_Lymphoma"),
    *("Darier-White_Disease", "Terry's_Nails", "Steroid_Use_abusemisuse_Dermatitis", "Hailey_Hailey_Disease"),
)
_FOLDERS = (*_QUIRKY, *(f"Condition_{n:03d}" for n in range(len(_QUIRKY), 128)))
"""Folders of SD-128's twin: some that are hard to spell, the others numbered."""

_SMALL = (96, 72)
TWINS: dict[str, Twin] = {
    "ddi": Twin(
        "clinical",
        {"other": 70, "melanoma": 45},
        _melanoma_looks,
        (112, 112),
        lambda n, _: f"{n:06d}",
        form="PNG",
    ),
    "ph2": Twin(
        "dermoscopic",
        {"common nevus": 40, "atypical nevus": 30, "melanoma": 35},
        _melanoma_looks,
        (128, 96),
        lambda n, _: f"IMD{n:03d}",
        form="BMP",
    ),
    "med_node": Twin("clinical", {"naevus": 60, "melanoma": 50}, _melanoma_looks, (120, 90), lambda n, _: f"{n}"),
    "dermnet": Twin(
        "clinical", _each("dermnet", 6), condition_looks, _SMALL, lambda n, label: f"{_slug(label)}-{n}", one_camera=0.7
    ),
    "fitzpatrick17k": Twin(
        "clinical",
        _each("fitzpatrick17k", 5),
        condition_looks,
        (72, 72),
        lambda n, _: hashlib.md5(str(n).encode(), usedforsecurity=False).hexdigest(),
        least=3,
        one_camera=0.7,
    ),
    "sd_128": Twin(
        "clinical", dict.fromkeys(_FOLDERS, 7), condition_looks, (64, 64), lambda n, _: f"{n:06d}", least=4, one_camera=0.7
    ),
    "patch16": Twin(
        "dermatopathology",
        _each("patch16", 10),
        _tissue_looks,
        (96, 96),
        lambda n, label: f"{label}_ws_{n // 8 % 12}_{n}",
        least=4,
        one_camera=0.7,
    ),
}
"""Task -> what its twin holds."""


def ddi(shots: list[Shot]) -> Laid:
    """Lay out ``ddi_metadata.csv`` with a data frame's index as first column, and the images beside it."""
    diseases = {"melanoma": ("melanoma-in-situ", "melanoma", "nodular-melanoma-(nm)"), "other": _OTHERS}
    rows = []
    for number, shot in enumerate(shots):
        words = diseases.get(shot.label, ("",))
        disease = words[seed_of("disease", shot.name) % len(words)]
        malignant = shot.label == "melanoma" or "carcinoma" in disease
        tone = ("12", "34", "56")[(int(shot.more["tone"]) - 1) // 2]
        row = {"": number, "DDI_ID": number + 1, "DDI_file": f"{shot.name}.png", "skin_tone": tone}
        rows.append({name: str(value) for name, value in row.items()} | {"malignant": str(malignant), "disease": disease})
    table = Table(["", "DDI_ID", "DDI_file", "skin_tone", "malignant", "disease"], rows, "DDI_file")
    return Laid({f"{shot.name}.png": shot for shot in shots}, {"ddi_metadata.csv": table})


_OTHERS = ("melanocytic-nevi", "seborrheic-keratosis-irritated", "verruca-vulgaris", "basal-cell-carcinoma", "Dermatofibroma")


class BarTable(Table):
    """PH2's text table: double bars between groups of columns, and a legend below."""

    def encoded(self) -> bytes:
        """Return the table as the bytes of a text file."""
        lines = [self._line({name: name for name in self.columns}), *(self._line(row) for row in self.rows)]
        legend = (
            "\n\nLegends:\n\n     Name                - Image filename (*.bmp)\n     Clinical Diagnosis  - 0: Common Nevus\n"
        )
        return ("\n".join(lines) + legend).encode(self.encoding)

    def _line(self, row: Row) -> str:
        return "|| " + " || ".join(row.get(name, "").rjust(8) for name in self.columns) + " ||"


def ph2(shots: list[Shot]) -> Laid:
    """Lay out ``PH2_dataset.txt``, the workbook beside it, and a folder a case with image and mask."""
    codes = {"common nevus": "0", "atypical nevus": "1", "melanoma": "2"}
    rows, photos, masks = [], {}, {}
    for shot in shots:
        rng = np.random.default_rng(seed_of("findings", shot.name))
        case = f"PH2 Dataset images/{shot.name}/{shot.name}"
        photos[f"{case}_Dermoscopic_Image/{shot.name}.bmp"] = shot
        masks[f"{case}_lesion/{shot.name}_lesion.bmp"] = _ellipse(shot.picture.size)
        rows.append(
            {
                "Name": shot.name,
                "Histological Diagnosis": "Melanoma" if shot.label == "melanoma" else "",
                "Clinical Diagnosis": codes.get(shot.label, "7"),
                "Asymmetry": str(int(rng.integers(3))),
                "Pigment Network": str(rng.choice(["T", "AT"])),
                **{name: str(rng.choice(["A", "P"])) for name in _PH2_FINDINGS},
                "Colors": "3  4",
            }
        )
    columns = ["Name", "Histological Diagnosis", "Clinical Diagnosis", "Asymmetry", "Pigment Network", *_PH2_FINDINGS, "Colors"]
    table = BarTable(columns, rows, "Name")
    return Laid(photos, {"PH2_dataset.txt": table}, masks | {"PH2_dataset.xlsx": b"PK\x03\x04"})


_PH2_FINDINGS = ("Dots/Globules", "Streaks", "Regression Areas", "Blue-Whitish Veil")


def _ellipse(size: tuple[int, int]) -> bytes:
    mask = Image.new("1", size)
    ImageDraw.Draw(mask).ellipse((size[0] // 4, size[1] // 4, 3 * size[0] // 4, 3 * size[1] // 4), fill=1)
    file = io.BytesIO()
    mask.save(file, "BMP")
    return file.getvalue()


def med_node(shots: list[Shot]) -> Laid:
    """Lay out the two folders."""
    return Laid({f"{shot.label}/{shot.name}.jpg": shot for shot in shots})


def dermnet(shots: list[Shot]) -> Laid:
    """Lay out ``train/`` and ``test/`` with a folder a family; a fifth is for testing."""
    seen: dict[str, int] = {}
    photos = {}
    for shot in shots:
        seen[shot.label] = seen.get(shot.label, 0) + 1
        split = "test" if seen[shot.label] % 5 == 2 else "train"
        photos[f"{split}/{shot.label}/{shot.name}.jpg"] = shot
    return Laid(photos)


def fitzpatrick17k(shots: list[Shot]) -> Laid:
    """Lay out ``fitzpatrick17k.csv`` and ``images/``; of some images nobody could tell the skin type."""
    rows = []
    for shot in shots:
        tone = shot.more["tone"] if seed_of("seen", shot.name) % 12 else "-1"
        rows.append(
            {
                "md5hash": shot.name,
                "fitzpatrick_scale": tone,
                "fitzpatrick_centaur": shot.more["tone"],
                "label": shot.label,
                "three_partition_label": "benign",
                "qc": "" if seed_of("qc", shot.name) % 9 else "1 Diagnostic",
                "url": f"https://example.org/{shot.name}.jpg",
            }
        )
    columns = ["md5hash", "fitzpatrick_scale", "fitzpatrick_centaur", "label", "nine_partition_label", "three_partition_label"]
    table = Table([*columns, "qc", "url", "url_alphanum"], rows, "md5hash")
    return Laid({f"images/{shot.name}.jpg": shot for shot in shots}, {"fitzpatrick17k.csv": table})


def sd(shots: list[Shot]) -> Laid:
    """Lay out a folder a condition below ``images/``, and the ``classes.txt`` that says which of them are SD-128's."""
    photos = {f"images/{shot.label}/{shot.name}{extension(shot)}": shot for shot in shots}
    return Laid(photos, {}, {"classes.txt": "".join(f"{name}\n" for name in _FOLDERS).encode()})


def patch16(shots: list[Shot]) -> Laid:
    """Lay out ``data/tiles-v2.csv`` and a folder a class; slides, not tiles, are dealt to the sets."""
    rows, photos = [], {}
    for number, shot in enumerate(shots):
        slide = int(shot.name.rsplit("_", 2)[-2])
        path = f"data/tiles/{shot.label}/{shot.name}.jpg"
        group = ("Train", "Test", "Train", "Validation", "Train", "Test")[slide % 6]
        rows.append({"": str(number), "file": path, "class": shot.label, "set": group})
        photos[path] = shot
    return Laid(
        photos, {"data/tiles-v2.csv": Table(["", "file", "class", "set"], rows, "file")}, {"data/class_dict.json": b"{}"}
    )


LAYOUTS: dict[str, Callable[[list[Shot]], Laid]] = {
    "ddi": ddi,
    "ph2": ph2,
    "med_node": med_node,
    "dermnet": dermnet,
    "fitzpatrick17k": fitzpatrick17k,
    "sd": sd,
    "patch16": patch16,
}
"""Reader's name -> how a delivery in its layout is laid out."""
