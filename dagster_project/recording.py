"""DVC around a workspace: which stages there are and what each leaves, told from the stage table and the layout.

``dvc.yaml`` says the same; a test holds the two together.
"""

import shutil
from pathlib import Path

from panderm.catalog import runnable_benchmarks
from panderm.core.files import write_text
from panderm.core.layout import Layout
from panderm.pipeline import STAGES

# Ingest and validate fill data/, which data.dvc owns; release writes triton_repo/, which is rebuilt from bundles
# (docs/decisions/0008-dagster-and-dvc.md). The others are DVC stages, in the order of the stage table.
NOT_IN_DVC = ("ingest", "validate", "release")
CHECKOUT = Path(__file__).parents[1]
_SHARED = ("params.yaml", "dvc.yaml", ".dvcignore", ".dvc/config", ".dvc/.gitignore")


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


def finished_stages(layout: Layout) -> list[str]:
    """Return the DVC stages whose outputs all exist, in pipeline order."""
    return [name for name, outs in dvc_stages(layout).items() if all(out.exists() for out in outs)]
