"""What every kind of task can do, and the one door to the kinds.

A kind is a module of this room with these verbs, named as in the catalogue's ``kind``:

=============  ==================================================================================================
``prepare``    which published images the task uses, and by what they are stratified (curate asks)
``fit``        weights into the model folder (finetune asks)
``predict``    one row a case: its group, what it is, what the model says (evaluate asks)
``schema``     columns of that table; those of type float32 are scores and finite
``primary``    the task's metric as a function of row weights (evaluate and gate ask)
``score``      further figures by name, likewise
``class_score``  figures of one class; nothing for kinds without classes
``draw``       pictures of an evaluation
``details``    further results as JSON values, for the report
``EXPORTED``   whether a passed model can be served: if not, it ends with its verdict
``answers``    the predictions table that a released model gives (evaluate asks it of the champion; served kinds)
=============  ==================================================================================================

A kind of which only some tasks are served says which in ``exported``, in the place of ``EXPORTED``.
A kind that judges several models and serves one of them says in ``served`` what that one's predictions are.
A kind whose predictions count something else than the task's classes says so in ``judged_classes``, and one whose cases are
not images in ``COUNTED``.
A kind's module imports torch and other heavy packages inside its functions only, since stages read its recipe at once.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, cast

import pandas as pd
import pyarrow as pa
from pydantic import Field

from panderm.catalog import Benchmark
from panderm.catalog.table import Protocol as FitProtocol
from panderm.core.config import FrozenConfig
from panderm.core.errors import InputError
from panderm.evaluation.bootstrap import Statistic
from panderm.tasks.rows import Rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from panderm.imaging.preprocessing import Preprocessing

Say = Callable[[str], None]
Ask = Callable[["NDArray[np.uint8]"], "NDArray[np.float32]"]
"""What a released model answers prepared images, uint8 (N, 3, S, S)."""


class Compute(FrozenConfig):
    """Where and how a model is fitted; none of it decides what is fitted.

    Attributes:
        feature_batch: images a forward pass of the frozen encoder.
        processes: fine-tuning processes, one a GPU; the batch is shared among them.
        device: ``auto`` takes GPUs where there are any.
        workers: loading processes of each fine-tuning process (0: right for a task whose images fit in memory).
        threads: of torch in each process on a CPU; 0 shares the cores.
        precision: ``auto`` is bfloat16 autocast on a GPU and float32 on a CPU.
    """

    feature_batch: int = Field(default=64, ge=1)
    processes: int = Field(default=1, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: int = Field(default=0, ge=0)
    threads: int = Field(default=0, ge=0)
    precision: Literal["auto", "fp32", "bf16"] = "auto"


class Given(NamedTuple):
    """What ``fit`` and ``predict`` work with.

    Attributes:
        task: the benchmark.
        rows: its split.
        split: the folder of that split.
        data: the published datasets.
        encoder: pretrain's output folder.
        features: cache of features of the frozen encoder.
        work: folder for resume states of this task.
        compute: device, processes, precision.
        say: gets each line of progress.
        views: random views of an image that a fine-tuned classifier answers by; 1: the plain one (evaluate's setting).
        seed: of these views.
    """

    task: Benchmark
    rows: Rows
    split: Path
    data: Path
    encoder: Path
    features: Path
    work: Path
    compute: Compute = Compute()
    say: Say = print
    views: int = 1
    seed: int = 0


class Fitted(NamedTuple):
    """What ``fit`` left in the model folder.

    Attributes:
        weights: name of the weights file in the folder.
        protocol: what was done, in the catalogue's words.
        settings: the recipe as used, for card and record.
        values: what to report of the fit: iterations, losses, chosen epoch.
        relative_position_bias: whether a fine-tuned network has one.
        preprocessing: how an image becomes the model's input, where that is another than the encoder's.
    """

    weights: str
    protocol: FitProtocol
    settings: dict[str, Any]
    values: dict[str, Any]
    relative_position_bias: bool = False
    preprocessing: Preprocessing | None = None


class Prepared(NamedTuple):
    """The images that a task uses.

    Attributes:
        rows: rows of the manifest with ``label`` (one of the task's classes), ``stratum`` (what the split balances) and, where
            several rows are judged as one, ``case`` (which they are: folds then balance cases).
        left_out: how many images were left out, by reason.
        notes: a sentence about each row that was left out because the delivery is wrong.
    """

    rows: pd.DataFrame
    left_out: dict[str, int]
    notes: tuple[str, ...] = ()


class Counted(NamedTuple):
    """What the two numbers of a figure count, in words: its n and its groups.

    Attributes:
        cases: rows of the predictions table.
        groups: what stays together in folds and replicates.
    """

    cases: str = "images"
    groups: str = "patients or lesions"


class Kind(Protocol):
    """The verbs of a kind; see the module's text."""

    EXPORTED: bool

    def prepare(self, task: Benchmark, rows: pd.DataFrame, masks: pd.DataFrame) -> Prepared:
        """Return the images that the task uses, out of all that are published for it.

        Args:
            task: the benchmark.
            rows: its published images: columns of the manifest and ``group``.
            masks: ``image_id, mask_shard, mask_offset, mask_nbytes``, of segmentation tasks.

        Raises:
            InputError: nothing usable was published.
        """

    def fit(self, recipe: Any, given: Given, folder: Path) -> Fitted:
        """Fit the task's model and write weights and ``curves.png`` into ``folder``.

        Args:
            recipe: finetune's settings of this kind.
            given: inputs.
            folder: the model folder, being built.

        Raises:
            InputError: the rows cannot be fitted.
        """

    def predict(self, given: Given, model: Path) -> pd.DataFrame:
        """Return the predictions table of the test rows (out of fold: of all rows), columns of :meth:`schema`."""

    def answers(self, given: Given, spec: Preprocessing, ask: Ask) -> pd.DataFrame:
        """Return the predictions table of the test rows as a released model gives it; of kinds that are served.

        Args:
            given: inputs.
            spec: the released model's preprocessing.
            ask: the released model.
        """

    def schema(self, task: Benchmark) -> pa.Schema:
        """Return the columns of ``predictions.parquet``; ``image_id`` (the case), ``group`` and the facts are among them."""

    def primary(self, task: Benchmark, predictions: pd.DataFrame) -> Statistic:
        """Return ``task.metric`` of a predictions table."""

    def score(self, task: Benchmark, predictions: pd.DataFrame) -> dict[str, Statistic]:
        """Return further figures of a predictions table by name."""

    def class_score(self, task: Benchmark, predictions: pd.DataFrame, index: int) -> dict[str, Statistic]:
        """Return the figures of one class by name."""

    def draw(self, folder: Path, given: Given, model: Path, predictions: pd.DataFrame) -> None:
        """Write the evaluation's pictures (PNG) into ``folder``."""

    def details(self, task: Benchmark, predictions: pd.DataFrame) -> dict[str, Any]:
        """Return further results as JSON values."""


def judged_classes(task: Benchmark) -> tuple[str, ...]:
    """Return what ``target`` of a task's predictions counts, by index: its classes, unless its kind says otherwise."""
    own = getattr(kind_of(task), "judged_classes", None)
    return cast("tuple[str, ...]", own(task)) if own is not None else task.classes


def counted(task: Benchmark) -> Counted:
    """Return what n and groups of a task's figures count: images, unless its kind says otherwise.

    Raises:
        InputError: this version cannot run its kind.
    """
    return cast("Counted", getattr(kind_of(task), "COUNTED", Counted()))


def exported(task: Benchmark) -> bool:
    """Return whether a passed model of the task can be served: what its kind says, unless that hangs on the task."""
    kind = kind_of(task)
    own = getattr(kind, "exported", None)
    return cast("bool", own(task)) if own is not None else kind.EXPORTED


def serves_one_of_several(task: Benchmark) -> bool:
    """Return whether a table of the task's predictions is of several models, of which one is served."""
    return hasattr(kind_of(task), "served")


def of_served(task: Benchmark, predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the predictions of the very model that is served: the table as it is, unless it is of several."""
    return cast("Any", kind_of(task)).served(predictions) if serves_one_of_several(task) else predictions


def kind_of(task: Benchmark) -> Kind:
    """Return the kind of a task.

    Raises:
        InputError: this version cannot run that kind.
    """
    if not task.runnable:
        raise InputError(f"task {task.key} is of kind {task.kind}, which this version does not run; see `panderm tasks`")
    return cast("Kind", importlib.import_module(f"panderm.tasks.{task.kind}"))
