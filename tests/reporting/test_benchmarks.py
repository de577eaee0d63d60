from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from panderm.catalog import BENCHMARKS
from panderm.core.files import sha256_file, write_bytes, write_json
from panderm.core.layout import Layout
from panderm.core.record import Record
from panderm.core.tables import MANIFEST, QUARANTINE, SPLIT, write_table
from panderm.reporting import write_report
from panderm.reporting.benchmarks import Row, as_markdown, benchmark_rows


def publish(layout: Layout, task: str, *, synthetic: bool) -> None:
    home = layout.published(f"benchmarks/{task}")
    write_table(home / "manifest.parquet", pd.DataFrame({"dataset": []}), MANIFEST)
    write_table(home / "quarantine.parquet", pd.DataFrame({"dataset": []}), QUARANTINE)
    Record(stage="validate", values={"synthetic": synthetic}).save(home)


def judge(layout: Layout, task: str, /, outcome: str = "pass", **changes: Any) -> None:
    """Leave what curate, evaluate and gate leave of a published task."""
    write_table(layout.split(task) / "split.parquet", pd.DataFrame({"image_id": []}), SPLIT)
    report = {"task": task, "metric": "auroc", "value": 0.9, "low": 0.8, "high": 0.95, "n": 70, "groups": 40}
    report |= {"split_sha256": sha256_file(layout.split(task) / "split.parquet")} | changes
    write_json(layout.evaluation(task) / "report.json", report)
    digest = sha256_file(layout.evaluation(task) / "report.json")
    write_json(layout.verdict(task) / "verdict.json", {"outcome": outcome, "report_sha256": digest, "reasons": []})
    former = Record.load(layout.corpus).hashes if (layout.corpus / "record.json").is_file() else {}
    manifest = sha256_file(layout.published(f"benchmarks/{task}") / "manifest.parquet")
    Record(stage="curate", hashes=former | {f"manifest benchmarks/{task}": manifest}).save(layout.corpus)


def row_of(layout: Layout, task: str) -> Row:
    return next(row for row in benchmark_rows(layout) if row.task.key == task)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def test_benchmark_rows__an_empty_workspace_lists_all_28_without_a_delivery(layout: Layout) -> None:
    rows = benchmark_rows(layout)
    assert [row.task.key for row in rows] == [task.key for task in BENCHMARKS]
    assert {row.state for row in rows} == {"no delivery"}


def test_benchmark_rows__say_how_far_each_has_come(layout: Layout) -> None:
    write_bytes(layout.landing("benchmarks/ddi") / "a.csv", b"")
    publish(layout, "ph2", synthetic=True)
    publish(layout, "hiba", synthetic=True)
    Record(stage="curate", values={"refused": {"hiba": "one class only"}}).save(layout.corpus)
    states = {row.task.key: row.state for row in benchmark_rows(layout)}
    assert states["ddi"] == "delivered, not ingested yet"
    assert states["ph2"] == "published, not judged yet"
    assert states["hiba"] == "no split: one class only"


@pytest.mark.parametrize("synthetic", [True, False])
def test_benchmark_rows__the_papers_figure_stands_beside_real_data_only(layout: Layout, synthetic: bool) -> None:
    publish(layout, "nevus_count", synthetic=synthetic)
    judge(layout, "nevus_count")
    text = as_markdown(benchmark_rows(layout))
    assert ("0.983" in text) is not synthetic
    assert ("synthetic twin" in text) is synthetic
    assert "| 70 images | AUROC | 0.900 (0.800 to 0.950) |" in text
    assert "[nevus_count](index.html#task-nevus_count)" in text


@pytest.mark.parametrize("synthetic", [True, False])
def test_benchmark_rows__each_figure_of_the_paper_stands_beside_the_same_of_ours(
    layout: Layout, report_of: Callable[[str], dict[str, Any]], synthetic: bool
) -> None:
    for task in ("combinemel", "tbp_screening", "pad_ufes"):
        publish(layout, task, synthetic=synthetic)
        judge(layout, task, **report_of(task))
    text = as_markdown(benchmark_rows(layout))
    page = write_report(layout).read_text()
    if synthetic:
        assert "Beside the paper" not in page
        assert all(stated not in text + page for stated in ("5.63", "3,498", "0.893", "over next best"))
        return
    survival, screening = report_of("combinemel")["survival"], report_of("tbp_screening")["screening"]
    held = {row.words: row for row in row_of(layout, "combinemel").beside}
    ratio = survival["cox"]["hazard_ratios"][0]["ratio"]
    assert held["hazard ratio of score (0 to 1)"][2:] == (f"{ratio:.2f} ({held_ends(survival['cox'])})", "5.63")
    assert held["AUC at 5 years"].ours.startswith(f"{survival['dynamic_auc'][1]['value']:.3f} (")
    assert held["AUC at 5 years"].paper == "0.931"
    assert row_of(layout, "tbp_screening").paper == "0.893"
    recommended = row_of(layout, "tbp_screening").further[0]
    assert (recommended.ours.split(" ")[0], recommended.paper) == (str(screening["arms"]["union"]["recommended"]), "3,498")
    assert "| lesions recommended | " in text
    assert "| points over next best | – |  |  | 9.0 |" in text, "a figure that we do not have is none of ours"
    assert page.count("Beside the paper</h4>") == 3


