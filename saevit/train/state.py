"""The state of a training run as dataclasses: settings, finished epochs, progress in the next epoch."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field

from saevit.provenance import Training
from saevit.train.image_data import DataIdentity
from saevit.train.recipe import Recipe, digest_recipe


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """The settings of a training that are not in its recipe. Paths are written by `saevit.files.as_text`."""

    model: str  # a variant's text, or timm:NAME
    data: str  # a source for `open_data`
    data_dir: str | None = None
    teacher: str | None = None
    teacher_checkpoint: str | None = None
    init: str | None = None  # checkpoint with the initial weights
    init_sha256: str | None = None  # of the checkpoint; None before it is read
    amp: str = "none"
    channels_last: bool = True
    compile: bool = False
    grad_checkpointing: bool = False
    val_every: Annotated[int, Field(ge=1, le=10**6)] = 1  # epochs
    log: tuple[str, ...] = ()  # names of trackers; log.csv is always written


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """The results of one epoch. Accuracies are in per cent; they are None in epochs without validation.

    With a moving average of the weights (EMA), `val_loss` to `val_images` are of the EMA weights, which
    `best.safetensors` stores, and `raw_loss` to `raw_top5` are of the raw weights.
    """

    epoch: int  # from 1
    lr: float  # of its last update
    train_loss: float  # mean over the augmented images
    val_loss: float | None
    val_top1: float | None
    val_top5: float | None
    val_images: int | None  # number of readable validation images
    seconds: float  # of training and validation
    images_per_s: float  # of training, sum over all processes
    skipped: int  # unreadable training images
    val_weights: str = ""  # EMA or raw: the weights of val_loss to val_top5; empty if not validated
    raw_loss: float | None = None
    raw_top1: float | None = None
    raw_top5: float | None = None


@dataclass(frozen=True, kw_only=True)
class EpochProgress:
    """The progress in an unfinished epoch, summed over all processes."""

    updates: int = 0
    loss: float = 0.0
    images: int = 0
    skipped: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """Everything that a training needs to continue. last.pt uses the same field names."""

    run: TrainingRun
    recipe: Recipe  # resolved
    base: str  # name of the built-in recipe that the recipe is based on
    processes: int
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat())  # identifies the run
    data: tuple[DataIdentity, ...] = ()  # training, validation; empty before the data are opened
    rows: tuple[Epoch, ...] = ()  # finished epochs
    part: EpochProgress = field(default_factory=EpochProgress)  # in the next epoch
    tensors: dict[str, Any] | None = None  # of network, EMA and optimizer; None before the first update

    @property
    def terms(self) -> str:
        """Return the hash of recipe and settings, which is equal for comparable trainings."""
        run = self.run
        settings = {"amp": run.amp, "teacher": run.teacher, "teacher_checkpoint": run.teacher_checkpoint}
        if run.init:
            settings["init"] = run.init_sha256
        return digest_recipe(self.recipe, settings | {"processes": self.processes})

    def describe_training(self, images: int) -> Training:
        """Return how the current weights were trained; `images` is the number of training images."""
        run = self.run
        return Training(
            recipe=self.terms,
            base=self.base,
            seed=self.recipe.seed,
            lr=self.recipe.lr or 0.0,
            epoch=len(self.rows),
            epochs=self.recipe.epochs,
            images=images * len(self.rows),
            fingerprint=self.data[0].fingerprint,
            init=(run.init_sha256 or "") if run.init else "",
        )

    @property
    def classes(self) -> int:
        """Count the classes of the data."""
        return len(self.data[0].images)

    @property
    def is_begun(self) -> bool:
        """Tell whether at least one update is done."""
        return bool(self.rows) or self.part.updates > 0

    @property
    def is_finished(self) -> bool:
        """Tell whether all epochs are done."""
        return len(self.rows) >= self.recipe.epochs


def best_epoch(rows: Sequence[Epoch]) -> Epoch | None:
    """Return the first epoch with the highest validation top-1; None without a validated epoch."""
    validated = [row for row in rows if row.val_top1 is not None]
    return max(validated, key=lambda row: (row.val_top1 or 0.0, -row.epoch), default=None)


def write_log(rows: Sequence[Epoch]) -> str:
    """Return the epochs as CSV with unrounded numbers."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [one.name for one in fields(Epoch)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)  # None is written as an empty cell
    return text.getvalue()
