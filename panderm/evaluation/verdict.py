"""The verdict on a task model: typed, read by everyone who hands over by it (export, release, Dagster, report)."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from panderm.core.config import FrozenConfig
from panderm.core.errors import Refused
from panderm.core.files import read_json, write_json
from panderm.core.layout import written_by

VERDICT_NAME = "verdict.json"


class Outcome(StrEnum):
    """What a criterion, and the verdict as a whole, comes to."""

    PASS = "pass"
    FAIL = "fail"
    INSUFFICIENT = "insufficient_evidence"


class Criterion(FrozenConfig):
    """One thing that was judged.

    Attributes:
        name: ``floor``, ``test_size``, ``champion`` or ``subgroups:<column>``.
        outcome: what it came to.
        seen: what was seen, with numbers.
        needed: what is needed to pass.
        reason: one sentence in plain words, with numbers.
    """

    name: str
    outcome: Outcome
    seen: str
    needed: str
    reason: str


class Champion(FrozenConfig):
    """The released model that the challenger was held against."""

    version: int
    model_sha256: str


class Verdict(FrozenConfig):
    """May this very model be released? Bound by hashes to the model, test split, preprocessing and report.

    Attributes:
        task: the benchmark's key.
        outcome: fail if any criterion fails, else insufficient if any is, else pass.
        criteria: everything that was judged.
        reasons: the criteria's sentences that decided, all of them for a pass.
        model_sha256: of the bytes of ``model.json``, which names the weights' hash.
        split_sha256: of the bytes of ``split.parquet``.
        preprocessing_sha256: of the preprocessing description.
        report_sha256: of the bytes of ``report.json``.
        champion: what served when the verdict was given; null for a first release.
    """

    task: str
    outcome: Outcome
    criteria: tuple[Criterion, ...]
    reasons: tuple[str, ...]
    model_sha256: str
    split_sha256: str
    preprocessing_sha256: str
    report_sha256: str
    champion: Champion | None = None

    @property
    def passed(self) -> bool:
        """Whether the model may be exported and released."""
        return self.outcome is Outcome.PASS

    def save(self, folder: Path) -> None:
        """Write ``verdict.json`` into ``folder``, whole or not at all."""
        write_json(folder / VERDICT_NAME, self.model_dump(mode="json"))


def overall(criteria: tuple[Criterion, ...]) -> Outcome:
    """Return fail if any criterion fails, else insufficient if any is, else pass.

    Raises:
        Refused: nothing was judged; no evidence is never a pass.
    """
    if not criteria:
        raise Refused("no criterion was judged, so there is no verdict; run `panderm gate` on a finished evaluation")
    seen = {criterion.outcome for criterion in criteria}
    return next(outcome for outcome in (Outcome.FAIL, Outcome.INSUFFICIENT, Outcome.PASS) if outcome in seen)


def load_verdict(folder: Path) -> Verdict:
    """Read ``verdict.json`` of a task's verdict folder.

    Raises:
        InputError: the gate has not run there.
        ConfigError: the file is no verdict of this version.
        Refused: the outcome does not follow from the criteria, so the file was edited.
    """
    path = folder / VERDICT_NAME
    verdict = Verdict.parse(read_json(path), where=str(path))
    if verdict.outcome is not overall(verdict.criteria):
        raise Refused(
            f"{path} says {verdict.outcome} but its criteria come to {overall(verdict.criteria)}; run {written_by(path)} again"
        )
    return verdict


def describe(verdict: Verdict) -> str:
    """Return the verdict as Markdown: the outcome, what decided, and a table of what was judged."""
    words = str(verdict.outcome).replace("_", " ")
    champion = f"version {verdict.champion.version}" if verdict.champion else "none (first release: floors and subgroups only)"
    lines = [f"### {verdict.task}: {words}", "", *(f"- {reason}" for reason in verdict.reasons), ""]
    lines += ["| criterion | outcome | seen | needed |", "|---|---|---|---|"]
    lines += [f"| {c.name} | {str(c.outcome).replace('_', ' ')} | {c.seen} | {c.needed} |" for c in verdict.criteria]
    lines += ["", f"Champion: {champion}. Model `{verdict.model_sha256[:12]}`, test split `{verdict.split_sha256[:12]}`."]
    return "\n".join(lines) + "\n"
