from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from panderm.catalog import Benchmark, benchmark
from panderm.core.files import write_bytes
from panderm.core.terms import UNKNOWN, Input
from panderm.models.encoder import load_card
from panderm.models.task_model import load_model_card
from panderm.tasks.cards import write_card
from panderm.tasks.kinds import Fitted, Given

HIBA = benchmark("hiba")
SAID = [("train", "CC-BY-NC"), ("train", "CC-0"), ("val", "CC-0"), ("train", None), ("test", "CC-BY")]


def test_write_card__names_the_terms_of_the_images_that_were_learnt_from(
    make_given: Callable[[Benchmark, list[dict[str, Any]]], Given], tmp_path: Path
) -> None:
    pixels = np.zeros((40, 40, 3), dtype=np.uint8)
    texts = [(split, json.dumps({"copyright_license": terms}) if terms else None) for split, terms in SAID]
    given = make_given(
        HIBA, [{"pixels": pixels, "label": HIBA.classes[0], "split": s, "attributes": text} for s, text in texts]
    )
    write_bytes(tmp_path / "head.safetensors", b"weights")
    fitted = Fitted("head.safetensors", "linear_probe", {}, {})
    card = write_card(HIBA, given.rows, load_card(given.encoder), fitted, tmp_path, given.data)
    wanted = [("CC-0", 2), ("CC-BY-NC", 1), (UNKNOWN, 1)]
    assert card.inputs == tuple(Input(name="benchmarks/hiba", licence=terms, images=images) for terms, images in wanted)
    assert load_model_card(tmp_path).inputs == card.inputs
