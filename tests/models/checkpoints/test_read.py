from __future__ import annotations

import argparse
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
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


def training_file(rate: Any, args: argparse.Namespace, **more: Any) -> dict[str, Any]:
    """A raw training file after a step: schedules are numpy arrays there, so the optimiser's groups hold numpy's numbers."""
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    for group in optimizer.param_groups:
        group["lr"] = group["weight_decay"] = rate
    return {"model": layer.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 499, "args": args} | more


def recoded(path: Path, old: bytes, new: bytes) -> Path:
    """Rewrite a torch file with other bytes in its table of contents."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            assert not name.endswith("data.pkl") or old in content
            archive.writestr(name, content.replace(old, new) if name.endswith("data.pkl") else content)
    return path


def spelled(path: Path, written: str, wanted: str) -> Path:
    """Rewrite a torch file with the name of a module as another version of its library has it."""
    return recoded(path, f"{written}\n".encode(), f"{wanted}\n".encode())


@pytest.mark.parametrize("module", ["numpy._core.multiarray", "numpy.core.multiarray"])  # of numpy 2 and of numpy 1
@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64, np.bool_])
def test_read__a_training_file_whose_rates_are_numpys(tmp_path: Path, kind: Any, module: str) -> None:
    schedule = np.linspace(0, 2, 9).astype(kind)
    path = write(tmp_path, training_file(schedule[3], argparse.Namespace(lr=schedule[4], model="cae_large")))
    read = read_checkpoint(spelled(path, schedule[3].__reduce__()[0].__module__, module))
    assert (sorted(read.beside), read.unknown) == (["args", "epoch", "optimizer"], {})
    assert read.arguments == {"lr": schedule[4].item(), "model": "cae_large"}
    assert type(read.arguments["lr"]) is type(schedule[4].item())


@pytest.mark.parametrize("module", ["pathlib", "pathlib._local"])  # the latter is how Python 3.13 names it
def test_read__a_training_file_with_paths_and_devices_in_its_arguments(tmp_path: Path, module: str) -> None:
    args = argparse.Namespace(output_dir=Path("runs/large"), device=torch.device("cuda"), input_size=(14, 14), drop_path=0.1)
    path = write(tmp_path, training_file(1e-3, args))
    read = read_checkpoint(spelled(path, type(Path()).__module__, module))
    assert read.arguments == {"output_dir": "runs/large", "drop_path": 0.1}


def test_read__takes_no_objects_for_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, training_file(np.float64(0.5), argparse.Namespace()))
    with pytest.raises(InputError, match="'O8' is no kind of plain number"):
        read_checkpoint(recoded(path, b"f8", b"O8"))


def test_read__leaves_behind_what_training_scripts_write_beside_the_weights(tmp_path: Path) -> None:
    average = {"weight": torch.zeros(2, 2), "bias": torch.zeros(2)}
    more = {"model_ema": average, "max_accuracy": np.float64(0.5), "amp": {}, "scaler": {"scale": 65536.0}, "best_acc": 0.5}
    read = read_checkpoint(write(tmp_path, training_file(1e-3, argparse.Namespace(), **more)))
    assert read.unknown == {}
    assert {key: read.beside[key] for key in ("max_accuracy", "model_ema")} == {
        "max_accuracy": "0.5",
        "model_ema": "a dictionary of 2 entries",
    }
    assert not torch.equal(read.tensors["weight"], average["weight"])


def test_read__flat_safetensors_and_a_parallel_trainings_prefix(tmp_path: Path) -> None:
    save_file({"module.a": torch.ones(2), "module.b": torch.ones(1, dtype=torch.float16)}, tmp_path / "x.safetensors")
    read = read_checkpoint(tmp_path / "x.safetensors")
    assert (read.wrapper, read.prefix, sorted(read.tensors)) == ("", "module.", ["a", "b"])
    assert read.stored == {"b": torch.float16}
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


def test_read__a_file_of_before_torch_1_6_that_breaks_off_anywhere(tmp_path: Path) -> None:
    torch.save({"model": {"a": torch.ones(3)}}, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    whole = (tmp_path / "a.pth").read_bytes()
    for end in range(1, len(whole)):
        (tmp_path / "b.pth").write_bytes(whole[:end])
        with pytest.raises(InputError):
            read_checkpoint(tmp_path / "b.pth")
