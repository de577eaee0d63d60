from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from panderm.core.errors import InputError
from panderm.models.checkpoints.read import read_checkpoint


class Carried:
    """Anything of a class of one's own makes a file carry code."""


def write(folder: Path, value: Any, name: str = "file.pth", **more: Any) -> Path:
    torch.save(value, folder / name, **more)
    return folder / name


def test_read__a_training_file_with_its_arguments_and_optimizer(tmp_path: Path) -> None:
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    args = argparse.Namespace(weight_decay=0.05, drop_path=0.1, device=[1], model="cae_large")
    whole = {"model": layer.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 499, "scaler": {}, "args": args}
    read = read_checkpoint(write(tmp_path, whole))
    assert (read.wrapper, list(read.tensors)) == ("model", ["weight", "bias"])
    assert sorted(read.beside) == ["args", "epoch", "optimizer", "scaler"]
    assert read.unknown == {}
    assert read.arguments == {"weight_decay": 0.05, "drop_path": 0.1, "model": "cae_large"}


def test_read__flat_safetensors_and_a_parallel_trainings_prefix(tmp_path: Path) -> None:
    save_file({"module.a": torch.ones(2), "module.b": torch.ones(1, dtype=torch.float16)}, tmp_path / "x.safetensors")
    read = read_checkpoint(tmp_path / "x.safetensors")
    assert (read.wrapper, read.prefix, sorted(read.tensors), read.widened) == ("", "module.", ["a", "b"], 1)
    assert read.tensors["b"].dtype == torch.float32


def test_read__names_entries_it_does_not_know(tmp_path: Path) -> None:
    read = read_checkpoint(write(tmp_path, {"model": {"a": torch.ones(2), "b": 3}, "secret": [1]}))
    assert read.unknown == {"model.b": "3", "secret": "a list"}


def test_read__a_torchscript_archive_without_running_it(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Linear(2, 3)).save(tmp_path / "ViT.pt")
    assert sorted(read_checkpoint(tmp_path / "ViT.pt").tensors) == ["bias", "weight"]


def test_read__refuses_code(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"carries code \(.*Carried\), and nothing is unpickled here"):
        read_checkpoint(write(tmp_path, {"a": torch.ones(1), "b": Carried()}))


@pytest.mark.parametrize("zipped", [True, False])
def test_read__refuses_a_file_that_breaks_off(tmp_path: Path, zipped: bool) -> None:
    path = write(tmp_path, {f"a{n}": torch.rand(100) for n in range(20)}, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for length in (0, 1, 10, len(whole) // 4, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="breaks off"):
            read_checkpoint(path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_read__refuses_flipped_bytes_or_reads_them_as_what_they_are(tmp_path: Path) -> None:
    path = write(tmp_path, {f"a{n}": torch.rand(10) for n in range(3)})
    whole = path.read_bytes()
    for place in range(0, len(whole), 13):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            read_checkpoint(path)
        except InputError:
            continue  # anything else would fail the test


def test_read__refuses_a_damaged_safetensors_file(tmp_path: Path) -> None:
    save_file({"a": torch.ones(100)}, tmp_path / "x.safetensors")
    (tmp_path / "x.safetensors").write_bytes((tmp_path / "x.safetensors").read_bytes()[:-9])
    with pytest.raises(InputError, match="breaks off or is damaged"):
        read_checkpoint(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"a": torch.tensor([1.0, float("nan")]), "b": torch.tensor([float("inf")])}, "not finite in a, b"),
        ({"a": torch.ones(1, dtype=torch.float64)}, r"not plain float32, float16 or bfloat16 \(a\)"),
        ({"epoch": 3}, "holds no tensors"),
        ([torch.ones(1)], "holds a list, but a dictionary of tensors is needed"),
    ],
)
def test_read__refuses_what_no_weights_are(tmp_path: Path, value: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_checkpoint(write(tmp_path, value))


def test_read__refuses_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not a file; name a \.pth"):
        read_checkpoint(tmp_path / "nowhere.pth")
