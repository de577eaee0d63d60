"""What an encoder is made from, and under which terms: the data sets of its corpus, its teacher, the weights it began with."""

from __future__ import annotations

from pathlib import Path

from panderm.catalog.terms import dataset_input
from panderm.core.tables import CORPUS, read_table
from panderm.core.terms import UNKNOWN, Input, joined
from panderm.models.encoder import load_card
from panderm.models.teacher import RANDOM, TeacherConfig
from panderm.training.data import CORPUS_NAME
from panderm.training.interrupted import Changes
from panderm.training.recipe import Recipe
from panderm.training.sampling import Sampling, select

_TEACHERS = {"openai": "MIT"}
"""Terms of a teacher's weights by open_clip's pretrained tag: OpenAI publishes CLIP under MIT; others have their own."""


def encoder_inputs(recipe: Recipe, corpus: Path, data: Path, changes: Changes = ()) -> tuple[Input, ...]:
    """Return the inputs of an encoder that is trained by ``recipe``.

    Args:
        recipe: the resolved recipe.
        corpus: curate's output folder.
        data: the published datasets, whose records say their terms.
        changes: of settings on the way; what was shown before them was learnt from too.

    Raises:
        InputError: the corpus is missing, or a folder to start from holds no encoder.
        ConfigError: the sampling names a source or modality that the corpus does not hold.
    """
    start = load_card(recipe.start.folder).made_from if recipe.start is not None else ()
    earlier = ({"sampling": Sampling.parse(change.sampling), "seed": change.seed} for change in changes)
    shown = [_corpus(one, corpus, data) for one in (recipe, *(recipe.model_copy(update=values) for values in earlier))]
    return joined(start, *shown, _teacher(recipe.teacher))


def _corpus(recipe: Recipe, corpus: Path, data: Path) -> tuple[Input, ...]:
    table = read_table(corpus / CORPUS_NAME, CORPUS)
    counts = table.iloc[select(table, recipe.sampling, recipe.seed)]["dataset"].value_counts()
    return tuple(dataset_input(str(key), data, int(images)) for key, images in counts.items())


def _teacher(teacher: TeacherConfig) -> tuple[Input, ...]:
    if teacher.source == RANDOM:
        return ()
    tag = teacher.source.partition("@")[2] if teacher.weights is None else ""
    return (Input(name=f"teacher {teacher.source}", licence=_TEACHERS.get(tag, UNKNOWN)),)
