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
from panderm.core.errors import ConfigError, TrainingFailed
from panderm.core.files import building_folder, read_json, recover_folder, sha256_file, sha256_json, write_json, write_text
from panderm.core.record import RECORD_NAME, Record
from panderm.training.watch_config import WatchConfig

if TYPE_CHECKING:
    from panderm.core.terms import Input
    from panderm.models.encoder import EncoderCard
    from panderm.training.estimate import Estimate
    from panderm.training.interrupted import Changes, Otherwise
    from panderm.training.nodes import Nodes
    from panderm.training.pretrain_worker import Job
    from panderm.training.recipe import Recipe

STAGE = "pretrain"
_JOB, _LOG = "job.json", "train.log"
_CHANGES = "changes"  # of settings on the way, in the record's values
_ENDS = 10  # steps whose mean is the first and the last loss in the record; one step alone is noise

_NOTHING_TO_DO = "the encoder already belongs to exactly this recipe and corpus; nothing to do"

Say = Callable[[str], None]


class Config(FrozenConfig):
    """Settings of the stage. The recipe decides the weights; the rest says how and where it is run.

    Attributes:
        preset: ``tiny`` (demo), ``small`` (a few thousand images on a CPU), ``base`` (CAE v2 base), ``large`` (the paper).
        overrides: keys of the recipe (``panderm/training/recipe.py``) laid over the preset, e.g.
            ``{optimisation: {epochs: 20}}``.
        processes: training processes of each machine, one a GPU; the batch of the recipe is shared among all of them.
        parallel: ``ddp`` holds the network in every process; ``fsdp`` (FSDP2) spreads it, for encoders that do not fit.
        nodes: machines; 0 asks the environment (``panderm/training/nodes.py``), which without a word of it means one.
        node_rank: number of this machine, from 0; -1 asks the environment. Machine 0 leads.
        endpoint: ``host:port`` of machine 0, where all meet; empty asks the environment.
        device: ``auto`` takes GPUs where there are any.
        workers: loading processes of each training process (1: measured on 2 cores, docs/pretraining.md).
        threads: of torch in each process on a CPU; 0 shares the cores.
        compile: run student and teacher through torch.compile (on a GPU: yes; docs/performance.md).
        checkpointing: keep only what enters each block of the student and compute the rest twice (less memory, more time).
        state_seconds: time between two resume states (300: at most five minutes are lost).
        state_steps: steps between two resume states, 0 for time alone.
        tell_seconds: time between two lines of progress.
        watch: what is looked at on the way (``panderm/training/watch_config.py``); changes no weight.
        proceed: go on from the state of an interrupted run with other settings under the present ones, where it fits them
            (``panderm/training/interrupted.py`` says which may differ); the record says what was changed, and after which step.
        restart: throw away what an interrupted run with other settings left, and train again even if the output is complete.
    """

    preset: Literal["tiny", "small", "base", "large"] = "tiny"
    overrides: dict[str, Any] = Field(default_factory=dict)
    processes: int = Field(default=1, ge=1)
    parallel: Literal["ddp", "fsdp"] = "ddp"
    nodes: int = Field(default=0, ge=0)
    node_rank: int = Field(default=-1, ge=-1)
    endpoint: str = ""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: int = Field(default=1, ge=0)
    threads: int = Field(default=0, ge=0)
    compile: bool = False
    checkpointing: bool = False
    state_seconds: float = Field(default=300, gt=0)
    state_steps: int = Field(default=0, ge=0)
    tell_seconds: float = Field(default=10, ge=0)
    watch: WatchConfig = WatchConfig()
    proceed: bool = False
    restart: bool = False

    def otherwise(self) -> Otherwise:
        """Return what to do about an interrupted run with other settings.

        Raises:
            ConfigError: two things at once.
        """
        if self.restart and self.proceed:
            raise ConfigError("restart throws an interrupted run away, proceed goes on with it; set one of the two")
        return "restart" if self.restart else "proceed" if self.proceed else "refuse"

    def recipe(self) -> Recipe:
        """Return the resolved recipe.

        Raises:
            ConfigError: an override is not a key of the recipe, or out of range.
        """
        from panderm.training.recipe import preset

        return preset(self.preset, self.overrides)

    def place(self) -> Nodes:
        """Return where this machine stands among those of the training.

        Raises:
            ConfigError: there are several, and which one this is or where they meet is not known.
        """
        from panderm.training.nodes import find_nodes

        return find_nodes(self.nodes, self.node_rank, self.endpoint)


