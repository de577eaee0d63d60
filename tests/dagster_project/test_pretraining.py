from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from panderm import pretrain
from panderm.core.layout import Layout
from panderm.core.tables import CORPUS, write_table
from panderm.imaging.shards import ShardWriter
from panderm.training.orphans import marked

SETTINGS = {
    "overrides": {
        "encoder": {"image_size": 32, "patch_size": 8, "width": 32, "depth": 1},
        "regressor": {"width": 32, "heads": 3},
        "teacher": {"image_size": 32, "random": {"patch_size": 8, "width": 32, "layers": 1, "output_width": 16}},
        "optimisation": {"batch": 4, "epochs": 3},
    },
    "device": "cpu",
    "threads": 1,
    "tell_seconds": 0,
    "state_steps": 3,
}


@pytest.fixture
def corpus(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A workspace with 16 drawn images and their corpus, and settings for twelve steps."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    layout.params.write_text(yaml.safe_dump({"pretrain": SETTINGS}))
    shard = layout.data / "one" / "shards" / "000000.tar"
    shard.parent.mkdir(parents=True)
    writer, rows, rng = ShardWriter(shard), [], np.random.default_rng(0)
    for index in range(16):
        stream = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (40, 44, 3), dtype=np.uint8)).save(stream, "PNG")
        position = writer.add(f"{index:02d}", "png", stream.getvalue(), {})
        rows.append({"dataset": "one", "image_id": f"{index:02d}", "modality": "tbp", "shard": "one/shards/000000.tar"})
        rows[-1] |= {"offset": position.offset, "nbytes": position.nbytes}
    writer.close()
    write_table(layout.corpus / "corpus.parquet", pd.DataFrame(rows), CORPUS)
    return layout


def told(instance: dg.DagsterInstance) -> list[str]:
    """The lines in the log of the one run."""
    (run,) = instance.get_runs()
    return [entry.user_message for entry in instance.all_logs(run.run_id)]


@pytest.mark.slow
def test_encoder__lines_appear_while_it_trains_and_a_retry_goes_on(
    execute: Callable[..., dg.ExecuteInProcessResult],
    corpus: Layout,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, seen = pretrain.run, []

    def run(*args: Any, on_line: Callable[[str], None], **further: Any) -> Any:
        """Train, and at step 8 of the first try look at the run's log and kill the training with SIGKILL."""

        def listen(line: str) -> None:
            on_line(line)
            if line.startswith("step 8/") and not seen:
                seen.extend(told(instance))
                for pid in marked(corpus.work / "pretrain"):
                    os.kill(pid, signal.SIGKILL)

        return real(*args, on_line=listen, **further)

    monkeypatch.setattr(pretrain, "run", run)
    result = execute("pretrain", None, "encoder")
    assert result.success
    assert [line.split()[1] for line in seen if line.startswith("step ")] == [f"{step}/12" for step in range(1, 9)]
    (retried,) = [event for event in result.all_events if event.is_step_up_for_retry]
    assert "the same command goes on from its last state" in str(retried.step_retry_data.error)
    going_on = next(line for line in told(instance) if line.startswith("going on after step"))
    assert going_on.split()[4] in ("3", "6")
    metadata = result.asset_materializations_for_node("encoder")[0].metadata
    assert metadata["steps"].value == 12
