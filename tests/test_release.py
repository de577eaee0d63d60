from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from panderm import release
from panderm.catalog import benchmark
from panderm.core.errors import InputError, Refused
from panderm.core.files import read_json, write_json
from panderm.serving import bundle as bundles
from panderm.serving import model_configs
from panderm.serving import repository as repo

TASK = benchmark("ham10000")
MakeBundle = Callable[..., Path]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "triton_repo"


def do_release(bundle: Path, repository: Path, task: str = "ham10000") -> dict[str, object]:
    return release.run(release.Config(), benchmark(task), bundle, repository).values


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_release__first_version_serves_with_its_chain(make_bundle: MakeBundle, repository: Path) -> None:
    bundle = make_bundle()
    values = do_release(bundle, repository)
    assert (values["version"], values["new"], repo.serving_version("ham10000", repository)) == (1, True, 1)
    facts = repo.release_facts("ham10000", repository, 1)
    card = bundles.load_bundle(bundle)
    assert facts["bundle_sha256"] == bundles.sha256_file(bundle / "bundle.json")
    for name in ("model_sha256", "encoder_sha256", "split_sha256", "verdict_sha256", "report_sha256"):
        assert facts[name] == getattr(card, name)
    assert (repository / "ham10000" / "1" / "labels.txt").read_text().split() == list(TASK.classes)
    assert "not recorded" in str(values["terms"]), "a bundle that names no inputs is never taken for free"


def test_release__component_is_named_by_content_and_shared(make_bundle: MakeBundle, repository: Path) -> None:
    do_release(make_bundle("ham10000", seed=1), repository)
    do_release(make_bundle("pad_ufes", seed=2), repository, "pad_ufes")
    names = sorted(path.name.rsplit("_", 1)[0] for path in repository.iterdir() if (path / "1" / "model.onnx").exists())
    assert names == ["encoder", "ham10000_head", "pad_ufes_head"]
    assert len(list(repository.glob("preprocess_*"))) == 1
    assert repo.served_tasks(repository) == ("ham10000", "pad_ufes")


def test_release__preprocessing_is_the_librarys_own_file(make_bundle: MakeBundle, repository: Path) -> None:
    from panderm.imaging import preprocessing

    do_release(make_bundle(), repository)
    (copied,) = repository.glob("preprocess_*/1/preprocessing.py")
    assert copied.read_bytes() == Path(preprocessing.__file__).read_bytes()


def test_release__adding_a_version_changes_no_byte_of_what_lies_there(make_bundle: MakeBundle, repository: Path) -> None:
    do_release(make_bundle(seed=1), repository)
    before = files_of(repository)
    do_release(make_bundle(seed=2, against=repository), repository)
    after = files_of(repository)
    changed = {name for name in before if after.get(name) != before[name]}
    assert changed == {"ham10000/config.pbtxt"}


def test_release__same_bundle_again_makes_no_version(make_bundle: MakeBundle, repository: Path) -> None:
    bundle = make_bundle()
    do_release(bundle, repository)
    before = files_of(repository)
    values = do_release(bundle, repository)
    assert (values["version"], values["new"]) == (1, False)
    assert "already released" in str(values["note"])
    assert files_of(repository) == before


@pytest.mark.parametrize("outcome", ["fail", "insufficient_evidence"])
def test_release__without_a_pass_nothing_is_written(outcome: str, make_bundle: MakeBundle, repository: Path) -> None:
    with pytest.raises(Refused, match=f"verdict of ham10000 is {outcome}, and only a pass is released"):
        do_release(make_bundle(outcome=outcome), repository)
    assert not repository.exists()


def test_release__edited_verdict_is_refused(make_bundle: MakeBundle, repository: Path) -> None:
    bundle = make_bundle(outcome="fail")
    verdict = read_json(bundle / "verdict.json")
    verdict["outcome"] = verdict["criteria"][0]["outcome"] = "pass"
    write_json(bundle / "verdict.json", verdict)
    with pytest.raises(Refused, match="not the file that was exported"):
        do_release(bundle, repository)


@pytest.mark.parametrize("name", ["model_sha256", "split_sha256", "preprocessing_sha256", "report_sha256"])
def test_release__verdict_of_another_model_is_refused(name: str, make_bundle: MakeBundle, repository: Path) -> None:
    bundle = make_bundle()
    card = bundles.load_bundle(bundle)
    card.model_copy(update={name: "0" * 64}).save(bundle)
    with pytest.raises(Refused, match=f"given for another {name.removesuffix('_sha256')}"):
        do_release(bundle, repository)