def run(
    config: Config,
    corpus: Path,
    data: Path,
    out: Path,
    work: Path,
    on_line: Say | None = None,
    splits: Path | None = None,
) -> Record:
    """Train an encoder on the corpus; of several machines this is for machine 0, the others :func:`join`.

    Args:
        config: settings.
        corpus: curate's output folder.
        data: the published datasets.
        out: the encoder folder (docs/architecture.md); replaced whole, only by a finished training.
        work: resume states, logs and metrics with their timing go to ``work/pretrain``.
        on_line: gets each line of progress, warnings with ``warning: `` in front; by default they are printed.
        splits: folder of the tasks' splits, whose training and validation images the probe looks at; none without.

    Returns:
        The record; that of the former run if the output already belongs to exactly this recipe and corpus.

    Raises:
        Refused: another training is running, or an interrupted one with other settings would be lost or does not fit them.
        TrainingFailed: the training ended before its last step; the message carries the end of its log.
        TrainingStopped: it was asked to stop and ended in order.
        ConfigError: a setting is unknown or out of range.
    """
    from panderm.training.inputs import encoder_inputs
    from panderm.training.interrupted import clear, make_room

    say, nodes, otherwise = on_line or print, config.place(), config.otherwise()
    if not nodes.first:
        raise ConfigError(f"this is machine {nodes.rank} of {nodes.total}, but machine 0 leads; join its training from here")
    recipe, identity = config.recipe(), _identity(config, corpus)
    recover_folder(out)
    if not config.restart and (former := _finished(out, sha256_json(identity))):
        say(_NOTHING_TO_DO + ("; settings were changed on the way, as its record says" if _changes(former) else ""))
        return _with_terms_of_now(former, encoder_inputs(recipe, corpus, data, _changes(former)), out)
    place, inputs = work / STAGE, encoder_inputs(recipe, corpus, data)
    changes = make_room(place, identity, otherwise, say)
    if not (place / "final").is_dir():
        sources = {"corpus": corpus, "data": data, "splits": splits}
        _train(config, _job(config, recipe, identity["corpus_sha256"], sources, place, changes), place, say)
    inputs = encoder_inputs(recipe, corpus, data, changes) if changes else inputs
    record = _publish(config, identity, inputs, changes, place, out)
    clear(place)
    return record


def join(config: Config, corpus: Path, out: Path, work: Path, on_line: Say | None = None) -> None:
    """Take part, with this machine's processes, in the training that machine 0 leads; return when it has ended well.

    Machine 0 decides and publishes; all machines see the same ``work`` and data under the same paths (docs/cluster.md).

    Args:
        config: settings; those of the recipe as on machine 0.
        corpus: curate's output folder.
        out: the encoder folder, only looked at.
        work: as on machine 0; this machine's log goes to ``work/pretrain/nodes/<rank>``.
        on_line: gets each line of progress; by default they are printed.

    Raises:
        TrainingFailed: the training ended before its last step; the message carries the end of this machine's log.
        TrainingStopped: some machine was asked to stop, and all ended in order.
        ConfigError: a setting is unknown or out of range.
    """
    from panderm.training.interrupted import belongs
    from panderm.training.launch import launch

    say, nodes, place = on_line or print, config.place(), work / STAGE
    identity = _identity(config, corpus)
    done = _finished(out, sha256_json(identity)) and not config.restart
    if done or ((place / "final").is_dir() and belongs(place, identity)):
        say(_NOTHING_TO_DO)
        return
    say(f"machine {nodes.rank} of {nodes.total}: waiting for the others at {nodes.endpoint}")
    own = place / "nodes" / str(nodes.rank)
    launch("panderm.training.pretrain_worker", place / _JOB, config.processes, own / _LOG, say, nodes=nodes)


