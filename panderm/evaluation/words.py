"""What a figure is called for people: ``auroc`` is AUROC, ``weighted_f1`` is weighted F1."""

from __future__ import annotations

_NAMES = {
    "auroc_malignant_change": "AUROC for malignant change",
    "auroc_one_vs_rest": "AUROC, each against the rest",
    "auroc_ovo": "AUROC over pairs of classes",
    "auroc_pixel_difference": "AUROC of the pixel difference alone, without a network",
    "auroc_pooled": "AUROC, all folds together",
    "dice_served": "Dice of the network that is served",
    "jaccard_served": "Jaccard of the network that is served",
    "kappa": "kappa, quadratic weights",
    "risk_auroc": "AUROC of the risk head, high against low",
    "trees_auroc": "AUROC of the extra trees, malignant against not",
}
_WORDS = {
    "auroc": "AUROC",
    "auc": "AUC",
    "aupr": "AUPR",
    "f1": "F1",
    "brier": "Brier score",
    "dice": "Dice",
    "jaccard": "Jaccard",
}


def words(name: str) -> str:
    """Return what a figure is called for people."""
    return _NAMES.get(name) or " ".join(_WORDS.get(part, part) for part in name.split("_"))
