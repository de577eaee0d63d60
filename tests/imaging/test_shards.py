from __future__ import annotations

import copy
import os
import tarfile
from pathlib import Path

import pytest

from panderm.core.errors import InputError
from panderm.core.files import sha256_file
from panderm.imaging.shards import Position, ShardReader, ShardWriter, read_image_bytes

SAMPLES = {"a-1": b"x" * 7, "b_2": b"y" * 512, "c": b"z" * 1500}


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Position]:
    (tmp_path / "shards").mkdir()
    with ShardWriter(tmp_path / "shards" / "000000.tar") as writer:
        return {key: writer.add(key, "jpg", data, {"image_id": key}) for key, data in SAMPLES.items()}


def test_writer__positions_are_where_the_bytes_are(tmp_path: Path, places: dict[str, Position]) -> None:
    whole = (tmp_path / "shards/000000.tar").read_bytes()
    for key, data in SAMPLES.items():
        offset, nbytes = places[key]
        assert whole[offset : offset + nbytes] == data
    with tarfile.open(tmp_path / "shards/000000.tar") as tar:
        assert tar.getnames() == [f"{key}.{end}" for key in SAMPLES for end in ("jpg", "json")]


@pytest.mark.usefixtures("places")
def test_writer__same_samples_same_bytes(tmp_path: Path) -> None:
    again = tmp_path / "again.tar"
    with ShardWriter(again) as writer:
        for key, data in SAMPLES.items():
            writer.add(key, "jpg", data, {"image_id": key})
    assert sha256_file(again) == sha256_file(tmp_path / "shards/000000.tar")


def test_writer__refuses_keys_that_a_streaming_reader_would_cut(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "s.tar") as writer, pytest.raises(AssertionError, match=r"would be cut"):
        writer.add("a.b", "jpg", b"", {})


def test_read_image_bytes__one_image(tmp_path: Path, places: dict[str, Position]) -> None:
    assert read_image_bytes(tmp_path, "shards/000000.tar", *places["b_2"]) == SAMPLES["b_2"]


def test_reader__keeps_few_shards_open(tmp_path: Path) -> None:
    names = []
    for number in range(5):
        names.append(f"{number}.tar")
        with ShardWriter(tmp_path / names[-1]) as writer:
            place = writer.add("k", "png", bytes([number] * 9), {})
    reader = ShardReader(tmp_path, keep_open=2)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        assert [reader.read(name, *place)[0] for name in names] == [0, 1, 2, 3, 4]
    assert len(os.listdir("/proc/self/fd")) <= before + 2
    reader.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_reader__travels_to_another_process_and_opens_its_own_files(tmp_path: Path, places: dict[str, Position]) -> None:
    reader = ShardReader(tmp_path)
    reader.read("shards/000000.tar", *places["c"])
    sent = copy.copy(reader)  # by the same protocol as to a worker process
    reader.close()
    assert sent.read("shards/000000.tar", *places["c"]) == SAMPLES["c"]


def test_reader__works_on_after_a_fork(tmp_path: Path, places: dict[str, Position]) -> None:
    reader = ShardReader(tmp_path)
    reader.read("shards/000000.tar", *places["c"])
    child = os.fork()
    if child == 0:
        good = reader.read("shards/000000.tar", *places["a-1"]) == SAMPLES["a-1"]
        os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.usefixtures("places")
def test_reader__names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.tar cannot be opened \(No such file or directory\); fetch it"):
        read_image_bytes(tmp_path, "nowhere.tar", 0, 1)
    with pytest.raises(InputError, match="ends before byte"):
        read_image_bytes(tmp_path, "shards/000000.tar", 0, 10**7)
