"""Images inside containers, and what HDF5 files may not do."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from panderm.imaging import members
from panderm.imaging.members import BadMember, join, member_names, read_member, split


@pytest.fixture
def container(tmp_path: Path) -> Path:
    """Bytes in every form that HDF5 has for them, and members that are none."""
    outside = tmp_path / "secret.h5"
    with h5py.File(outside, "w") as file:
        file["x"] = np.void(b"secret")
    (tmp_path / "raw.bin").write_bytes(b"secret bytes")
    path = tmp_path / "images.hdf5"
    with h5py.File(path, "w") as file:
        file["void"] = np.void(b"\xff\xd8void\x00\x00")
        file.create_dataset("text", data=np.bytes_(b"\xff\xd8text"), dtype="S8")
        file["bytes"] = np.frombuffer(b"\xff\xd8bytes\x00", dtype=np.uint8)
        file.create_dataset("free", data=b"\xff\xd8free", dtype=h5py.special_dtype(vlen=bytes))
        file["pixels"] = np.zeros((4, 4), dtype=np.float32)
        file.create_group("folder")
        file["link"] = h5py.SoftLink("/void")
        file["outside"] = h5py.ExternalLink(str(outside), "x")
        file.create_dataset("raw", (12,), dtype="u1", external=[(str(tmp_path / "raw.bin"), 0, 12)])
        layout = h5py.VirtualLayout(shape=(1,), dtype="V6")
        layout[0] = h5py.VirtualSource(str(outside), "x", shape=())
        file.create_virtual_dataset("virtual", layout)
    return path


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("void", b"\xff\xd8void\x00\x00"),
        ("text", b"\xff\xd8text\x00\x00"),
        ("bytes", b"\xff\xd8bytes\x00"),
        ("free", b"\xff\xd8free"),
    ],
)
def test_read_member__every_form_of_bytes(container: Path, name: str, data: bytes) -> None:
    assert read_member(container, name, 1_000).data == data


@pytest.mark.parametrize("name", ["link", "outside", "raw", "virtual", "folder", "nowhere", "void/x", ".."])
def test_read_member__never_leaves_the_file(container: Path, name: str) -> None:
    with pytest.raises(BadMember, match="holds no bytes of its own under"):
        read_member(container, name, 1_000)


def test_read_member__refuses_arrays_and_too_many_bytes(container: Path) -> None:
    with pytest.raises(BadMember, match=r"pixels of images.hdf5 is float32 of shape \(4, 4\), not the bytes"):
        read_member(container, "pixels", 1_000)
    with pytest.raises(BadMember, match="void has 8 bytes; at most 7 are read"):
        read_member(container, "void", 7)


def test_read_member__sees_a_container_that_was_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    for content in (b"first", b"second one"):
        path.unlink(missing_ok=True)
        with h5py.File(path, "w") as file:
            file["x"] = np.void(content)
        assert read_member(path, "x", 100).data == content


def test_member_names__of_a_file_that_is_none(tmp_path: Path) -> None:
    broken = tmp_path / "a.hdf5"
    broken.write_bytes(b"\x89HDF\r\n\x1a\n" + b"x" * 50)
    with pytest.raises(BadMember, match=r"a.hdf5 is not a readable HDF5 file; copy it again"):
        member_names(broken)
    with pytest.raises(FileNotFoundError):
        member_names(tmp_path / "gone.hdf5")


def test_split__finds_the_container_whatever_its_name_holds() -> None:
    assert split("a/train-image.hdf5#ISIC_1") == ("a/train-image.hdf5", "ISIC_1")
    assert split(join("case #3.H5", "x#y")) == ("case #3.H5", "x#y")
    assert split("photo #3.jpg") is None
    assert split("photo.hdf5") is None


def test_openers__are_modules_that_open() -> None:
    assert all(members.is_container(f"x{suffix}") and suffix == suffix.lower() for suffix in members.OPENERS)


@pytest.mark.parametrize("place", [128, 640])
def test_member_names__of_a_damaged_list(tmp_path: Path, place: int) -> None:
    """It opens, but h5py's error for what it lists is no OSError."""
    file = tmp_path / "a.hdf5"
    with h5py.File(file, "w") as written:
        for number in range(20):
            written[f"ISIC_{number}"] = np.void(b"bytes")
    data = bytearray(file.read_bytes())
    data[place : place + 64] = bytes(64)
    file.write_bytes(data)
    with pytest.raises(BadMember, match=r"a.hdf5 is not a readable HDF5 file; copy it again"):
        member_names(file)
