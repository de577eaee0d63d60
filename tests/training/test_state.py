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


def test_load_state__nothing_there_is_step_zero(tmp_path: Path) -> None:
    assert load_state(tmp_path / "none", *trained(), print) == 0


def test_save_state__a_full_disk_keeps_the_former_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_state(tmp_path, 3, *trained(3))

    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("panderm.training.state.save_file", full)
    with pytest.raises(InputError, match=r"No space left on device.*make room"):
        save_state(tmp_path, 4, *trained(4))
    assert [path.name for path in states(tmp_path)] == ["00000003"]
