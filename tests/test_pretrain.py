from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from panderm import pretrain
from panderm.cli.main import main
from panderm.core.errors import ConfigError, InputError, Refused, TrainingFailed
from panderm.core.files import read_json, write_json
from panderm.core.record import Record
from panderm.core.tables import CORPUS, write_table
from panderm.core.terms import UNKNOWN, Input
from panderm.imaging.shards import ShardWriter
from panderm.models.encoder import load_card
from panderm.training.launch import TrainingStopped
from panderm.training.metrics import read_metrics
from panderm.training.orphans import holding, marked
from panderm.training.place import ALONE
from panderm.training.pretrain_worker import Job, Pretraining

ROOT = Path(__file__).parents[1]
RECIPE = {
    "encoder": {"image_size": 32, "patch_size": 8, "width": 32, "depth": 1},
    "regressor": {"width": 32, "heads": 3, "drop_path": 0.1},
    "drop_path": 0.1,
    "teacher": {"image_size": 32, "random": {"patch_size": 8, "width": 32, "layers": 1, "output_width": 16}},
    "optimisation": {"batch": 4, "epochs": 3},
}


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """``data`` with one shard of 16 drawn images, and ``corpus`` with its table."""
    deliver(tmp_path, 16)
    return tmp_path


def deliver(folder: Path, count: int) -> None:
    shard = folder / "data" / "one" / "shards" / "000000.tar"
    shard.parent.mkdir(parents=True, exist_ok=True)
    writer, rows, rng = ShardWriter(shard), [], np.random.default_rng(0)
    for index in range(count):
        stream = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (3, 3, 3), dtype=np.uint8)).resize((40, 44)).save(stream, "PNG")
        position = writer.add(f"{index:02d}", "png", stream.getvalue(), {})
        rows.append({"dataset": "one", "image_id": f"{index:02d}", "modality": "tbp", "shard": "one/shards/000000.tar"})
        rows[-1] |= {"offset": position.offset, "nbytes": position.nbytes}
    writer.close()
    write_table(folder / "corpus" / "corpus.parquet", pd.DataFrame(rows), CORPUS)


def run(folder: Path, out: str = "out", work: str = "work", on_line: Callable[[str], None] = print, **settings: Any) -> Record:
    values = {"overrides": RECIPE, "device": "cpu", "threads": 1, "tell_seconds": 0} | settings
    return pretrain.run(
        pretrain.Config.parse(values), folder / "corpus", folder / "data", folder / out, folder / work, on_line=on_line
    )


def signal_workers(work: Path, number: signal.Signals) -> None:
    """Send a signal to every training process of a launch in ``work``, not to its torchrun."""
    for pid in marked(work):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if b"pretrain_worker" in command and b"torch.distributed.run" not in command:
            os.kill(pid, number)


def kill_at(step: int, work: Path) -> Callable[[str], None]:
    """Return a listener that kills every training process with SIGKILL when ``step`` is told."""

    def listen(line: str) -> None:
        if line.startswith(f"step {step}/"):
            signal_workers(work, signal.SIGKILL)

    return listen


@contextmanager
def in_this_process() -> Iterator[None]:
    """Let the stage train without torchrun, which saves the start of three processes."""

    def launch(_module: str, job: Path, *_args: object, **_kwargs: object) -> None:
        Pretraining(Job.parse(read_json(job)), ALONE).run()

    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("panderm.training.launch.launch", launch)
        torch.set_num_threads(1)
        yield
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_run__killed_and_run_again_ends_as_if_nothing_had_happened(workspace: Path) -> None:
    with in_this_process():
        whole = run(workspace, "whole", "work-whole", workers=0)
    place = workspace / "work" / "pretrain"
    with pytest.raises(TrainingFailed, match="ended by SIGKILL"):
        run(workspace, state_steps=3, on_line=kill_at(8, place))
    assert not (workspace / "out").exists()
    assert read_json(sorted(place.glob("states/*/state.json"))[-1])["step"] in (3, 6)
    lines: list[str] = []
    again = run(workspace, on_line=lines.append)
    assert any(line.startswith("going on after step") for line in lines)
    assert again == whole
    for path in (workspace / "whole").iterdir():
        assert path.read_bytes() == (workspace / "out" / path.name).read_bytes(), path.name
    assert not (place / "states").exists()
    assert {path.name for path in (workspace / "out").iterdir()} == {
        "encoder.safetensors",
        "encoder.json",
        "regressor.safetensors",
        "metrics.jsonl",
        "watch.jsonl",
        "curves.png",
        "record.json",
    }
    assert again.counts == {"steps": 12, "images_seen": 48, "corpus_images": 16}
    assert again.values["teacher"] == "random teacher: not clinically meaningful"
    before = (workspace / "out" / "record.json").stat().st_mtime_ns
    assert run(workspace, on_line=lines.append) == again
    assert lines[-1] == "the encoder already belongs to exactly this recipe and corpus; nothing to do"
    assert (workspace / "out" / "record.json").stat().st_mtime_ns == before


