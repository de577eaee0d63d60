"""The page that leads from the paper to the code names what is there, and quotes settings as they are."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from panderm.tasks.screening_recipe import ScreeningRecipe
from panderm.training.change_recipe import ChangeRecipe
from panderm.training.finetune_recipe import FineTuneRecipe, LinearProbeRecipe
from panderm.training.recipe import preset
from panderm.training.segmentation_recipe import SegmentationRecipe
from panderm.training.slides_recipe import SlidesRecipe

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "paper_to_code.md").read_text()
LINKS = sorted(set(re.findall(r"\[`([\w/]+\.(?:py|yaml))(?::([\w.]+))?`\]\(([^)]+)\)", PAGE)))
SETTINGS = sorted(set(re.findall(r"`(\w+): ([\w.]+) = ([^`]+)`", PAGE)))
PAGES = sorted({target for target in re.findall(r"\]\(([^)#]+)", PAGE) if not target.startswith("../panderm/")})


@cache
def recipes() -> dict[str, Any]:
    return {
        "large": preset("large"),
        "linear_probe": LinearProbeRecipe(),
        "fine_tuning": FineTuneRecipe(),
        "segmentation": SegmentationRecipe(),
        "total_body": ScreeningRecipe(),
        "change": ChangeRecipe(),
        "slides": SlidesRecipe(),
    }


def defined(tree: ast.AST) -> dict[str, ast.AST]:
    """Names that a module's or class's body gives, without importing it."""
    found: dict[str, ast.AST] = {}
    for node in getattr(tree, "body", []):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = node
        elif isinstance(node, ast.Assign):
            found |= {name.id: node for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    return found


@pytest.mark.parametrize(("path", "name", "target"), LINKS)
def test_page__names_what_exists(path: str, name: str, target: str) -> None:
    assert target == f"../panderm/{path}", "the link leads elsewhere"
    file = ROOT / "panderm" / path
    assert file.is_file(), f"panderm/{path} does not exist"
    node: ast.AST = ast.parse(file.read_text()) if name else ast.Module([], [])
    for part in name.split(".") if name else []:
        assert part in defined(node), f"panderm/{path} defines no {name}"
        node = defined(node)[part]


@pytest.mark.parametrize(("recipe", "key", "value"), SETTINGS)
def test_page__quotes_settings_as_they_are(recipe: str, key: str, value: str) -> None:
    found = recipes()[recipe]
    for part in key.split("."):
        found = getattr(found, part)
    assert found == yaml.safe_load(value), f"{recipe}: {key} is {found}"


def test_page__covers_the_methods_and_leads_to_pages_that_exist() -> None:
    assert len(LINKS) > 60
    assert len(SETTINGS) > 30
    for page in PAGES:
        assert (ROOT / "docs" / page).is_file(), f"docs/{page} does not exist"
