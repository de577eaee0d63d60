from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from dagster_project import asking
from panderm.core.files import read_json
from panderm.core.layout import Layout
from panderm.serving.client import Client, Prediction, Segmentation

ANSWERS = {
    "ham10000": Prediction("ham10000", 3, ("mel", "nv"), (0.25, 0.75)),
    "ham10000_seg": Segmentation("ham10000_seg", 2, "lesion", np.pad(np.ones((4, 4)), 2).astype(np.float32), 16, 16),
    "pad_ufes": Prediction("pad_ufes", 1, ("bcc", "nev"), (0.5, 0.5)),
}


def test_ask_triton__asks_classifiers_and_segmentations_and_keeps_a_classifiers_answer(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = ("ham10000_seg", "ham10000", "pad_ufes")
    monkeypatch.setattr("panderm.serving.repository.served_tasks", lambda _: released)
    monkeypatch.setattr(asking, "_server", lambda *_: nullcontext("127.0.0.1:1"))
    monkeypatch.setattr(asking, "_test_image", lambda *_: (Path("one.jpg"), "some label"))
    monkeypatch.setattr(Client, "ask", lambda _, task, __: ANSWERS[task])
    lines: list[str] = []
    rows = asking.ask_triton(layout, lines.append)
    assert [(row["task"], row["version"], row["answer"]) for row in rows] == [
        ("ham10000_seg", 2, "lesion on 25.0% of the picture"),
        ("ham10000", 3, "nv 0.7500"),
        ("pad_ufes", 1, "bcc 0.5000"),
    ]
    assert lines[0] == "ham10000_seg version 2 answers lesion on 25.0% of the picture; the label is some label"
    assert read_json(layout.work / asking.ANSWER)["task"] == "ham10000"