def again_with(**values: Any) -> dict[str, Any]:
    """The recipe with other values of its optimisation."""
    return RECIPE | {"optimisation": {"batch": 4, "epochs": 3} | values}


@pytest.mark.slow
def test_run__goes_on_under_changed_settings_where_that_is_meant_and_says_so(workspace: Path) -> None:
    place, lines = workspace / "work" / "pretrain", []

    def part(until: int | None, **settings: Any) -> Record | None:
        with in_this_process(), pytest.MonkeyPatch.context() as patch:
            if until is not None:
                patch.setattr(Pretraining, "_stopping", lambda self: self.step == until)
            try:
                return run(workspace, workers=0, on_line=lines.append, **settings)
            except TrainingFailed:
                assert until is not None
                return None

    part(5)
    slower = again_with(learning_rate=1e-4, epochs=4)
    with pytest.raises(Refused, match="set proceed=true to go on from its state under the new ones"):
        run(workspace, overrides=slower)
    lines.clear()
    part(9, overrides=slower, proceed=True)
    assert lines[0] == (
        "going on after step 5 with other settings:\n  optimisation.epochs         3 -> 4\n"
        "  optimisation.learning_rate  0.0015 -> 0.0001"
    )
    part(9, overrides=again_with(learning_rate=1.0, epochs=4), proceed=True)  # after this no step is taken
    record = part(None, overrides=again_with(epochs=4) | {"augmentation": {"flip": 0.0}}, proceed=True)
    assert record is not None
    assert record.counts == {"steps": 16, "images_seen": 64, "corpus_images": 16}
    first, second = record.values["changes"]
    assert (first["after_step"], second["after_step"]) == (5, 9)
    assert first["settings"] == {"optimisation.epochs": [3, 4], "optimisation.learning_rate": [0.0015, 0.0001]}
    assert second["settings"] == {"augmentation.flip": [0.5, 0.0], "optimisation.learning_rate": [0.0001, 0.0015]}
    metrics = read_metrics(workspace / "out" / "metrics.jsonl")
    assert [line["step"] for line in metrics] == list(range(1, 17))
    assert {line["step"]: line["changed"] for line in metrics if "changed" in line} == {
        6: first["settings"],
        10: second["settings"],
    }
    assert metrics[6]["learning_rate"] < 1e-4 < metrics[10]["learning_rate"]
    assert not place.joinpath("states").exists()
    assert run(workspace, overrides=again_with(epochs=4) | {"augmentation": {"flip": 0.0}}, on_line=lines.append) == record
    assert lines[-1].endswith("nothing to do; settings were changed on the way, as its record says")


def test_run__a_state_that_cannot_fit_is_refused_and_kept(workspace: Path, no_training: list[str]) -> None:
    place = interrupted(workspace)
    wider = again_with(learning_rate=1e-4, batch=8) | {"encoder": RECIPE["encoder"] | {"depth": 2}}
    with pytest.raises(Refused, match="does not fit other values of these settings") as refusal:
        run(workspace, overrides=wider, proceed=True)
    assert "  encoder.depth       1 -> 2\n  optimisation.batch  4 -> 8\nset them back, or set restart=true" in str(
        refusal.value
    )
    assert "learning_rate" not in str(refusal.value)
    assert (place / "states" / "00000003").is_dir()
    assert no_training == []


