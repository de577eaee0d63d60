"""Our linear probe beside the published form of it, on the same features, in one run; and what probing every benchmark costs.

    python benchmarks/probe_speed.py             # features with spectra as of networks, and those of the workspace's encoder
    python benchmarks/probe_speed.py --part cost  # 28 tasks x 5 fractions, and peak memory at 60,000 rows, 128 classes

The published form is written out here from its facts: a linear layer with torch's own start under seed 0, full-batch
L-BFGS in float32 (lr 1, 1,000 iterations, 100 updates remembered, strong Wolfe), mean cross-entropy + (1 / K) * 0.5 * norm(W)
with K = M * C / 100. Both see the same arrays; AUROC is of rows that neither has seen.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from panderm.catalog import BENCHMARKS, Benchmark
from panderm.core.files import write_text
from panderm.core.layout import Layout
from panderm.core.progress import progress
from panderm.evaluation.bootstrap import auroc
from panderm.tasks.linear_probe import Features, Targets, fit
from panderm.training.finetune_recipe import LinearProbeRecipe

UNSEEN = 4000  # simulated rows that AUROC is taken on
FRACTIONS = (0.05, 0.1, 0.2, 0.5, 1.0)
SIMULATED = (  # rows, classes, how the variances fall (1 / i^fall); all 1,024 wide as ViT-L
    (1_400, 6, 1.0),
    (6_000, 7, 1.0),
    (6_000, 7, 2.0),
    (20_000, 2, 1.0),
    (20_000, 16, 1.0),
)


class Given(NamedTuple):
    """Features to fit and to judge on."""

    name: str
    train: tuple[Features, Targets]
    test: tuple[Features, Targets]
    classes: int


class Fit(NamedTuple):
    """A fitted head: weight (C, D), bias (C,), passes over the features."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    passes: int


def published(features: Features, targets: Targets, classes: int, most: int = 1000) -> Fit:
    """Fit as the public code does, with ``most`` iterations."""
    x, y = torch.from_numpy(features), torch.from_numpy(targets)
    torch.manual_seed(0)
    head = torch.nn.Linear(x.shape[1], classes)
    optimizer = torch.optim.LBFGS(head.parameters(), lr=1, max_iter=most, history_size=100, line_search_fn="strong_wolfe")
    passes = 0

    def closure() -> float:
        nonlocal passes
        passes += 1
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(head(x), y) + 100 / (x.shape[1] * classes) * 0.5 * head.weight.norm()
        torch.autograd.backward(value)
        return float(value.detach())

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return Fit(head.weight.detach().numpy(), head.bias.detach().numpy(), passes)


def ours(features: Features, targets: Targets, classes: int, most: int = 1000) -> Fit:
    """Fit as the stage does, with ``most`` iterations."""
    probe = fit(LinearProbeRecipe(max_iter=most), features, targets, classes)
    return Fit(probe.weight, probe.bias, len(probe.objective))


def simulated(rows: int, classes: int, fall: float, width: int = 1024, seed: int = 0) -> tuple[Features, Targets]:
    """Draw features whose variances fall like 1 / i^fall along their directions, with class means among them and an offset."""
    rng = np.random.default_rng(seed)
    deviation = np.arange(1, width + 1, dtype=np.float32) ** np.float32(-fall / 2)
    deviation *= np.sqrt(width / np.square(deviation).sum())
    targets = rng.integers(0, classes, size=rows)
    means = rng.standard_normal((classes, width), dtype=np.float32) * deviation * np.float32(2.4 / np.sqrt(width))
    features = rng.standard_normal((rows, width), dtype=np.float32)
    features *= deviation
    features += means[targets] + rng.standard_normal(width, dtype=np.float32)
    return features, targets.astype(np.int64)


def simulated_case(rows: int, classes: int, fall: float) -> Given:
    """Draw rows to fit on and rows to judge on."""
    features, targets = simulated(rows + UNSEEN, classes, fall)
    train, test = (features[:rows], targets[:rows]), (features[rows:], targets[rows:])
    return Given(f"simulated, variances 1/i^{fall:g}", train, test, classes)


