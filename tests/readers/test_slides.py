"""Slides in a landing folder: whose they are, what they are called, and which are refused as a whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from panderm.catalog import Dataset, dataset
from panderm.readers import read
from panderm.readers.slides import read as read_slides
from panderm.twins.slides import aperio

CPTAC = Dataset("benchmarks/cptac_cm", "slides", ("dermatopathology",), "cptac", ("normal", "tumour"))


def slide(power: int | None = 20) -> bytes:
    """Two tiles of tissue at 20 x on a slide of three."""
    drawn = np.full((300, 800, 3), 243, dtype=np.uint8)
    drawn[:, 256:] = (205, 110, 160)
    return aperio(Image.fromarray(drawn), power)


def refused(delivery: Any) -> dict[str, tuple[str, str]]:
    return {row.path: (row.reason, row.detail) for row in delivery.rejects.itertuples()}


def test_read__a_row_a_tile_with_its_place_slide_and_case(landing: Any) -> None:
    table = "Slide_ID,Case_ID,Specimen_Type,Age\nC3L-00001-21.svs,C3L-00001,tumor_tissue,61\nC3N-00002-22,,Normal_Tissue,\n"
    folder = landing({"slides.csv": table, "CM/C3L-00001-21.svs": slide(), "CM/C3N-00002-22.svs": slide()})
    delivery = read_slides(CPTAC, folder)
    rows = delivery.rows
    assert list(rows["path"].head(2)) == ["CM/C3L-00001-21.svs#256_0_256", "CM/C3L-00001-21.svs#512_0_256"]
    assert list(rows["image_id"].head(1)) == ["C3L-00001-21_256_0_256"]
    assert list(rows["patient_id"]) == ["cptac:C3L-00001"] * 2 + ["cptac:C3N-00002"] * 2
    assert list(rows["lesion_id"].unique()) == ["cptac:C3L-00001-21", "cptac:C3N-00002-22"]
    assert list(rows["label"]) == ["tumour", "tumour", "normal", "normal"]
    assert (rows["age"].iloc[0], rows["age"].isna().sum()) == (61, 2)
    assert json.loads(rows["attributes"].iloc[1]) == {"x": 512, "y": 0, "span": 256}
    assert delivery.metadata_files == ("CM/C3L-00001-21.svs", "CM/C3N-00002-22.svs", "slides.csv")
    assert len(delivery.members) == 4


def test_read__a_bad_slide_is_refused_with_a_sentence_and_the_others_go_on(landing: Any) -> None:
    rows = ["C3L-00001-21,C3L-00001,tumour,", "C3L-00002-21,C3L-00009,tumour,", "C3L-00003-21,,wart,", "C3L-00004-21,,,"]
    rows += ["other,,normal,", "torn,P1,normal,", "dumb,P1,normal,", "told,P1,normal,20x", "lost,P1,normal,"]
    names = ["C3L-00001-21", "C3L-00002-21", "C3L-00003-21", "C3L-00004-21", "other", "dumb", "told", "unlisted"]
    files: dict[str, bytes | str] = {f"{name}.svs": slide(None if name in ("dumb", "told") else 20) for name in names}
    table = "slide_id,case_id,label,objective_power\n" + "\n".join(rows) + "\n"
    delivery = read_slides(CPTAC, landing(files | {"torn.svs": slide()[:3000], "slides.csv": table}))
    assert list(delivery.rows["lesion_id"].unique()) == ["cptac:C3L-00001-21", "cptac:told"]
    said = refused(delivery)
    assert said["C3L-00002-21.svs"] == (
        "contradiction",
        "slides.csv#3: case_id says C3L-00009, the file's name says C3L-00002; correct the table",
    )
    assert said["C3L-00003-21.svs"] == ("unknown_label", "slides.csv#4: the label is 'wart'; allowed: normal, tumour")
    assert said["C3L-00004-21.svs"] == ("unknown_label", "slides.csv#5: it has no label; allowed: normal, tumour")
    assert said["other.svs"] == (
        "no_metadata",
        "slides.csv#6: nobody says whose slide it is; give slide_id and case_id in slides.csv",
    )
    assert said["torn.svs"] == ("truncated", "torn.svs is not a readable slide; copy it again")
    assert said["dumb.svs"][0] == "bad_value"
    assert said["lost"][0] == "missing_file"
    assert said["unlisted.svs"] == ("no_metadata", "no row of slides.csv names it")


@pytest.mark.parametrize("table", [None, "label\nnormal\n"])
def test_read__without_a_usable_table_every_slide_is_refused(landing: Any, table: str | None) -> None:
    delivery = read_slides(CPTAC, landing({"a.svs": slide()} | ({"slides.csv": table} if table else {})))
    assert delivery.rows.empty
    assert refused(delivery)["a.svs"][0] == ("missing_column" if table else "no_metadata")


def test_tiles_csv__slides_of_a_source_are_tiled_beside_delivered_tiles(landing: Any) -> None:
    name = "TCGA-D3-A1Q1-01Z-00-DX1.0A1B2C3D-0000-4444-8888-0123456789AB"
    folder = landing({"tiles.csv": "image,donor_id\na.jpg,TCGA-D3-A1Q1\n", "tiles/a.jpg": b"x", f"{name}.svs": slide()})
    rows = read(dataset("tcga_skcm"), folder).rows
    assert list(rows["patient_id"].unique()) == ["tcga:TCGA-D3-A1Q1"]
    assert list(rows["lesion_id"].dropna().unique()) == [f"tcga:{name}"]
    assert len(rows) == 3
    assert rows["image_id"].is_unique


def test_tiles_csv__slides_alone_need_cases_from_names_or_a_table(landing: Any) -> None:
    folder = landing({"p7.svs": slide()})
    assert refused(read(dataset("uah89k"), folder))["p7.svs"][0] == "no_metadata"
    (folder / "Slides.csv").write_text("slide_id;case_id\np7;7\n")
    assert list(read(dataset("uah89k"), folder).rows["patient_id"]) == ["uah:7", "uah:7"]


def test_ingest__stores_tiles_as_images_and_nothing_twice(landing: Any, tmp_path: Path) -> None:
    from panderm import ingest

    drawn = np.random.default_rng(0).integers(100, 250, (300, 800, 3), dtype=np.uint8)
    drawn[..., 1] = 60
    files = {"slides.csv": "slide_id,case_id,label\ns,P,tumour\n", "s.svs": aperio(Image.fromarray(drawn), 20)}
    folder = landing(files | {"broken.svs": b"no slide"})
    staged = tmp_path / "staged"
    record = ingest.run(ingest.Config(workers=1), CPTAC, folder, staged)
    counts = record.counts
    assert (counts["images"], counts["members"], counts["quarantined_files"], counts["metadata_files"]) == (3, 3, 1, 2)
    assert ingest.run(ingest.Config(workers=1), CPTAC, folder, staged).counts["new_images"] == 0