def test_run__settings_that_end_before_the_state_are_refused(workspace: Path) -> None:
    with in_this_process(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pretraining, "_stopping", lambda self: self.step == 6)
        with pytest.raises(TrainingFailed):
            run(workspace, workers=0)
    with in_this_process(), pytest.raises(ConfigError, match=r"after step 6, but these settings end after step 4; raise"):
        run(workspace, workers=0, overrides=again_with(epochs=1), proceed=True)
    with in_this_process():
        assert run(workspace, workers=0, proceed=True).counts["steps"] == 12


def test_run__proceeding_and_restarting_exclude_each_other(workspace: Path, no_training: list[str]) -> None:
    with pytest.raises(ConfigError, match="set one of the two"):
        run(workspace, proceed=True, restart=True)
    assert no_training == []


@pytest.mark.slow
def test_run__terms_that_come_later_stand_on_the_card_without_training_again(workspace: Path) -> None:
    with in_this_process():
        run(workspace, workers=0)
    weights = (workspace / "out" / "encoder.safetensors").stat().st_mtime_ns
    assert load_card(workspace / "out").made_from == (Input(name="one", licence=UNKNOWN, images=16),)
    Record(stage="validate", key="one", values={"licence": "CC-BY-NC-4.0"}).save(workspace / "data" / "one")
    run(workspace)
    assert load_card(workspace / "out").made_from == (Input(name="one", licence="CC-BY-NC-4.0", images=16),)
    assert (workspace / "out" / "encoder.safetensors").stat().st_mtime_ns == weights


