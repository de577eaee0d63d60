"""All 28 benchmarks on one table: what was judged, on what data, with which verdict, and what the paper states.

Each figure of the paper stands beside the same figure of ours, and only where the judged images are real: beside those of a
synthetic twin it would invite a comparison that means nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from panderm.catalog import BENCHMARKS, Benchmark
from panderm.catalog.terms import dataset_input
from panderm.core.errors import InputError
from panderm.core.files import read_json, sha256_file
from panderm.core.layout import Layout, benchmark_dataset
from panderm.core.record import RECORD_NAME, Record
from panderm.evaluation.words import words
from panderm.reporting.details import own_figures
from panderm.reporting.table import Table
from panderm.reporting.words import NONE, with_interval, written
from panderm.tasks.kinds import counted

NAME = "benchmarks.md"
SYNTHETIC = "synthetic twin"
_UNKNOWN = "whether its data have changed since cannot be told"

_T = TypeVar("_T")


class Beside(NamedTuple):
    """A figure of the paper beside ours, as text.

    Attributes:
        name: as the catalogue's ``reported`` has it.
        words: what the figure is.
        ours: our value with its interval; a dash where we have no such figure.
        paper: the paper's value.
    """

    name: str
    words: str
    ours: str
    paper: str


class Row(NamedTuple):
    """One benchmark as it stands in a workspace.

    Attributes:
        task: its row of the catalogue.
        state: in words: ``no delivery``, why it has no figure (a damaged file too), or ``judged``.
        synthetic: whether the published images are a program's; None where nothing is published or its record is damaged.
        report: evaluate's report; None unless judged.
        outcome: of the verdict, empty where there is none.
        note: what a reader of the figure must know, e.g. that the data have changed since; empty if nothing.
        terms: under which the data are: those delivered with them, else the catalogue's (of a twin, those of what it imitates).
    """

    task: Benchmark
    state: str
    synthetic: bool | None
    report: dict[str, Any] | None
    outcome: str
    note: str
    terms: str

    @property
    def beside(self) -> list[Beside]:
        """Every figure that the paper states beside ours; empty where it states none, or ours is none on real data."""
        if self.report is None or self.synthetic is not False:
            return []
        return [row for name, value in self.task.reported.items() for row in _held(name, value, self.report)]

    @property
    def paper(self) -> str:
        """The paper's value of the primary metric; empty as :attr:`beside` is."""
        return next((row.paper for row in self.beside if row.name == self.metric), "")

    @property
    def further(self) -> list[Beside]:
        """What of :attr:`beside` is not the primary metric."""
        return [row for row in self.beside if row.name != self.metric]

    @property
    def metric(self) -> str:
        """Name of the primary metric, the report's where there is one."""
        return str(self.report["metric"]) if self.report else self.task.metric

    @property
    def n(self) -> str:
        """How many cases were judged, and what a case is; empty unless judged."""
        return f"{self.report['n']:,} {counted(self.task).cases}" if self.report else ""

    @property
    def figure(self) -> str:
        """Our value with its interval; empty unless judged."""
        if self.report is None:
            return ""
        return with_interval(self.metric, *(self.report[name] for name in ("value", "low", "high")))


def _held(name: str, value: float, report: dict[str, Any]) -> list[Beside]:
    """Return a figure of the paper beside each of ours that may be the same."""
    paper = written(name, value)
    ours = [Beside(name, own.words, own.text, paper) for own in own_figures(report) if own.name == name]
    return ours or [Beside(name, words(name), NONE, paper)]


def beside_table(row: Row) -> Table | None:
    """Return :attr:`Row.beside` as a table; None where there is nothing to hold against anything."""
    cells = tuple((held.words, held.ours, held.paper) for held in row.beside)
    return Table("Beside the paper", ("figure", "ours (95 % interval)", "paper"), cells) if cells else None


def benchmark_rows(layout: Layout) -> list[Row]:
    """Return all 28 rows of a workspace, in the paper's order; what a damaged file holds is missing, and the row says so."""
    corpus, damage = _unless_damaged(lambda: _record(layout.corpus))
    return [_row(layout, task, corpus, damage) for task in BENCHMARKS]


def _unless_damaged(read: Callable[[], _T]) -> tuple[_T | None, str]:
    """Return what is read and an empty sentence, or nothing and what is wrong."""
    try:
        return read(), ""
    except InputError as error:
        return None, str(error)


