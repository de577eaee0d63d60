"""Drawn slides: read by the very library that reads real ones, and carrying trouble that is refused for the planted reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from openslide import OpenSlide
from PIL import Image

from panderm.catalog import dataset
from panderm.readers import read
from panderm.twins import slides
from panderm.twins.delivery import plan
from panderm.twins.slides import Slide, aperio

ROW = dataset("benchmarks/cptac_cm")
REASON = {
    "truncated": "truncated",
    "text": "truncated",
    "blank": "out_of_scope",
    "unpowered": "bad_value",
    "unknown_label": "unknown_label",
    "contradiction": "contradiction",
    "no_metadata": "no_metadata",
    "litter": "unexpected_file",
}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paint slides evenly: their tissue is looked at elsewhere."""

    def even(_rng: np.random.Generator, shape: tuple[int, int], tumour: bool) -> np.ndarray:
        return np.full((3, *shape), 0.8 - 0.2 * tumour, np.float32) * np.float32([[[1]], [[0.6]], [[0.9]]])

    monkeypatch.setattr(slides, "_patchwork", even)


@pytest.mark.usefixtures("quick")
def test_plan__is_read_with_the_planted_reasons_and_no_other(tmp_path: Path) -> None:
    one = plan(ROW, 1, "tiny")
    for path, content in one.files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content if isinstance(content, bytes) else content.data())
    delivery = read(ROW, tmp_path)
    expected = {path: REASON[name] for name, paths in one.trouble.items() for path in paths if name in REASON}
    reasons = dict(zip(delivery.rejects["path"], delivery.rejects["reason"], strict=True))
    assert {path: reason for path, reason in reasons.items() if path in one.files} == expected
    assert {reason for path, reason in reasons.items() if path not in one.files} == {"duplicate_row", "missing_file"}
    whole = delivery.rows.groupby("lesion_id").agg(label=("label", "first"), patient=("patient_id", "first"))
    assert dict(whole["label"].value_counts()) == {"normal": 5, "tumour": 5}
    assert whole["patient"].nunique() == 7, "three cases have a slide of each label"
    assert delivery.rows["age"].notna().all()


def test_plan__a_further_delivery_adds_slides_and_a_broken_one_has_no_labels() -> None:
    first, both = plan(ROW, 1, "tiny").files, plan(ROW, 1, "tiny", 2).files
    kept = {path: content for path, content in first.items() if isinstance(content, Slide)}
    assert {path: both[path] for path in kept} == kept
    assert sum(isinstance(content, Slide) for content in both.values()) == len(kept) + 4
    broken = plan(ROW, 1, "tiny", broken=True).files["slides.csv"]
    assert isinstance(broken, bytes)
    assert b"label" not in broken
    counts = [content.tumour for content in plan(ROW, 1, "demo").files.values() if isinstance(content, Slide)]
    assert sum(counts) == 14


def test_slide__is_the_same_twice_and_shows_melanoma_only_where_there_is_one() -> None:
    sick, well = Slide("s", True, (2, 2)), Slide("s", False, (2, 2))
    assert sick.data() == sick.data()
    dark = [float((np.asarray(one.picture())[..., 0] < 110).mean()) for one in (sick, well)]
    assert dark[0] > 2 * dark[1]


def test_aperio__is_a_pyramid_for_openslide(tmp_path: Path) -> None:
    path = tmp_path / "a.svs"
    drawn = Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, 700, 3), dtype=np.uint8))
    path.write_bytes(aperio(drawn, 40))
    with OpenSlide(path) as slide:
        assert slide.properties["openslide.vendor"] == "aperio"
        assert (slide.properties["openslide.objective-power"], slide.properties["openslide.mpp-x"]) == ("40", "0.25")
        assert slide.level_dimensions == ((700, 400), (175, 100))
        seen = np.asarray(slide.read_region((0, 0), 0, (700, 400)))[..., :3]
    assert (seen == np.asarray(drawn)).all()
