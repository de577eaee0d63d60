"""HDF5 containers as ISIC 2024 ships them: one dataset an image, holding the bytes of a JPEG or PNG file.

HDF5 can point out of its file, by external links, external storage and virtual datasets. Such members are refused: a
delivery must not be able to name other files of this machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from panderm.imaging.members import BadMember, Member

_DAMAGED = (OSError, RuntimeError, KeyError)
"""What h5py raises for damaged data: in a member, in the list of the members, and in the file's head."""


def open_container(file: Path) -> Hdf5:
    """Open an HDF5 file.

    Raises:
        BadMember: it is damaged, or no HDF5 file.
        OSError: the file system does not give it.
    """
    import h5py

    with open(file, "rb"):  # h5py's error does not tell rights from damage
        pass
    try:
        return Hdf5(h5py.File(file, "r"), file.name)
    except _DAMAGED as error:
        raise BadMember(f"{file.name} is not a readable HDF5 file; copy it again") from error


class Hdf5:
    """An open HDF5 file; its members are the datasets and links at its root."""

    def __init__(self, file: Any, name: str) -> None:
        self._file, self._name = file, name

    def names(self) -> list[str]:
        """Return the members' names, sorted.

        Raises:
            BadMember: their list is damaged.
        """
        try:
            return sorted(str(name) for name in self._file)
        except _DAMAGED as error:
            raise BadMember(f"{self._name} is not a readable HDF5 file; copy it again") from error

    def read(self, name: str, byte_cap: int) -> Member:
        """Return a member's bytes.

        Raises:
            BadMember: there is none of that name, it holds no bytes, points out of the file, or is too large.
        """
        try:
            return Member(self._bytes(name, byte_cap))
        except _DAMAGED as error:
            raise BadMember(f"{name} of {self._name} cannot be read; copy {self._name} again") from error

    def _bytes(self, name: str, byte_cap: int) -> bytes:
        import h5py

        link = self._file.get(name, getlink=True) if name in self._file else None
        member = self._file[name] if isinstance(link, h5py.HardLink) else None
        if not isinstance(member, h5py.Dataset) or member.is_virtual or member.external:
            raise BadMember(f"{self._name} holds no bytes of its own under {name}; export it again")
        if member.nbytes > byte_cap:
            raise BadMember(f"{name} has {member.nbytes:,} bytes; at most {byte_cap:,} are read")
        value = member[()]
        if isinstance(value, bytes):  # a text of fixed length comes without the zeros at its end
            return value.ljust(member.dtype.itemsize, b"\0") if member.dtype.kind == "S" else value
        if member.dtype.kind == "V" or (member.dtype.kind in "ui" and member.dtype.itemsize == 1):
            return bytes(value.tobytes())
        raise BadMember(f"{name} of {self._name} is {member.dtype} of shape {member.shape}, not the bytes of an image file")

    def close(self) -> None:
        """Close the file."""
        self._file.close()