def test_release__damaged_graph_is_refused_and_the_old_one_stays(make_bundle: MakeBundle, repository: Path) -> None:
    do_release(make_bundle(seed=1), repository)
    before = files_of(repository)
    bad = make_bundle(seed=2, against=repository)
    (bad / "head.onnx").write_bytes((bad / "head.onnx").read_bytes()[:-9])
    with pytest.raises(Refused, match=r"head\.onnx is missing or not the file that was exported"):
        do_release(bad, repository)
    assert files_of(repository) == before


def test_release__a_former_version_that_says_nothing_is_one_sentence(make_bundle: MakeBundle, repository: Path) -> None:
    do_release(make_bundle(seed=1), repository)
    write_json(repository / "ham10000" / "1" / "release.json", {})
    with pytest.raises(InputError, match=r"1/release\.json does not say 'version', so it is damaged"):
        do_release(make_bundle(seed=2), repository)


def test_release__bundle_of_another_task_is_refused(make_bundle: MakeBundle, repository: Path) -> None:
    with pytest.raises(Refused, match="bundle of task 'pad_ufes', not 'ham10000'"):
        do_release(make_bundle("pad_ufes"), repository)


def test_release__changed_component_is_refused(make_bundle: MakeBundle, repository: Path) -> None:
    do_release(make_bundle(seed=1), repository)
    (encoder,) = repository.glob("encoder_*/config.pbtxt")
    encoder.write_text(encoder.read_text().replace("16", "64"))
    with pytest.raises(Refused, match="was changed after its release"):
        do_release(make_bundle(seed=2, against=repository), repository)


def test_release__same_model_on_new_evidence_makes_no_version(make_bundle: MakeBundle, repository: Path) -> None:
    do_release(make_bundle(), repository)
    again = make_bundle(against=repository)
    assert bundles.load_bundle(again).verdict_sha256 != repo.release_facts("ham10000", repository, 1)["verdict_sha256"]
    assert do_release(again, repository)["new"] is False


def test_release__other_batching_makes_a_version_of_its_own(make_bundle: MakeBundle, repository: Path) -> None:
    do_release(make_bundle(), repository)
    config = release.Config.parse({"batching": {"max_batch_size": 4}})
    record = release.run(config, TASK, make_bundle(against=repository), repository)
    assert record.values["version"] == 2
    assert "max_batch_size: 4" in (repository / "ham10000" / "config.pbtxt").read_text()


@pytest.mark.parametrize("champion", ["none", "another"])
def test_release__verdict_that_was_not_held_against_what_serves_is_refused(
    champion: str, make_bundle: MakeBundle, repository: Path
) -> None:
    do_release(make_bundle(seed=1), repository)
    stale = make_bundle(seed=3) if champion == "none" else make_bundle(seed=3, against=repository)
    held = "no champion" if champion == "none" else "version 1"
    serving = 1
    if champion == "another":
        serving = int(str(do_release(make_bundle(seed=2, against=repository), repository)["version"]))
    with pytest.raises(Refused, match=f"was held against {held}, but version {serving} serves now; run `panderm evaluate"):
        do_release(stale, repository)
    assert repo.versions("ham10000", repository) == tuple(range(1, serving + 1))


def test_release__into_an_empty_repository_takes_a_verdict_with_a_champion(
    make_bundle: MakeBundle, repository: Path, tmp_path: Path
) -> None:
    do_release(make_bundle(seed=1), repository)
    challenger = make_bundle(seed=2, against=repository)
    assert do_release(challenger, tmp_path / "new_machine")["version"] == 1


def test_release__without_a_bundle_says_what_to_run(tmp_path: Path, repository: Path) -> None:
    with pytest.raises(InputError, match=r"holds no bundle\.json; run `panderm export`"):
        do_release(tmp_path, repository)


