"""How much corpus does an encoder need? One encoder a share of the corpus, each share part of every larger one.

The paper's scaling study pretrains on 0.8 to 1.8 million images (arXiv 2410.15038). Shares are of each modality alike.
"""

from __future__ import annotations

from panderm import pretrain
from panderm.core.errors import ConfigError
from panderm.studies.encoders import EQUAL, Arm, Folders, Hold, Judging, Plan, corpus_table, overridden, shortened
from panderm.studies.laying_out import Question, draw_over
from panderm.studies.names import FRACTIONS
from panderm.studies.names import share as folder_of
from panderm.training.sampling import select

STUDY = "corpus_size"


class Config(Judging):
    """Which shares are trained on.

    Attributes:
        fractions: shares of the corpus; 1 is always among them.
        hold: what is equal between arms: ``images`` shown (a smaller corpus is passed more often, so that its size alone
            differs), or ``epochs`` (a smaller corpus is also a shorter training).
    """

    fractions: tuple[float, ...] = FRACTIONS
    hold: Hold = "images"


def plan(config: Config, training: pretrain.Config, folders: Folders) -> Plan:
    """Return one arm a share.

    Raises:
        ConfigError: a share is not above 0 and at most 1, or there is no second one.
        InputError: the corpus is missing.
    """
    shares, table, recipe = _shares(config), corpus_table(folders), training.recipe()
    whole = recipe.sampling.fraction
    sampled = {share: recipe.sampling.model_copy(update={"fraction": whole * share}) for share in shares}
    rows = {share: len(select(table, sampling, recipe.seed)) for share, sampling in sampled.items()}
    arms = []
    for share in shares:
        stretched = shortened(training, config.epochs, rows[1.0] / rows[share] if config.hold == "images" else 1.0)
        settings = overridden(stretched, "sampling", {"fraction": whole * share})
        arms.append(Arm(arm_name(share), folder_of(share), settings, rows[share]))
    text = f"Encoders of shares of the corpus; each share is part of every larger one, and {EQUAL[config.hold]}."
    draw = draw_over("Corpus size", "share of the corpus", {arm_name(share): share for share in shares})
    question = Question(STUDY, "Corpus size", text, arm_name(1.0), ranked=False, draw=draw)
    return Plan(question, arms, shortened(training, config.epochs), config)


def _shares(config: Config) -> list[float]:
    for share in config.fractions:
        if not 0 < share <= 1:
            raise ConfigError(f"fractions holds {share}, but a share of the corpus is above 0 and at most 1")
    shares = sorted({*config.fractions, 1.0})
    if len(shares) < 2:
        raise ConfigError("fractions names no share but the whole corpus; name a smaller one, e.g. fractions=[0.25]")
    return shares


def arm_name(share: float) -> str:
    """Return what the arm of a share is called."""
    return f"{100 * share:g} %"
