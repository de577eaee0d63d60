from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from markupsafe import escape
from PIL import Image

from panderm.catalog import Benchmark
from panderm.core.files import write_bytes, write_json, write_text
from panderm.core.layout import Layout
from panderm.core.record import Record
from panderm.core.tables import MANIFEST, QUARANTINE, write_table
from panderm.imaging.shards import ShardWriter
from panderm.reporting import write_report
from panderm.reporting.details import detail_tables


def jpeg(colour: tuple[int, int, int] = (200, 120, 90)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A workspace with one published source, a pretraining record, a judged and released task."""
    layout = Layout(tmp_path)
    published = layout.published("mym")
    (published / "shards").mkdir(parents=True)
    writer = ShardWriter(published / "shards" / "a.tar")
    position = writer.add("one", "jpg", jpeg(), {})
    writer.close()
    row = {"dataset": "mym", "path": "one.jpg", "image_id": "one", "modality": "tbp", "patient_id": "qld:1"}
    row |= {"shard": "shards/a.tar", "offset": position.offset, "nbytes": position.nbytes}
    write_table(published / "manifest.parquet", pd.DataFrame([row]), MANIFEST)
    quarantined = pd.DataFrame([{"dataset": "mym", "path": "two.jpg", "reason": "not_an_image", "detail": "text"}])
    write_table(published / "quarantine.parquet", quarantined, QUARANTINE)
    write_json(published / "contract.json", {"passed": True, "synthetic": True})
    values = {
        "loss_first": 0.9,
        "loss_last": 0.5,
        "feature_std": 0.05,
        "warnings": ["the feature deviation is 0.05 at step 20"],
    }
    Record(stage="pretrain", counts={"steps": 20}, values=values).save(layout.pretrained)
    report = {"task": "ham10000", "metric": "weighted_f1", "value": 0.7, "low": 0.6, "high": 0.8, "n": 50, "groups": 40}
    write_json(layout.evaluation("ham10000") / "report.json", report)
    criterion = {"name": "floor", "outcome": "pass", "seen": "0.6", "needed": "0.5", "reason": "above"}
    verdict = {"outcome": "pass", "reasons": ["0.600 is above <0.500>"], "criteria": [criterion]}
    write_json(layout.verdict("ham10000") / "verdict.json", verdict)
    home = layout.triton_repo / "ham10000"
    for version in (1, 2):
        write_json(home / str(version) / "release.json", {"version": version, "model_sha256": "ab" * 32})
    write_text(home / "config.pbtxt", "version_policy: { specific: { versions: 2 } }\n")
    return layout


def test_write_report__quotes_every_stage_and_needs_no_network(layout: Layout) -> None:
    page = write_report(layout).read_text()
    for fragment in ("mym", "1 not an image", "Synthetic twins", "loss first: 0.900", "weighted F1 0.700", "0.600 to 0.800"):
        assert fragment in page, f"the report lacks {fragment!r}"
    assert "the feature deviation is 0.05 at step 20" in page, "a warning is hidden"
    assert "&lt;0.500&gt;" in page, "reasons are not escaped"
    assert "http://" not in page
    assert "https://" not in page


def test_write_report__shows_every_kinds_tables_with_named_rows_and_columns(
    layout: Layout, each_task: Benchmark, report_of: Callable[[str], dict[str, Any]]
) -> None:
    write_json(layout.evaluation(each_task.key) / "report.json", report_of(each_task.key))
    page = write_report(layout).read_text()
    card = page[page.index(f'id="task-{each_task.key}"') :]
    card = card[: card.index("All 28 benchmarks")]
    for table in detail_tables(each_task, report_of(each_task.key)):
        title, cell = str(escape(table.title)), str(escape(table.rows[0][0]))
        assert card.count(f">{title}</{'summary' if table.folded else 'h4'}>") == 1
        assert f'<th scope="row">{cell}</th>' in card
    assert card.count("<table") == card.count("</table>")


def test_write_report__opens_what_is_folded_before_it_is_printed(layout: Layout) -> None:
    page = write_report(layout).read_text()
    assert "beforeprint" in page
    assert "@media print" in page


def test_write_report__marks_the_version_that_serves(layout: Layout) -> None:
    page = write_report(layout).read_text()
    assert page.index("former") < page.index("serves")


def test_write_report__links_each_versions_card_and_says_what_follows(layout: Layout) -> None:
    home = layout.triton_repo / "ham10000"
    ham = {"name": "benchmarks/ham10000", "licence": "CC-BY-NC-4.0", "images": 9, "synthetic": False}
    write_json(home / "2" / "release.json", {"version": 2, "inputs": [ham]})
    write_text(home / "2" / "MODEL_CARD.md", "# Model card\n")
    page = write_report(layout)
    text = page.read_text()
    assert "May not be used commercially: benchmarks/ham10000 (CC-BY-NC-4.0)." in text
    assert 'href="../triton_repo/ham10000/2/MODEL_CARD.md"' in text
    assert (page.parent / "../triton_repo/ham10000/2/MODEL_CARD.md").is_file()
    assert text.count("not recorded") == 1, "the former version names no inputs and has no card"


def test_write_report__shows_the_answer_ranked(layout: Layout, tmp_path: Path) -> None:
    write_bytes(tmp_path / "lesion.jpg", jpeg())
    answer = {"task": "ham10000", "version": 2, "protocol": "grpc", "image": str(tmp_path / "lesion.jpg")}
    answer |= {"labels": ["nv", "mel"], "probabilities": [0.2, 0.8]}
    page = write_report(layout, answer).read_text()
    assert page.index(">mel<") < page.index(">nv<")
    assert "80.0 %" in page


@pytest.mark.parametrize(
    ("damaged", "still"),
    [
        ("metrics.parquet", ("weighted F1 0.700", "0.600 is above")),
        ("report.json", ("1 not an image", "loss first: 0.900", "serves")),
        ("verdict.json", ("weighted F1 0.700", "1 not an image")),
        ("manifest.parquet", ("weighted F1 0.700", "loss first: 0.900")),
        ("quarantine.parquet", ("weighted F1 0.700", "loss first: 0.900")),
        ("a.tar", ("1 not an image", "weighted F1 0.700")),
        ("record.json", ("weighted F1 0.700", "1 not an image")),
        ("release.json", ("weighted F1 0.700", "former")),
    ],
)
def test_write_report__a_damaged_file_is_named_and_all_else_is_shown(
    layout: Layout, damaged: str, still: tuple[str, ...]
) -> None:
    place = next(layout.root.rglob(damaged), layout.evaluation("ham10000") / damaged)
    write_bytes(place, b"PAR1 and no more")
    page = write_report(layout).read_text()
    banner = page[page.index("Damaged files") : page.index('id="data"')]
    assert damaged in banner
    for fragment in still:
        assert fragment in page, f"with a damaged {damaged} the report lacks {fragment!r}"


@pytest.mark.parametrize("damaged", ["manifest.parquet", "quarantine.parquet", "contract.json"])
def test_write_report__no_damaged_file_takes_the_sign_of_a_twin_away(layout: Layout, damaged: str) -> None:
    Record(stage="validate", values={"synthetic": True}).save(layout.published("mym"))
    write_bytes(layout.published("mym") / damaged, b"PAR1 and no more")
    page = write_report(layout).read_text()
    assert "<b>Synthetic twins.</b>" in page
    assert "weighted F1 0.700" in page


def test_write_report__a_release_that_says_nothing_is_named(layout: Layout) -> None:
    write_json(layout.triton_repo / "ham10000" / "1" / "release.json", {})
    page = write_report(layout).read_text()
    assert "1/release.json does not say" in page
    assert "serves" in page


def test_write_report__whole_files_are_not_called_damaged(layout: Layout) -> None:
    assert "Damaged files" not in write_report(layout).read_text()


def test_write_report__empty_workspace_says_so(tmp_path: Path) -> None:
    assert "Nothing is published yet" in write_report(Layout(tmp_path)).read_text()
