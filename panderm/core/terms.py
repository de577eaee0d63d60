"""The terms of what a model is made from, and what follows for the model: of several inputs the worst counts.

Terms are text, an SPDX identifier where there is one. Free is only what :data:`_FREE` names; terms that say nothing this
module knows are unclear, and unclear is never taken for free.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from panderm.core.config import FrozenConfig

IN_HOUSE = "in-house"
SYNTHETIC = "synthetic, no terms"
UNKNOWN = "see provider"
"""Terms that are not known for sure; whoever brings the data has to look them up."""

_FREE = re.compile(r"(CC-?0(-1\.0)?|CC-BY(-SA)?(-\d\.\d)?|MIT|Apache-2\.0|BSD-[23]-Clause)", re.IGNORECASE)


class Input(FrozenConfig):
    """Something that a model was made from: a published data set, or weights.

    Attributes:
        name: the data set's key, or which weights.
        licence: its terms.
        images: how many of its images were learnt from; 0 for weights.
        synthetic: whether a program drew them.
    """

    name: str
    licence: str
    images: int = 0
    synthetic: bool = False


class Mark(FrozenConfig):
    """Something that terms may say, and what it means for a model.

    Attributes:
        name: of the mark.
        pattern: what terms that say so contain, in any case; empty for the mark of terms that are unclear.
        follows: what it means for whoever has the model.
    """

    name: str
    pattern: str
    follows: str


NON_COMMERCIAL = Mark(
    name="non-commercial",
    pattern=r"\bnc\b|\b(non|no|not for)[ -]?commercial|\bresearch\b|\bacademic\b|\beducational\b",
    follows="the model may not be used commercially",
)
NO_DERIVATIVES = Mark(
    name="no derivatives",
    pattern=r"\bnd\b|\bno[ -]?deriv",
    follows="nothing that was made from it may be passed on, the model included",
)
SHARE_ALIKE = Mark(name="share alike", pattern=r"\bsa\b|\bshare[ -]?alike", follows="what is passed on keeps these terms")
OWNED = Mark(name=IN_HOUSE, pattern=r"\bin[ -]house\b", follows="its owner has to agree to any use and to passing the model on")
UNCLEAR = Mark(name="unclear", pattern="", follows="look the terms up before the model is used; unclear is not free")
MARKS: tuple[Mark, ...] = (NON_COMMERCIAL, NO_DERIVATIVES, SHARE_ALIKE, OWNED, UNCLEAR)


def marks(licence: str) -> tuple[Mark, ...]:
    """Return what terms say, in the order of :data:`MARKS`; nothing for free ones and for drawn images."""
    found = tuple(mark for mark in MARKS if mark.pattern and re.search(mark.pattern, licence, re.IGNORECASE))
    known = found or licence == SYNTHETIC or _FREE.fullmatch(licence.strip())
    return found if known and UNKNOWN not in licence else (*found, UNCLEAR)


def marked(inputs: Iterable[Input], mark: Mark) -> tuple[Input, ...]:
    """Return the inputs whose terms say so."""
    return tuple(one for one in inputs if mark in marks(one.licence))


def sentence(inputs: tuple[Input, ...]) -> str:
    """Return in one sentence whether a model made from ``inputs`` may be used commercially; the worst input decides."""
    if not inputs:
        return "What it was made from is not recorded, so whether it may be used commercially is not known."
    if found := marked(inputs, NON_COMMERCIAL):
        return f"May not be used commercially: {_listed(found)}."
    if found := marked(inputs, UNCLEAR):
        return f"Whether it may be used commercially is not known, the terms are unclear: {_listed(found)}."
    if found := marked(inputs, OWNED):
        return f"May be used only as the owners of the data agree: {_listed(found)}."
    if all(one.licence == SYNTHETIC for one in inputs):
        return "No terms apply: every image that it was made from was drawn by a program."
    return "No input forbids commercial use; their terms, such as naming the authors, have to be kept."


def _listed(inputs: tuple[Input, ...]) -> str:
    """Return inputs with their terms, those of the same terms together."""
    named: dict[str, list[str]] = {}
    for one in inputs:
        named.setdefault(one.licence, []).append(one.name)
    return "; ".join(f"{', '.join(names)} ({licence})" for licence, names in named.items())


def imported(licence: str) -> tuple[Input, ...]:
    """Return weights that were brought from elsewhere as an input; nothing for an empty licence."""
    return (Input(name="imported weights", licence=licence),) if licence else ()


def joined(*parts: Iterable[Input]) -> tuple[Input, ...]:
    """Return all inputs, sorted by name; one of the same name and terms counts once, with the larger number of images."""
    found: dict[tuple[str, str], Input] = {}
    for one in (one for part in parts for one in part):
        known = found.get((one.name, one.licence))
        if known is None or one.images > known.images:
            found[(one.name, one.licence)] = one
    return tuple(found[key] for key in sorted(found))
