from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from panderm import curate
from panderm.cli.curate import command
from panderm.core.errors import ConfigError, InputError
from panderm.core.files import sha256_file
from panderm.core.record import Record
from panderm.core.tables import CORPUS, EXCLUSIONS, MOVED, SPLIT, read_table
from panderm.curation.published import load_published


@pytest.fixture
def world(publish: Callable[..., Any], draw: Callable[[int], Image.Image], as_jpeg: Callable[..., bytes]) -> None:
    """Two sources and a benchmark with every kind of leak between them, one image each."""

    def image(image_id: str, number: int, quality: int = 95, **facts: Any) -> dict[str, Any]:
        return {"image_id": image_id, "file": as_jpeg(draw(number), quality), **facts}

    classes = ["mel", "nv"]
    task = [image(f"HAM{n:02d}", n, label=classes[n % 2], lesion_id=f"isic:l{n // 2}") for n in range(40)]
    task[5]["patient_id"] = "isic:p5"
    publish("benchmarks/ham10000", task)
    publish(
        "isic2024",
        [
            image("HAM00", 100, modality="tbp"),  # by id: the same archive
            image("a_patient", 101, modality="tbp", patient_id="isic:p5"),
            image("b_lesion", 102, modality="tbp", lesion_id="isic:l3"),
            image("c_kept", 103, modality="tbp"),
        ],
    )
    publish(
        "nssi",
        [
            image("HAM01", 110),  # the same word in another archive is another image
            image("a_bytes", 7),
            image("b_near", 8, quality=50),
            image("c_kept", 103, quality=93),
            image("d_twin", 111),
            image("e_twin", 111),
            {"image_id": "f_small", "file": as_jpeg(draw(112).resize((90, 68)))},
            image("g_large", 112),
        ],
    )


@pytest.fixture
def made(world: None, data: Path, tmp_path: Path) -> Record:  # noqa: ARG001
    return curate.run(curate.Config(), data, tmp_path / "corpus", tmp_path / "splits")


def test_corpus__holds_no_benchmark_image_in_any_form_and_each_picture_once(made: Record, tmp_path: Path) -> None:
    corpus = read_table(tmp_path / "corpus" / "corpus.parquet", CORPUS)
    out = read_table(tmp_path / "corpus" / "exclusions.parquet", EXCLUSIONS)
    assert list(corpus["dataset"] + "/" + corpus["image_id"]) == [
        "isic2024/c_kept",
        "nssi/HAM01",
        "nssi/d_twin",
        "nssi/g_large",
    ]
    seen = {f"{r.dataset}/{r.image_id}": (r.reason, f"{r.matched_dataset}/{r.matched_image_id}") for r in out.itertuples()}
    assert seen == {
        "isic2024/HAM00": ("benchmark_id", "benchmarks/ham10000/HAM00"),
        "isic2024/a_patient": ("benchmark_patient", "benchmarks/ham10000/HAM05"),
        "isic2024/b_lesion": ("benchmark_lesion", "benchmarks/ham10000/HAM06"),
        "nssi/a_bytes": ("benchmark_bytes", "benchmarks/ham10000/HAM07"),
        "nssi/b_near": ("benchmark_near_duplicate", "benchmarks/ham10000/HAM08"),
        "nssi/c_kept": ("near_duplicate", "isic2024/c_kept"),
        "nssi/e_twin": ("duplicate_bytes", "nssi/d_twin"),
        "nssi/f_small": ("near_duplicate", "nssi/g_large"),
    }
    assert out["distance"].notna().tolist() == out["reason"].str.contains("near").tolist()
    assert made.counts["source_images"] == made.counts["corpus"] + made.counts["excluded"] == 12
    assert made.counts["excluded"] == sum(made.counts[str(reason)] for reason in curate.Exclusion)


def test_corpus__its_rows_point_at_the_images(made: Record, data: Path, tmp_path: Path) -> None:  # noqa: ARG001
    from panderm.core.files import sha256_bytes
    from panderm.imaging.shards import read_image_bytes

    for row in read_table(tmp_path / "corpus" / "corpus.parquet", CORPUS).itertuples():
        assert sha256_bytes(read_image_bytes(data, row.shard, row.offset, row.nbytes)) == row.stored_sha256


def test_record__says_counts_and_hashes(made: Record, data: Path, tmp_path: Path) -> None:
    assert made == Record.load(tmp_path / "corpus")
    assert made.hashes["corpus"] == sha256_file(tmp_path / "corpus" / "corpus.parquet")
    assert made.hashes["manifest nssi"] == sha256_file(data / "nssi" / "manifest.parquet")
    assert made.hashes["split ham10000"] == sha256_file(tmp_path / "splits" / "ham10000" / "split.parquet")
    assert made.values["modalities"] == {"dermoscopic": 3, "tbp": 1}
    assert Image.open(tmp_path / "corpus" / "corpus.png").format == "PNG"


