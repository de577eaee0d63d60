from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from panderm import curate, ingest, validate
from panderm.catalog import benchmark, dataset, delivered_datasets
from panderm.contracts import facts, rules
from panderm.contracts.contract import Audit, Rule, contract_of, contracted_datasets
from panderm.core.errors import ConfigError, InputError, Refused
from panderm.core.files import read_json, sha256_bytes, sha256_file, write_json
from panderm.core.record import Record
from panderm.core.tables import MANIFEST, QUARANTINE, SPLIT, empty, read_table, write_table
from panderm.imaging.shards import ShardWriter, read_image_bytes
from panderm.imaging.store import encode

BENCHMARK = dataset("benchmarks/ham10000")
CONFIG = validate.Config(thresholds={BENCHMARK.key: {"min_images": 3}})


def picture(number: int) -> bytes:
    from PIL import Image

    return encode(Image.new("RGB", (40, 40), (number, 90, 200 - number)), "PNG")


class Staged:
    """A staged version as ingest would leave it, with rows to spoil."""

    def __init__(self, root: Path, images: int = 6) -> None:
        self.folder, self.out = root / ".staging" / "ham", root / "data" / "ham"
        self.quarantine = empty(QUARANTINE)
        self.counts_off = 0
        self.manifest = pd.DataFrame()
        self.add(images)

    def add(self, images: int) -> None:
        start = len(self.manifest)
        name = f"shards/{start:06d}-{images:08x}.tar"
        (self.folder / "shards").mkdir(parents=True, exist_ok=True)
        rows = []
        with ShardWriter(self.folder / name) as writer:
            for number in range(start, start + images):
                data = picture(number)
                place = writer.add(f"ISIC_{number}", "png", data, {})
                rows.append(
                    {
                        "dataset": BENCHMARK.key,
                        "path": f"HAM10000_images_part_1/ISIC_{number}.png",
                        "image_id": f"ISIC_{number}",
                        "modality": "dermoscopic",
                        "lesion_id": f"isic:HAM_{number}",
                        "label": BENCHMARK.classes[number % 7],
                        "age": 45.0,
                        "sex": "female",
                        "role": "image",
                        "delivered_sha256": sha256_bytes(data + b"tags"),
                        "delivered_bytes": len(data) + 4,
                        "delivered_format": "PNG",
                        "stored_sha256": sha256_bytes(data),
                        "phash": f"{number:016x}",
                        "width": 40,
                        "height": 40,
                        "shard": name,
                        "offset": place.offset,
                        "nbytes": place.nbytes,
                    }
                )
        self.manifest = pd.concat([self.manifest, pd.DataFrame(rows)], ignore_index=True)
        self.save()

    def save(self) -> None:
        write_table(self.folder / "manifest.parquet", self.manifest, MANIFEST)
        write_table(self.folder / "quarantine.parquet", self.quarantine, QUARANTINE)
        counts = {"images": len(self.manifest), "kept_images": 0, "quarantined_files": len(self.quarantine)}
        files = len(self.manifest) + len(self.quarantine) + 1 + self.counts_off
        counts |= {"quarantined_rows": 0, "metadata_files": 1, "files_in_landing": files}
        Record(stage="ingest", key=BENCHMARK.key, counts=counts, hashes={"delivery": "0" * 64}).save(self.folder)

    def refuse(self, files: int, reason: str = "truncated") -> None:
        self.quarantine = pd.DataFrame(
            {
                "dataset": BENCHMARK.key,
                "path": [f"bad{n}.jpg" for n in range(files)],
                "reason": reason,
                "detail": "it breaks off",
            }
        )
        self.save()

    def audit(self) -> Audit:
        return validate.audit(CONFIG, BENCHMARK, self.folder)

    def publish(self) -> Record:
        return validate.publish(BENCHMARK, self.folder, self.out)

    def run(self) -> Record:
        return validate.run(CONFIG, BENCHMARK, self.folder, self.out)

    def state(self) -> dict[str, tuple[str, int]]:
        files = sorted(path for path in self.out.rglob("*") if path.is_file())
        return {str(path.relative_to(self.out)): (sha256_file(path), path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def staged(tmp_path: Path) -> Staged:
    return Staged(tmp_path)


def test_audit__a_good_delivery_meets_its_contract(staged: Staged) -> None:
    result = staged.audit()
    assert result.passed
    assert [rule.name for rule in result.rules if not rule.passed] == []
    seen = {rule.name: rule.seen for rule in result.rules}
    assert seen["enough images"] == "6"
    assert seen["in quarantine"] == "0.0%"
    assert seen["skin type"] == "none given"
    assert seen["bytes intact"] == "all 6 rows"
    assert all(rule.because for rule in result.rules)
    assert result.manifest_sha256 == sha256_file(staged.folder / "manifest.parquet")
    assert Audit.parse(read_json(staged.folder / "contract.json")) == result


def spoil(staged: Staged, column: str, *values: Any) -> None:
    """Put ``values`` into the first rows of a column."""
    staged.manifest[column] = staged.manifest[column].astype(object) if column in staged.manifest else None
    for row, value in enumerate(values):
        staged.manifest.loc[row, column] = value
    staged.save()


def damage(staged: Staged) -> None:
    row = staged.manifest.iloc[2]
    with (staged.folder / row["shard"]).open("r+b") as shard:
        shard.seek(row["offset"] + 30)
        shard.write(b"\xff\xff")


SPOILT: dict[str, tuple[tuple[Any, ...], dict[str, str]]] = {
    "image_id": (("ISIC_5", "a/b", None), {"unique": "such as ISIC_5", "safe": "such as a/b", "present": "1 of 6 rows"}),
    "stored_sha256": (("x", None), {"well-formed": "such as x", "present": "1 of 6"}),
    "delivered_sha256": (("y",), {"well-formed": "such as y"}),
    "phash": (("xyz", None), {"well-formed": "such as xyz", "present": "1 of 6"}),
    "modality": (("clinical", None), {"": "such as clinical", "present": "1 of 6"}),
    "label": (("wart", None), {"": "such as wart", "present": "1 of 6"}),
    "patient_id": (("P1",), {"in its namespace": "such as P1"}),
    "lesion_id": (("HAM_1", None), {"in its namespace": "such as HAM_1", "present": "1 of 6 rows differ"}),
    "sex": (("Frau",), {"": "1 of 6 rows differ, such as Frau"}),
    "age": ((121.0,), {"": "such as 121.0"}),
    "skin_type": (("VII",), {"": "such as VII"}),
    "split": (("holdout",), {"": "such as holdout"}),
}


def test_audit__each_rule_about_images_can_break(staged: Staged) -> None:
    for column, (values, _) in SPOILT.items():
        spoil(staged, column, *values)
    staged.manifest.loc[3, "height"] = 8
    staged.save()
    broken = {rule.name: rule.seen for rule in staged.audit().broken}
    expected = {
        f"{column.replace('_', ' ') if not name else column} {name}".strip(): seen
        for column, (_, rules) in SPOILT.items()
        for name, seen in rules.items()
    }
    for name, seen in (expected | {"smallest side": "such as 8"}).items():
        assert seen in broken.get(name, f"{name} holds"), name
    with pytest.raises(Refused, match=r"does not meet its contract .*label: 1 of 6 rows differ, such as wart"):
        staged.publish()
    assert not staged.out.exists()


def test_audit__each_rule_about_the_delivery_can_break(staged: Staged) -> None:
    staged.counts_off = 2
    staged.refuse(4)
    damage(staged)
    staged.manifest = staged.manifest.head(2)
    staged.save()
    seen = {rule.name: rule.seen for rule in staged.audit().broken}
    assert seen == {"enough images": "2", "in quarantine": "66.7%", "counts add up": "2 unaccounted"}


def test_audit__finds_damaged_and_missing_bytes(staged: Staged) -> None:
    damage(staged)
    assert [(rule.name, rule.seen) for rule in staged.audit().broken] == [("bytes intact", "1 of 6 rows differ, such as no")]
    (staged.folder / staged.manifest["shard"][0]).unlink()
    assert [rule.seen for rule in staged.audit().broken] == ["6 of 6 rows differ, such as no"]


def test_audit__a_delivery_without_one_good_image(staged: Staged) -> None:
    staged.manifest = empty(MANIFEST)
    staged.refuse(9, "missing_column")
    seen = [(rule.name, rule.seen) for rule in staged.audit().broken]
    assert seen == [("enough images", "0"), ("in quarantine", "100.0%")]
    with pytest.raises(Refused, match="in quarantine are 9 missing_column"):
        staged.publish()


def test_audit__two_images_with_the_same_pixels(staged: Staged) -> None:
    staged.manifest.loc[1, ["stored_sha256", "offset"]] = staged.manifest.loc[0, ["stored_sha256", "offset"]]
    staged.save()
    assert [rule.name for rule in staged.audit().broken] == ["images distinct"]


def test_audit__a_warning_stops_nothing(staged: Staged) -> None:
    staged.refuse(1)
    result = staged.audit()
    assert result.passed
    assert [(rule.name, rule.seen) for rule in result.rules if not rule.passed] == [("usually in quarantine", "14.3%")]
    assert staged.publish().values["warnings"] == ["usually in quarantine: 14.3%, expected at most 5% of the images"]


def deliver(landing: Path, names: list[str], table: str = "") -> None:
    """Put pictures unlike each other, and a table, into a landing folder."""
    import numpy as np
    from PIL import Image

    for number, name in enumerate(names):
        seed = [number, *landing.name.encode()]
        cells = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
        (landing / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(cells).resize((60, 48), Image.Resampling.BICUBIC).save(landing / name, "PNG")
    if table:
        (landing / "panderm.csv").write_text(table)


def ingested(root: Path, key: str) -> Record:
    """Ingest and validate what lies in landing; return the published record."""
    row, staged = dataset(key), root / ".staging" / key
    ingest.run(ingest.Config(workers=0), row, root / "landing" / key, staged)
    return validate.run(CONFIG, row, staged, root / "data" / key)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["ham10000", "pad_ufes"])
def test_run__the_public_codes_table_needs_no_ids_and_its_split_is_taken_at_its_word(tmp_path: Path, task: str) -> None:
    names, classes = [f"images/{n:02d}.png" for n in range(60)], benchmark(task).classes
    split = ["train", "train", "train", "val", "test"]
    lines = [f"/data/share/{name},{n % len(classes)},{split[n // len(classes) % 5]}" for n, name in enumerate(names)]
    deliver(tmp_path / "landing" / "benchmarks" / task, names, "\n".join(["image,label,split", *lines]))
    deliver(tmp_path / "landing" / "edu1", [f"Naevus/{n:02d}.png" for n in range(20)])

    ingested(tmp_path, "edu1")
    record = ingested(tmp_path, f"benchmarks/{task}")
    assert record.values["official_table"] is True
    warned = [line for line in record.values["warnings"] if line.startswith("lesion_id present: 60 of 60 rows differ")]
    assert len(warned) == 1
    assert "the split as shipped is taken at its word and every image stands for itself" in warned[0]

    made = curate.run(curate.Config(), tmp_path / "data", tmp_path / "corpus", tmp_path / "splits")
    assert made.values["refused"] == {}
    table = read_table(tmp_path / "splits" / task / "split.parquet", SPLIT)
    assert (table["group"] == table["image_id"]).all()
    assert dict(zip(table["image_id"], table["split"], strict=True)) == {
        f"{n:02d}": split[n // len(classes) % 5] for n in range(60)
    }


def test_audit__native_layouts_and_other_kinds_keep_the_ids_they_need(staged: Staged) -> None:
    spoil(staged, "lesion_id", None)
    assert [rule.name for rule in staged.audit().broken] == ["lesion_id present"]
    record = Record.load(staged.folder)
    record.model_copy(update={"values": {"official_table": True}}).save(staged.folder)
    assert staged.audit().passed
    sequences = validate.audit(CONFIG, dataset("benchmarks/sddi2"), staged.folder)
    assert "lesion_id present" in [rule.name for rule in sequences.broken]


def test_audit__images_of_another_scope_do_not_count(staged: Staged) -> None:
    staged.refuse(40, "out_of_scope")
    assert staged.audit().passed


def test_audit__same_version_is_not_judged_again(staged: Staged, monkeypatch: pytest.MonkeyPatch) -> None:
    staged.audit()
    times = {path.name: path.stat().st_mtime_ns for path in staged.folder.glob("contract.*")}
    calls: list[int] = []
    real = rules.hold
    monkeypatch.setattr(rules, "hold", lambda *args: calls.append(1) or real(*args))
    staged.audit()
    assert {path.name: path.stat().st_mtime_ns for path in staged.folder.glob("contract.*")} == times
    assert calls == []
    damage(staged)
    assert not staged.audit().passed, "the manifest is the same, but its shard is not"
    staged.save()
    validate.audit(validate.Config(), BENCHMARK, staged.folder)
    assert len(calls) == 2, "another contract judges anew"


def test_audit__page_opens_offline_and_shows_what_was_seen(staged: Staged) -> None:
    spoil(staged, "label", "<wart>")
    staged.refuse(1)
    staged.audit()
    page = (staged.folder / "contract.html").read_text()
    assert "not met" in page
    assert "&lt;wart&gt;" in page
    assert "data:image/jpeg;base64," in page
    assert re.findall(r"(?:src|href)=\"(?!data:)", page) == []
    assert "http" not in page


def test_audit__nothing_staged(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no record\.json; run the stage that writes it first"):
        validate.audit(CONFIG, BENCHMARK, tmp_path)


def test_audit__site_names_a_threshold_that_is_none(staged: Staged) -> None:
    config = validate.Config(thresholds={BENCHMARK.key: {"min_pictures": 3}})
    with pytest.raises(ConfigError, match="unknown key 'min_pictures'; allowed: min_images"):
        validate.audit(config, BENCHMARK, staged.folder)


@pytest.mark.parametrize(
    ("name", "value"), [("lesion_share", 95.0), ("max_quarantined", 25.0), ("verify_images", float("inf"))]
)
def test_audit__site_gives_a_share_in_percent_or_no_number(staged: Staged, name: str, value: float) -> None:
    config = validate.Config(thresholds={BENCHMARK.key: {name: value}})
    with pytest.raises(ConfigError, match=f"contract of {BENCHMARK.key}: '{name}.value' is"):
        validate.audit(config, BENCHMARK, staged.folder)


def test_contracts__cover_the_catalogue_and_say_why() -> None:
    keys = {row.key for row in delivered_datasets()}
    assert set(contracted_datasets()) <= keys
    for key in keys:
        assert all(len(threshold["because"]) > 10 for threshold in contract_of(key).model_dump().values())


def test_facts__verify_reads_an_even_spread(staged: Staged) -> None:
    frame = facts.of_images(staged.manifest, staged.folder, verify=3)
    assert frame["bytes_intact"].fillna("-").tolist() == ["yes", "-", "yes", "-", "-", "yes"]


def test_publish__hands_over_exactly_what_was_judged(staged: Staged) -> None:
    record = staged.run()
    published = read_table(staged.out / "manifest.parquet", MANIFEST)
    for row in published.itertuples():
        assert sha256_bytes(read_image_bytes(staged.out, row.shard, row.offset, row.nbytes)) == row.stored_sha256
    assert set(staged.state()) == {
        *("contract.html", "contract.json", "manifest.parquet", "quarantine.parquet", "record.json"),
        staged.manifest["shard"][0],
    }
    assert (staged.out / published["shard"][0]).samefile(staged.folder / published["shard"][0]), "linked, not copied"
    assert Record.load(staged.out) == record
    assert record.counts["images"] == 6
    assert record.hashes["contract"] == sha256_file(staged.out / "contract.json")
    assert str(staged.out.parent.parent) not in (staged.out / "record.json").read_text()


def test_publish__copies_where_links_do_not_work(staged: Staged, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    staged.run()
    shard = staged.manifest["shard"][0]
    assert sha256_file(staged.out / shard) == sha256_file(staged.folder / shard)


def test_publish__again_changes_no_byte_and_no_time(staged: Staged) -> None:
    staged.run()
    before = staged.state()
    staged.run()
    assert staged.state() == before


def test_publish__refuses_what_was_not_audited(staged: Staged) -> None:
    with pytest.raises(Refused, match="was not audited; run `panderm validate benchmarks/ham10000`"):
        staged.publish()


def test_publish__refuses_another_version_than_the_audited_one(staged: Staged) -> None:
    staged.audit()
    staged.refuse(1)  # the manifest is the same
    with pytest.raises(Refused, match="was ingested anew since its audit"):
        staged.publish()


def test_publish__refuses_an_edited_result(staged: Staged) -> None:
    staged.manifest = staged.manifest.head(2)
    staged.save()
    staged.audit()
    result = read_json(staged.folder / "contract.json")
    write_json(staged.folder / "contract.json", result | {"passed": True})
    with pytest.raises(Refused, match="enough images: 2, expected at least 3"):
        staged.publish()


def test_publish__refuses_anothers_audit(staged: Staged) -> None:
    staged.audit()
    with pytest.raises(Refused, match="holds the audit of benchmarks/ham10000, not of benchmarks/pad_ufes"):
        validate.publish(dataset("benchmarks/pad_ufes"), staged.folder, staged.out)


def test_run__bad_delivery_leaves_the_last_good_version(staged: Staged) -> None:
    staged.run()
    before = staged.state()
    staged.add(2)
    spoil(staged, "label", "wart")
    with pytest.raises(Refused, match="label: 1 of 8 rows differ, such as wart"):
        staged.run()
    assert staged.state() == before


def test_publish__refuses_to_forget_images(staged: Staged) -> None:
    staged.run()
    shutil.rmtree(staged.folder)
    late = Staged(staged.folder.parent.parent, images=0)
    late.manifest = pd.DataFrame()
    late.add(6)
    late.manifest = late.manifest.tail(4)
    late.save()
    with pytest.raises(Refused, match=r"holds 2 images .* never seen \(the first is HAM10000_images_part_1/ISIC_0.png\)"):
        late.run()


def test_publish__unwritable_out(staged: Staged) -> None:
    staged.out.parent.parent.mkdir(exist_ok=True)
    staged.out.parent.write_text("a file where a folder has to be")
    with pytest.raises(InputError, match="cannot write"):
        staged.run()


def test_publish__killed_at_any_rename_is_healed_by_the_next(staged: Staged) -> None:
    staged.run()
    old = sha256_file(staged.out / "manifest.parquet")
    kept = staged.out.with_name("kept")
    shutil.copytree(staged.out, kept)
    staged.manifest = staged.manifest.iloc[0:0]  # every image in a new shard, so that the old one has to go
    staged.add(7)
    staged.refuse(1)
    staged.manifest["path"] = [f"HAM10000_images_part_1/ISIC_{n}.png" for n in range(7)]
    staged.save()
    staged.run()
    new = {name: fact[0] for name, fact in staged.state().items()}
    number, done = 0, False
    while not done:
        number += 1
        shutil.rmtree(staged.out)
        shutil.copytree(kept, staged.out)
        done = publish_until_rename(staged, number)
        manifest = read_table(staged.out / "manifest.parquet", MANIFEST)
        assert done or sha256_file(staged.out / "manifest.parquet") == old
        for row in manifest.itertuples():  # whichever version is visible, all of its bytes are there
            assert sha256_bytes(read_image_bytes(staged.out, row.shard, row.offset, row.nbytes)) == row.stored_sha256
        (staged.out / "shards" / ".aside-1-left.tar").write_bytes(b"by a killed run")
        staged.publish()
        assert {name: fact[0] for name, fact in staged.state().items()} == new
    assert number > 5, "shard, quarantine, contract, page, record and manifest were each hit"


def publish_until_rename(staged: Staged, number: int) -> bool:
    child = os.fork()
    if child == 0:
        renames, real = [0], os.replace

        def replace(*args: Any) -> None:
            renames[0] += 1
            if renames[0] == number:
                os._exit(9)
            real(*args)

        os.replace = replace
        try:
            staged.publish()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_rule__is_what_the_asset_check_shows() -> None:
    rule = Rule(name="age", expected="0 to 120", seen="all 3 rows", passed=True, severity="critical")
    assert (rule.name, rule.expected, rule.seen, rule.passed) == ("age", "0 to 120", "all 3 rows", True)
