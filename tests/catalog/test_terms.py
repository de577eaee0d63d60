from __future__ import annotations

from pathlib import Path

from panderm.catalog import BENCHMARKS, SOURCES
from panderm.catalog.terms import dataset_input, published_terms
from panderm.core.record import Record
from panderm.core.terms import NON_COMMERCIAL, SYNTHETIC, UNKNOWN, marks


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