def test_split__keeps_groups_together_and_shares(made: Record, tmp_path: Path) -> None:  # noqa: ARG001
    split = read_table(tmp_path / "splits" / "ham10000" / "split.parquet", SPLIT)
    assert split["image_id"].is_monotonic_increasing
    assert (split.groupby("group")["split"].nunique() == 1).all()
    assert split["split"].value_counts().to_dict() == {"train": 24, "val": 8, "test": 8}
    assert split.groupby("label")["target"].unique().map(list).to_dict() == {"mel": [4], "nv": [5]}
    assert split["shard"].unique().tolist() == ["benchmarks/ham10000/shards/000000.tar"]


def test_run__the_same_inputs_give_the_same_bytes(made: Record, data: Path, tmp_path: Path) -> None:  # noqa: ARG001
    def digests() -> dict[str, str]:
        files = [*(tmp_path / "corpus").iterdir(), *(tmp_path / "splits").rglob("*.*")]
        return {str(path.relative_to(tmp_path)): sha256_file(path) for path in files}

    first = digests()
    assert len(first) == 6
    curate.run(curate.Config(), data, tmp_path / "corpus", tmp_path / "splits")  # over its own earlier split
    assert digests() == first
    for folder in ("corpus", "splits"):
        (tmp_path / folder).rename(tmp_path / f"old_{folder}")
    curate.run(curate.Config(), data, tmp_path / "corpus", tmp_path / "splits")  # from nothing
    assert digests() == first


def test_run__another_seed_deals_anew(made: Record, data: Path, tmp_path: Path) -> None:
    again = curate.run(curate.Config(seed=1), data, tmp_path / "corpus", tmp_path / "splits")
    assert again.hashes["split ham10000"] != made.hashes["split ham10000"]


def test_run__a_task_that_cannot_be_split_is_refused_by_itself(
    world: None,  # noqa: ARG001
    publish: Callable[..., Any],
    draw: Callable[[int], Image.Image],
    as_jpeg: Callable[..., bytes],
    data: Path,
    tmp_path: Path,
) -> None:
    rows = [{"image_id": f"P{n}", "file": as_jpeg(draw(200 + n)), "label": "ACK"} for n in range(10)]
    publish("benchmarks/pad_ufes", rows)
    record = curate.run(curate.Config(), data, tmp_path / "corpus", tmp_path / "splits")
    assert record.values["refused"].keys() == {"pad_ufes"}
    assert "pad_ufes: the train split has only 'ACK'" in record.values["refused"]["pad_ufes"]
    assert not (tmp_path / "splits" / "pad_ufes").exists()
    assert (tmp_path / "splits" / "ham10000" / "split.parquet").is_file()


def test_run__equal_images_with_two_labels_are_left_out_and_named(
    world: None,  # noqa: ARG001
    publish: Callable[..., Any],
    draw: Callable[[int], Image.Image],
    as_jpeg: Callable[..., bytes],
    data: Path,
    tmp_path: Path,
) -> None:
    rows = [{"image_id": f"P{n:02d}", "file": as_jpeg(draw(200 + n)), "label": ["ACK", "BCC"][n % 2]} for n in range(20)]
    rows += [
        {"image_id": "again", "file": rows[3]["file"], "label": "ACK"},
        {"image_id": "dark", "file": as_jpeg(draw(90)), "label": None},
    ]
    publish("benchmarks/pad_ufes", rows)
    curate.run(curate.Config(), data, tmp_path / "corpus", tmp_path / "splits")
    record = Record.load(tmp_path / "splits" / "pad_ufes")
    assert record.values["conflicting_images"] == ["P03", "again"]
    assert record.values["warnings"][0] == "one picture has two labels and is left out: P03 (BCC), again (ACK)"
    assert record.counts["images"] == 22
    assert record.counts["unlabelled"] == 1
    assert sum(record.counts[name] for name in ("train", "val", "test")) == 19
    assert any("MEL" in note for note in record.values["warnings"])


