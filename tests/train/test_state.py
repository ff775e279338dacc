"""Rows of a training: the best of them, and the log."""

import csv
import io

from saevit.train.state import Epoch, best_epoch, write_log


def row(epoch: int, top1: float | None) -> Epoch:
    """An epoch with this accuracy."""
    return Epoch(
        epoch=epoch,
        lr=0.1 / 3,
        train_loss=1 / epoch,
        val_loss=None if top1 is None else 0.5,
        val_top1=top1,
        val_top5=None if top1 is None else 100.0,
        val_images=None if top1 is None else 15,
        seconds=1.5,
        images_per_s=20.0,
        skipped=0,
    )


def test_the_best_is_the_first_of_the_highest() -> None:
    rows = [row(1, 50.0), row(2, None), row(3, 70.0), row(4, 70.0), row(5, 60.0)]
    assert best_epoch(rows) == rows[2]
    assert best_epoch([row(1, None)]) is None
    assert best_epoch([]) is None


def test_the_log_has_every_figure_unrounded() -> None:
    rows = [row(1, None), row(3, 100 / 3)]
    found = list(csv.DictReader(io.StringIO(write_log(rows))))
    assert [float(line["train_loss"]) for line in found] == [1.0, 1 / 3]
    assert [line["val_top1"] for line in found] == ["", str(100 / 3)]
    assert float(found[0]["lr"]) == 0.1 / 3
