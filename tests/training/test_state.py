from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from panderm.core.errors import InputError
from panderm.training.state import load_state, save_state, states


def trained(steps: int = 0) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)
    advance(model, optimizer, range(steps))
    return model, optimizer


def advance(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        optimizer.zero_grad()
        model(torch.randn(3, 4, generator=torch.Generator().manual_seed(step))).square().sum().backward()
        optimizer.step()


def test_load_state__goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole, _ = trained(10)
    save_state(tmp_path, 6, *trained(6))
    model, optimizer = trained()
    assert load_state(tmp_path, model, optimizer, print) == 6
    advance(model, optimizer, range(6, 10))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), whole.parameters(), strict=True))


def test_save_state__keeps_two(tmp_path: Path) -> None:
    for step in (1, 2, 10):
        save_state(tmp_path, step, *trained(1))
    assert [path.name for path in states(tmp_path)] == ["00000002", "00000010"]


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
def test_load_state__a_torn_state_costs_one_state(tmp_path: Path, name: str) -> None:
    save_state(tmp_path, 3, *trained(3))
    save_state(tmp_path, 4, *trained(4))
    torn = tmp_path / "00000004" / name
    torn.write_bytes(torn.read_bytes()[:5])
    said: list[str] = []
    assert load_state(tmp_path, *trained(), said.append) == 3
    assert "state 00000004 cannot be read" in said[0]


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors"])
def test_load_state__one_changed_bit_is_noticed(tmp_path: Path, name: str) -> None:
    """The file can still be read; only its checksum tells."""
    save_state(tmp_path, 3, *trained(3))
    save_state(tmp_path, 4, *trained(4))
    path = tmp_path / "00000004" / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    said: list[str] = []
    assert load_state(tmp_path, *trained(), said.append) == 3
    assert said == [f"state 00000004 cannot be read ({name} is not what was written); going back to the one before"]
    save_state(tmp_path, 5, *trained(5))
    assert [path.name for path in states(tmp_path)] == ["00000003", "00000005"]  # two that can be read


def test_load_state__where_none_can_be_read_nothing_begins_anew_by_itself(tmp_path: Path) -> None:
    for step in (3, 4):
        save_state(tmp_path, step, *trained(step))
        (tmp_path / f"{step:08d}" / "model.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match=r"none of the states in .* can be read; bring one back from a copy, or remove"):
        load_state(tmp_path, *trained(), print)
    assert len(states(tmp_path)) == 2


def test_load_state__of_another_network_names_the_first_tensor(tmp_path: Path) -> None:
    save_state(tmp_path, 3, *trained(3))
    other = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8))
    with pytest.raises(InputError, match=r"has an unknown tensor '2.bias': it was written by another version"):
        load_state(tmp_path, other, torch.optim.AdamW(other.parameters()), print)


def test_load_state__nothing_there_is_step_zero(tmp_path: Path) -> None:
    assert load_state(tmp_path / "none", *trained(), print) == 0


def test_save_state__a_full_disk_keeps_the_former_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_state(tmp_path, 3, *trained(3))

    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("panderm.training.state.save_file", full)
    with pytest.raises(InputError, match=r"No space left on device.*make room there"):
        save_state(tmp_path, 4, *trained(4))
    assert [path.name for path in states(tmp_path)] == ["00000003"]


def test_save_state__a_folder_that_cannot_be_written_keeps_the_former_state(tmp_path: Path) -> None:
    """Permissions do not stop root, a file where a folder has to be does."""
    save_state(tmp_path, 3, *trained(3))
    (tmp_path / ".aside-new-00000004").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*00000004 \(File exists\); choose a folder you may write to"):
        save_state(tmp_path, 4, *trained(4))
    assert [path.name for path in states(tmp_path)] == ["00000003"]