def _identity(config: Config, corpus: Path) -> dict[str, Any]:
    """Return what makes a training this one and no other; how and where it is run is left out."""
    return {"recipe": _named(config.recipe()), "corpus_sha256": _corpus_sha256(corpus / "corpus.parquet")}


def _corpus_sha256(table: Path) -> str:
    from panderm.core.tables import CORPUS, read_table

    read_table(table, CORPUS)  # refuses a missing or foreign table in its own words
    return sha256_file(table)


def _named(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as plain values, in which weights files are known by their content, not by their place or name."""
    from panderm.core.errors import InputError
    from panderm.models.teacher_weights import FOLDER, repository_files

    values: dict[str, Any] = recipe.model_dump(mode="json")
    weights = recipe.teacher.weights
    if weights is not None:
        if not weights.is_file():
            raise InputError(f"the teacher's weights {weights} are missing; put the file there or change teacher.weights")
        values["teacher"]["weights"] = sha256_file(weights)
    if files := repository_files(recipe.teacher.source, weights):
        values["teacher"]["repository"] = {name: sha256_file(path) for name, path in files.items()}
        if recipe.teacher.source.startswith(FOLDER):
            values["teacher"]["source"] = FOLDER
    if recipe.start is not None:
        from panderm.training.start import start_hashes

        values["start"] = {"parts": recipe.start.parts, **start_hashes(recipe.start)}
    return values


def finished(config: Config, corpus: Path, out: Path) -> Record | None:
    """Return the record of the encoder in ``out`` if it belongs to exactly this recipe and corpus, else None."""
    return _finished(out, sha256_json(_identity(config, corpus)))


def _finished(out: Path, identity: str) -> Record | None:
    """Return the record of a complete output of this very identity."""
    from panderm.models.encoder import WEIGHTS_NAME

    if not (out / RECORD_NAME).is_file():
        return None
    record = Record.load(out)
    weights = out / WEIGHTS_NAME
    same = record.hashes.get("identity") == identity and weights.is_file()
    return record if same and sha256_file(weights) == record.hashes.get("encoder") else None


def _changes(record: Record) -> Changes:
    from panderm.training.interrupted import Change

    return tuple(Change.parse(change, where=RECORD_NAME) for change in record.values.get(_CHANGES, []))


def dry_run(
    config: Config, corpus: Path, data: Path, work: Path, steps: int = 20, watts: float = 0, on_line: Say | None = None
) -> Estimate:
    """Take a few steps of the training, keep nothing, and return what the whole of it will cost.

    Args:
        config: settings of the training, as for :func:`run`.
        corpus: curate's output folder.
        data: the published datasets.
        work: ``work/pretrain-dry-run`` is used meanwhile; an interrupted training beside it is not touched.
        steps: to measure, after those in which things settle.
        watts: draw of all machines together, 0 if unknown.
        on_line: gets each line of progress; by default they are printed.

    Raises:
        TrainingFailed: a step failed; the message carries the end of its log.
        ConfigError: a setting is unknown or out of range, or the training is for several machines.
    """
    from panderm.training.dry_run import MEASURED, DryJob
    from panderm.training.estimate import Measured, estimate
    from panderm.training.launch import launch
    from panderm.training.state import KEPT

    if config.place().total > 1:
        raise ConfigError(
            "a dry run measures one machine; run it with nodes=1 and overrides.optimisation.batch set to one machine's part"
        )
    place, identity = work / f"{STAGE}-dry-run", _identity(config, corpus)
    shutil.rmtree(place, ignore_errors=True)
    job = _job(config, config.recipe(), identity["corpus_sha256"], {"corpus": corpus, "data": data}, place)
    unwatched = job.model_copy(update={"watch": WatchConfig(images=0, probe_tasks=())})
    write_json(place / _JOB, DryJob(job=unwatched, steps=steps).model_dump(mode="json"))
    launch("panderm.training.dry_run", place / _JOB, config.processes, place / _LOG, on_line or print)
    measured = Measured.parse(read_json(place / MEASURED), where=MEASURED)
    shutil.rmtree(place)
    looks = config.watch.share if config.watch.images or config.watch.probe_tasks != () else 0.0
    return estimate(measured, config.preset, config.workers, KEPT, looks, watts, shutil.disk_usage(work).free)


def _job(
    config: Config,
    recipe: Recipe,
    corpus_sha256: str,
    sources: dict[str, Path | None],
    place: Path,
    changes: Changes = (),
) -> Job:
    from panderm.training.pretrain_worker import Job

    weights = recipe.teacher.weights
    teacher = recipe.teacher.model_copy(update={"weights": weights.resolve() if weights else None})
    how: dict[str, Any] = {name: getattr(config, name) for name in Config.model_fields.keys() & Job.model_fields.keys()}
    how |= {name: folder.resolve() for name, folder in sources.items() if folder}
    return Job(
        recipe=recipe.model_copy(update={"teacher": teacher, "start": recipe.start and recipe.start.placed()}),
        corpus_sha256=corpus_sha256,
        work=place.resolve(),
        changes=changes,
        **how,
    )


def _train(config: Config, job: Job, place: Path, say: Say) -> None:
    from panderm.training.launch import launch

    write_json(place / _JOB, job.model_dump(mode="json"))
    launch("panderm.training.pretrain_worker", place / _JOB, config.processes, place / _LOG, say, nodes=config.place())
    if not (place / "final").is_dir():
        raise TrainingFailed(f"the training ended without a result; look at {place / _LOG} and run the same command to go on")


def _publish(
    config: Config, identity: dict[str, Any], inputs: tuple[Input, ...], changes: Changes, place: Path, out: Path
) -> Record:
    from panderm.models.encoder import WEIGHTS_NAME, load_card
    from panderm.training.curves import draw_curves
    from panderm.training.metrics import mean_loss, read_metrics, without_timing
    from panderm.training.pretrain_worker import FINAL, FINAL_NAME, METRICS, REGRESSOR_NAME
    from panderm.training.watch import WATCH, last_figures

    final, lines, looks = place / FINAL, read_metrics(place / METRICS), read_metrics(place / WATCH)
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
            **last_figures(looks),
            **({_CHANGES: [change.model_dump(mode="json") for change in changes]} if changes else {}),
        },
        config={
            "preset": config.preset,
            "processes": config.processes * config.place().total,
            "parallel": config.parallel,
            "recipe": identity["recipe"],
        },
    )
    with building_folder(out) as folder:
        for name in (WEIGHTS_NAME, REGRESSOR_NAME):
            shutil.copyfile(final / name, folder / name)
        _write_card(card, inputs, folder)
        write_text(folder / METRICS, without_timing(lines))
        write_text(folder / WATCH, without_timing(looks))
        draw_curves(lines, folder / "curves.png", looks)
        record.save(folder)
    return record


def _write_card(card: EncoderCard, inputs: tuple[Input, ...], folder: Path) -> None:
    from panderm.models.encoder import CARD_NAME

    write_json(folder / CARD_NAME, card.model_copy(update={"inputs": inputs}).model_dump(mode="json"))


def _with_terms_of_now(record: Record, inputs: tuple[Input, ...], out: Path) -> Record:
    """Renew the card of an encoder whose data have got other terms since: that is no reason to train again."""
    from panderm.models.encoder import load_card

    card = load_card(out)
    if card.inputs != inputs:
        _write_card(card, inputs, out)
    return record
