"""What a training has done so far: a row an epoch, and the best."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One epoch; accuracies in per cent, None where it was not validated."""

    epoch: int  # from 1
    lr: float  # of its last update
    train_loss: float  # mean over its images, as augmented
    val_loss: float | None
    val_top1: float | None
    val_top5: float | None
    val_images: int | None  # that could be read
    seconds: float  # of training and validation
    images_per_s: float  # trained, all processes together
    skipped: int  # training images that could not be read


def best_of(rows: Sequence[Epoch]) -> Epoch | None:
    """Return the first epoch of the highest validation top-1; None: none was validated."""
    seen = [row for row in rows if row.val_top1 is not None]
    return max(seen, key=lambda row: (row.val_top1 or 0.0, -row.epoch), default=None)


def log_csv(rows: Sequence[Epoch]) -> str:
    """Write the rows; figures are unrounded."""
    names = [field.name for field in fields(Epoch)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow(["" if (value := getattr(row, name)) is None else value for name in names])
    return text.getvalue()