def test_run__who_is_listed_in_two_splits_is_named_and_kept_in_a_table(
    world: None,  # noqa: ARG001
    publish: Callable[..., Any],
    draw: Callable[[int], Image.Image],
    as_jpeg: Callable[..., bytes],
    data: Path,
    tmp_path: Path,
) -> None:
    rows = [
        {"image_id": f"P{n:02d}", "file": as_jpeg(draw(200 + n)), "label": ["other", "melanoma"][n // 2 % 2]}
        | {"patient_id": f"ddi:p{n // 2}", "split": ["train", "val", "test"][n // 4 % 3]}
        for n in range(36)
    ]
    rows[9] |= {"patient_id": "ddi:p0"}  # shipped in test, its patient in train
    rows += [{"image_id": "copy", "file": as_jpeg(draw(204), 60), "label": "other", "split": "test"}]  # as P04, in val
    publish("benchmarks/ddi", rows)
    record = curate.run(curate.Config(), data, tmp_path / "corpus", tmp_path / "splits")
    told = record.values["warnings"]["ddi"]
    assert told == [
        "patient ddi:p0 is in train (P00, P01) and in test (P09); all of it goes to train",
        "patient ddi:p2 is in val (P04, P05) and in test (copy); all of it goes to val",
    ]
    moved = read_table(tmp_path / "splits" / "ddi" / "moved.parquet", MOVED).set_index("image_id")
    assert list(moved.index) == ["P00", "P01", "P09", "P04", "P05", "copy"]
    assert tuple(moved.loc["copy", ["shipped", "split"]]) == ("test", "val")
    assert not (tmp_path / "splits" / "ham10000" / "moved.parquet").exists()
    for row in rows:  # and where nobody is left to test on, the refusal says why
        row["patient_id"] = f"ddi:p{int(row['image_id'][1:]) % 4}" if row["image_id"] != "copy" else "ddi:p0"
    publish("benchmarks/ddi", rows)
    record = curate.run(curate.Config(), data, tmp_path / "corpus", tmp_path / "splits")
    refused = record.values["refused"]["ddi"]
    assert refused.startswith("ddi: the test split has no image, since 13 images that are listed there belong to patients")
    assert "(patient ddi:p0 is in train (P00, P12, P24) and in val (P04, P16, P28) and in test (P08, P20, P32" in refused


def test_run__a_fold_that_lacks_a_class_is_told_and_one_that_cannot_be_trained_for_is_refused(
    world: None,  # noqa: ARG001
    publish: Callable[..., Any],
    draw: Callable[[int], Image.Image],
    as_jpeg: Callable[..., bytes],
    data: Path,
    tmp_path: Path,
) -> None:
    rows = [
        {"image_id": f"S{n:02d}", "file": as_jpeg(draw(200 + n)), "label": "benign", "lesion_id": f"sddi:l{n}", "visit": "1"}
        for n in range(30)
    ]
    for row in rows[:3]:
        row["label"] = "malignant"
    publish("benchmarks/sddi_alfred", rows)
    record = curate.run(curate.Config(), data, tmp_path / "corpus", tmp_path / "splits")
    lacking = record.values["warnings"]["sddi_alfred"]
    assert len(lacking) == 7
    assert all(note.endswith("has no image of: malignant") for note in lacking)
    rows[0]["label"] = "benign"  # the other two lie in the first two folds: the first is tested without them
    publish("benchmarks/sddi_alfred", rows)
    record = curate.run(curate.Config(), data, tmp_path / "corpus", tmp_path / "splits")
    refused = record.values["refused"]["sddi_alfred"]
    assert "of 10 would be tested by a model trained on only 'benign'" in refused
    assert refused.endswith("deliver patients or lesions of malignant")


def test_run__a_row_without_an_outcome_is_told_and_the_others_are_dealt(
    world: None,  # noqa: ARG001
    publish: Callable[..., Any],
    draw: Callable[[int], Image.Image],
    as_jpeg: Callable[..., bytes],
    data: Path,
    tmp_path: Path,
) -> None:
    said = [{"rfi_months": 12 + n, "recurrence": n % 2} for n in range(15)]
    said[7]["rfi_months"] = -1
    rows = [
        {"image_id": f"C{n:02d}", "file": as_jpeg(draw(200 + n)), "label": ["control", "local", "distant"][n % 3]}
        | {"patient_id": f"combinemel:p{n}", "attributes": json.dumps(facts)}
        for n, facts in enumerate(said)
    ]
    publish("benchmarks/combinemel", rows)
    record = curate.run(curate.Config(), data, tmp_path / "corpus", tmp_path / "splits")
    sentence = "image C07 is left out: its recurrence-free interval is -1 months; a number of months from 0 up"
    assert record.values["warnings"]["combinemel"][0].startswith(sentence)
    assert record.values["splits"]["combinemel"]["without_time"] == 1
    assert record.values["splits"]["combinemel"]["test"] == 14


def test_run__nothing_published_or_nothing_left_is_one_sentence(
    publish: Callable[..., Any], draw: Callable[[int], Image.Image], as_jpeg: Callable[..., bytes], data: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="holds no published source; run `panderm ingest`"):
        curate.run(curate.Config(), data, tmp_path / "corpus", tmp_path / "splits")
    rows = [{"image_id": f"i{n}", "file": as_jpeg(draw(n)), "label": ["benign", "malignant"][n % 2]} for n in range(10)]
    publish("benchmarks/isic2024", rows)
    publish("isic2024", rows)
    with pytest.raises(InputError, match="no image is left for the corpus: all 10 are in a benchmark"):
        curate.run(curate.Config(), data, tmp_path / "corpus", tmp_path / "splits")
    assert not (tmp_path / "corpus").exists()


def test_load_published__nothing_is_an_empty_table(data: Path) -> None:
    rows = load_published(data)
    assert isinstance(rows, pd.DataFrame)
    assert rows.empty


def test_config__shares_add_up_to_one() -> None:
    with pytest.raises(ConfigError, match=r"add up to 1\.1"):
        curate.Config.parse({"train": 0.7})


def test_command__prints_counts(world: None, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    monkeypatch.setenv("PANDERM_WORKSPACE", str(data.parent))
    done = CliRunner().invoke(command, ["--set", "seed=3"])
    assert done.exit_code == 0, done.output
    assert "12 source_images, 4 corpus, 8 excluded" in done.output
    assert "split ham10000: 24 train, 8 val, 8 test" in done.output
    assert "note, ham10000: the train split has no image of: akiec" in done.output
