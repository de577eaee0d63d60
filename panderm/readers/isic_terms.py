"""Words for diagnoses in the three schemas of the ISIC archive, and the classes they belong to.

The oldest has a column a class (``MEL``), the second one word (``diagnosis``), the newest a path of up to five levels
(``diagnosis_1`` to ``diagnosis_5``, coarse to fine). Sources: the archive's own rules (isic-metadata: ``fields.py``,
``diagnosis_hierarchical.py``) and the ground truths of the challenges 2018 to 2020.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple

Nature = Literal["benign", "malignant"]

_WORDS: dict[tuple[str, ...], str] = {
    ("mel",): "melanoma|melanoma in situ|melanoma invasive",
    ("metastasis",): "melanoma metastasis",
    ("nv",): "nevus|nevus spilus|benign melanocytic proliferations",
    ("bcc",): "basal cell carcinoma",
    ("scc",): "squamous cell carcinoma|malignant epidermal proliferations",
    ("scc", "akiec"): "squamous cell carcinoma in situ|bowen's disease",
    ("ak", "akiec"): "actinic keratosis|solar or actinic keratosis",
    ("akiec",): "",
    ("sk", "bkl"): "seborrheic keratosis",
    ("sl", "bkl"): "solar lentigo",
    ("lplk", "bkl"): "lichenoid keratosis|lichen planus like keratosis",
    ("bkl",): "pigmented benign keratosis",
    ("df",): "dermatofibroma",
    ("vasc",): "vascular lesion|angioma|hemangioma|angiokeratoma|pyogenic granuloma|"
    "benign soft tissue proliferations - vascular|hemorrhagic lesions",
}
"""Classes that a word belongs to, the narrowest first -> the words; the narrowest class is a word too."""

_CLASSES: dict[str, tuple[str, ...]] = {
    word: classes for classes, words in _WORDS.items() for word in (*filter(None, words.split("|")), classes[0])
} | {"scc": ("scc",)}

_WHOLE_GROUPS = ("malignant melanocytic proliferations (melanoma)", "benign soft tissue proliferations - vascular")
"""Second levels all of whose members are of one class, whatever the third level says, except where that is known."""

_OTHER = frozenset(
    (
        *("adnexal tumor", "aimp", "acrochordon", "angiofibroma or fibrous papule", "atypical melanocytic proliferation"),
        *("atypical spitz tumor", "cafe-au-lait macule", "clear cell acanthoma", "ephelis", "epidermal nevus", "lentigo nos"),
        *("lentigo simplex", "merkel cell carcinoma", "mucosal melanosis", "neurofibroma", "other", "scar"),
        *("sebaceous adenoma", "sebaceous hyperplasia", "verruca"),
    )
)
"""Words of the second schema that belong to no class of a benchmark."""

_NATURES: dict[str, Nature] = {
    **dict.fromkeys(("mel", "metastasis", "bcc", "scc"), "malignant"),
    **dict.fromkeys(("nv", "df", "sk", "sl", "lplk", "bkl", "vasc"), "benign"),
}
"""Classes that are always one of the two; actinic keratosis is neither in the archive."""

ONE_HOT = ("mel", "nv", "bcc", "ak", "akiec", "bkl", "df", "vasc", "scc", "unk")
"""Columns of the challenges' ground truths, in lower case."""

BENIGN_OR_MALIGNANT = ("benign_malignant", "diagnosis_1", "target")
"""Columns that say benign or malignant."""

LEVELS = tuple(f"diagnosis_{level}" for level in range(1, 6))


class Diagnosis(NamedTuple):
    """What a word says.

    Attributes:
        classes: those it belongs to, the narrowest first; empty for words of no class and words unknown.
        known: whether the archive has the word.
    """

    classes: tuple[str, ...]
    known: bool

    @property
    def nature(self) -> Nature | None:
        """Benign or malignant, None where the classes do not say."""
        return _NATURES.get(self.classes[0]) if self.classes else None


@lru_cache(maxsize=4096)
def of_word(word: str) -> Diagnosis:
    """Return what a single word says: a class of a ground truth, ``dx`` or ``diagnosis``."""
    word = word.casefold()
    classes = _CLASSES.get(word) or _CLASSES.get(word.split(",")[0].strip(), ())
    return Diagnosis(classes, bool(classes) or word in _OTHER)


@lru_cache(maxsize=4096)
def of_levels(levels: tuple[str, ...]) -> Diagnosis:
    """Return what ``diagnosis_1`` to ``diagnosis_5`` say (an empty text where one is missing): the finest known word counts."""
    known = levels[0].casefold() in ("benign", "malignant", "indeterminate")
    for word in reversed(levels[2:]):
        if word and (classes := of_word(word).classes):
            return Diagnosis(classes, known)
    group = levels[1].casefold()
    if group in _WHOLE_GROUPS:
        return Diagnosis(of_word("melanoma" if "melanoma" in group else group).classes, known)
    return Diagnosis(() if any(levels[2:]) else of_word(group).classes, known)


def nature_of(word: str) -> Nature | None:
    """Return what ``benign_malignant``, ``diagnosis_1`` or ``target`` says; None for indeterminate and unknown."""
    found = {"benign": "benign", "malignant": "malignant", "0": "benign", "1": "malignant"}
    return found.get(re.sub(r"\.0$", "", word.casefold()))  # type: ignore[return-value]


def label_of(diagnosis: Diagnosis, nature: Nature | None, classes: tuple[str, ...]) -> str | None:
    """Return the task's label, None where what is known belongs to none of its classes.

    Args:
        diagnosis: what the words say.
        nature: what the columns on benign and malignant say.
        classes: of the task: two of which the last is ``melanoma``, ``benign`` and ``malignant``, or classes of this table.
    """
    if set(classes) == {"benign", "malignant"}:
        return nature or diagnosis.nature
    if len(classes) == 2 and classes[-1] == "melanoma":
        if diagnosis.classes and diagnosis.classes[0] in ("mel", "metastasis"):
            return classes[-1]
        # A malignant lesion of unknown kind may be a melanoma; a benign one is none.
        return classes[0] if diagnosis.classes or diagnosis.known or nature == "benign" else None
    return next((name for name in diagnosis.classes if name in classes), None)