def _row(layout: Layout, task: Benchmark, corpus: Record | None, corpus_damage: str) -> Row:
    evaluation, verdict = layout.evaluation(task.key) / "report.json", layout.verdict(task.key) / "verdict.json"
    origin, damage = _unless_damaged(lambda: (_synthetic(layout, task), _terms(layout, task)))
    if origin is None:  # a figure of which nobody can say whether it is a twin's is not shown
        return Row(task, damage, None, None, "", "", task.licence)
    synthetic, terms = origin
    if not evaluation.is_file():
        return Row(task, _why_not(layout, task, corpus), synthetic, None, "", "", terms)
    report, damage = _unless_damaged(lambda: read_json(evaluation))
    if report is None:
        return Row(task, damage, synthetic, None, "", "", terms)
    outcome, damage = _unless_damaged(lambda: _outcome(read_json(verdict), evaluation) if verdict.is_file() else "")
    stale = _UNKNOWN if corpus_damage else _stale(layout, task, corpus, report)
    note = "; ".join(filter(None, (_views(report), stale, damage)))
    return Row(task, "judged", synthetic, report, outcome or "", note, terms)


def _views(report: dict[str, Any]) -> str:
    """Say by how many random views of an image the model answered, unless it was by the plain one."""
    return f"by {report['views']} views an image" if report.get("views", 1) != 1 else ""


def _terms(layout: Layout, task: Benchmark) -> str:
    delivered = dataset_input(benchmark_dataset(task.key), layout.data, 0)
    return task.licence if delivered.synthetic else delivered.licence


def _outcome(verdict: dict[str, Any], report: Path) -> str:
    """Return the verdict's outcome if it was given on this report."""
    same = verdict.get("report_sha256") in (None, sha256_file(report))
    return str(verdict["outcome"]) if same else ""


def _why_not(layout: Layout, task: Benchmark, corpus: Record | None) -> str:
    dataset = benchmark_dataset(task.key)
    published = (layout.published(dataset) / "manifest.parquet").is_file()
    landing = layout.landing(dataset)
    landed = landing.is_dir() and any(landing.iterdir())
    if not (published or landed):
        return "no delivery"
    if not task.runnable:
        return "delivered; this version does not run its kind"
    if not published:
        broken = (layout.staging(dataset) / "contract.json").is_file()
        return "delivered; its contract is not met" if broken else "delivered, not ingested yet"
    refused = corpus.values.get("refused", {}).get(task.key) if corpus else None
    return f"no split: {refused}" if refused else "published, not judged yet"


def _stale(layout: Layout, task: Benchmark, corpus: Record | None, report: dict[str, Any]) -> str:
    """Say whether data or split have changed since the figure was made."""
    split = layout.split(task.key) / "split.parquet"
    manifest = layout.published(benchmark_dataset(task.key)) / "manifest.parquet"
    if not (split.is_file() and manifest.is_file()):
        return "its data are gone"
    known = corpus.hashes.get(f"manifest {benchmark_dataset(task.key)}") if corpus else None
    if report.get("split_sha256") != sha256_file(split) or known != sha256_file(manifest):
        return "data have changed since; judge again"
    return ""


def _synthetic(layout: Layout, task: Benchmark) -> bool | None:
    record = _record(layout.published(benchmark_dataset(task.key)))
    return None if record is None else bool(record.values.get("synthetic", False))


def _record(folder: Path) -> Record | None:
    return Record.load(folder) if (folder / RECORD_NAME).is_file() else None


def as_markdown(rows: list[Row], details: str = "index.html") -> str:
    """Return the table for people; ``details`` is the page that each judged task links to."""
    return "\n".join(_lines(rows, details)) + "\n"


def _lines(rows: list[Row], details: str) -> Iterator[str]:
    judged = [row for row in rows if row.report]
    yield "# The 28 benchmarks"
    yield ""
    yield f"{len(judged)} of {len(rows)} judged. Intervals are 95 %, over patients; n are the cases judged."
    twins = sum(row.synthetic is True for row in judged)
    if twins:
        yield f"**{twins} of them on synthetic twins**: they show that the pipeline works, and say nothing about patients."
    yield ""
    yield "| # | task | modality | classes | n | metric | ours (95 % interval) | data | terms | paper | verdict |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for row in rows:
        task, report = row.task, row.report
        name = f"[{task.key}]({details}#task-{task.key})" if report else task.key
        figure = "; ".join(filter(None, (row.figure or row.state, row.note)))
        cells = (
            str(task.number),
            name,
            task.modality,
            task.classes_stated,
            row.n or "-",
            words(row.metric),
            figure,
            data_words(row),
            row.terms,
            row.paper or "-",
            row.outcome.replace("_", " ") or "-",
        )
        yield _line(*cells)
        for more in row.further:
            yield _line("", "", "", "", "", more.words, more.ours, "", "", more.paper, "")


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def data_words(row: Row) -> str:
    """Return what the images are: ``synthetic twin``, ``delivered``, or a dash where nothing is published."""
    return "-" if row.synthetic is None else SYNTHETIC if row.synthetic else "delivered"
