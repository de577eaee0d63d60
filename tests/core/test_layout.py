from __future__ import annotations

from pathlib import Path

import pytest

from panderm.core.layout import Layout, written_by
from panderm.pipeline import STAGE_NAMES

WORKSPACE = Layout(Path("/srv/data/artifacts/tasks"))  # a name that a stage's output might have


@pytest.mark.parametrize(
    ("path", "command"),
    [
        (WORKSPACE.staging("edu1") / "record.json", "panderm ingest edu1"),
        (WORKSPACE.staging("benchmarks/ddi") / "ledger" / "a.json", "panderm ingest benchmarks/ddi"),
        (WORKSPACE.published("benchmarks/ddi") / "manifest.parquet", "panderm validate benchmarks/ddi"),
        (WORKSPACE.corpus / "corpus.parquet", "panderm curate"),
        (WORKSPACE.split("ham10000") / "split.parquet", "panderm curate"),
        (WORKSPACE.pretrained / "encoder.json", "panderm pretrain"),
        (WORKSPACE.model("ham10000") / "fold_0" / "model.json", "panderm finetune ham10000"),
        (WORKSPACE.evaluation("ham10000") / "report.json", "panderm evaluate ham10000"),
        (WORKSPACE.verdict("ham10000") / "verdict.json", "panderm gate ham10000"),
        (WORKSPACE.bundle("ham10000"), "panderm export ham10000"),
        (WORKSPACE.triton_repo / "ham10000" / "2" / "release.json", "panderm release ham10000"),
    ],
)
def test_written_by__names_the_command(path: Path, command: str) -> None:
    assert written_by(path) == f"`{command}`"
    assert command.split()[1] in STAGE_NAMES


@pytest.mark.parametrize(
    "path", ["/data/mine/weights.json", "x/artifacts/pretrained.json", "triton_repo/encoder_0a/1/model.onnx"]
)
def test_written_by__a_file_of_no_stage_is_nobody_s_we_know(path: str) -> None:
    assert written_by(Path(path)) == "the stage that writes it"
