"""DVC around a workspace: which stages there are and what each leaves, told from the stage table and the layout.

``dvc.yaml`` says the same; a test holds the two together.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from panderm.catalog import datasets, runnable_benchmarks
from panderm.core.files import sha256_file, write_text
from panderm.core.layout import Layout
from panderm.core.record import RECORD_NAME, Record
from panderm.pipeline import STAGES

# Ingest and validate fill data/, which data.dvc owns; release writes triton_repo/, which is rebuilt from bundles
# (docs/decisions/0008-dagster-and-dvc.md). The others are DVC stages, in the order of the stage table.
NOT_IN_DVC = ("ingest", "validate", "release")
CHECKOUT = Path(__file__).parents[1]
TASKS_FILE = "dvc.tasks.yaml"
_SHARED = ("params.yaml", "dvc.yaml", TASKS_FILE, ".dvcignore", ".dvc/config", ".dvc/.gitignore")


def prepare_workspace(layout: Layout) -> None:
    """Give a workspace outside the checkout its own params.yaml and DVC files; existing ones stay.

    Without git around it (a workspace elsewhere, or an unpacked archive) DVC is told so in ``.dvc/config.local``.
    """
    for name in _SHARED:
        target = layout.root / name
        if not target.exists() and (CHECKOUT / name).is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(CHECKOUT / name, target)
    local = layout.root / ".dvc" / "config.local"
    if not (layout.root / ".git").exists() and not local.exists():
        write_text(local, "[core]\n    no_scm = true\n")


def dvc_stages(layout: Layout) -> dict[str, tuple[Path, ...]]:
    """Return the output folders of each DVC stage (``pretrain``, ``finetune@ham10000``, ...), in pipeline order."""
    once = {"curate": (layout.corpus, layout.artifacts / "splits"), "pretrain": (layout.pretrained,)}
    by_task = {
        "finetune": layout.model,
        "evaluate": layout.evaluation,
        "gate": layout.verdict,
        "export": layout.bundle,
    }
    stages: dict[str, tuple[Path, ...]] = {}
    for stage in STAGES:
        if stage.name in NOT_IN_DVC:
            continue
        if stage.scope == "once":
            stages[stage.name] = once[stage.name]
        else:
            stages |= {f"{stage.name}@{task.key}": (by_task[stage.name](task.key),) for task in runnable_benchmarks()}
    return stages


class Finished(NamedTuple):
    """What a workspace holds that is made from exactly what lies upstream of it.

    Attributes:
        once: stages without a task, in pipeline order.
        judged: tasks with a model, an evaluation and a verdict of one another.
        passed: those of them with a bundle of that verdict.
    """

    once: list[str]
    judged: list[str]
    passed: list[str]

    @property
    def stages(self) -> list[str]:
        """The DVC stages, in pipeline order."""
        by_task = [stage.name for stage in STAGES if stage.scope == "task" and stage.name not in NOT_IN_DVC]
        tasks = {name: self.passed if name == "export" else self.judged for name in by_task}
        return [*self.once, *(f"{name}@{task}" for name in by_task for task in tasks[name])]


def finished(layout: Layout) -> Finished:
    """Tell which stages may be recorded: ``dvc commit`` believes whatever lies there, so what is stale is left out.

    Each record names the hashes of what went in; it has to name those that lie upstream now. After a training whose
    verdict held it back, for instance, the bundle of the former model lies below the new one's verdict.
    """
    known: dict[str, str] = {f"manifest {key}": digest for key, digest in _manifests(layout)}
    once: list[str] = []
    for name, folder in (("curate", layout.corpus), ("pretrain", layout.pretrained)):
        if not _follows(folder, known):
            return Finished(once, [], [])
        once.append(name)
    depths = {task.key: _depth(layout, task.key, dict(known)) for task in runnable_benchmarks()}
    judged = [task for task, depth in depths.items() if depth >= len(_CHAIN) - 1]
    return Finished(once, judged, [task for task in judged if depths[task] == len(_CHAIN)])


def _manifests(layout: Layout) -> Iterator[tuple[str, str]]:
    for dataset in datasets():
        path = layout.published(dataset.key) / "manifest.parquet"
        if path.is_file():
            yield dataset.key, sha256_file(path)


def _depth(layout: Layout, task: str, known: dict[str, str]) -> int:
    """Return how many folders of a task's chain, from the split to the bundle, follow from one another."""
    for depth, folder in enumerate(_CHAIN):
        if not _follows(folder(layout, task), known):
            return depth
    return len(_CHAIN)


def _follows(folder: Path, known: dict[str, str]) -> bool:
    """Tell whether a folder's record agrees with the hashes known so far, and add its own to them."""
    if not (folder / RECORD_NAME).is_file():
        return False
    hashes = {name.removesuffix("_sha256"): digest for name, digest in Record.load(folder).hashes.items()}
    if any(known.get(name, digest) != digest for name, digest in hashes.items()):
        return False
    known.update(hashes)
    return True


_CHAIN: tuple[Callable[[Layout, str], Path], ...] = (
    Layout.split,
    Layout.model,
    Layout.evaluation,
    Layout.verdict,
    Layout.bundle,
)


def write_tasks(layout: Layout, found: Finished) -> None:
    """Write ``dvc.tasks.yaml``, the tasks that ``dvc.yaml`` has stages for; equal lists leave the file's bytes alone."""
    path = layout.root / TASKS_FILE
    comments = [line for line in (CHECKOUT / TASKS_FILE).read_text().splitlines(keepends=True) if line.startswith("#")]
    text = "".join(comments) + yaml.safe_dump({"judged": found.judged, "passed": found.passed}, sort_keys=False)
    if not path.is_file() or path.read_text() != text:
        write_text(path, text)
