"""Pretrain: the corpus in, an encoder out (masked latent modelling with a CLIP teacher, PanDerm arXiv 2410.15038).

The training runs in processes of its own, started by torchrun; killed at any point, the same command goes on exactly. The
output folder appears whole, after the last step.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from panderm.core.config import FrozenConfig
from panderm.core.errors import Refused
from panderm.core.files import building_folder, read_json, recover_folder, sha256_file, sha256_json, write_json, write_text
from panderm.core.record import RECORD_NAME, Record

if TYPE_CHECKING:
    from panderm.training.recipe import Recipe

STAGE = "pretrain"
_IDENTITY, _JOB, _LOG = "identity.json", "job.json", "train.log"
_ENDS = 10  # steps whose mean is the first and the last loss in the record; one step alone is noise

Say = Callable[[str], None]


class Config(FrozenConfig):
    """Settings of the stage. The recipe decides the weights; the rest says how and where it is run.

    Attributes:
        preset: ``tiny`` (demo), ``small`` (a few thousand images on a CPU), ``base`` (CAE v2 base), ``large`` (the paper).
        overrides: keys of the recipe (``panderm/training/recipe.py``) laid over the preset, e.g.
            ``{optimisation: {epochs: 20}}``.
        processes: training processes, one a GPU; the batch of the recipe is shared among them.
        device: ``auto`` takes GPUs where there are any.
        workers: loading processes of each training process (1: measured on 2 cores, docs/pretraining.md).
        threads: of torch in each process on a CPU; 0 shares the cores.
        compile: run the student through torch.compile.
        state_seconds: time between two resume states (300: at most five minutes are lost).
        state_steps: steps between two resume states, 0 for time alone.
        tell_seconds: time between two lines of progress.
        restart: throw away what an interrupted run with other settings left, and train again even if the output is complete.
    """

    preset: Literal["tiny", "small", "base", "large"] = "tiny"
    overrides: dict[str, Any] = Field(default_factory=dict)
    processes: int = Field(default=1, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: int = Field(default=1, ge=0)
    threads: int = Field(default=0, ge=0)
    compile: bool = False
    state_seconds: float = Field(default=300, gt=0)
    state_steps: int = Field(default=0, ge=0)
    tell_seconds: float = Field(default=10, ge=0)
    restart: bool = False

    def recipe(self) -> Recipe:
        """Return the resolved recipe.

        Raises:
            ConfigError: an override is not a key of the recipe, or out of range.
        """
        from panderm.training.recipe import preset

        return preset(self.preset, self.overrides)


def run(config: Config, corpus: Path, data: Path, out: Path, work: Path, on_line: Say | None = None) -> Record:
    """Train an encoder on the corpus.

    Args:
        config: settings.
        corpus: curate's output folder.
        data: the published datasets.
        out: the encoder folder (docs/architecture.md); replaced whole, only by a finished training.
        work: resume states, logs and metrics with their timing go to ``work/pretrain``.
        on_line: gets each line of progress; by default they are printed.

    Returns:
        The record; that of the former run if the output already belongs to exactly this recipe and corpus.

    Raises:
        Refused: another training is running, or an interrupted one with other settings would be lost.
        TrainingFailed: the training ended before its last step; the message carries the end of its log.
        TrainingStopped: it was asked to stop and saved its state.
        ConfigError: a setting is unknown or out of range.
    """
    say = on_line or print
    recipe = config.recipe()
    table = corpus / "corpus.parquet"
    identity: dict[str, Any] = {"recipe": _named(recipe), "corpus_sha256": _corpus_sha256(table)}
    recover_folder(out)
    if not config.restart and (former := _finished(out, sha256_json(identity))):
        say("the encoder already belongs to exactly this recipe and corpus; nothing to do")
        return former
    place = work / STAGE
    _make_room(place, identity, config.restart, say)
    if not (place / "final").is_dir():
        _train(config, recipe, identity["corpus_sha256"], corpus, data, place, say)
    record = _publish(config, identity, place, out)
    _clear(place)
    return record


def _corpus_sha256(table: Path) -> str:
    from panderm.core.tables import CORPUS, read_table

    read_table(table, CORPUS)  # refuses a missing or foreign table in its own words
    return sha256_file(table)


def _named(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as plain values, in which a weights file is known by its content, not by its place."""
    from panderm.core.errors import InputError

    values: dict[str, Any] = recipe.model_dump(mode="json")
    weights = recipe.teacher.weights
    if weights is not None:
        if not weights.is_file():
            raise InputError(f"the teacher's weights {weights} are missing; put the file there or change teacher.weights")
        values["teacher"]["weights"] = sha256_file(weights)
    return values


