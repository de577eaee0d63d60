"""Curate: splits of each task, duplicates, and a pretraining corpus free of benchmark images.

Reads every published manifest below ``data/``; writes ``corpus/`` (``corpus.parquet``, ``exclusions.parquet``,
``corpus.png``) and ``splits/<task>/`` (``split.parquet``, and ``moved.parquet`` where a delivery lists somebody on two
sides). docs/curation.md says how it decides.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, model_validator

from panderm.catalog import Benchmark, runnable_benchmarks
from panderm.core.config import FrozenConfig
from panderm.core.errors import InputError
from panderm.core.files import building_folder, recover_folder, sha256_file
from panderm.core.layout import benchmark_dataset
from panderm.core.record import Record
from panderm.core.tables import CORPUS, EXCLUSIONS, MOVED, SPLIT, read_table, write_table
from panderm.curation.checks import check_folds, check_split
from panderm.curation.corpus import Exclusion, exclude
from panderm.curation.duplicates import exact_pairs, near_pairs
from panderm.curation.moved import moved_sentences, moved_table
from panderm.curation.picture import draw_corpus
from panderm.curation.published import load_masks, load_published, manifest_hashes
from panderm.curation.splits import SPLITS, Split, assign, assign_folds, conflicting_labels, join_groups
from panderm.curation.telling import told
from panderm.tasks.kinds import kind_of

__all__ = ["Config", "Exclusion", "run"]

CORPUS_NAME, EXCLUSIONS_NAME, PICTURE_NAME = "corpus.parquet", "exclusions.parquet", "corpus.png"
SPLIT_NAME, MOVED_NAME = "split.parquet", "moved.parquet"


class Config(FrozenConfig):
    """How images are told apart and dealt out.

    Attributes:
        phash_distance: bits of 64 by which two perceptual hashes may differ for a pair to be looked at.
        similarity: least correlation of two 32-pixel thumbnails that makes such a pair the same picture. Measured by
            ``benchmarks/phash_distance.py`` on four modalities: 6 and 0.94 find 99 % or more of the copies re-compressed
            at JPEG quality 50 and 94 % or more at 30, and take 1 in a million pairs of different lesions for copies.
        train: share of a task's images to train on (paper, Methods: 60/20/20).
        val: share to choose on.
        test: share to test on.
        seed: seed of the order in which groups are dealt out.
    """

    phash_distance: int = Field(default=6, ge=0, le=12)
    similarity: float = Field(default=0.94, ge=0.5, le=1.0)
    train: float = Field(default=0.6, gt=0.0, lt=1.0)
    val: float = Field(default=0.2, ge=0.0, lt=1.0)
    test: float = Field(default=0.2, gt=0.0, lt=1.0)
    seed: int = 0

    @model_validator(mode="after")
    def _adds_up(self) -> Config:
        if abs(self.train + self.val + self.test - 1.0) > 1e-6:
            raise ValueError(f"train, val and test add up to {self.train + self.val + self.test:g}; they have to make 1")
        return self

    @property
    def shares(self) -> dict[Split, float]:
        """Share of the images by split."""
        return {"train": self.train, "val": self.val, "test": self.test}


def run(config: Config, data: Path, corpus: Path, splits: Path) -> Record:
    """Write ``corpus`` and one folder a published task below ``splits``; return the corpus's record.

    A task whose labels cannot be split is refused by itself (``record.values["refused"]``, its earlier split stays);
    the others go on.

    Raises:
        InputError: no source is published, or no image is left for the corpus.
    """
    rows = load_published(data)
    if rows["benchmark"].all():
        raise InputError(f"{data} holds no published source; run `panderm ingest` and `panderm validate` for one first")
    exact, near = exact_pairs(rows), near_pairs(rows, data, config.phash_distance, config.similarity)
    same = pd.concat([exact, near])[["i", "j"]]
    tasks: dict[str, Record] = {}
    refused: dict[str, str] = {}
    for task in runnable_benchmarks():
        chosen = (rows["dataset"] == benchmark_dataset(task.key)).to_numpy()
        if chosen.any():
            try:
                pairs, masks = _within(same, chosen), load_masks(data, benchmark_dataset(task.key))
                tasks[task.key] = _write_split(config, task, rows[chosen], pairs, masks, splits / task.key)
            except InputError as error:  # this task's labels; the other tasks have theirs
                refused[task.key] = str(error)
    return _write_corpus(config, rows, exclude(rows, exact, near), manifest_hashes(data), tasks, refused, corpus)


def _within(pairs: pd.DataFrame, chosen: NDArray[np.bool_]) -> pd.DataFrame:
    """Return the pairs among the chosen rows, as positions among them."""
    place = np.cumsum(chosen) - 1
    i, j = pairs["i"].to_numpy(dtype=np.intp), pairs["j"].to_numpy(dtype=np.intp)
    inside = chosen[i] & chosen[j]
    return pd.DataFrame({"i": place[i[inside]], "j": place[j[inside]]})


def _write_split(
    config: Config, task: Benchmark, rows: pd.DataFrame, same: pd.DataFrame, masks: pd.DataFrame, out: Path
) -> Record:
    rows = rows.reset_index(drop=True)
    rows["group"] = join_groups(rows, same)  # over all images: an unlabelled one may join two labelled ones
    prepared = kind_of(task).prepare(task, rows, masks)
    conflict = conflicting_labels(prepared.rows)
    table = prepared.rows[~conflict].copy()
    split, fold, left = _dealt(config, task, table, out)
    moved = moved_table(table, split, left)
    table = table.assign(split=split, fold=fold)
    warnings = [*prepared.notes, *_conflicts(prepared.rows[conflict]), *moved_sentences(moved), *_checked(task, table, moved)]
    table["target"] = table["label"].map({name: index for index, name in enumerate(task.classes)})
    with building_folder(out) as folder:
        write_table(folder / SPLIT_NAME, table.sort_values("image_id"), SPLIT)
        if len(moved):
            write_table(folder / MOVED_NAME, moved, MOVED)
        record = Record(
            stage="curate",
            key=task.key,
            counts={
                "images": len(rows),
                **prepared.left_out,
                "conflicting_labels": int(conflict.sum()),
                **{str(name): int((table["split"] == name).sum()) for name in SPLITS},
                "groups": int(table["group"].nunique()),
                "moved_from_shipped_split": int(left.sum()),
            },
            hashes={"split": sha256_file(folder / SPLIT_NAME)},
            values={
                "warnings": warnings,
                "conflicting_images": sorted(prepared.rows["image_id"][conflict]),
                "labels": _counts(table, ["split", "label"]),
            },
            config=config.model_dump(mode="json"),
        )
        record.save(folder)
    return record


def _conflicts(rows: pd.DataFrame) -> list[str]:
    """Say of each picture that has two labels which images it is."""
    pictures = [picture for _, picture in rows.sort_values("image_id").groupby("stored_sha256", sort=False)]
    images = [", ".join(f"{i} ({label})" for i, label in zip(p["image_id"], p["label"], strict=True)) for p in pictures]
    sentences = [f"one picture has two labels and is left out: {named}" for named in images]
    return told(sentences, "pictures have two labels; record.json names their images")


def _checked(task: Benchmark, table: pd.DataFrame, moved: pd.DataFrame) -> list[str]:
    """Return what a reader of the results has to know of a split or of folds; refuse what nothing can be measured on."""
    if task.folds:
        return check_folds(task.key, table["fold"], table["label"], _expected(task), task.folds)
    return check_split(task.key, table["split"], table["label"], _expected(task), moved)


def _expected(task: Benchmark) -> tuple[str, ...]:
    """Return the classes that every split should have; the background of a mask is no image's label."""
    return task.classes[1:] if task.kind == "segmentation" else task.classes


