"""What is kept of settings that were changed on the way; what the stage decides is in tests/test_pretrain.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from panderm.core.files import read_json
from panderm.training.interrupted import Change, belongs, make_room
from panderm.training.orphans import mark, marked
from panderm.training.state import save_state

RECIPE: dict[str, Any] = {"optimisation": {"batch": 4, "clip": 3.0, "epochs": 3}, "seed": 0}


def identity(**values: Any) -> dict[str, Any]:
    return {"recipe": RECIPE | {"optimisation": RECIPE["optimisation"] | values}, "corpus_sha256": "c" * 64}


def save(place: Path, step: int) -> None:
    network = nn.Linear(2, 2)
    save_state(place / "states", step, network, torch.optim.AdamW(network.parameters()))


def said(_line: str) -> None: ...


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """A training whose clip was changed after step 3, and that has gone on to step 8."""
    make_room(tmp_path / "run", identity(), "refuse", said)
    save(tmp_path / "run", 3)
    make_room(tmp_path / "run", identity(clip=1.0), "proceed", said)
    save(tmp_path / "run", 8)
    return tmp_path / "run"


def test_make_room__keeps_the_changes_with_the_identity(changed: Path) -> None:
    assert belongs(changed, identity(clip=1.0))
    change = Change(after_step=3, settings={"optimisation.clip": (3.0, 1.0)}, sampling={}, seed=0)
    assert make_room(changed, identity(clip=1.0), "refuse", said) == (change,)
    again = make_room(changed, identity(clip=1.0, epochs=4), "proceed", said)
    assert again == (change, Change(after_step=8, settings={"optimisation.epochs": (3, 4)}, sampling={}, seed=0))


def test_make_room__changes_under_which_no_step_was_kept_come_to_one(changed: Path) -> None:
    make_room(changed, identity(clip=0.5), "proceed", said)
    _, last = make_room(changed, identity(clip=0.1), "proceed", said)
    assert (last.after_step, last.settings) == (8, {"optimisation.clip": (1.0, 0.1)})
    assert len(make_room(changed, identity(clip=1.0), "proceed", said)) == 1, "it was taken back"


def test_make_room__a_torn_state_moves_the_change_to_the_one_before(changed: Path) -> None:
    save(changed, 9)
    make_room(changed, identity(clip=0.5), "proceed", said)
    (changed / "states" / "00000009" / "model.safetensors").write_bytes(b"")
    assert [change.after_step for change in make_room(changed, identity(clip=0.5), "refuse", said)] == [3, 8]


def test_make_room__without_a_state_there_is_nothing_to_go_on_from(tmp_path: Path) -> None:
    make_room(tmp_path / "run", identity(), "refuse", said)
    assert make_room(tmp_path / "run", identity(clip=1.0), "proceed", said) == ()
    assert read_json(tmp_path / "run" / "identity.json") == identity(clip=1.0)


def test_make_room__throws_an_identity_away_with_its_changes(changed: Path) -> None:
    assert make_room(changed, identity(), "restart", said) == ()
    assert not (changed / "states").exists()


def test_make_room__waits_for_a_killed_training_that_is_saving_its_state(changed: Path) -> None:
    """Else that state would come into the room of the next training, whose it is not."""
    code = (
        "import signal, sys, time\nfrom pathlib import Path\n"
        "def save(*_): time.sleep(0.5); Path(sys.argv[1], 'states', '00000010').mkdir(parents=True); sys.exit()\n"
        "signal.signal(signal.SIGTERM, save)\nprint(1, flush=True)\ntime.sleep(300)"
    )
    dying = subprocess.Popen([sys.executable, "-c", code, str(changed)], env=mark(changed), stdout=subprocess.PIPE)
    assert dying.stdout is not None
    dying.stdout.readline()
    make_room(changed, identity(), "restart", said)
    assert dying.wait(5) == 0
    assert not marked(changed)
    assert not (changed / "states").exists()
