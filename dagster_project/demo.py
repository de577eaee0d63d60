"""``make demo``: synthetic deliveries if nothing has landed, then the plan headless, then what came out of it."""

import argparse
import logging
import os
import signal
import sys
import time
from pathlib import Path

import dagster as dg

from dagster_project.instance import HOME_VARIABLE, prepare_home
from dagster_project.recording import prepare_workspace
from dagster_project.summary import summary
from dagster_project.terminal import LOG_FORMAT, AssetLines, console, everything_else_to
from panderm.catalog import demo_datasets
from panderm.core.errors import PanDermError
from panderm.core.files import exclusive
from panderm.core.layout import WORKSPACE_VARIABLE, Layout

LOG = "demo.log"  # below DAGSTER_HOME


def main(arguments: list[str] | None = None) -> int:
    """Run the demo and return the exit status: 0, 1 if an asset failed, or the error's own for a wrong input."""
    options = _parser().parse_args(arguments)
    # Started in the background by a script, SIGINT is ignored from birth; Dagster would then ignore SIGTERM too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    root = (options.workspace or Layout.here().root).resolve()
    root.mkdir(parents=True, exist_ok=True)
    os.environ[WORKSPACE_VARIABLE] = str(root)
    if options.workspace:
        os.environ[HOME_VARIABLE] = str(root / ".dagster_home")
    try:
        return _run(Layout(root), synthesize=options.synthesize)
    except PanDermError as error:
        print(f"demo: {error}", file=sys.stderr)
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dagster_project.demo", description=__doc__)
    parser.add_argument("--workspace", type=Path, help="folder to work in [default: $PANDERM_WORKSPACE or the current folder]")
    parser.add_argument(
        "--synthesize",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="write synthetic deliveries when landing/ is empty [default: yes]; what has landed is never touched",
    )
    return parser


def _run(layout: Layout, *, synthesize: bool) -> int:
    began = time.monotonic()
    home = prepare_home(layout.root)
    prepare_workspace(layout)
    with exclusive(home, "another demo"), everything_else_to(home / LOG) as terminal:
        lines = AssetLines(terminal)
        lines.say(f"workspace {layout.root}; Dagster's own words are in {home / LOG}")
        if synthesize:
            _deliver(layout, lines)
        _run_plan(layout, lines, home / LOG)
    for line in summary(layout):
        print(line)
    print(f"\n{time.monotonic() - began:.0f} s in all; `make ui` shows the same runs")
    for heading, sentences in (("held back", lines.blocked), ("failed", lines.failures)):
        for sentence in sentences:
            print(f"{heading}: {sentence}")
    return 1 if lines.failures else 0


def _deliver(layout: Layout, lines: AssetLines) -> None:
    landing = layout.root / "landing"
    if landing.is_dir() and any(not path.name.startswith(".") for path in landing.iterdir()):
        return
    from panderm import synthesize

    lines.say("landing/ is empty: drawing synthetic deliveries")
    began = time.monotonic()
    record = synthesize.run(synthesize.Config(), [dataset.key for dataset in demo_datasets()], landing)
    lines.say(f"    {record.counts['files']} files of {record.counts['datasets']} datasets {time.monotonic() - began:.1f} s")


def _run_plan(layout: Layout, lines: AssetLines, log: Path) -> None:
    from dagster_project.definitions import defs
    from dagster_project.headless import Headless

    to_file = logging.FileHandler(log)
    to_file.setFormatter(logging.Formatter(LOG_FORMAT))
    with dg.DagsterInstance.get() as instance:
        Headless(defs(), instance, console(lines, to_file)).run(layout, announce=lines.say)


if __name__ == "__main__":
    sys.exit(main())
