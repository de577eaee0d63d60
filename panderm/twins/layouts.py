"""Native layouts, written: photos -> file names and metadata tables, one function a reader's layout.

The counterpart of ``panderm/readers``: what a layout means is said there, how a delivery in it comes about here.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from panderm.readers.vectra import MEASUREMENTS
from panderm.twins.canvas import seed_of
from panderm.twins.shots import Shot

Row = dict[str, str]


@dataclass
class Table:
    """A metadata table of a delivery.

    Attributes:
        columns: names in their order.
        rows: one dict a row; a column it lacks is blank.
        file_column: the column that names the image.
        encoding: of the file.
        separator: between values.
    """

    columns: list[str]
    rows: list[Row]
    file_column: str
    encoding: str = "utf-8"
    separator: str = ","

    def encoded(self) -> bytes:
        """Return the table as the bytes of a CSV file."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, delimiter=self.separator, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue().encode(self.encoding)

    def drop(self, column: str) -> None:
        """Leave a column out."""
        self.columns = [name for name in self.columns if name != column]


@dataclass
class Laid:
    """A delivery in its native layout, before anything is drawn.

    Attributes:
        photos: path -> photo.
        tables: path -> table; the first one is where row-level trouble goes.
        documents: path -> bytes of any other file of the layout.
        beyond: photos whose label the layout cannot say, or that are not the task's; their paths.
    """

    photos: dict[str, Shot]
    tables: dict[str, Table] = field(default_factory=dict)
    documents: dict[str, bytes] = field(default_factory=dict)
    beyond: tuple[str, ...] = ()


def age(shot: Shot) -> str:
    """Return the age as a table writes it, blank if not recorded."""
    return "" if shot.age is None else str(shot.age)