def interrupted(folder: Path, **changes: Any) -> Path:
    """Leave what an interrupted run leaves behind: its identity and a state."""
    config = pretrain.Config.parse({"overrides": RECIPE})
    recipe = pretrain._named(config.recipe())
    identity = {"recipe": recipe, "corpus_sha256": pretrain._corpus_sha256(folder / "corpus" / "corpus.parquet")} | changes
    place = folder / "work" / "pretrain"
    write_json(place / "identity.json", identity)
    (place / "states" / "00000003").mkdir(parents=True)
    return place


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the stage decide, but start nothing; returns the names of what it would have started."""
    started: list[str] = []

    def launch(module: str, *_args: object, **_kwargs: object) -> None:
        started.append(module)

    monkeypatch.setattr("panderm.training.launch.launch", launch)
    return started


def test_run__a_changed_recipe_is_refused_with_the_difference(workspace: Path, no_training: list[str]) -> None:
    place = interrupted(workspace)
    changed = RECIPE | {"optimisation": {"batch": 4, "epochs": 9}}
    with pytest.raises(Refused, match=r"other settings:\n  optimisation.epochs  3 -> 9\nset them back"):
        run(workspace, overrides=changed)
    assert (place / "states" / "00000003").is_dir()
    assert no_training == []


def test_run__restart_throws_the_old_state_away(workspace: Path, no_training: list[str]) -> None:
    place = interrupted(workspace)
    lines: list[str] = []
    with pytest.raises(TrainingFailed):  # nothing was trained in this test
        run(workspace, overrides=RECIPE | {"seed": 1}, restart=True, on_line=lines.append)
    assert lines[0].startswith("throwing away an interrupted training with other settings:\n  seed  0 -> 1")
    assert not (place / "states").exists()
    assert no_training == ["panderm.training.pretrain_worker"]


def test_run__restart_goes_on_with_its_own_state(workspace: Path, no_training: list[str]) -> None:
    """A retry of a run with ``restart`` must not lose what the first try has done."""
    place = interrupted(workspace)
    with pytest.raises(TrainingFailed):
        run(workspace, restart=True)
    assert no_training == ["panderm.training.pretrain_worker"]
    assert (place / "states" / "00000003").is_dir()


def test_run__another_corpus_sets_the_old_state_aside(workspace: Path, no_training: list[str]) -> None:
    place = interrupted(workspace, corpus_sha256="0" * 64)
    lines: list[str] = []
    with pytest.raises(TrainingFailed):
        run(workspace, on_line=lines.append)
    assert lines[0] == "an interrupted training on another corpus (00000000) was set aside in pretrain-interrupted/"
    assert (place.parent / "pretrain-interrupted" / "states" / "00000003").is_dir()
    assert not (place / "states").exists()
    assert no_training == ["panderm.training.pretrain_worker"]


def test_run__a_missing_corpus_names_the_stage(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"corpus.parquet is missing; run the stage"):
        run(tmp_path)


def test_run__a_missing_weights_file_is_refused_before_anything_starts(workspace: Path, no_training: list[str]) -> None:
    overrides = RECIPE | {"teacher": {"source": "ViT-B-16", "weights": "nowhere.safetensors", "image_size": 32}}
    with pytest.raises(InputError, match=r"weights nowhere.safetensors are missing; put the file there"):
        run(workspace, overrides=overrides)
    assert no_training == []


def test_identity__a_repositorys_teacher_is_known_by_its_files(workspace: Path) -> None:
    def identity(folder: str, **more: str) -> Any:
        teacher = {"teacher": {"source": f"local-dir:{workspace / folder}", "image_size": 32} | more}
        return pretrain._identity(pretrain.Config.parse({"overrides": RECIPE | teacher}), workspace / "corpus")

    for folder in ("first", "second"):
        (workspace / folder).mkdir()
        (workspace / folder / "open_clip_config.json").write_text("{}")
        (workspace / folder / "open_clip_model.safetensors").write_bytes(b"weights")
    assert identity("first") == identity("second")  # the same files elsewhere
    (workspace / "second" / "open_clip_model.safetensors").write_bytes(b"others")
    changed = identity("second")
    assert identity("first") != changed
    (workspace / "second" / "open_clip_config.json").write_text('{"preprocess_cfg": {"mean": [0.5, 0.5, 0.5]}}')
    assert identity("second") != changed
    (workspace / "second" / "open_clip_model.safetensors").unlink()
    with pytest.raises(InputError, match=r"has no open_clip_model\.safetensors or open_clip_pytorch_model\.bin; fetch"):
        identity("second")
    (workspace / "own.safetensors").write_bytes(b"weights")
    assert identity("second", weights=str(workspace / "own.safetensors"))["recipe"]["teacher"]["weights"]


def test_identity__a_hub_repositorys_teacher_is_known_by_its_files(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(workspace / "hub"))
    place, commit = workspace / "hub" / "models--org--name", "0" * 40
    files = place / "snapshots" / commit
    files.mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    teacher = {"teacher": {"source": "hf-hub:org/name", "image_size": 32}}
    config = pretrain.Config.parse({"overrides": RECIPE | teacher})
    (files / "open_clip_config.json").write_text("{}")
    seen = []
    for content in (b"weights", b"weights of a later revision"):
        (files / "open_clip_model.safetensors").write_bytes(content)
        seen.append(pretrain._identity(config, workspace / "corpus")["recipe"]["teacher"])
    assert seen[0]["source"] == "hf-hub:org/name"
    assert seen[0] != seen[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
def test_run__two_machines_train_as_one_and_stop_together(workspace: Path) -> None:
    """Two torchruns of one process each on this machine. A SIGTERM to all of the second's processes stops both."""
    place, lines = workspace / "work" / "pretrain", []
    there = {"overrides": RECIPE, "device": "cpu", "threads": 1, "nodes": 2, "endpoint": f"127.0.0.1:{free_port()}"}
    second = pretrain.Config.parse(there | {"node_rank": 1})

    def join() -> None:
        pretrain.join(second, workspace / "corpus", workspace / "out", workspace / "work", lines.append)

    def preempt(line: str) -> None:
        if line.startswith("step 5/"):
            signal_workers(place / "nodes" / "1", signal.SIGTERM)

    with ThreadPoolExecutor(1) as pool:
        joining = pool.submit(join)
        with pytest.raises(TrainingStopped, match="asked to stop and saved its state"):
            run(workspace, on_line=preempt, **there | {"node_rank": 0})
        with pytest.raises(TrainingStopped, match="asked to stop and saved its state"):
            joining.result()
    (saved,) = place.glob("states/*/state.json")
    assert 5 <= read_json(saved)["step"] <= 7
    Pretraining(Job.parse(read_json(place / "job.json")), ALONE).run()  # one process goes on with what two have begun
    join()
    assert lines[-1] == "the encoder already belongs to exactly this recipe and corpus; nothing to do"
    record = run(workspace, **there | {"node_rank": 0})
    assert (record.counts["steps"], record.config["processes"]) == (12, 2)
    seen = read_metrics(workspace / "out" / "metrics.jsonl")
    assert [line["step"] for line in seen] == list(range(1, 13))