def workspace_cases(layout: Layout) -> list[Given]:
    """Return the features of every diagnosis task that the workspace has a split for, by its encoder."""
    from panderm.catalog import runnable_benchmarks
    from panderm.tasks.rows import read_rows
    from panderm.training.features import features

    found = []
    for task in runnable_benchmarks():
        if task.kind != "diagnosis" or not (layout.split(task.key) / "split.parquet").is_file():
            continue
        frame = read_rows(task, layout.split(task.key)).frame
        table = features(layout.pretrained, frame, layout.data, layout.features, what=task.key)
        target, split = frame["target"].to_numpy(dtype=np.int64), frame["split"].to_numpy()
        part = {name: (table[split == name], target[split == name]) for name in ("train", "test")}
        found.append(Given(f"{task.key} of this workspace", part["train"], part["test"], len(task.classes)))
    return found


def judged(made: Fit, given: Given) -> float:
    """Return the AUROC of the second of two classes, or the mean of one against the rest over the classes present."""
    features, targets = given.test
    scores = features @ made.weight.T + made.bias
    if given.classes == 2:
        return auroc(targets == 1, scores[:, 1] - scores[:, 0])
    scores = torch.softmax(torch.from_numpy(scores), dim=1).numpy()
    values = [auroc(targets == index, scores[:, index]) for index in range(given.classes)]
    return float(np.nanmean(values))


def timed(way: Callable[[Features, Targets, int], Fit], given: Given) -> tuple[Fit, float, float]:
    """Return the fit, its wall seconds and its processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    made = way(*given.train, given.classes)
    return made, time.perf_counter() - wall, time.process_time() - processor


def side_by_side(cases: list[Given], repeats: int) -> str:
    """Fit each case both ways in turn and return the table; seconds are medians, the ratio is of processor seconds."""
    lines = [
        "| features | rows x width, classes | published: passes | seconds | AUROC | ours: passes | seconds | AUROC | faster |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for given in cases:
        runs = [(timed(published, given), timed(ours, given)) for _ in range(repeats)]
        (theirs, *_), (mine, *_) = runs[0]
        wall = [statistics.median(run[way][1] for run in runs) for way in (0, 1)]
        ratio = statistics.median(run[0][2] / run[1][2] for run in runs)
        rows, width = given.train[0].shape
        lines.append(
            f"| {given.name} | {rows:,} x {width}, {given.classes} "
            f"| {theirs.passes} | {wall[0]:.2f} | {judged(theirs, given):.4f} "
            f"| {mine.passes} | {wall[1]:.2f} | {judged(mine, given):.4f} | {ratio:.1f} x |"
        )
        print(lines[-1], flush=True)
    return "\n".join(lines)


def size(task: Benchmark) -> tuple[int, int]:
    """Return training rows (the paper's images times the task's share for training) and classes of a benchmark."""
    from re import search

    stated = {"tbp_screening": 196_933}.get(task.key)
    found = search(r"[\d,]+", task.images_stated)
    images = stated or int(found.group().replace(",", "") if found else 0)
    return round(images * (task.shares or (0.6,))[0]), max(2, len(task.classes))


def every_benchmark() -> str:
    """Probe each benchmark at the paper's size and each fraction of the labels, features read from a cache on disk."""
    shares = " | ".join(f"{share:.0%}" for share in FRACTIONS)
    lines = [f"| task | rows | classes | read from the cache, s | {shares} |", "|---|" + "---|" * (3 + len(FRACTIONS))]
    total = 0.0
    for task in progress(BENCHMARKS, what="probe", total=len(BENCHMARKS)):
        rows, classes = size(task)
        cells = probed(*simulated(rows, classes, 1.0, seed=task.number), classes)
        total += sum(cells)
        lines.append(f"| {task.key} | {rows:,} | {classes} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |")
        print(lines[-1], flush=True)
    return "\n".join([*lines, "", f"{len(BENCHMARKS) * len(FRACTIONS)} probes in {total:.0f} s, reading included"])


