"""Fill the template and write ``reports/index.html`` and, for all 28 benchmarks, ``reports/benchmarks.md``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from panderm import __version__
from panderm.core.files import write_text
from panderm.core.layout import Layout
from panderm.evaluation.words import words
from panderm.pipeline import STAGES
from panderm.reporting.benchmarks import NAME, as_markdown, benchmark_rows, beside_table, data_words
from panderm.reporting.gather import gather
from panderm.reporting.pictures import thumbnail_uri
from panderm.reporting.words import NONE, written


def write_report(layout: Layout, answer: dict[str, Any] | None = None) -> Path:
    """Write the report of a workspace, and the table of all benchmarks beside it; return the page's path.

    Args:
        layout: the workspace.
        answer: a Triton server's answer to show: ``task``, ``version``, ``labels``, ``probabilities`` (same order),
            ``image`` (path of the file that was sent), ``protocol``; None leaves the section out.

    Raises:
        InputError: the report cannot be written.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("panderm.reporting", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "written": lambda value, name: written(name, value),
        "words": words,
        "percent": _percent,
        "short": lambda digest: str(digest or "")[:8],
    }
    contents = gather(layout)
    benchmarks = benchmark_rows(layout)
    page = environment.get_template("report.html").render(
        **contents,
        benchmarks=benchmarks,
        of={row.task.key: row for row in benchmarks},
        beside_table=beside_table,
        dash=NONE,
        data_words=data_words,
        stages=STAGES,
        version=__version__,
        answer=_with_picture(answer),
        synthetic=_synthetic(contents),
    )
    target = layout.reports / "index.html"
    write_text(target, page)
    write_text(layout.reports / NAME, as_markdown(benchmarks))
    return target


def _with_picture(answer: dict[str, Any] | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    from panderm.imaging.preprocessing import decode

    picture = thumbnail_uri(decode(Path(answer["image"]).read_bytes()), 220)
    ranked = sorted(zip(answer["labels"], answer["probabilities"], strict=True), key=lambda pair: -pair[1])
    return answer | {"picture": picture, "ranked": ranked, "name": Path(answer["image"]).name}


def _synthetic(contents: dict[str, Any]) -> list[str]:
    """Return the datasets that are synthetic twins."""
    return [row["key"] for row in contents["datasets"] if row["synthetic"]]


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"