def _finished(out: Path, identity: str) -> Record | None:
    """Return the record of a complete output of this very identity."""
    from panderm.models.encoder import WEIGHTS_NAME

    if not (out / RECORD_NAME).is_file():
        return None
    record = Record.load(out)
    weights = out / WEIGHTS_NAME
    same = record.hashes.get("identity") == identity and weights.is_file()
    return record if same and sha256_file(weights) == record.hashes.get("encoder") else None


def _make_room(place: Path, identity: dict[str, Any], restart: bool, say: Say) -> None:
    """Decide about what an interrupted run left: go on, set it aside, throw it away, or refuse.

    Same recipe and corpus: go on, also with ``restart``, as that gives the same weights. Another corpus (a delivery came
    in between, on schedule or not): set it aside, one deep, and begin anew, so that a scheduled retraining is never stuck.
    The same corpus with another recipe: somebody changed a setting, so refuse unless ``restart`` says it was meant.
    """
    former = read_json(place / _IDENTITY) if (place / _IDENTITY).is_file() else None
    if former is not None and former != identity:
        if former["corpus_sha256"] != identity["corpus_sha256"]:
            _set_aside(place, former, say)
        elif not restart:
            raise Refused(
                f"an interrupted training in {place} has other settings ({_differences(former, identity)}); set them "
                "back to go on with it, or set restart=true to throw it away"
            )
        else:
            say(f"throwing away an interrupted training with other settings ({_differences(former, identity)})")
            _clear(place)
    write_json(place / _IDENTITY, identity)


def _set_aside(place: Path, former: dict[str, Any], say: Say) -> None:
    aside = place.parent / f"{STAGE}-interrupted"
    shutil.rmtree(aside, ignore_errors=True)
    place.rename(aside)
    say(f"an interrupted training on another corpus ({former['corpus_sha256'][:8]}) was set aside in {aside.name}/")


def _differences(former: dict[str, Any], now: dict[str, Any]) -> str:
    before, after = _flat(former["recipe"]), _flat(now["recipe"])
    keys = sorted(before.keys() | after.keys())
    return "; ".join(f"{key} was {before.get(key)}, now {after.get(key)}" for key in keys if before.get(key) != after.get(key))


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _train(config: Config, recipe: Recipe, corpus_sha256: str, corpus: Path, data: Path, place: Path, say: Say) -> None:
    from panderm.training.launch import TrainingStopped, launch
    from panderm.training.pretrain_worker import Job

    weights = recipe.teacher.weights
    teacher = recipe.teacher.model_copy(update={"weights": weights.resolve() if weights else None})
    job = Job(
        recipe=recipe.model_copy(update={"teacher": teacher}),
        preset=config.preset,
        corpus=corpus.resolve(),
        corpus_sha256=corpus_sha256,
        data=data.resolve(),
        work=place.resolve(),
        device=config.device,
        workers=config.workers,
        threads=config.threads,
        compile=config.compile,
        state_seconds=config.state_seconds,
        state_steps=config.state_steps,
        tell_seconds=config.tell_seconds,
    )
    write_json(place / _JOB, job.model_dump(mode="json"))
    launch("panderm.training.pretrain_worker", place / _JOB, config.processes, place / _LOG, say)
    if not (place / "final").is_dir():
        raise TrainingStopped(f"the training was asked to stop and saved its state in {place}; run the same command to go on")


def _publish(config: Config, identity: dict[str, Any], place: Path, out: Path) -> Record:
    from panderm.models.encoder import CARD_NAME, WEIGHTS_NAME, load_card
    from panderm.training.curves import draw_curves
    from panderm.training.metrics import mean_loss, read_metrics, without_timing
    from panderm.training.pretrain_worker import FINAL, FINAL_NAME, METRICS, REGRESSOR_NAME

    final, lines = place / FINAL, read_metrics(place / METRICS)
    card = load_card(final)
    record = Record(
        stage=STAGE,
        counts=read_json(final / FINAL_NAME),
        hashes={
            "corpus": identity["corpus_sha256"],
            "encoder": card.sha256,
            "regressor": sha256_file(final / REGRESSOR_NAME),
            "identity": sha256_json(identity),
        },
        values={
            "preset": config.preset,
            "teacher": card.teacher,
            "loss_first": mean_loss(lines[:_ENDS]),
            "loss_last": mean_loss(lines[-_ENDS:]),
        },
        config={"preset": config.preset, "processes": config.processes, "recipe": identity["recipe"]},
    )
    with building_folder(out) as folder:
        for name in (WEIGHTS_NAME, CARD_NAME, REGRESSOR_NAME):
            shutil.copyfile(final / name, folder / name)
        write_text(folder / METRICS, without_timing(lines))
        draw_curves(lines, folder / "curves.png")
        record.save(folder)
    return record


def _clear(place: Path) -> None:
    """Forget a training that is finished or thrown away; its log and its metrics with their timing stay until the next."""
    for name in ("states", "final"):
        shutil.rmtree(place / name, ignore_errors=True)
    (place / _IDENTITY).unlink(missing_ok=True)
