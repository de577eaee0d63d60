from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from panderm.core.errors import ConfigError, InputError, Refused
from panderm.core.files import read_json, write_json
from panderm.serving import bundle as bundles
from panderm.serving.runner import BundleRunner

MakeBundle = Callable[..., Path]


def test_load_bundle__comes_back_as_saved(make_bundle: MakeBundle, tmp_path: Path) -> None:
    folder = make_bundle()
    bundle = bundles.load_bundle(folder)
    bundle.save(tmp_path)
    assert (tmp_path / "bundle.json").read_bytes() == (folder / "bundle.json").read_bytes()


def test_load_bundle__unknown_key_is_named(make_bundle: MakeBundle) -> None:
    folder = make_bundle()
    write_json(folder / "bundle.json", read_json(folder / "bundle.json") | {"colour": "red"})
    with pytest.raises(ConfigError, match="unknown key 'colour'"):
        bundles.load_bundle(folder)


def test_check_bundle__file_that_is_not_named_is_missed(make_bundle: MakeBundle) -> None:
    folder = make_bundle()
    bundle = bundles.load_bundle(folder)
    files = {name: digest for name, digest in bundle.files.items() if name != "head.onnx"}
    bundle.model_copy(update={"files": files}).save(folder)
    with pytest.raises(Refused, match=r"does not name head\.onnx"):
        bundles.check_bundle(folder, "ham10000")


@pytest.mark.parametrize("name", ["report.json", "verdict.json", "preprocessing.json"])
def test_check_bundle__exchanged_evidence_is_refused(name: str, make_bundle: MakeBundle) -> None:
    folder = make_bundle()
    (folder / name).write_text((folder / name).read_text() + "\n")
    bundles.load_bundle(folder).model_copy(update={"files": bundles.hash_files(folder)}).save(folder)
    with pytest.raises(Refused, match=f"{name} in the bundle of ham10000 was exchanged"):
        bundles.check_bundle(folder, "ham10000")


def test_runner__damaged_graph_is_named(make_bundle: MakeBundle) -> None:
    folder = make_bundle()
    (folder / "head.onnx").write_bytes(b"no model")
    with pytest.raises(InputError, match=r"head\.onnx is not a readable ONNX model"):
        BundleRunner(folder)


def test_runner__batches_of_any_size_answer_alike(make_bundle: MakeBundle) -> None:
    runner = BundleRunner(make_bundle(), threads=1)
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 32, 32), dtype=np.uint8)
    alone = np.concatenate([runner.probabilities(image[None]) for image in images])
    np.testing.assert_allclose(runner.probabilities(images), alone, atol=1e-6)
    np.testing.assert_allclose(alone.sum(axis=1), 1.0, atol=1e-6)
