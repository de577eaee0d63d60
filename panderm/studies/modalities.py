"""What does each modality give? One encoder without each modality, one on the whole corpus, judged on tasks of all modalities.

The paper pretrains on four modalities together (arXiv 2410.15038) and says that they help one another; this asks of a corpus
at hand which of them does, and whom.
"""

from __future__ import annotations

from panderm import pretrain
from panderm.catalog import BENCHMARKS
from panderm.catalog.table import MODALITIES
from panderm.core.errors import ConfigError, one_of
from panderm.studies.encoders import EQUAL, Arm, Folders, Hold, Judging, Plan, corpus_table, overridden, shortened
from panderm.studies.laying_out import Question, draw_differences
from panderm.studies.names import WHOLE, without
from panderm.training.sampling import select

STUDY = "modalities"
WHOLE_CORPUS = "whole corpus"


class Config(Judging):
    """Which modalities are left out.

    Attributes:
        leave_out: one encoder without each of them; by default every one of the four that the corpus holds.
        hold: what is equal between arms: ``images`` shown (what is left is passed more often), or ``epochs``.
    """

    leave_out: tuple[str, ...] | None = None
    hold: Hold = "images"


def plan(config: Config, training: pretrain.Config, folders: Folders) -> Plan:
    """Return the whole corpus and one arm a modality.

    Raises:
        ConfigError: a name is no modality of the corpus, or there are not two of them.
        InputError: the corpus is missing.
    """
    table, recipe = corpus_table(folders), training.recipe()
    sampling, shorter = recipe.sampling, shortened(training, config.epochs)
    whole = len(select(table, sampling, recipe.seed))
    arms = [Arm(WHOLE_CORPUS, WHOLE, shorter, whole)]
    for name in _left_out(config, set(table["modality"].unique()) - set(sampling.leave_out)):
        names = (*sampling.leave_out, name)
        rows = len(select(table, sampling.model_copy(update={"leave_out": names}), recipe.seed))
        stretched = shortened(training, config.epochs, whole / rows if config.hold == "images" else 1.0)
        settings = overridden(stretched, "sampling", {"leave_out": list(names)})
        arms.append(Arm(f"without {name}", without(name), settings, rows))
    text = f"Encoders of the corpus without one modality each; {EQUAL[config.hold]}."
    draw = draw_differences("Leave one modality out", WHOLE_CORPUS, {task.key: task.modality for task in BENCHMARKS})
    question = Question(STUDY, "Leave one modality out", text, WHOLE_CORPUS, ranked=False, draw=draw)
    return Plan(question, arms, shorter, config)


def _left_out(config: Config, present: set[str]) -> list[str]:
    held: list[str] = [name for name in MODALITIES if name in present]
    if len(held) < 2:
        raise ConfigError(f"the corpus holds one modality ({', '.join(held)}); publish sources of another and curate")
    for name in config.leave_out or ():
        if name not in held:
            raise ConfigError(one_of(name, held, "modality in leave_out", "these are the ones the corpus holds"))
    return list(dict.fromkeys(config.leave_out)) if config.leave_out else held