def probed(features: Features, targets: Targets, classes: int) -> list[float]:
    """Return the seconds that reading all features from a cache takes, then those of a probe on each fraction."""
    with tempfile.TemporaryDirectory() as folder:
        ask = cached(Path(folder), features)
        began = time.perf_counter()
        read = ask()
        cells = [time.perf_counter() - began]
    assert (read == features).all()
    for share in FRACTIONS:
        kept = max(classes, round(share * len(read)))
        began = time.perf_counter()
        ours(read[:kept], targets[:kept], classes)
        cells.append(time.perf_counter() - began)
    return cells


def cached(folder: Path, rows: Features) -> Callable[[], Features]:
    """Lay features out as the stage's cache and return what asks it for all of them; no image is there to compute one from."""
    from panderm.imaging.preprocessing import Preprocessing
    from panderm.models.encoder import CARD_NAME, EncoderCard, EncoderConfig
    from panderm.training import features as stage

    card = EncoderCard(architecture=EncoderConfig(width=rows.shape[1]), preprocessing=Preprocessing())
    write_text(folder / CARD_NAME, card.model_dump_json())
    names = [f"{number:064x}" for number in range(len(rows))]
    frame = pd.DataFrame({"image_id": names, "stored_sha256": names})
    home = folder / stage.folder_of(card)
    home.mkdir()
    for first in range(0, len(rows), stage.PART_IMAGES):
        part = slice(first, first + stage.PART_IMAGES)
        stage.store(home, frame.iloc[part], rows[part])
    return lambda: stage.features(folder, frame, folder, folder)


def peak(way: str) -> str:
    """Say how much memory a fit of 60,000 x 1,024 features and 128 classes takes at most, beyond the features."""
    features, targets = simulated(60_000, 128, 1.0)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak that drawing the features has left (Linux)
    before, began = resident("VmRSS"), time.perf_counter()
    # The optimisers' memories of 20 and 100 updates are full after as many iterations; more would take no byte more.
    made = ours(features, targets, 128, most=25) if way == "ours" else published(features, targets, 128, most=110)
    took, most = time.perf_counter() - began, resident("VmHWM")
    sizes = (most, features.nbytes / 2**20, most - before)
    return f"| {way} | " + " | ".join(f"{megabytes:.0f} MB" for megabytes in sizes) + f" | {made.passes} | {took:.0f} |"


def resident(what: str) -> float:
    """Return a line of /proc/self/status in MB: ``VmRSS``, memory held now, or ``VmHWM``, its peak."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


def memory() -> str:
    """Return the table of peaks, each from a process of its own."""
    lines = [
        "| 60,000 x 1,024, 128 classes | peak of the process | features | the fit adds | passes | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for way in ("ours", "published"):
        command = [sys.executable, __file__, "--peak", way]
        lines.append(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())
    return "\n".join(lines)


def main() -> None:
    """Print the tables and write them to ``reports/``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["side", "cost"], default="side")
    parser.add_argument("--repeats", type=int, default=3, help="times each is fitted; medians are told")
    parser.add_argument("--peak", choices=["ours", "published"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(peak(options.peak))
        return
    layout = Layout.here()
    ours(*simulated(200, 2, 1.0), 2)  # first use of the libraries
    parts = [f"{torch.get_num_threads()} threads"]
    if options.part == "cost":
        parts += [memory(), every_benchmark()]
    else:
        cases = [simulated_case(*case) for case in SIMULATED] + workspace_cases(layout)
        parts += [f"{options.repeats} fits each", side_by_side(cases, options.repeats)]
    text = "\n\n".join(parts) + "\n"
    write_text(Path(layout.reports) / f"probe_{options.part}.md", text)
    print(text)


if __name__ == "__main__":
    main()
