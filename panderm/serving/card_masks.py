"""What a model card says of a segmentation beyond what it says of every model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from panderm.catalog import dataset

if TYPE_CHECKING:
    from panderm.serving.card_facts import CardFacts


def purpose(facts: CardFacts) -> Iterator[str]:
    """Yield what the model is for, and what not."""
    kinds = " or ".join(dataset(facts.dataset).modalities)
    what = facts.bundle.classes[1]
    yield (
        f"It looks at one {kinds} image and says of each pixel how probable it is that it belongs to the {what} "
        f"({facts.task.task}). It is for research on images like those it was judged on."
    )
    yield ""
    yield "- Not for diagnosis or treatment: no authority has examined it, and its answer replaces nobody's judgement."
    yield f"- Not for images of another kind than {kinds}."
    yield f"- Not for telling whether there is a {what}: every image that it learnt from shows one, so it looks for one."
    yield ""


def choice(facts: CardFacts) -> Iterator[str]:
    """Yield which of the seeds is served, why, and what the mean over all of them is."""
    report, scores = facts.report, facts.model.config.get("validation_jaccard", [])
    seed = facts.model.config["served_seed"]
    known = [f"{score:.3f}" for score in scores if score is not None]
    why = (
        f"by its Jaccard index on the validation split, of {', '.join(known)}" if known else "as no validation image says more"
    )
    yield (
        f"This is the network of seed {seed + 1} of {len(scores)}, chosen {why}; the test split was not asked. The mean over "
        f"all seeds is {report['metric']} {report['value']:.3f}; the verdict speaks of the network that is served."
    )
    yield ""


def limits(facts: CardFacts) -> Iterator[str]:
    """Yield the limits that a mask has, and on how many test images it was of no use."""
    what, size = facts.bundle.classes[1], facts.bundle.size
    missed = facts.report.get("served", {}).get("missed", 0)
    if missed:
        yield f"On {missed} of {len(facts.test)} test images its mask does not touch the {what}."
    yield (
        f"It marks one piece without holes: of several in a picture the largest that was found. Its outline is no finer than "
        f"{size} x {size} squares over the whole picture; the figures are of these, and lower at the picture's own size."
    )