def test_rollback__returns_to_the_former_and_back(make_bundle: MakeBundle, repository: Path) -> None:
    do_release(make_bundle(seed=1), repository)
    second = make_bundle(seed=2, against=repository)
    do_release(second, repository)
    first = (repository / "ham10000" / "1" / "config.pbtxt").read_bytes()
    assert release.rollback(TASK, repository).values["serving"] == 1
    assert (repository / "ham10000" / "config.pbtxt").read_bytes() == first
    assert do_release(second, repository)["serving"] == 1, "releasing a withdrawn bundle again must not bring it back"
    assert release.rollback(TASK, repository, to=2).values["serving"] == 2
    assert do_release(make_bundle(seed=3, against=repository), repository)["version"] == 3


def test_rollback__new_release_after_it_takes_the_next_number(make_bundle: MakeBundle, repository: Path) -> None:
    for seed in (1, 2):
        do_release(make_bundle(seed=seed, against=repository), repository)
    release.rollback(TASK, repository)
    assert do_release(make_bundle(seed=3, against=repository), repository)["version"] == 3
    assert release.rollback(TASK, repository).values["serving"] == 1, "the withdrawn version 2 is passed over"


def test_rollback__says_what_there_is(make_bundle: MakeBundle, repository: Path) -> None:
    with pytest.raises(InputError, match="'ham10000' has no release yet"):
        release.rollback(TASK, repository)
    do_release(make_bundle(), repository)
    with pytest.raises(InputError, match="serves version 1 and has no former version"):
        release.rollback(TASK, repository)
    with pytest.raises(InputError, match="has no version 7; it has: 1"):
        release.rollback(TASK, repository, to=7)


def test_champion__is_the_serving_bundle_whole(make_bundle: MakeBundle, repository: Path) -> None:
    assert release.champion(TASK, repository) is None
    first = make_bundle(seed=1)
    do_release(first, repository)
    do_release(make_bundle(seed=2, against=repository), repository)
    release.rollback(TASK, repository)
    champion = release.champion(TASK, repository)
    assert champion is not None
    assert files_of(champion) == files_of(first)
    assert bundles.check_bundle(champion, "ham10000").task == "ham10000"


_KILLED = """
import os, signal, sys
from pathlib import Path
from panderm import release
from panderm.catalog import benchmark
left = int(sys.argv[3])
def dying(call):
    def wrapped(*args, **kwargs):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return call(*args, **kwargs)
    return wrapped
os.rename, os.replace, os.link = dying(os.rename), dying(os.replace), dying(os.link)
release.run(release.Config(), benchmark("ham10000"), Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_release__killed_at_any_rename_leaves_the_old_one_and_the_next_run_completes(
    make_bundle: MakeBundle, repository: Path
) -> None:
    do_release(make_bundle(seed=1), repository)
    second = make_bundle(seed=2, against=repository)
    kills = 0
    while True:
        command = [sys.executable, "-c", _KILLED, str(second), str(repository), str(kills)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
        if done.returncode != -signal.SIGKILL:
            break
        kills += 1
        assert repo.serving_version("ham10000", repository) == 1
        champion = release.champion(TASK, repository)
        assert champion is not None
        bundles.check_bundle(champion, "ham10000")
        for path in repository.glob("*/config.pbtxt"):
            if not path.parent.name.startswith("."):
                model_configs.from_pbtxt(path.read_text(), str(path))
        for number in repo.versions("ham10000", repository):
            bundles.check_bundle(repository / "ham10000" / str(number) / "bundle", "ham10000")
    assert done.returncode == 0, done.stderr
    assert kills >= 6
    assert repo.serving_version("ham10000", repository) == 2
    left = [path for path in repository.rglob("*") if ".aside-" in path.name]
    assert left == []


@pytest.mark.parametrize("damage", [b"", b"garbage {", b"\xff\xfe\x00", b'name: "ham10000"'])
def test_rollback__a_damaged_configuration_is_told_with_what_mends_it(
    make_bundle: MakeBundle, repository: Path, damage: bytes
) -> None:
    bundle = make_bundle()
    do_release(bundle, repository)
    config = repository / "ham10000" / repo.CONFIG
    whole = config.read_bytes()
    config.write_bytes(damage)
    for again in (
        lambda: release.rollback(TASK, repository, 1),
        lambda: release.run(release.Config(), TASK, bundle, repository),
    ):
        with pytest.raises(InputError, match=r"is damaged and does not say which version serves; copy .*VERSION/config\.pbtxt"):
            again()
    config.write_bytes((repository / "ham10000" / "1" / repo.CONFIG).read_bytes())
    assert config.read_bytes() == whole
    assert release.rollback(TASK, repository, 1).values["serving"] == 1