def extension(shot: Shot) -> str:
    """Return the ending of a photo's file name."""
    return {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp"}[shot.picture.form]


def measurements(name: str) -> Row:
    """Return values of the device's 32 measurements, and of how much of the tile lies outside the body."""
    rng = np.random.default_rng(seed_of("measurements", name))
    values = {column: f"{rng.uniform(0.5, 60):.3f}" for column in MEASUREMENTS}
    return values | {"majorAxisMM": f"{rng.uniform(2, 9):.3f}", "out_of_bounds_fraction": f"{rng.uniform(0, 0.3):.3f}"}


def vectra(shots: list[Shot]) -> Laid:
    """Lay out ``subjects.csv`` and a folder a subject and visit with ``lesions.csv`` and ``tiles/``."""
    laid = Laid({})
    people: dict[str, Row] = {}
    for shot in shots:
        people.setdefault(shot.patient, {"subject": shot.patient, "age": age(shot), "sex": shot.sex})
        folder = f"{shot.patient}/{2020 + int(shot.visit)}"
        table = laid.tables.setdefault(
            f"{folder}/lesions.csv", Table(["lesion_id", *MEASUREMENTS, "out_of_bounds_fraction"], [], "lesion_id")
        )
        name = shot.name if shot.extra else shot.lesion
        site = {"location_simple": shot.site.title()}
        table.rows.append(measurements(shot.name) | site | {"lesion_id": name})
        laid.photos[f"{folder}/tiles/{name}{extension(shot)}"] = shot
    laid.tables["subjects.csv"] = Table(["subject", "age", "sex"], list(people.values()), "subject")
    return laid


def cohort_csv(shots: list[Shot]) -> Laid:
    """Lay out ``metadata.csv`` and ``images/``."""
    rows = [
        {
            "image": f"{shot.name}.jpg",
            "subject": shot.patient,
            "lesion": shot.lesion,
            "age": age(shot) or "NaN",
            "sex": shot.sex.upper(),
            "site": shot.site.title(),
        }
        for shot in shots
    ]
    table = Table(["image", "subject", "lesion", "age", "sex", "site"], rows, "image")
    return Laid({f"images/{shot.name}.jpg": shot for shot in shots}, {"metadata.csv": table})


def paired_csv(shots: list[Shot]) -> Laid:
    """Lay out ``consultations.csv``, a row a case with one or two photos, and ``images/``."""
    cases: dict[str, Row] = {}
    for shot in shots:
        key = shot.name if shot.extra else f"{shot.patient}-{shot.lesion}"
        case = cases.setdefault(
            key,
            {
                "case_id": f"C{len(cases) + 1:05d}",
                "patient_id": shot.patient,
                "lesion_id": shot.lesion,
                "age": age(shot),
                "sex": shot.sex[:1].upper(),
                "site": shot.site,
                "diagnosis": shot.label,
                "clinic": "Clinique Sébastien",
            },
        )
        case[f"{shot.picture.kind}_image"] = f"{shot.name}.jpg"
    columns = ["case_id", "patient_id", "lesion_id", "dermoscopic_image", "clinical_image"]
    columns += ["age", "sex", "site", "diagnosis", "clinic"]
    table = Table(columns, list(cases.values()), "dermoscopic_image", encoding="cp1252")
    return Laid({f"images/{shot.name}.jpg": shot for shot in shots}, {"consultations.csv": table})


def visits_csv(shots: list[Shot]) -> Laid:
    """Lay out ``visits.csv`` and ``images/<person>/``."""
    rows = [
        {
            "person": shot.patient,
            "lesion": shot.lesion,
            "visit": shot.visit,
            "file": f"{shot.name}.jpg",
            "date": f"20{9 + int(shot.visit) // 2:02d}-{1 + 6 * (int(shot.visit) % 2):02d}-15",
            "site": shot.site,
        }
        for shot in shots
    ]
    table = Table(["person", "lesion", "visit", "file", "date", "site"], rows, "file")
    return Laid({f"images/{shot.patient}/{shot.name}.jpg": shot for shot in shots}, {"visits.csv": table})


def class_folders(shots: list[Shot]) -> Laid:
    """Lay out a folder a condition."""
    return Laid({f"{shot.label}/{shot.name}{extension(shot)}": shot for shot in shots})


def tiles_csv(shots: list[Shot]) -> Laid:
    """Lay out ``tiles.csv`` and ``tiles/``."""
    rows = [{"image": f"{shot.name}.jpg", "donor_id": shot.patient, "tissue": shot.label} for shot in shots]
    key = shots[0].name.split("-")[0]
    table = Table(["image", "donor_id", "tissue"], rows, "image")
    if key == "acemid_path":
        table.encoding = "utf-8-sig"
    elif key == "uah89k":
        table.columns.append("hospital")
        table.rows = [row | {"hospital": "Universitätsklinikum Heidelberg"} for row in rows]
        table.separator = ";"
    return Laid({f"tiles/{shot.name}.jpg": shot for shot in shots}, {"tiles.csv": table})


def ham10000(shots: list[Shot]) -> Laid:
    """Lay out ``HAM10000_metadata.csv`` and two folders of images."""
    rows = [
        {
            "lesion_id": shot.lesion,
            "image_id": shot.name,
            "dx": shot.label,
            "dx_type": "histo",
            "age": f"{shot.age}.0",
            "sex": shot.sex or "unknown",
            "localization": shot.site,
        }
        for shot in shots
    ]
    table = Table(["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"], rows, "image_id")
    photos = {f"HAM10000_images_part_{1 + i % 2}/{shot.name}.jpg": shot for i, shot in enumerate(shots)}
    return Laid(photos, {"HAM10000_metadata.csv": table})


_PAD_COLUMNS = [
    *("patient_id", "lesion_id", "smoke", "drink", "background_father", "background_mother", "age", "pesticide", "gender"),
    *("skin_cancer_history", "cancer_history", "has_piped_water", "has_sewage_system", "fitspatrick", "region"),
    *("diameter_1", "diameter_2", "diagnostic", "itch", "grew", "hurt", "changed", "bleed", "elevation", "img_id", "biopsed"),
]


def pad_ufes(shots: list[Shot]) -> Laid:
    """Lay out ``metadata.csv`` with its 26 columns and three folders of images."""
    rows = []
    for shot in shots:
        rng = np.random.default_rng(seed_of("answers", shot.patient, shot.lesion))
        answers = {
            name: ("True", "False", "UNK")[int(rng.integers(3))] for name in ("itch", "grew", "hurt", "bleed", "elevation")
        }
        asked = rng.random() > 0.15  # the real table lacks the interview of a third
        rows.append(
            answers
            | {
                "patient_id": shot.patient,
                "lesion_id": shot.lesion,
                "age": age(shot),
                "gender": shot.sex.upper() if asked else "",
                "fitspatrick": f"{shot.more['tone']}.0" if asked else "",
                "region": shot.site.upper(),
                "diagnostic": shot.label,
                "img_id": f"{shot.name}.png",
                "biopsed": str(shot.label in ("BCC", "SCC", "MEL")),
            }
        )
    photos = {f"imgs_part_{1 + i % 3}/{shot.name}.png": shot for i, shot in enumerate(shots)}
    return Laid(photos, {"metadata.csv": Table(_PAD_COLUMNS, rows, "img_id")})


_ISIC_FIRST = ["isic_id", "target", "patient_id", "age_approx", "sex", "anatom_site_general", "clin_size_long_diam_mm"]
_ISIC_DEVICE = [name for name in MEASUREMENTS if name not in ("majorAxisMM", "dnn_lesion_confidence", "location_simple")]
_ISIC_LAST = ["lesion_id", "iddx_full", *(f"iddx_{n}" for n in range(1, 6)), "mel_mitotic_index", "mel_thick_mm"]
ISIC_COLUMNS = [
    *_ISIC_FIRST,
    *("image_type", "tbp_tile_type"),
    *(f"tbp_lv_{name}" for name in _ISIC_DEVICE),
    *(f"tbp_lv_{name}" for name in ("location", "location_simple", "x", "y", "z")),
    *("attribution", "copyright_license"),
    *_ISIC_LAST,
    "tbp_lv_dnn_lesion_confidence",
]
"""The 55 columns of ISIC 2024's table, measurements together."""


def isic2024(shots: list[Shot]) -> Laid:
    """Lay out ``train-metadata.csv`` with its 55 columns and ``train-image/image/``."""
    rows = []
    for shot in shots:
        device = {f"tbp_lv_{name}": value for name, value in measurements(shot.name).items()}
        rows.append(
            device
            | {
                "isic_id": shot.name,
                "target": shot.label if shot.label.isdigit() else str(int(shot.label in ("mel", "bcc"))),
                "patient_id": shot.patient,
                "age_approx": "" if shot.age is None else f"{5 * round(shot.age / 5)}.0",
                "sex": shot.sex,
                "anatom_site_general": shot.site,
                "image_type": "TBP tile: close-up",
                "attribution": shot.more["attribution"],
                "copyright_license": "CC-BY",
            }
        )
    photos = {f"train-image/image/{shot.name}.jpg": shot for shot in shots}
    return Laid(photos, {"train-metadata.csv": Table(ISIC_COLUMNS, rows, "isic_id")})


LAYOUTS: dict[str, Callable[[list[Shot]], Laid]] = {
    "vectra": vectra,
    "cohort_csv": cohort_csv,
    "paired_csv": paired_csv,
    "visits_csv": visits_csv,
    "class_folders": class_folders,
    "tiles_csv": tiles_csv,
    "ham10000": ham10000,
    "pad_ufes": pad_ufes,
    "isic2024": isic2024,
}
"""Reader's name -> how a delivery in its layout is laid out."""