def test_run__is_for_the_machine_that_leads(workspace: Path, no_training: list[str]) -> None:
    with pytest.raises(ConfigError, match="this is machine 1 of 2, but machine 0 leads"):
        run(workspace, nodes=2, node_rank=1, endpoint="127.0.0.1:1")
    assert no_training == []


def test_run__another_living_training_is_not_set_aside(workspace: Path, no_training: list[str]) -> None:
    place = interrupted(workspace, corpus_sha256="0" * 64)
    with holding(place), pytest.raises(Refused, match="is in use by a training"):
        run(workspace)
    assert (place / "states" / "00000003").is_dir()
    assert no_training == []


def test_identity__does_not_depend_on_how_a_training_is_spread(workspace: Path) -> None:
    ways = ({}, {"parallel": "fsdp", "processes": 8}, {"nodes": 2, "node_rank": 0, "endpoint": "a:1", "workers": 3})
    configs = [pretrain.Config.parse({"overrides": RECIPE} | way) for way in ways]
    one, *others = [pretrain._identity(config, workspace / "corpus") for config in configs]
    assert all(other == one for other in others)


@pytest.mark.parametrize(("arguments", "status"), [([], 0), (["--status-when-stopped", "75"], 75)])
def test_command__ends_as_asked_after_a_stop(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int
) -> None:
    def stopped(*_args: object, **_kwargs: object) -> None:
        raise TrainingStopped("the training was asked to stop and saved its state")

    monkeypatch.setattr(pretrain, "run", stopped)
    with pytest.raises(SystemExit) as end:
        main(["--workspace", str(workspace), "pretrain", *arguments])
    assert end.value.code == status


LONG = RECIPE | {"optimisation": {"batch": 4, "epochs": 60}}  # 240 steps: more than are taken while a signal is on its way


