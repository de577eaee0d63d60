"""The one home of paths: where in a workspace each stage reads and writes.

A *dataset* is a source key (``mym``) or ``benchmarks/<task>``; both are delivered, ingested and published alike.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

WORKSPACE_VARIABLE = "PANDERM_WORKSPACE"


def benchmark_dataset(task: str) -> str:
    """Return the dataset key of a benchmark's own images."""
    return f"benchmarks/{task}"


@dataclass(frozen=True)
class Layout:
    """Paths of one workspace. Nothing is created here; stages create what they write.

    Attributes:
        root: the workspace, by default the checkout; ``PANDERM_WORKSPACE`` or ``panderm --workspace`` changes it.
    """

    root: Path

    @classmethod
    def here(cls) -> Layout:
        """Return the layout of ``$PANDERM_WORKSPACE``, or of the current folder."""
        return cls(Path(os.environ.get(WORKSPACE_VARIABLE, ".")).resolve())

    @property
    def params(self) -> Path:
        """``params.yaml``, one section per stage."""
        return self.root / "params.yaml"

    def landing(self, dataset: str) -> Path:
        """What an institution delivered, in its own layout; never versioned."""
        return self.root / "landing" / dataset

    def staging(self, dataset: str) -> Path:
        """Ingest's output before the contract has passed; untracked, nobody downstream reads it."""
        return self.root / ".staging" / dataset

    def published(self, dataset: str) -> Path:
        """Shards and manifest that passed their contract; what everything downstream reads."""
        return self.root / "data" / dataset

    @property
    def data(self) -> Path:
        """All published datasets; owned by ``data.dvc``."""
        return self.root / "data"

    @property
    def artifacts(self) -> Path:
        """Everything computed from ``data/``; owned by ``dvc.yaml``."""
        return self.root / "artifacts"

    @property
    def corpus(self) -> Path:
        """Curate's output: ``corpus.parquet``, ``exclusions.parquet``, ``record.json``."""
        return self.artifacts / "corpus"

    @property
    def splits(self) -> Path:
        """Curate's output for all tasks, a folder each."""
        return self.artifacts / "splits"

    def split(self, task: str) -> Path:
        """Curate's output for a task: ``split.parquet``, ``record.json``."""
        return self.splits / task

    @property
    def pretrained(self) -> Path:
        """Pretrain's output: ``encoder.safetensors``, ``encoder.json``, curves, ``record.json``."""
        return self.artifacts / "pretrain"

    def study(self, name: str) -> Path:
        """A study's runs and its comparison; not part of the pipeline."""
        return self.artifacts / "studies" / name

    def model(self, task: str) -> Path:
        """Finetune's output for a task."""
        return self.artifacts / "tasks" / task / "model"

    def evaluation(self, task: str) -> Path:
        """Evaluate's output for a task."""
        return self.artifacts / "tasks" / task / "evaluation"

    def verdict(self, task: str) -> Path:
        """Gate's output for a task."""
        return self.artifacts / "tasks" / task / "verdict"

    def bundle(self, task: str) -> Path:
        """Export's output for a task."""
        return self.artifacts / "tasks" / task / "bundle"

    @property
    def work(self) -> Path:
        """Resume states, feature cache, logs; untracked, may be deleted at any time without losing a result."""
        return self.root / ".work"

    @property
    def features(self) -> Path:
        """Cached encoder features, one folder per (encoder, dataset)."""
        return self.work / "features"

    @property
    def triton_repo(self) -> Path:
        """The Triton model repository that releases are written to."""
        return self.root / "triton_repo"

    @property
    def reports(self) -> Path:
        """HTML reports; untracked."""
        return self.root / "reports"


_KEY = "KEY"
_ONE = r"(?P<key>(?:benchmarks/)?[^/]+)"
_DATA_FILES = r"/(manifest|quarantine|contract|record)\."  # many a folder is called data
_HERE = Layout(Path())
_WRITES: tuple[tuple[str, Path, str], ...] = (
    ("ingest", _HERE.staging(_KEY), ""),
    ("validate", _HERE.published(_KEY), _DATA_FILES),
    ("curate", _HERE.corpus, ""),
    ("curate", _HERE.splits, ""),
    ("pretrain", _HERE.pretrained, ""),
    ("finetune", _HERE.model(_KEY), ""),
    ("evaluate", _HERE.evaluation(_KEY), ""),
    ("gate", _HERE.verdict(_KEY), ""),
    ("export", _HERE.bundle(_KEY), ""),
    ("release", _HERE.triton_repo / _KEY, r"/\d+/(release|bundle)"),  # not the parts that several tasks share
)
"""Which stage writes below which folder, and what has to follow there."""


def written_by(path: Path) -> str:
    """Return the command that writes a path of some workspace: ```panderm evaluate ham10000```, for a sentence that says so."""
    found = [
        (match.start(), f"`panderm {stage} {match.groupdict().get('key', '')}".rstrip() + "`")
        for stage, folder, file in _WRITES
        for match in re.finditer(rf"(?<![^/]){re.escape(folder.as_posix()).replace(_KEY, _ONE)}(?![^/]){file}", path.as_posix())
    ]
    return max(found, default=(0, "the stage that writes it"))[1]  # the last: folders above the workspace may be called so too
