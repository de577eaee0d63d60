"""The pretraining recipe: everything that decides the weights, as presets (data) with overrides.

A number without a public source for PanDerm takes the CAE v2 base script's value, the recipe PanDerm builds on, and says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, model_validator

from panderm.core.config import FrozenConfig, added
from panderm.imaging.preprocessing import Preprocessing
from panderm.models.encoder import EncoderConfig
from panderm.models.masking import MaskingConfig
from panderm.models.regressor import RegressorConfig
from panderm.models.teacher import TeacherConfig
from panderm.training.place import Precision
from panderm.training.sampling import Sampling
from panderm.training.start import StartConfig

PresetName = Literal["tiny", "small", "base", "large"]
_PRESETS = Path(__file__).parents[1] / "models" / "presets"


class Augmentation(FrozenConfig):
    """What happens to an image before both networks see it; student and teacher get the same box of the same image.

    Attributes:
        crop_min: smallest share of the image's area in a crop (0.4: CAE v2 scripts; the paper names no number).
        crop_max: largest share.
        flip: probability of a horizontal flip (paper, Methods).
        jitter: strength of brightness, contrast and saturation jitter (0: colour is diagnostic; CAE v2 scripts use 0.4, the
            paper names none).
        interpolation: ``bicubic`` (CAE v2 scripts) or ``bilinear``, antialiased.
    """

    crop_min: float = Field(default=0.4, gt=0, le=1)
    crop_max: float = Field(default=1.0, gt=0, le=1)
    flip: float = Field(default=0.5, ge=0, le=1)
    jitter: float = Field(default=0.0, ge=0, lt=1)
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"

    @model_validator(mode="after")
    def _ordered(self) -> Augmentation:
        if self.crop_min > self.crop_max:
            raise ValueError(f"crop_min {self.crop_min} is above crop_max {self.crop_max}")
        return self


class Optimisation(FrozenConfig):
    """AdamW with a per-step warm-up and cosine decay.

    Attributes:
        batch: images a step, over all processes (1920 = 4 x 480: paper, Methods).
        epochs: passes over the corpus (500: paper).
        warmup_epochs: linear from 0 (20: paper).
        learning_rate: peak, absolute: no scaling with the batch (1.5e-3: paper).
        min_learning_rate: end of the cosine (1e-5: CAE default).
        weight_decay: constant; vectors and biases have none (0.05: CAE v2 scripts).
        clip: largest global gradient norm (3.0: CAE v2 scripts).
        beta_1: AdamW (torch default, as in CAE v2).
        beta_2: AdamW (torch default, as in CAE v2).
        decay_tokens: whether class and mask token are decayed like matrices (the official code does: they are not vectors).
        precision: of the student's products: ``auto`` is bfloat16 autocast on a GPU and float32 on a CPU; ``bf16`` also pays on
            a CPU with AMX (docs/performance.md). Weights, gradients and moments are float32 always.
    """

    batch: int = Field(default=1920, gt=0)
    epochs: int = Field(default=500, gt=0)
    warmup_epochs: float = Field(default=20, ge=0)
    learning_rate: float = Field(default=1.5e-3, gt=0)
    min_learning_rate: float = Field(default=1e-5, ge=0)
    weight_decay: float = Field(default=0.05, ge=0)
    clip: float = Field(default=3.0, gt=0)
    beta_1: float = Field(default=0.9, ge=0, lt=1)
    beta_2: float = Field(default=0.999, ge=0, lt=1)
    decay_tokens: bool = added(True)
    precision: Precision = added("auto")


class Recipe(FrozenConfig):
    """Everything that decides the weights, besides the corpus.

    Attributes:
        encoder: the student.
        drop_path: stochastic depth of the encoder (0.1: CAE v2 scripts; the paper names none).
        regressor: predicts masked latents.
        teacher: gives the targets.
        masking: which patches are hidden.
        augmentation: crops and flips.
        sampling: weights, fraction and order of the corpus.
        optimisation: AdamW and its schedule.
        seed: of weights, order, crops, masks and stochastic depth.
        start: weights to begin with (paper, Methods: an ImageNet-pretrained model; which file is not public, so none here).
    """

    encoder: EncoderConfig = EncoderConfig()
    drop_path: float = Field(default=0.1, ge=0, lt=1)
    regressor: RegressorConfig = RegressorConfig()
    teacher: TeacherConfig = TeacherConfig()
    masking: MaskingConfig = MaskingConfig()
    augmentation: Augmentation = Augmentation()
    sampling: Sampling = added(Sampling())
    optimisation: Optimisation = Optimisation()
    seed: int = Field(default=0, ge=0)
    start: StartConfig | None = added(None)

    @property
    def preprocessing(self) -> Preprocessing:
        """How images are prepared for the finished encoder: its input size, 256 : 224 before the centre crop."""
        size = self.encoder.image_size
        return Preprocessing(size=size, resize=round(size * 256 / 224))


def preset(name: PresetName, overrides: dict[str, Any] | None = None) -> Recipe:
    """Return a preset with ``overrides`` (nested, same keys) laid over it.

    Raises:
        ConfigError: an override is not a key of the recipe, or its value is out of range.
    """
    values = yaml.safe_load((_PRESETS / f"{name}.yaml").read_text())
    return Recipe.parse(_merge(values, overrides or {}), where=f"preset {name} with pretrain.overrides")


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        nested = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merge(result[key], value) if nested else value
    return result
