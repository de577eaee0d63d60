"""The recipe of a total-body screening: what makes its three arms speak, besides the risk head's own training."""

from __future__ import annotations

from pydantic import Field

from panderm.core.config import FrozenConfig
from panderm.evaluation.ugly_duckling import LEAST_LESIONS, MULTIPLE


class ScreeningRecipe(FrozenConfig):
    """Three arms, any of which recommends a lesion (paper, Methods); no number of them is public but the 32 measurements.

    Attributes:
        risk_threshold: probability of high risk from which the risk head recommends (0.5: the likelier class).
        duckling_multiple: of the interquartile range above the third quartile (1.5: Tukey's fence; ours).
        duckling_least: lesions below which none of a patient's is an outlier (ours).
        trees: extra trees (100: scikit-learn's default).
        leaf: least training lesions in a leaf (5: ours; leaves of one would make every probability 0 or 1).
        malignancy_threshold: probability of malignancy, both classes weighted alike, from which the trees recommend (ours).
        seed: of the trees.
    """

    risk_threshold: float = Field(default=0.5, gt=0, lt=1)
    duckling_multiple: float = Field(default=MULTIPLE, ge=0)
    duckling_least: int = Field(default=LEAST_LESIONS, ge=3)
    trees: int = Field(default=100, ge=1)
    leaf: int = Field(default=5, ge=1)
    malignancy_threshold: float = Field(default=0.5, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)
