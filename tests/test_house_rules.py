"""The walls of the house as tests; each message says which rule and where."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from panderm.cli.main import COMMANDS
from panderm.pipeline import STAGE_NAMES

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "panderm"
# Left may not import right; rooms of one level may import each other (docs/architecture.md, wall 3).
LEVELS: tuple[tuple[str, ...], ...] = (
    ("core", "pipeline"),
    ("catalog",),
    ("imaging", "readers", "contracts", "curation", "ingestion"),
    ("models",),
    ("training",),
    ("tasks", "evaluation", "reader_studies"),
    ("twins", "serving", "reporting"),
    (*STAGE_NAMES, "synthesize"),
    ("studies",),
    ("cli", "__main__"),
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    part = path.relative_to(PACKAGE).parts[0]
    return part.removesuffix(".py")


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports__run_one_way(path: Path) -> None:
    here = room(path)
    if here == "__init__":
        return
    assert here in LEVEL, f"{path.name}: room {here!r} stands in no level; add it to docs/architecture.md and LEVELS"
    for name in imports(path):
        assert not name.startswith("dagster"), f"{path}: panderm never imports dagster"
        there = name.split(".")[1] if name.startswith("panderm.") else ""
        if there in LEVEL and there != here:
            assert LEVEL[there] <= LEVEL[here], f"{path}: {here} may not import {there}"
            both_stages = here in STAGE_NAMES and there in STAGE_NAMES
            assert not both_stages, f"{path}: stages hand over files, they do not import each other"


def test_panderm__does_not_load_dagster_or_torch_for_its_help() -> None:
    code = "import sys; from panderm.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += (
        "bad = {'dagster', 'torch', 'pandas', 'PIL', 'great_expectations'} & set(sys.modules); sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("stage", STAGE_NAMES)
def test_stage__has_one_shape(stage: str) -> None:
    tree = ast.parse((PACKAGE / f"{stage}.py").read_text())
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert "Config" in classes, f"panderm/{stage}.py has no frozen Config"
    assert "run" in functions, f"panderm/{stage}.py has no run function"


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_command__has_its_module(command: str) -> None:
    module = f"panderm.cli.{command.replace('-', '_')}"
    assert importlib.util.find_spec(module) is not None, f"`panderm {command}` is listed but has no module"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_room__is_not_too_large(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= 400, f"{path.relative_to(ROOT)} has {lines} lines; split it where it holds two ideas"


def tracked_files() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_registry_or_a_path_of_a_machine() -> None:
    # Written in pieces, so that this file does not find itself.
    words = [
        "pypi" + ".org",
        "python" + "hosted",
        "npm" + "js.org",
        "deb.deb" + "ian.org",
        "/ro" + "ot/",
        "/wo" + "rk/",
        "/ho" + "me/",
    ]
    pattern = re.compile("|".join(re.escape(word) for word in words))
    for path in tracked_files():
        if path.suffix in {".png", ".parquet", ".safetensors", ".jpg"}:
            continue
        found = pattern.search(path.read_text(errors="ignore"))
        assert found is None, f"{path.relative_to(ROOT)} names {found.group() if found else ''}"


def test_lock__pins_everything_with_hashes() -> None:
    text = (ROOT / "requirements.lock").read_text()
    entries = re.split(r"\n(?=\S)", text.strip())
    for entry in entries:
        assert "==" in entry.split("\\")[0], f"not pinned exactly: {entry.splitlines()[0]}"
        assert "--hash=sha256:" in entry, f"no hash: {entry.splitlines()[0]}"