class Command:
    """``panderm pretrain`` in a process of its own, as a shell starts it, with two loading processes.

    Attributes:
        told: its lines and when they came, stdout and stderr together.
    """

    def __init__(self, space: Path, *arguments: str) -> None:
        self.told: list[tuple[float, str]] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "panderm", "--workspace", str(space), "pretrain", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.told.append((time.monotonic(), line.rstrip()))

    def when(self, begin: str) -> float | None:
        """When the first line with this beginning came, None if it has not."""
        return next((at for at, line in self.told if line.startswith(begin)), None)

    def at(self, reached: Callable[[], object], number: signal.Signals) -> int:
        """Send the command, and nothing below it, a signal once something is reached; return its exit status."""
        deadline = time.monotonic() + 120
        while not reached():
            assert self.process.poll() is None, self.told
            assert time.monotonic() < deadline, self.told
            time.sleep(0.001)
        self.process.send_signal(number)
        return self.end()

    def end(self) -> int:
        status = self.process.wait(120)
        self._reader.join(10)
        return status

    def listens(self) -> bool:
        """Whether the process handles SIGTERM by now."""
        caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{self.process.pid}/status").read_text())
        return bool(caught and int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.fixture
def space(workspace: Path) -> Path:
    """The same as a workspace of the command, and settings for a long run of small steps."""
    folder = workspace / "space"
    shutil.copytree(workspace / "corpus", folder / "artifacts" / "corpus")
    shutil.copytree(workspace / "data", folder / "data")
    settings = {"overrides": LONG, "device": "cpu", "threads": 1, "tell_seconds": 0, "workers": 2, "watch": {"images": 0}}
    write_json(folder / "params.yaml", {"pretrain": settings})
    return folder


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux")
def test_command__killed_itself_and_run_again_ends_as_if_nothing_had_happened(workspace: Path, space: Path) -> None:
    """With nobody left to print to, the training still saves its state, so the next command hardly waits for it."""
    with in_this_process():
        run(workspace, "whole", "work-whole", workers=0, overrides=LONG, watch={"images": 0})
    first = Command(space)
    assert first.at(lambda: first.when("step 8/"), signal.SIGKILL) == -signal.SIGKILL
    again = Command(space)
    assert again.end() == 0, again.told
    waiting = again.when("waiting, 150 s at most")
    if waiting is not None:  # else it had ended before it was looked for
        over = next(at for at, line in again.told if line.endswith("of the killed training have ended"))
        assert over - waiting < 30
    assert again.when("going on after step"), again.told
    for path in (workspace / "whole").iterdir():
        assert path.read_bytes() == (space / "artifacts" / "pretrain" / path.name).read_bytes(), path.name


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
def test_command__follows_sigterm_from_its_first_moment_on(space: Path) -> None:
    """While it still imports, while torchrun starts, and in the middle of an epoch; each time the same command goes on."""
    place = space / ".work" / "pretrain"
    early = Command(space, "--status-when-stopped", "75")
    assert early.at(early.listens, signal.SIGTERM) == 75
    assert early.told[-1][1] == "panderm: the command was asked to stop while no training ran; run it again to go on"
    starting = Command(space)
    assert starting.at(lambda: marked(place), signal.SIGTERM) == 0
    assert starting.told[-1][1].startswith("panderm: the training was asked to stop and ended without a new state")
    assert not (place / "states").exists()
    training = Command(space)
    assert training.at(lambda: training.when("step 8/"), signal.SIGTERM) == 0
    (saved,) = place.glob("states/*/state.json")
    step = read_json(saved)["step"]
    assert step >= 8
    said = f"panderm: the training was asked to stop and saved its state after step {step} in {place}; run the same command"
    assert training.told[-1][1].startswith(said)
    assert not marked(place)


FAILING = """
from panderm.core.files import read_json
from panderm.training.launch import worker_main
from panderm.training.place import joined
from panderm.training.pretrain_worker import Job, Pretraining

def run(config):
    with joined("cpu", 1) as place:
        running = Pretraining(Job.parse(read_json(config)), place)
        real = running.stepper.losses
        def losses(batch):
            if running.step == 3 and place.rank == 0:
                raise RuntimeError("the device has no memory left")
            return real(batch)
        running.stepper.losses = losses
        running.run()

if __name__ == "__main__":
    worker_main(run)
"""


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_run__an_error_in_a_step_ends_it_at_once_with_its_message(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    """Also with loading processes, which do not follow the SIGTERM that Python would send them at its end."""
    from panderm.training.launch import launch

    (workspace / "failing.py").write_text(FAILING)
    monkeypatch.setenv("PYTHONPATH", f"{workspace}:{ROOT}")
    monkeypatch.setattr("panderm.training.launch.launch", lambda _module, *args, **more: launch("failing", *args, **more))
    failed: list[float] = []

    def listen(line: str) -> None:
        if line.startswith("step 3/"):
            failed.append(time.monotonic())

    with pytest.raises(TrainingFailed, match=r"\(RuntimeError: the device has no memory left\); the same command goes on"):
        run(workspace, workers=2, processes=processes, on_line=listen)
    assert time.monotonic() - failed[0] < 30
    assert not marked(workspace / "work" / "pretrain")


@pytest.mark.slow
def test_dry_run__prints_a_bill_and_leaves_nothing(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also beside an interrupted training, which stays as it is."""
    place = interrupted(workspace)
    for name in ("corpus", "data"):
        shutil.copytree(workspace / name, workspace / "space" / ("artifacts" if name == "corpus" else "") / name)
    shutil.copytree(place.parent, workspace / "space" / ".work")
    write_json(workspace / "space" / "params.yaml", {"pretrain": {"overrides": RECIPE, "processes": 2, "device": "cpu"}})
    before = files(workspace / "space")
    main(["--workspace", str(workspace / "space"), "pretrain", "--dry-run", "--steps", "4", "--watts", "50", "--json"])
    told = capsys.readouterr()
    bill = json.loads(told.out)
    assert files(workspace / "space") == before
    assert (bill["measured"]["processes"], bill["measured"]["steps"], bill["images"]) == (2, 12, 48)
    assert len(bill["measured"]["step_seconds"]) == 4
    assert bill["kilowatt_hours"] == pytest.approx(50 * bill["hours"] / 1000)
    assert "nothing was kept" in told.err


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_dry_run__measures_one_machine(workspace: Path) -> None:
    config = pretrain.Config.parse({"overrides": RECIPE, "nodes": 2, "node_rank": 0, "endpoint": "a:1"})
    with pytest.raises(ConfigError, match="a dry run measures one machine; run it with nodes=1"):
        pretrain.dry_run(config, workspace / "corpus", workspace / "data", workspace / "work")
