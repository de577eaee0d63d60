"""What a user may say about a file that the file does not say itself."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from panderm.core.config import FrozenConfig
from panderm.imaging.preprocessing import Preprocessing

Pixels = Literal["official", "imagenet", "clip", "half"]
Layout = Literal["official_pretraining", "official_encoder", "official_fine_tuned", "timm", "open_clip"]

LAYOUTS: dict[Layout, str] = {
    "official_pretraining": "an official pretraining file (encoder, regressor, head)",
    "official_encoder": "an official encoder",
    "official_fine_tuned": "an official fine-tuned network",
    "timm": "a timm ViT",
    "open_clip": "an open_clip image tower",
}

_Three = tuple[float, float, float]
_PIXELS: dict[Pixels, tuple[_Three, _Three]] = {
    "official": ((0.485, 0.456, 0.406), (0.228, 0.224, 0.225)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
_USUAL: dict[Layout, Pixels] = {
    "official_pretraining": "official",
    "official_encoder": "official",
    "official_fine_tuned": "official",
    "timm": "imagenet",
    "open_clip": "clip",
}
_LICENCES: dict[Layout, str] = {
    "official_pretraining": "CC-BY-NC-ND-4.0",
    "official_encoder": "CC-BY-NC-ND-4.0",
    "official_fine_tuned": "CC-BY-NC-ND-4.0",
    "timm": "that of the imported weights",
    "open_clip": "that of the imported weights",
}


class ImportOptions(FrozenConfig):
    """What decides an import besides the file.

    Attributes:
        parts: ``all``, or ``encoder`` to leave regressor, mask token and head behind.
        heads: attention heads of the encoder; 0 takes the layout's rule (``sizes.py``), as no tensor tells.
        regressor_heads: of the regressor; 0 reads them from the rows of its query weight (1020: 12 x 85, 1024: 16 x 64).
        image_size: input side for timm and open_clip weights, pixels; 0 keeps that of their position table.
        positions: for timm and open_clip weights: ``keep`` their learnt table (resized if the grid changes), or put the
            recipe's ``sincos`` table in its place. Either way the table is frozen from here on.
        activation: of an open_clip tower's MLPs; ``auto``: ``quick_gelu`` for OpenAI's own files, else ``gelu``.
        pixels: which mean and deviation the weights expect; empty takes the layout's own: ``official`` is the official
            evaluation's, with 0.228 for red.
        licence: terms of the weights; empty takes the layout's (CC-BY-NC-ND-4.0 for official files).
    """

    parts: Literal["all", "encoder"] = "all"
    heads: int = Field(default=0, ge=0)
    regressor_heads: int = Field(default=0, ge=0)
    image_size: int = Field(default=0, ge=0)
    positions: Literal["keep", "sincos"] = "keep"
    activation: Literal["auto", "gelu", "quick_gelu"] = "auto"
    pixels: Pixels | None = None
    licence: str = ""

    def preprocessing(self, layout: Layout, size: int) -> Preprocessing:
        """Return how an image becomes the input: the official evaluation's resize and crop, for CLIP its own."""
        mean, std = _PIXELS[self.pixels or _USUAL[layout]]
        if layout == "open_clip":  # its evaluation transform: short side to the input size, bicubic
            return Preprocessing(size=size, resize=size, interpolation="bicubic", mean=mean, std=std)
        return Preprocessing(size=size, resize=round(size * 256 / 224), mean=mean, std=std)

    def terms(self, layout: Layout) -> str:
        """Return the licence that goes onto the card."""
        return self.licence or _LICENCES[layout]
