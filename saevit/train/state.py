"""State of a training run: settings, finished epochs, and progress in the next one. Only data."""

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
    """Settings of a training beside its recipe; paths are written by `saevit.files.as_text`."""

    model: str  # a variant's text, or timm:NAME
    data: str  # a source for `open_data`
    data_dir: str | None = None
    teacher: str | None = None
    teacher_checkpoint: str | None = None
    init: str | None = None  # a file of weights to start from
    init_sha256: str | None = None  # of that file; None: not read yet
    amp: str = "none"
    channels_last: bool = True
    compile: bool = False
    grad_checkpointing: bool = False
    val_every: Annotated[int, Field(ge=1, le=10**6)] = 1  # epochs
    log: tuple[str, ...] = ()  # names of trackers, beside log.csv


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """Results of one epoch; accuracies in per cent, None in epochs without validation.

    `val_loss` to `val_images` are of the weights that `best.safetensors` may keep: the moving average (EMA),
    if there is one. The raw weights are then validated too.
    """

    epoch: int  # from 1
    lr: float  # of its last update
    train_loss: float  # mean over its images, as augmented
    val_loss: float | None
    val_top1: float | None
    val_top5: float | None
    val_images: int | None  # readable ones
    seconds: float  # of training and validation
    images_per_s: float  # of training, all processes together
    skipped: int  # unreadable training images
    val_weights: str = ""  # of val_loss to val_top5: EMA or raw; empty: not known, or not validated
    raw_loss: float | None = None  # of the raw weights beside their average, else None
    raw_top1: float | None = None
    raw_top5: float | None = None


@dataclass(frozen=True, kw_only=True)
class EpochProgress:
    """Progress in an unfinished epoch; sums are over all processes."""

    updates: int = 0
    loss: float = 0.0
    images: int = 0
    skipped: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """Everything that a training needs to continue; the field names are those in last.pt."""

    run: TrainingRun
    recipe: Recipe  # resolved
    base: str  # name of the built-in recipe that it is based on
    processes: int
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat())  # identifies the run
    data: tuple[DataIdentity, ...] = ()  # of training and validation; empty: not known yet
    rows: tuple[Epoch, ...] = ()  # finished epochs
    part: EpochProgress = field(default_factory=EpochProgress)  # in the next epoch
    tensors: dict[str, Any] | None = None  # of network, average and optimizer; None: not started

    @property
    def terms(self) -> str:
        """Return the digest that is equal for trainings on equal terms."""
        run = self.run
        settings = {"amp": run.amp, "teacher": run.teacher, "teacher_checkpoint": run.teacher_checkpoint}
        if run.init:
            settings["init"] = run.init_sha256
        return digest_recipe(self.recipe, settings | {"processes": self.processes})

    def describe_training(self, images: int) -> Training:
        """Return the facts of the weights after the finished epochs, each of this many training images."""
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
    """Return the first epoch with the highest validation top-1; None if none was validated."""
    validated = [row for row in rows if row.val_top1 is not None]
    return max(validated, key=lambda row: (row.val_top1 or 0.0, -row.epoch), default=None)


def write_log(rows: Sequence[Epoch]) -> str:
    """Write the epochs as CSV with unrounded numbers."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [one.name for one in fields(Epoch)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)  # None is written as an empty cell
    return text.getvalue()
