"""Twin of the total-body tasks: people with many alike moles, a few lesions sent to dermoscopy, fewer malignant."""

from __future__ import annotations

import posixpath
from collections.abc import Callable

import numpy as np

from panderm.readers.vectra import MEASUREMENTS
from panderm.twins.canvas import seed_of
from panderm.twins.further import Twin
from panderm.twins.layouts import Laid, Row, vectra
from panderm.twins.shots import Shot

_TBP = Twin(
    "tbp",
    {"low": 96, "high": 44},
    lambda label: {"mel": 0.45, "nv": 0.35, "bcc": 0.2} if label == "high" else {"nv": 0.92, "bkl": 0.08},
    (80, 80),
    lambda n, _: f"tbp-{n:06d}",
    form="PNG",
    lesions=(9, 7, 11),
    least=12,
)
TWINS: dict[str, Twin] = {"tbp_risk": _TBP, "tbp_screening": _TBP}
"""Task -> what its twin holds; both are one delivery."""

_GROWS: dict[str, tuple[float, float, float]] = {
    "majorAxisMM": (3.0, 2.6, 0.7),
    "minorAxisMM": (2.2, 1.6, 0.5),
    "areaMM2": (5.0, 9.0, 2.0),
    "perimeterMM": (8.0, 8.0, 2.0),
    "color_std_mean": (0.6, 1.6, 0.4),
    "radial_color_std_max": (0.5, 1.2, 0.3),
    "norm_border": (2.0, 4.5, 1.0),
    "norm_color": (1.8, 4.0, 1.0),
    "symm_2axis": (0.2, 0.3, 0.08),
    "eccentricity": (0.6, 0.15, 0.1),
    "deltaLBnorm": (6.5, 2.5, 1.0),
    "deltaLB": (6.0, 3.0, 1.2),
    "stdL": (2.0, 2.0, 0.6),
}
"""Measurement -> its mean in moles, how much more it is in cancers, and its spread."""


def vectra_task(shots: list[Shot]) -> Laid:
    """Lay out the export of :func:`panderm.twins.layouts.vectra` with dermoscopy, pathology and measurements that tell."""
    laid = vectra(shots)
    for name, table in laid.tables.items():
        if not name.endswith("lesions.csv"):
            continue
        table.columns += ["dermoscopy", "pathology"]
        tiles = f"{name.rsplit('/', 1)[0]}/tiles/"
        here = {posixpath.basename(path)[:-4]: shot for path, shot in laid.photos.items() if path.startswith(tiles)}
        table.rows = [row | _clinic(here[row["lesion_id"]]) for row in table.rows]
    return laid


def _clinic(shot: Shot) -> Row:
    """Return what the clinic and the device say of a lesion."""
    rng = np.random.default_rng(seed_of("clinic", shot.name))
    cancer = shot.picture.shows in ("mel", "bcc")
    values = {name: mean + more * cancer + rng.normal(0, spread) for name, (mean, more, spread) in _GROWS.items()}
    confidence = rng.uniform(70 if rng.random() < 0.1 else 82, 100)
    values |= {"dnn_lesion_confidence": rng.uniform(60, 100), "nevi_confidence": confidence}
    comma = seed_of("export", shot.patient) % 5 == 0  # one workstation in five writes decimals with a comma
    written = {name: f"{value:.3f}".replace(".", "," if comma else ".") for name, value in values.items()}
    for name in MEASUREMENTS:
        if name != "location_simple" and rng.random() < 0.02:
            written[name] = str(rng.choice(["NaN", ""]))
    word = {"low": "no", "high": "yes"}.get(shot.label, shot.label)
    malignant = "melanoma" if shot.picture.shows == "mel" else "malignant"
    pathology = "" if word != "yes" else malignant if cancer else "benign" if rng.random() < 0.5 else ""
    return written | {"dermoscopy": word, "pathology": pathology}


LAYOUTS: dict[str, Callable[[list[Shot]], Laid]] = {"vectra_task": vectra_task}
"""Reader's name -> how a delivery in its layout is laid out."""
