"""Tables as spreadsheets write them: which line a row stands on, and what is no part of the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from panderm.catalog import dataset
from panderm.readers import read
from panderm.readers.csvfile import LINE, read_csv


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ('a,b\n1,"x\ny"\n2,z\n\n3,"q"\n', [2, 4, 6]),
        ('a,b\r\n1,"x\r\n\r\ny"\r\n2,z\r\n', [2, 5]),
        ('"a\nb",c\n1,"x"\n2,3\n', [3, 4]),
        ('a,b\n1,5" nail\n2,"c""d"\n3,4\n\n\n', [2, 3, 4]),
        ('a,b\r1,"x"\r2,z\r', [2, 3]),
        ("a,b\n1,x\u2028y\n2,z\n", [2, 3]),
        ('a,b,\n1,"x\ny",\n2,3,\n', [2, 4]),
    ],
)
def test_read_csv__says_the_line_of_the_file(tmp_path: Path, content: str, lines: list[int]) -> None:
    (tmp_path / "a.csv").write_bytes(content.encode())
    assert list(read_csv(tmp_path / "a.csv")[LINE]) == lines


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252"])
def test_read_csv__takes_the_separator_that_a_spreadsheet_declares(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.csv").write_bytes('sep=;\r\nImage;Länge, mm\r\na.jpg;"1,5"\r\n"b\nc";\r\nd;2\r\n'.encode(encoding))
    table = read_csv(tmp_path / "a.csv")
    assert table.to_dict("list") == {"image": ["a.jpg", "b\nc", "d"], "länge, mm": ["1,5", "", "2"], LINE: [3, 4, 6]}


def test_sorter__names_the_line_after_a_note_of_two_lines(landing: Any) -> None:
    table = 'lesion_id,image_id,dx,note\nHAM_1,ISIC_1,nv,"seen\ntwice"\nHAM_2,ISIC_2,wart,\n'
    files = {"HAM10000_metadata.csv": table} | {f"HAM10000_images_part_1/ISIC_{n}.jpg": b"%d" % n for n in (1, 2)}
    (detail,) = read(dataset("benchmarks/ham10000"), landing(files)).rejects["detail"]
    assert detail.startswith("HAM10000_metadata.csv#4: the label is 'wart'; allowed: akiec")


def test_derm7pt__counts_cases_not_lines(landing: Any) -> None:
    table = 'case_num,diagnosis,clinic,derm,notes\n1,clark nevus,n1.jpg,d1.jpg,"two\nlines"\n\n2,clark nevus,n2.jpg,d2.jpg,\n'
    files = {"meta/meta.csv": table, "meta/train_indexes.csv": "indexes\n0\n", "meta/test_indexes.csv": "indexes\n1\n"}
    files |= {f"images/{name}.jpg": name for name in ("n1", "n2", "d1", "d2")}
    rows = read(dataset("benchmarks/derm7pt_d"), landing(files)).rows
    assert rows.set_index("image_id")["split"].to_dict() == {"d1": "train", "d2": "test"}
