"""How many images a second does one core load for pretraining, beside a plain torchvision loader on the same pictures?

``python benchmarks/loader.py IMAGES`` takes a folder of images, makes shards of them through the project's own ingest in a
temporary folder, and measures, in turns and in one run, on one core and without loading processes:

- ours: bytes from the shard, decode, crop, flip, for the student (224 px) and the teacher (196 px) from one decoding;
- the same with the mask and all that a batch of pretraining needs;
- torchvision: ImageFolder, RandomResizedCrop(224), RandomHorizontalFlip, ToTensor, DataLoader, on files of the same bytes;
- torchvision with both sizes from one box, bicubic, as pretraining needs them;
- torchvision on the files as they were given (before ingest stored them at 4:4:4, quality 95).

Images a second are counted by CPU time, so that other work on the machine matters little; the ratio is the median over the
repetitions, each of which runs every arm once. ``--cold`` also times reading alone in both orders with the shards dropped from
the page cache. Results: docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as pictures

from panderm import ingest
from panderm.catalog import dataset
from panderm.core.tables import CORPUS, MANIFEST, read_table, write_table
from panderm.imaging.shards import ShardReader
from panderm.training.crops import render
from panderm.training.data import Corpus, EpochBatches, PretrainingImages, loader
from panderm.training.recipe import Augmentation, Recipe
from panderm.training.sampling import Sampling, Stream, generator

SOURCE = "edu1"  # whose layout (a folder a class) any folder of images fits
OURS, WHOLE, PLAIN, BOTH, GIVEN = (
    "ours, 224 + 196 px",
    "ours, with mask and batch of pretraining",
    "torchvision, 224 px",
    "torchvision, 224 + 196 px",
    "torchvision, 224 px, files as given",
)


class Crops(Dataset[tuple[torch.Tensor, ...]]):
    """Our reading, decoding, cropping and flipping, without masks."""

    def __init__(self, corpus: Corpus, data: Path) -> None:
        self.corpus, self.reader, self.augmentation = corpus, ShardReader(data), Augmentation()

    def __len__(self) -> int:
        return len(self.corpus)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, ...]:
        """Return the crops of a row."""
        corpus = self.corpus
        data = self.reader.read(corpus.shards[corpus.codes[row]], int(corpus.offsets[row]), int(corpus.sizes[row]))
        crops = render(data, (224, 196), self.augmentation, generator(0, Stream.PIXELS, 0, row))
        return tuple(torch.from_numpy(crop) for crop in crops)


class TwoSizes:
    """One random box and flip, rendered at both sizes, as torchvision's parts do it."""

    def __call__(self, image: Image.Image) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the crops of an image."""
        top, left, height, width = transforms.RandomResizedCrop.get_params(image, [0.4, 1.0], [3 / 4, 4 / 3])
        region = pictures.crop(image, top, left, height, width)
        if torch.rand(1) < 0.5:
            region = pictures.hflip(region)
        bicubic = InterpolationMode.BICUBIC
        large, small = (pictures.to_tensor(pictures.resize(region, [size, size], bicubic)) for size in (224, 196))
        return large, small


def plain(folder: Path, both: bool, batch: int) -> Iterable[Any]:
    """Return torchvision's loader of a folder of class folders, with its own defaults."""
    usual = [transforms.RandomResizedCrop(224, scale=(0.4, 1.0)), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    images = torchvision.datasets.ImageFolder(str(folder), TwoSizes() if both else transforms.Compose(usual))
    return DataLoader(images, batch_size=batch, shuffle=True, drop_last=True)


def make_corpus(images: Path, count: int, work: Path) -> None:
    """Fill ``work`` with ``given/`` (links to the images), ``data/`` (shards) and ``corpus/``."""
    files = sorted(path for path in images.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    picked = [files[n] for n in np.unique(np.linspace(0, len(files) - 1, min(count, len(files))).astype(int))]
    given = work / "given" / "pictures"
    given.mkdir(parents=True)
    for number, path in enumerate(picked):
        (given / f"{number:06d}{path.suffix.lower()}").symlink_to(path.resolve())
    ingest.run(ingest.Config(), dataset(SOURCE), work / "given", work / "data" / SOURCE)
    rows = read_table(work / "data" / SOURCE / "manifest.parquet", MANIFEST)
    write_table(work / "corpus" / "corpus.parquet", rows.assign(shard=SOURCE + "/" + rows["shard"]), CORPUS)


def unpack(corpus: Corpus, data: Path, folder: Path) -> None:
    """Write the stored bytes of every row to a file of its own, for ImageFolder."""
    reader = ShardReader(data)
    folder.mkdir(parents=True)
    for row in range(len(corpus)):
        stored = reader.read(corpus.shards[corpus.codes[row]], int(corpus.offsets[row]), int(corpus.sizes[row]))
        extension = "jpg" if stored.startswith(b"\xff\xd8") else "png"
        (folder / f"{row:06d}.{extension}").write_bytes(stored)


def arms_of(work: Path, corpus_folder: Path, data: Path, batch: int) -> dict[str, Callable[[], Iterable[Any]]]:
    """Return what starts each arm anew."""
    corpus, recipe = Corpus(corpus_folder), Recipe()
    unpack(corpus, data, work / "same" / "pictures")

    def ours() -> Iterable[Any]:
        return DataLoader(Crops(corpus, data), batch_size=batch, shuffle=True, drop_last=True)

    def whole() -> Iterable[Any]:
        batches = EpochBatches(len(corpus), batch, 1, seed=0)
        return loader(PretrainingImages(corpus, data, recipe), batches, 0, pinned=False)

    arms = {OURS: ours, WHOLE: whole, PLAIN: lambda: plain(work / "same", False, batch)}
    arms[BOTH] = lambda: plain(work / "same", True, batch)
    if (work / "given").is_dir():
        arms[GIVEN] = lambda: plain(work / "given", False, batch)
    return arms


def measure(arms: dict[str, Callable[[], Iterable[Any]]], repeat: int) -> dict[str, list[float]]:
    """Return images a CPU-second of each arm and repetition; a first, uncounted round warms caches."""
    rates: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(repeat + 1):
        for name, start in arms.items():
            began, seen = time.process_time(), 0
            for crops, *_ in start():
                seen += len(crops if isinstance(crops, torch.Tensor) else crops[0])
            if turn:
                rates[name].append(seen / (time.process_time() - began))
    return rates


def cold_reads(corpus: Corpus, data: Path) -> dict[str, float]:
    """Return images a second that reading alone gives, in both orders, with the shards out of the page cache."""
    rates = {}
    for sampling in (Sampling(), Sampling(order="shard_blocks")):
        for shard in corpus.shards:
            handle = os.open(data / shard, os.O_RDONLY)
            os.fsync(handle)  # only written pages can be dropped
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)
        reader, rows = ShardReader(data), corpus.order(sampling, len(corpus), 0)(0).rows.tolist()
        began = time.monotonic()
        for row in rows:
            reader.read(corpus.shards[corpus.codes[row]], int(corpus.offsets[row]), int(corpus.sizes[row]))
        rates[sampling.order] = len(rows) / (time.monotonic() - began)
    return rates


def report(rates: dict[str, list[float]], cold: dict[str, float], as_json: bool) -> None:
    """Print the table."""
    ratios = {
        name: statistics.median(mine / theirs for mine, theirs in zip(rates[OURS], found, strict=True))
        for name, found in rates.items()
    }
    medians = {name: statistics.median(found) for name, found in rates.items()}
    if as_json:
        print(json.dumps({"images_per_core_second": medians, "ours_over": ratios, "all": rates, "cold_reads": cold}))
        return
    print(f"{'':42}{'images/s and core':>18}{'ours is x times':>17}")
    for name, rate in medians.items():
        print(f"{name:42}{rate:18.0f}{ratios[name]:17.2f}")
    for name, rate in cold.items():
        print(f"reading alone, cold cache, order {name:13}{rate:14.0f}/s")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, nargs="?", help="a folder of JPEG or PNG images")
    parser.add_argument("--corpus", type=Path, help="instead of images: a corpus folder (artifacts/corpus) ...")
    parser.add_argument("--data", type=Path, help="... and the published data it points to (data)")
    parser.add_argument("--count", type=int, default=512, help="images to take [512]")
    parser.add_argument("--repeat", type=int, default=7, help="counted repetitions [7]")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--cold", action="store_true", help="also time reading alone with a cold page cache")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if (asked.images is None) == (asked.corpus is None or asked.data is None):
        parser.error("give a folder of images, or --corpus and --data")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if asked.images is not None:
            make_corpus(asked.images, asked.count, work)
        corpus, data = asked.corpus or work / "corpus", asked.data or work / "data"
        rates = measure(arms_of(work, corpus, data, asked.batch), asked.repeat)
        report(rates, cold_reads(Corpus(corpus), data) if asked.cold else {}, asked.json)


if __name__ == "__main__":
    main()
