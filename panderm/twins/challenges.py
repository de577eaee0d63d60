"""Other layouts of a task's twin: the ISIC challenges of 2018 and 2019, with a column a class and their parts as folders.

The photos are those of the twin; what a challenge cannot say of them (benign keratosis told apart) is out of the task's scope.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from panderm.twins.canvas import seed_of
from panderm.twins.isic import SITES, ham10000_export
from panderm.twins.layouts import Laid, Row, Table
from panderm.twins.shots import Shot

_CLASSES_2018 = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
_CLASSES_2019 = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")


def isic2018(shots: list[Shot]) -> Laid:
    """Lay out task 3: three parts, each a folder and a ground truth; lesions only of the training part, as published.

    The training part is HAM10000, the others are not among its 10,015 images.
    """
    named = {part: [shot for shot in shots if _part(shot) == part] for part in ("Training", "Validation", "Test")}
    laid = Laid({})
    for part, mine in named.items():
        folder = f"ISIC2018_Task3_{part}_GroundTruth"
        laid.tables[f"{folder}/{folder}.csv"] = _ground_truth(mine, _CLASSES_2018)
        photos = {f"ISIC2018_Task3_{part}_Input/{shot.name}.jpg": shot for shot in mine}
        laid.photos |= photos
        laid.beyond += tuple(photos) if part != "Training" else _unsaid(photos, _CLASSES_2018)
        laid.documents[f"ISIC2018_Task3_{part}_Input/LICENSE.txt"] = b"CC-BY-NC\n"
    lesions = [
        {"image": shot.name, "lesion_id": shot.lesion, "diagnosis_confirm_type": "histopathology"} for shot in named["Training"]
    ]
    table = Table(["image", "lesion_id", "diagnosis_confirm_type"], lesions, "image")
    return Laid(laid.photos, laid.tables | {"ISIC2018_Task3_Training_LesionGroupings.csv": table}, laid.documents, laid.beyond)


def isic2019(shots: list[Shot]) -> Laid:
    """Lay out two parts, each with a ground truth and a table of people and lesions."""
    laid = Laid({})
    for part in ("Training", "Test"):
        mine = [shot for shot in shots if (_part(shot) == "Test") == (part == "Test")]
        people = [
            {
                "image": shot.name,
                "age_approx": "" if shot.age is None else f"{5 * round(shot.age / 5)}.0",
                "anatom_site_general": SITES.get(shot.site, shot.site),
                "lesion_id": f"BCN_{int(shot.lesion[1:]):07d}",
                "sex": shot.sex,
            }
            for shot in mine
        ]
        laid.tables[f"ISIC_2019_{part}_GroundTruth.csv"] = _ground_truth(mine, _CLASSES_2019)
        columns = ["image", "age_approx", "anatom_site_general", "lesion_id", "sex"]
        laid.tables[f"ISIC_2019_{part}_Metadata.csv"] = Table(columns, people, "image")
        photos = {f"ISIC_2019_{part}_Input/{shot.name}.jpg": shot for shot in mine}
        laid.photos |= photos
        laid.beyond += _unsaid(photos, _CLASSES_2019, lacking=("sk", "sl"))
    return laid


def _part(shot: Shot) -> str:
    """Return a lesion's part; what was added as trouble is in the training part."""
    if shot.extra:
        return "Training"
    return ("Training", "Training", "Training", "Training", "Validation", "Test")[seed_of("part", shot.lesion) % 6]


def _ground_truth(shots: list[Shot], classes: tuple[str, ...]) -> Table:
    return Table(["image", *classes], [_one_hot(shot, classes) for shot in shots], "image")


def _one_hot(shot: Shot, classes: tuple[str, ...]) -> Row:
    said = {_class(shot)} & set(classes) or {"UNK"}
    if "contradicts" in shot.more:
        said |= {"MEL", "NV"}
    return {"image": shot.name} | {name: f"{float(name in said)}" for name in classes}


def _class(shot: Shot) -> str:
    return {"sk": "BKL", "sl": "BKL"}.get(shot.label, shot.label.upper())


def _unsaid(photos: dict[str, Shot], classes: Iterable[str], lacking: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the photos whose label no column says, or none that the task's classes know."""
    return tuple(path for path, shot in photos.items() if _class(shot) not in classes or shot.label in lacking)


LAYOUTS: dict[tuple[str, str], Callable[[list[Shot]], Laid]] = {
    ("benchmarks/ham10000", "archive"): ham10000_export,
    ("benchmarks/ham10000", "isic2018"): isic2018,
    ("benchmarks/bcn20000", "isic2019"): isic2019,
}
"""Dataset and name of a layout other than its usual one -> how a delivery in it is laid out. MSKCC's usual one is 2020's."""