def _dealt(config: Config, task: Benchmark, table: pd.DataFrame, out: Path) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Return each row's split, its fold (null for tasks with a test split), and whether it left a shipped split."""
    balanced = table.assign(label=table["stratum"])
    if not task.folds:
        shares = config.shares if task.shares is None else dict(zip(SPLITS, task.shares, strict=True))
        split, moved = assign(balanced, _earlier(out, config, "split"), shares, config.seed)
        return split, pd.Series(pd.NA, index=table.index, dtype="Int32"), moved
    fold = assign_folds(balanced, _earlier(out, config, "fold"), task.folds, config.seed)
    return pd.Series("test", index=table.index), fold, pd.Series(False, index=table.index)


def _earlier(out: Path, config: Config, column: str) -> pd.Series:
    """Return split or fold by image id of an earlier run with the same shares and seed; empty if there is none."""
    recover_folder(out)
    none = pd.Series(dtype=object)
    if not (out / SPLIT_NAME).is_file():
        return none
    former = Record.load(out).config
    if any(former.get(name) != getattr(config, name) for name in (*SPLITS, "seed")):
        return none
    table = read_table(out / SPLIT_NAME, SPLIT)
    return table.set_index("image_id")[column].astype(object)


def _write_corpus(
    config: Config,
    rows: pd.DataFrame,
    exclusions: pd.DataFrame,
    hashes: dict[str, str],
    tasks: dict[str, Record],
    refused: dict[str, str],
    out: Path,
) -> Record:
    sources = rows[~rows["benchmark"]]
    left_out = pd.MultiIndex.from_frame(exclusions[["dataset", "image_id"]])
    table = sources[~pd.MultiIndex.from_frame(sources[["dataset", "image_id"]]).isin(left_out)]
    if table.empty:
        raise InputError(
            f"no image is left for the corpus: all {len(sources)} are in a benchmark or repeated; publish another source"
        )
    reasons = exclusions["reason"].value_counts()
    with building_folder(out) as folder:
        write_table(folder / CORPUS_NAME, table, CORPUS)
        write_table(folder / EXCLUSIONS_NAME, exclusions, EXCLUSIONS)
        draw_corpus(folder / PICTURE_NAME, table, exclusions)
        record = Record(
            stage="curate",
            counts={
                "source_images": len(sources),
                "corpus": len(table),
                "excluded": len(exclusions),
                **{str(reason): int(reasons.get(str(reason), 0)) for reason in Exclusion},
                "benchmark_images": int(rows["benchmark"].sum()),
                "tasks": len(tasks),
                "tasks_refused": len(refused),
            },
            hashes={
                "corpus": sha256_file(folder / CORPUS_NAME),
                "exclusions": sha256_file(folder / EXCLUSIONS_NAME),
                **{f"split {key}": made.hashes["split"] for key, made in tasks.items()},
                **hashes,
            },
            values={
                "modalities": _counts(table, ["modality"]),
                "datasets": _counts(table, ["dataset"]),
                "splits": {key: made.counts for key, made in tasks.items()},
                "warnings": {key: made.values["warnings"] for key, made in tasks.items() if made.values["warnings"]},
                "refused": refused,
            },
            config=config.model_dump(mode="json"),
        )
        record.save(folder)
    return record


def _counts(table: pd.DataFrame, columns: list[str]) -> dict[str, int]:
    """Return how many rows each combination of values has, ``value`` or ``value/value`` -> count."""
    sizes = table.astype(dict.fromkeys(columns, str)).groupby(columns).size()
    return {"/".join(key) if isinstance(key, tuple) else str(key): int(n) for key, n in sizes.items()}
