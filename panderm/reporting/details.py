"""What a report says beyond its primary metric, as titled tables.

:data:`DETAILS` is the one list: by the key that a kind's ``details`` writes into ``report.json``, how it becomes tables, and
which figures of it can be held against the paper's. A kind with something new to tell adds a row; several kinds that tell the
same share one. Overall figures that no such table quotes stand in a table of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from panderm.catalog import Benchmark
from panderm.evaluation.figures import SERVED
from panderm.evaluation.kfold import Z
from panderm.evaluation.words import words
from panderm.reporting.screening_tables import screening_tables
from panderm.reporting.survival_tables import survival_figures, survival_tables
from panderm.reporting.table import Own, Report, Table, interval_cell
from panderm.reporting.words import NONE, share, written

_MOST_CLASSES = 12  # of a confusion table that fits the page's width; the picture shows more
_DAMAGED = (KeyError, TypeError, ValueError, AttributeError, IndexError)


class Detail(NamedTuple):
    """How one part of a report is shown.

    Attributes:
        tables: its tables.
        figures: those of its figures that the paper may state too.
    """

    tables: Callable[[Report], Iterator[Table]]
    figures: Callable[[Report], Iterator[Own]] = lambda _: iter(())


def detail_tables(task: Benchmark, report: Report) -> list[Table]:
    """Return every table of a task's report, the overall figures last but for what is folded.

    A part that cannot be read, written by another version or damaged, is named in its place and the rest is shown.
    """
    tables = [table for key, detail in DETAILS.items() if key in report for table in _read(key, detail, task, report)]
    shown = frozenset[str]().union(*(table.quotes for table in tables))
    others = {name: figure for name, figure in report.get("others", {}).items() if name not in shown}
    further = [_further(others)] if others else []
    return [table for table in tables if not table.folded] + further + [table for table in tables if table.folded]


def _read(key: str, detail: Detail, task: Benchmark, report: Report) -> list[Table]:
    try:
        return list(detail.tables(report))
    except _DAMAGED:
        again = f"run `panderm evaluate {task.key}` again"
        return [Table(words(key), notes=(f"This part of report.json is damaged or of another version; {again}.",))]


def own_figures(report: Report) -> list[Own]:
    """Return our figures by the names under which the catalogue states the paper's; a damaged part gives none."""
    overall = {report["metric"]: report, **report.get("others", {})}
    found = [Own(name, words(name), row["value"], row["low"], row["high"]) for name, row in overall.items()]
    for key, detail in DETAILS.items():
        if key in report:
            try:
                found += detail.figures(report)
            except _DAMAGED:
                continue  # its tables say so
    return found


def _further(others: dict[str, Report]) -> Table:
    rows = tuple((words(name), interval_cell(name, row)) for name, row in others.items())
    return Table("Further figures", ("figure", "value (interval)"), rows)


def _folds(report: Report) -> Iterator[Table]:
    told = report["folds"]
    rows = [_repeated(name, values, told) for name, values in told.items() if isinstance(values, list)]
    notes = (told["reason"],) if "reason" in told else ()
    yield _columns("Fold by fold, each judged by a model that has not seen it", "fold", rows, notes)


def _seeds(report: Report) -> Iterator[Table]:
    rows = []
    for name, told in report["seeds"].items():
        error = told["standard_error"]
        half = {} if error is None else {"mean": told["mean"], "high": told["mean"] + Z * error}
        rows.append(_repeated(name, told["by_seed"], half))
    alone = ("One seed: how far seeds are apart is not known.",) if any(len(row) == 3 for row in rows) else ()
    yield _columns("Seed by seed, means over the test images", "seed", rows, alone)


def _served(report: Report) -> Iterator[Table]:
    told, others = report["served"], report["others"]
    names = [name for name in others if name.endswith(SERVED)]
    rows = tuple((words(name), interval_cell(name, others[name])) for name in names)
    notes = (
        f"Seed {told['seed'] + 1}, chosen by its Jaccard on the validation split; the gate judges this one alone.",
        f"Its mask does not touch the lesion on {share(told['missed'], report['n'])} test images.",
    )
    yield Table("The network that is served", ("figure", "value (interval)"), rows, notes, frozenset(names))


def _repeated(name: str, values: list[float | None], over: dict[str, Any]) -> tuple[str, ...]:
    mean = over.get("mean")
    last = NONE if mean is None else f"{written(name, mean)} ± {written(name, over['high'] - mean)}"
    return (words(name), *(written(name, value) for value in values), last)


def _columns(title: str, each: str, rows: list[tuple[str, ...]], notes: tuple[str, ...]) -> Table:
    most = max((len(row) - 2 for row in rows), default=0)
    heads = ("figure", *(f"{each} {number}" for number in range(1, most + 1)), f"mean ± {Z} SE")
    return Table(title, heads, tuple(rows), notes)


def _first_correct(report: Report) -> Iterator[Table]:
    told = report["first_correct"]
    melanomas, by_then, rows = told["melanomas"], 0, []
    for image, count in enumerate(told["first_called_at"], start=1):
        by_then += count
        rows.append((f"image {image}", f"{count:,}", share(by_then, melanomas)))
    rows.append(("never", f"{melanomas - by_then:,}", NONE))
    median = told["median_image_of_first_call"]
    sizes = f"{told['sequences']:,} sequences, {melanomas:,} of a melanoma; called at a probability of 0.5 or above."
    notes = (sizes,) if median is None else (sizes, f"Median image of the first call, of those called: {median:g}.")
    columns = ("image of the sequence", "melanomas first called at it", "called by then")
    yield Table("First correct time point", columns, tuple(rows), notes)


def _pairs(report: Report) -> Iterator[Table]:
    told = report["pairs"]
    rows = (("judged", f"{told['pairs']:,}"), ("of these registered", share(told["registered"], told["pairs"])))
    yield Table("Image pairs", ("pairs", "number"), rows)


def _tiles(report: Report) -> Iterator[Table]:
    tiles, slides = report["tiles"], report["n"]
    rows = (("read", f"{tiles:,}"), ("a slide, on average", f"{tiles / slides:,.0f}" if slides else NONE))
    yield Table("Tiles", ("tiles", "number"), rows)


def _confusion(report: Report) -> Iterator[Table]:
    counts, classes = report["confusion"], report["classes"]
    absent = ", ".join(report.get("absent_classes", []))
    notes = (f"No test case of: {absent}.",) if absent else ()
    if len(classes) > _MOST_CLASSES:
        if notes:
            yield Table("Classes without a test case", notes=notes)
        return
    rows = tuple((name, *(f"{count:,}" for count in row)) for name, row in zip(classes, counts, strict=True))
    yield Table("Confusion: true classes by row, predicted ones by column", ("true class", *classes), rows, notes, folded=True)


DETAILS: dict[str, Detail] = {
    "survival": Detail(survival_tables, survival_figures),
    "screening": Detail(screening_tables),
    "first_correct": Detail(_first_correct),
    "folds": Detail(_folds),
    "seeds": Detail(_seeds),
    "served": Detail(_served),
    "pairs": Detail(_pairs),
    "tiles": Detail(_tiles),
    "confusion": Detail(_confusion),
    "absent_classes": Detail(lambda _: iter(())),  # stands beneath the confusion
}
"""By key of ``report.json``, in the order of the page."""
