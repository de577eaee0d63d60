"""Every `panderm pretrain --set ...` that a page shows is one that the command takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from panderm.core.config import override
from panderm.models.teacher import fitting_size
from panderm.pretrain import Config

_ROOT = Path(__file__).parents[1]
_SHOWN = sorted(
    {
        match.group(0).split("  #")[0].strip()
        for page in (_ROOT / "README.md", *(_ROOT / "docs").glob("*.md"))
        for match in re.finditer(r"panderm pretrain --[^`|\n]*", page.read_text())
    }
)


@pytest.mark.parametrize("line", _SHOWN)
def test_a_pretraining_that_a_page_shows_is_one_that_runs(line: str) -> None:
    words = shlex.split(line)
    given = [words[at + 1] for at, word in enumerate(words) if word == "--set"]
    presets = [words[words.index("--preset") + 1]] if "--preset" in words else ["tiny", "small"]
    for preset in presets:
        config = Config.parse(override({"preset": preset}, tuple(given)))
        recipe = config.recipe()
        assert recipe.teacher.image_size == fitting_size(recipe.teacher, recipe.encoder.grid)
