"""Against a real Triton server: what it answers, what it refuses, and that releases change it without a failed request."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from panderm import release
from panderm.catalog import benchmark
from panderm.core.errors import InputError, Refused, ServerError
from panderm.imaging.masks import marked, unsqueezed
from panderm.imaging.preprocessing import Preprocessing, UndecodableImage, decode, prepare_bytes
from panderm.serving import bundle as bundles
from panderm.serving import model_configs
from panderm.serving import repository as repo
from panderm.serving.client import Client, Protocol
from panderm.serving.runner import BundleRunner
from panderm.serving.server import RunningServer

pytestmark = [pytest.mark.triton, pytest.mark.slow]
PROTOCOLS: tuple[Protocol, ...] = ("grpc", "http")
MakeBundle = Callable[..., Path]
ImageFile = Callable[[str], bytes]


def do_release(bundle: Path, repository: Path, task: str = "ham10000") -> int:
    version = release.run(release.Config(), benchmark(task), bundle, repository).values["version"]
    assert isinstance(version, int)
    return version


@pytest.mark.parametrize(
    ("task", "whole"),
    [("ham10000", False), ("isic2024", True), ("tbp_risk", True)],
    ids=["encoder_and_head", "network", "network_of_the_risk_head"],
)
def test_answer__is_the_librarys(
    triton: RunningServer, repository: Path, make_bundle: MakeBundle, image_file: ImageFile, task: str, whole: bool
) -> None:
    bundle = make_bundle(task, seed=1, whole=whole, against=repository)
    version = do_release(bundle, repository, task)
    library = BundleRunner(bundle, threads=1)
    for kind, protocol in itertools.product(("oriented_jpeg", "rgba_png", "grey_jpeg"), PROTOCOLS):
        data = image_file(kind)
        expected = library.predict(data)
        with Client(triton.grpc_url if protocol == "grpc" else triton.http_url, protocol) as client:
            answer = client.predict(task, data)
        assert answer.version == version
        assert answer.labels == benchmark(task).classes
        assert answer.top[0] == answer.labels[int(expected.argmax())]
        np.testing.assert_allclose(answer.probabilities, expected, atol=1e-4, err_msg=f"{kind} by {protocol}")
        assert sum(answer.probabilities) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_answer__of_a_segmentation_is_the_librarys_mask_over_the_upright_picture(
    triton: RunningServer, repository: Path, make_bundle: MakeBundle, image_file: ImageFile, protocol: Protocol
) -> None:
    bundle = make_bundle("ham10000_seg", seed=20, mask=True, against=repository)
    version = do_release(bundle, repository, "ham10000_seg")
    library = BundleRunner(bundle, threads=1)
    with Client(triton.grpc_url if protocol == "grpc" else triton.http_url, protocol) as client:
        for kind in ("oriented_jpeg", "rgba_png", "grey_jpeg"):
            data = image_file(kind)
            expected, picture = library.predict(data), decode(data)
            answer = client.segment("ham10000_seg", data)
            assert (answer.version, answer.label) == (version, "lesion")
            np.testing.assert_allclose(answer.probabilities, expected, atol=1e-5, err_msg=f"{kind} by {protocol}")
            np.testing.assert_array_equal(answer.mask, unsqueezed(marked(expected), *picture.size))
            assert answer.mask.shape == (picture.height, picture.width) == ((44, 60) if kind == "oriented_jpeg" else (60, 44))
            assert 0 < answer.share < 1
        with pytest.raises(InputError, match="'ham10000_seg' answers a mask and no class probabilities"):
            client.predict("ham10000_seg", image_file("rgba_png"))
        do_release(make_bundle(seed=21, against=repository), repository)
        with pytest.raises(InputError, match="'ham10000' answers class probabilities and no mask"):
            client.segment("ham10000", image_file("rgba_png"))


def test_answer__of_a_segmentation_comes_for_many_at_once(
    triton: RunningServer, repository: Path, make_bundle: MakeBundle, image_file: ImageFile
) -> None:
    bundle = make_bundle("isic2018_seg", seed=22, mask=True, against=repository)
    do_release(bundle, repository, "isic2018_seg")
    data, library, answers = image_file("grey_jpeg"), BundleRunner(bundle, threads=1), []

    def ask() -> None:
        with Client(triton.grpc_url) as client:
            answers.extend(client.segment("isic2018_seg", data).probabilities for _ in range(5))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 20
    for answer in answers:
        np.testing.assert_allclose(answer, library.predict(data), atol=1e-5)


def test_answer__classification_extension_gives_labels(
    triton: RunningServer, repository: Path, make_bundle: MakeBundle, image_file: ImageFile
) -> None:
    import tritonclient.grpc as api

    do_release(make_bundle(seed=2, against=repository), repository)
    data = image_file("rgba_png")
    tensor = api.InferInput("image_bytes", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[data]], dtype=np.object_))
    client = api.InferenceServerClient(triton.grpc_url)
    top = client.infer("ham10000", [tensor], outputs=[api.InferRequestedOutput("probabilities", class_count=1)])
    client.close()
    probability, index, label = top.as_numpy("probabilities").reshape(-1)[0].decode().split(":")
    with Client(triton.grpc_url) as ours:
        assert (label, float(probability)) == pytest.approx(ours.predict("ham10000", data).top, abs=1e-4)
    assert benchmark("ham10000").classes[int(index)] == label


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_bad_image__is_told_in_the_librarys_sentence_and_disturbs_nobody(
    triton: RunningServer, repository: Path, make_bundle: MakeBundle, image_file: ImageFile, protocol: Protocol
) -> None:
    do_release(make_bundle(seed=3, against=repository), repository)
    url = triton.grpc_url if protocol == "grpc" else triton.http_url
    good, sentences, answers = image_file("grey_jpeg"), [], []

    def ask(data: bytes) -> None:
        with Client(url, protocol) as client:
            for _ in range(10):
                try:
                    answers.append(client.predict("ham10000", data).probabilities)
                except InputError as error:
                    sentences.append(str(error))

    bad = (b"no image", good[: len(good) // 2], _gif())
    threads = [threading.Thread(target=ask, args=(data,)) for data in (*bad, good, good, good)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 30
    assert len(set(answers)) == 1
    assert len(sentences) == 30
    for data in bad:
        with pytest.raises(UndecodableImage) as told:
            prepare_bytes(data, Preprocessing())
        assert sum(str(told.value) in sentence for sentence in sentences) == 10, str(told.value)


def _gif() -> bytes:
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (40, 40)).save(stream, "GIF")
    return stream.getvalue()


def test_release_and_rollback__change_what_serves_without_a_failed_request(
    triton: RunningServer, repository: Path, make_bundle: MakeBundle, image_file: ImageFile
) -> None:
    first = make_bundle("pad_ufes", seed=1)
    data, stop = image_file("oriented_jpeg"), threading.Event()
    expected = {do_release(first, repository, "pad_ufes"): BundleRunner(first, threads=1).predict(data)}
    seen: list[tuple[int, np.ndarray]] = []
    failures: list[Exception] = []

    def ask() -> None:
        import tritonclient.grpc as api

        client = api.InferenceServerClient(triton.grpc_url)
        tensor = api.InferInput("image_bytes", [1, 1], "BYTES")
        tensor.set_data_from_numpy(np.array([[data]], dtype=np.object_))
        while not stop.is_set():
            try:
                answer = client.infer("pad_ufes", [tensor])
                seen.append((int(answer.get_response().model_version), answer.as_numpy("probabilities")[0]))
            except api.InferenceServerException as error:
                failures.append(error)
        client.close()

    def until_answered_by(version: int) -> None:
        asked, patience = len(seen), time.monotonic() + 60
        while version not in [answered for answered, _ in seen[asked:]] and time.monotonic() < patience:
            time.sleep(0.05)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    second = make_bundle("pad_ufes", seed=2, against=repository)
    until_answered_by(next(iter(expected)))
    expected[do_release(second, repository, "pad_ufes")] = BundleRunner(second, threads=1).predict(data)
    until_answered_by(next(reversed(expected)))
    release.rollback(benchmark("pad_ufes"), repository)
    until_answered_by(next(iter(expected)))
    stop.set()
    for thread in threads:
        thread.join()
    old, new = expected
    assert failures == []
    assert {version for version, _ in seen} == {old, new}
    with Client(triton.grpc_url) as client:
        assert client.predict("pad_ufes", data).version == old
    for version, probabilities in seen:
        np.testing.assert_allclose(probabilities, expected[version], atol=1e-4)


def test_release__that_the_server_cannot_load_is_refused_and_the_old_one_serves_on(
    triton: RunningServer, repository: Path, make_bundle: MakeBundle, image_file: ImageFile
) -> None:
    good = do_release(make_bundle(seed=10, against=repository), repository)
    before = (repository / "ham10000" / "config.pbtxt").read_bytes()
    bad = make_bundle(seed=11, against=repository)
    (bad / "head.onnx").write_bytes(b"these bytes are not a model")
    bundles.load_bundle(bad).model_copy(update={"files": bundles.hash_files(bad)}).save(bad)
    with pytest.raises(Refused, match=r"the release of ham10000 is refused: .* cannot load ham10000_head_.* still serves"):
        do_release(bad, repository)
    assert (repository / "ham10000" / "config.pbtxt").read_bytes() == before
    with Client(triton.grpc_url) as client:
        assert client.predict("ham10000", image_file("rgba_png")).version == good


def test_release__whose_ensemble_fails_puts_the_former_config_back(
    triton: RunningServer, repository: Path, make_bundle: MakeBundle, image_file: ImageFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = do_release(make_bundle(seed=12, against=repository), repository)
    before = (repository / "ham10000" / "config.pbtxt").read_bytes()
    real = model_configs.ensemble

    def without_a_component(task: str, version: int, components: list[str], **others: object) -> model_configs.ModelConfig:
        return real(task, version, [*components[:-1], "nobody_00000000"], **others)  # type: ignore[arg-type]

    monkeypatch.setattr(model_configs, "ensemble", without_a_component)
    with pytest.raises(Refused, match=r"version \d+ of ham10000 is refused: .*nobody_00000000.* still serves"):
        do_release(make_bundle(seed=13, against=repository), repository)
    assert (repository / "ham10000" / "config.pbtxt").read_bytes() == before
    with Client(triton.grpc_url) as client:
        assert client.predict("ham10000", image_file("rgba_png")).version == good
    assert repo.serving_version("ham10000", repository) == good


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_client__says_what_is_served(
    triton: RunningServer, repository: Path, make_bundle: MakeBundle, image_file: ImageFile, protocol: Protocol
) -> None:
    version = do_release(make_bundle(seed=14, against=repository), repository)
    data = image_file("rgba_png")
    with Client(triton.grpc_url if protocol == "grpc" else triton.http_url, protocol) as client:
        assert "ham10000" in client.tasks()
        assert not any(name.startswith(("encoder_", "preprocess_")) for name in client.tasks())
        assert client.predict("ham10000", data, version=version).version == version
        with pytest.raises(ServerError, match=r"unknown task 'moles'; allowed: .*ham10000"):
            client.predict("moles", data)
        with pytest.raises(ServerError, match=f"does not serve version 999 of 'ham10000'; it serves {version}"):
            client.predict("ham10000", data, version=999)


def test_client__takes_the_new_labels_after_a_release(
    triton: RunningServer, repository: Path, make_bundle: MakeBundle, image_file: ImageFile
) -> None:
    data = image_file("rgba_png")
    with Client(triton.grpc_url) as client:
        for seed in (15, 16):
            version = do_release(make_bundle(seed=seed, against=repository), repository)
            assert client.predict("ham10000", data).version == version


def test_bundle_facts__travel_with_the_configuration(triton: RunningServer, repository: Path, make_bundle: MakeBundle) -> None:
    bundle = make_bundle(seed=17, against=repository)
    do_release(bundle, repository)
    with Client(triton.grpc_url) as client:
        facts = client.facts("ham10000")
    assert facts["model_sha256"] == bundles.load_bundle(bundle).model_sha256
    assert facts["bundle_sha256"] == bundles.sha256_file(bundle / "bundle.json")
