"""How long does one optimiser step of pretraining take, where does the time go, and how near is that to what the machine can?

    python benchmarks/pretrain_step.py --preset base --teacher ViT-B-16 --batch 8        # a CPU, both precisions of the teacher
    python benchmarks/pretrain_step.py --preset base --teacher ViT-B-16 --batch 8 --compare naive
    python benchmarks/pretrain_step.py --preset large --batch 480 --device cuda --compile --steps 30
    python benchmarks/pretrain_step.py --preset large --batch 480 --device cuda --compile --corpus artifacts/corpus --data data

Each arm runs in a process of its own. On a CPU they take their steps in turns, so that other work on the machine falls on all
of them, and the figure to compare is the least CPU time of a step; on a GPU one runs after the other, without any waiting for
the device between steps. Teachers have random weights of the named architecture: nothing is fetched, and time does not depend
on values. The ceiling is measured: the best of repeated large matrix products in the precision that each network computes in.
"MFU" is the share of the step that all its products (panderm/training/flops.py) would take at that ceiling.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from step_arm import Arm, Options, serve

_SHARES = ("teacher", "forward", "backward", "optimizer", "data")


def options() -> tuple[Options, argparse.Namespace]:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--preset", default="base", choices=["tiny", "small", "base", "large"], help="the recipe [base]")
    add("--teacher", default="", help="open_clip model, with random weights [the preset's; `random`: the preset's small one]")
    add("--batch", type=int, default=8, help="images a step, on this one device [8]")
    add("--steps", type=int, default=5, help="measured steps of each arm [5]")
    add("--warmup", type=int, default=2, help="steps before them, more with --compile [2]")
    add("--device", default="auto", choices=["auto", "cpu", "cuda"], help="[auto: a GPU if there is one]")
    add("--threads", type=int, default=0, help="of torch on a CPU [0: all cores]")
    add("--precision", nargs="+", default=[], choices=["auto", "fp32", "bf16", "fp16"], metavar="P", help=_PRECISION)
    add("--student-precision", default="auto", choices=["auto", "fp32", "bf16"], help=_STUDENT)
    add("--drop-path", type=float, default=None, help="stochastic depth of encoder and regressor [the preset's]")
    add("--compile", action="store_true", help="run student and teacher through torch.compile")
    add("--checkpointing", action="store_true", help="keep only what enters each block, compute the rest twice")
    add("--compare", choices=["naive"], default=None, help="measure the plainly written step beside it (plain_step.py)")
    add("--corpus", type=Path, default=None, help="folder of a corpus table, with --data: read real shards [synthetic pixels]")
    add("--data", type=Path, default=None, help="folder of the published datasets")
    add("--workers", type=int, default=1, help="loading processes for --corpus [1]")
    add("--json", action="store_true", help="print one JSON object instead of the table")
    found = parser.parse_args()
    if (found.corpus is None) != (found.data is None):
        parser.error("--corpus and --data belong together")
    names = set(Options._fields)
    return Options(**{name: value for name, value in vars(found).items() if name in names}), found


_PRECISION = "of the teacher's products, an arm each: auto fp32 bf16 fp16 [on a CPU `auto fp32`, on a GPU `auto`]"


_STUDENT = "of the student's products, in the arms called ours [auto: bf16 on a GPU, fp32 on a CPU]"


def arms(found: argparse.Namespace, on_gpu: bool) -> list[Arm]:
    """Return what is measured."""
    precisions = found.precision or (["auto"] if on_gpu else ["auto", "fp32"])
    plain = [Arm("naive", "fp32")] if found.compare else []
    return [*plain, *(Arm("ours", precision) for precision in dict.fromkeys(precisions))]


def measure(wanted: list[Arm], settings: Options, on_gpu: bool) -> list[dict[str, Any]]:
    """Run the arms and return their figures."""
    context = multiprocessing.get_context("spawn")
    results = []
    groups = [[arm] for arm in wanted] if on_gpu else [wanted]
    for group in groups:
        lines = []
        for arm in group:
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(arm, settings, theirs), daemon=False)
            process.start()
            theirs.close()
            lines.append((ours, process))
        for _ in range(1 if on_gpu else settings.warmup + settings.steps):
            for line, _ in lines:
                line.send("step")
                line.recv()
        for line, process in lines:
            line.send("end")
            results.append(line.recv())
            process.join()
    return results


def table(results: list[dict[str, Any]]) -> str:
    """Return the figures for reading."""
    lines = [f"{'arm':28}{'s/step':>9}{'median':>9}{'img/s':>9}{'CPU-s':>9}{'MFU':>7}{'memory':>10}   share of a step"]
    for found in results:
        shares = " ".join(f"{name} {found['shares'][name]:.0%}" for name in _SHARES)
        lines.append(
            f"{found['arm']:28}{found['seconds']:9.3f}{found['seconds_median']:9.3f}{found['images_per_second']:9.1f}"
            f"{found['cpu_seconds']:9.2f}{found['mfu']:7.0%}{found['peak_gib']:7.1f} GiB   {shares}"
        )
    first = results[0]
    for found in results[1:] if len(results) > 1 else []:
        lines.append(
            f"{found['arm']} / {first['arm']}: {found['seconds'] / first['seconds']:.2f} of the time, "
            f"{found['cpu_seconds'] / first['cpu_seconds']:.2f} of the CPU time"
        )
    lines += [f"{found['arm']}: {found['note']}" for found in results]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as every training is started (panderm/training/launch.py)
    settings, found = options()
    on_gpu = settings.device == "cuda" or (settings.device == "auto" and _has_gpu())
    results = measure(arms(found, on_gpu), settings._replace(device="cuda" if on_gpu else "cpu"), on_gpu)
    print(json.dumps(results) if found.json else table(results))


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


if __name__ == "__main__":
    main()
