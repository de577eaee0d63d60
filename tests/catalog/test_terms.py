from __future__ import annotations

from pathlib import Path

from panderm.catalog import BENCHMARKS, SOURCES
from panderm.catalog.terms import dataset_input, dataset_inputs, published_terms
from panderm.core.record import Record
from panderm.core.terms import NON_COMMERCIAL, SYNTHETIC, UNKNOWN, marks, sentence


def publish(data: Path, key: str, **values: object) -> None:
    Record(stage="validate", key=key, values=values).save(data / key)


def test_catalogue__names_terms_of_every_row() -> None:
    assert all(row.licence.strip() == row.licence != "" for row in (*SOURCES, *BENCHMARKS))
    assert all((row.licence == "in-house") == (row.access == "in-house") for row in (*SOURCES, *BENCHMARKS))
    assert NON_COMMERCIAL in marks(published_terms("benchmarks/ham10000"))
    assert marks(published_terms("benchmarks/pad_ufes")) == ()
    assert published_terms("elsewhere") == UNKNOWN


def test_dataset_input__takes_delivered_terms_over_a_twins_none_over_the_catalogues(tmp_path: Path) -> None:
    assert dataset_input("benchmarks/ham10000", None, 5).licence == "CC-BY-NC-4.0"
    publish(tmp_path, "benchmarks/ham10000", synthetic=False)
    assert dataset_input("benchmarks/ham10000", tmp_path, 5).licence == "CC-BY-NC-4.0"
    publish(tmp_path, "benchmarks/ham10000", synthetic=True)
    drawn = dataset_input("benchmarks/ham10000", tmp_path, 5)
    assert (drawn.licence, drawn.synthetic, drawn.images) == (SYNTHETIC, True, 5)
    publish(tmp_path, "benchmarks/ham10000", synthetic=False, licence="bought from the clinic")
    assert dataset_input("benchmarks/ham10000", tmp_path, 5).licence == "bought from the clinic"


def told(key: str, data: Path, said: list[str | None]) -> dict[str, int]:
    return {one.licence: one.images for one in dataset_inputs(key, data, said)}


def test_dataset_inputs__each_images_own_terms_take_the_place_of_unclear_ones(tmp_path: Path) -> None:
    publish(tmp_path, "benchmarks/hiba", synthetic=False)
    said = ["CC-BY-NC", "CC-0", "CC-BY-NC", "CC-BY"]
    assert told("benchmarks/hiba", tmp_path, said) == {"CC-0": 1, "CC-BY": 1, "CC-BY-NC": 2}
    assert sentence(dataset_inputs("benchmarks/hiba", tmp_path, said)).startswith("May not be used commercially")
    assert told("benchmarks/hiba", tmp_path, ["CC-0", None, " "]) == {"CC-0": 1, UNKNOWN: 2}, "what is not said is not free"
    assert told("benchmarks/hiba", tmp_path, [None, None]) == {UNKNOWN: 2}
    assert sentence(dataset_inputs("benchmarks/hiba", tmp_path, ["CC-0", "cc-by"])).startswith("No input forbids")


def test_dataset_inputs__clear_terms_stand_but_for_images_that_are_not_for_commerce(tmp_path: Path) -> None:
    assert told("benchmarks/pad_ufes", tmp_path, ["CC-0", "CC-BY-NC", None]) == {"CC-BY-4.0": 2, "CC-BY-NC": 1}
    assert told("benchmarks/ham10000", tmp_path, ["CC-0", "CC-BY-NC", None]) == {"CC-BY-NC-4.0": 3}


def test_dataset_inputs__a_twin_and_terms_that_were_delivered_are_not_refined(tmp_path: Path) -> None:
    publish(tmp_path, "benchmarks/hiba", synthetic=True)
    assert told("benchmarks/hiba", tmp_path, ["CC-BY-NC"]) == {SYNTHETIC: 1}
    publish(tmp_path, "benchmarks/hiba", synthetic=False, licence="bought from the clinic")
    assert told("benchmarks/hiba", tmp_path, ["CC-BY-NC"]) == {"bought from the clinic": 1}
    publish(tmp_path, "benchmarks/hiba", synthetic=False, licence="in parts, see provider")
    assert told("benchmarks/hiba", tmp_path, ["CC-BY-NC"]) == {"CC-BY-NC": 1}
