from __future__ import annotations

import pytest

from panderm.core.errors import InputError
from panderm.serving import model_configs as configs


def test_ensemble__wires_each_step_to_the_next() -> None:
    made = configs.ensemble(
        "ham10000", 3, ["p", "e", "h"], answer=configs.of_classes(7), batching=configs.Batching(), facts={"labels": "[]"}
    )
    steps = made["ensemble_scheduling"]["step"]
    assert [(*step["input_map"], *step["output_map"]) for step in steps] == [
        ("image_bytes", "image"),
        ("image", "feature"),
        ("feature", "probabilities"),
    ]
    assert made["version_policy"]["specific"]["versions"] == ["3"]
    assert made["output"][0]["label_filename"] == "3/labels.txt"


def test_ensemble__of_a_whole_network_has_two_steps() -> None:
    made = configs.ensemble("isic2024", 1, ["p", "n"], answer=configs.of_classes(2), batching=configs.Batching(), facts={})
    assert [step["output_map"] for step in made["ensemble_scheduling"]["step"]] == [
        {"image": "image"},
        {"probabilities": "probabilities"},
    ]


def test_ensemble__of_a_mask_gives_its_square_without_labels() -> None:
    answer = configs.of_mask(32)
    made = configs.ensemble("ham10000_seg", 1, ["p", "n"], answer=answer, batching=configs.Batching(), facts={})
    assert made["ensemble_scheduling"]["step"][1]["output_map"] == {"mask": "mask"}
    assert made["output"] == [{"name": "mask", "data_type": "TYPE_FP32", "dims": [32, 32]}]
    assert configs.network(32, "uint8", answer, configs.Batching())["output"] == made["output"]


def test_pbtxt__comes_back_as_it_was() -> None:
    config = {"name": "e", **configs.encoder(32, "uint8", 8, configs.Batching(max_batch_size=4))}
    text = configs.to_pbtxt(config)
    assert 'platform: "onnxruntime_onnx"' in text
    assert configs.to_pbtxt(configs.from_pbtxt(text, "e")) == text


def test_pbtxt__mistyped_field_is_our_own_mistake() -> None:
    with pytest.raises(Exception, match="max_batch_sise"):
        configs.to_pbtxt({"max_batch_sise": 4})


def test_pbtxt__damaged_text_is_named() -> None:
    with pytest.raises(InputError, match="somewhere is not a model configuration"):
        configs.from_pbtxt("name: 'x", "somewhere")