def held_ends(model: dict[str, Any]) -> str:
    return " to ".join(f"{model['hazard_ratios'][0][end]:.2f}" for end in ("low", "high"))


@pytest.mark.parametrize(("task", "n"), [("cptac_cm", "60 slides"), ("sddi2", "60 pairs"), ("tbp_screening", "60 lesions")])
def test_write_report__counts_what_the_kind_judges(
    layout: Layout, report_of: Callable[[str], dict[str, Any]], task: str, n: str
) -> None:
    publish(layout, task, synthetic=True)
    judge(layout, task, **report_of(task))
    page = write_report(layout).read_text()
    assert row_of(layout, task).n == n
    assert f"{n} of 30 " in page
    assert f"| {n} |" in (layout.reports / "benchmarks.md").read_text()


def test_benchmark_rows__data_without_a_figure_show_no_figure_of_the_paper(layout: Layout) -> None:
    publish(layout, "nevus_count", synthetic=False)
    assert row_of(layout, "nevus_count").paper == ""


def test_benchmark_rows__tell_when_the_data_have_changed_since(layout: Layout) -> None:
    publish(layout, "ham10000", synthetic=False)
    judge(layout, "ham10000", split_sha256="other")
    assert "judge again" in row_of(layout, "ham10000").note


def test_benchmark_rows__a_verdict_on_another_report_is_none(layout: Layout) -> None:
    publish(layout, "ham10000", synthetic=False)
    judge(layout, "ham10000")
    write_json(layout.verdict("ham10000") / "verdict.json", {"outcome": "pass", "report_sha256": "other", "reasons": []})
    assert row_of(layout, "ham10000").outcome == ""


def test_benchmark_rows__a_damaged_verdict_or_corpus_costs_neither_figure_nor_the_sign_of_a_twin(layout: Layout) -> None:
    publish(layout, "ham10000", synthetic=True)
    judge(layout, "ham10000")
    write_bytes(layout.verdict("ham10000") / "verdict.json", b"{")
    write_bytes(layout.corpus / "record.json", b"{")
    row = row_of(layout, "ham10000")
    assert (row.state, row.synthetic, row.outcome) == ("judged", True, "")
    assert "verdict.json is not readable JSON" in row.note
    assert "judge again" not in row.note
    assert '<span class="chip">synthetic twin</span>' in write_report(layout).read_text()


def test_benchmark_rows__whose_origin_is_unreadable_shows_no_figure_and_says_so(layout: Layout) -> None:
    publish(layout, "ham10000", synthetic=True)
    judge(layout, "ham10000")
    write_bytes(layout.published("benchmarks/ham10000") / "record.json", b"{")
    row = row_of(layout, "ham10000")
    assert row.report is None
    assert "record.json is not readable JSON" in row.state
    page = write_report(layout).read_text()
    assert "not known whether synthetic" in page
    assert "record.json" in page[page.index("Damaged files") : page.index('id="data"')]


def test_write_report__has_all_28_and_links_to_what_was_judged(layout: Layout) -> None:
    publish(layout, "ham10000", synthetic=True)
    judge(layout, "ham10000", "insufficient_evidence", low=None, high=None)
    page = write_report(layout).read_text()
    assert 'href="#task-ham10000"' in page
    assert 'id="task-ham10000"' in page
    assert "0.900 (no interval)" in page
    assert page.count("no delivery") == 27
    assert "4.7" not in page
    table = (layout.reports / "benchmarks.md").read_text()
    assert sum(line.startswith("| ") for line in table.splitlines()) == 29
    assert "insufficient evidence" in table


def test_benchmark_rows__name_the_terms_of_the_data(layout: Layout) -> None:
    publish(layout, "ham10000", synthetic=True)
    publish(layout, "ddi", synthetic=False)
    home = layout.published("benchmarks/pad_ufes")
    Record(stage="validate", values={"synthetic": False, "licence": "bought from the clinic"}).save(home)
    terms = {row.task.key: row.terms for row in benchmark_rows(layout)}
    wanted = {"ham10000": "CC-BY-NC-4.0", "ddi": "Stanford research use", "pad_ufes": "bought from the clinic"}
    assert wanted.items() <= terms.items()
    assert terms["mmt_09"] == "in-house", "nothing was delivered, so the catalogue's"
    page = write_report(layout).read_text()
    assert '<th scope="col">terms</th>' in page
    assert page.count("Stanford research use") == 1
    assert "| delivered | Stanford research use | - | - |" in (layout.reports / "benchmarks.md").read_text()


@pytest.mark.parametrize(("views", "said"), [({"views": 5}, True), ({"views": 1}, False), ({}, False)])
def test_write_report__says_by_how_many_views_a_model_answered(layout: Layout, views: dict[str, int], said: bool) -> None:
    publish(layout, "ham10000", synthetic=True)
    judge(layout, "ham10000", **views)
    page = write_report(layout).read_text()
    table, card = page[: page.index('id="task-ham10000"')], page[page.index('id="task-ham10000"') :]
    assert ("by 5 views an image" in table) is said
    assert ("the mean of 5 random views of each image, while what is served looks at one plain view" in card) is said
    assert ("; by 5 views an image |" in (layout.reports / "benchmarks.md").read_text()) is said
