"""Log the epochs of a training to TensorBoard and Weights & Biases with the trackers of accelerate."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from saevit.errors import OptionError, first_line, nearest, need
from saevit.text import printable
from saevit.train.recipe import format_value
from saevit.train.state import Epoch, TrainingState

TRACKERS = {"tensorboard": "TensorBoardTracker", "wandb": "WandBTracker"}  # package to class of accelerate
EVENTS = "events.out.tfevents*"  # files of TensorBoard
PROJECT = "saevit"  # of Weights & Biases, unless WANDB_PROJECT is set


def check_trackers(names: Sequence[str]) -> None:
    """Raise OptionError for an unknown tracker, or MissingPackageError if its package is not installed."""
    for name in names:
        if name not in TRACKERS:
            raise OptionError(f"--log {name} is not known: {nearest(name, TRACKERS)}")
        need("accelerate", "train")
        need(name)


def remove_events(folder: Path) -> None:
    """Remove the TensorBoard files of an earlier run in the folder."""
    for file in (folder / "tensorboard").rglob(EVENTS):
        file.unlink()


class Trackers:
    """The trackers of a run. It logs to no tracker before `open`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.opened: dict[str, Any] = {}
        self.is_own_state = False

    def open(self, state: TrainingState) -> None:
        """Start the trackers of a run: log the settings of a new run, or continue the log of a resumed run.

        Raises:
            OptionError: a tracker cannot start, for example because the user is not logged in.
        """
        if not state.run.log:
            return
        self.make_state()
        tracking = need("accelerate.tracking", "train")
        values = list_hyperparameters(state)
        for name in sorted(state.run.log, reverse=True):  # wandb first: if it fails, no file is removed
            with name_failures(name):
                if name == "tensorboard" and not state.is_begun:
                    remove_events(self.folder)
                tracker = getattr(tracking, TRACKERS[name])(**list_arguments(name, state, self.folder))
                tracker.start()
                self.opened[name] = tracker
                if not state.is_begun:
                    tracker.store_init_configuration(values)
                elif state.rows and name == "tensorboard":  # its start purged the last epoch
                    tracker.log(list_metrics(state.rows[-1]), step=len(state.rows))

    def make_state(self) -> None:
        """Create the PartialState that accelerate's trackers need, unless `join_processes` made one."""
        accelerate = need("accelerate", "train")
        if not accelerate.PartialState._shared_state:
            with need("accelerate.utils").clear_environment():  # ignore variables left over from a launcher
                accelerate.PartialState(cpu=True)
            self.is_own_state = True

    def log(self, row: Epoch) -> None:
        """Log an epoch to all trackers.

        Raises:
            OptionError: a tracker fails.
        """
        for name, tracker in self.opened.items():
            with name_failures(name):
                tracker.log(list_metrics(row), step=row.epoch)

    def close(self) -> None:
        """Finish all trackers."""
        for name, tracker in self.opened.items():
            with name_failures(name):
                tracker.finish()
        self.opened = {}
        if self.is_own_state:
            need("accelerate").PartialState._reset_state()


@contextmanager
def name_failures(name: str) -> Iterator[None]:
    """Convert any error of a tracker into an OptionError with one line."""
    try:
        yield
    except Exception as error:  # trackers raise errors of any type
        raise OptionError(f"--log {name} failed: {printable(first_line(error))}") from error


def list_arguments(name: str, state: TrainingState, folder: Path) -> dict[str, Any]:
    """Return the arguments of an accelerate tracker, with which a resumed run continues the same log."""
    if name == "tensorboard":
        purge = len(state.rows) if state.is_begun else None
        return {"run_name": name, "logging_dir": str(folder), "purge_step": purge}
    own = hashlib.sha256(f"{state.run.model} {state.started}".encode()).hexdigest()[:16]
    return {
        "run_name": os.environ.get("WANDB_PROJECT", PROJECT),
        "name": folder.name,
        "id": own,
        "resume": "allow",
        "dir": str(folder),
    }


def list_hyperparameters(state: TrainingState) -> dict[str, str | float]:
    """Return all settings and recipe values of a run as texts, numbers and bools."""
    values = {"base": state.base, **asdict(state.run), **asdict(state.recipe)}
    del values["log"]
    return {n: v if isinstance(v, str | int | float) else format_value(v) for n, v in values.items()}


def list_metrics(row: Epoch) -> dict[str, float]:
    """Return the metrics of an epoch by name; accuracies are in per cent, and names end with EMA or raw."""
    of = f"_{row.val_weights.lower()}".rstrip("_")
    values = [
        ("train/loss", row.train_loss),
        ("train/lr", row.lr),
        ("train/images_per_s", row.images_per_s),
        (f"val/loss{of}", row.val_loss),
        (f"val/top1{of}", row.val_top1),
        (f"val/top5{of}", row.val_top5),
        ("val/loss_raw", row.raw_loss),
        ("val/top1_raw", row.raw_top1),
        ("val/top5_raw", row.raw_top5),
    ]
    return {name: value for name, value in values if value is not None}
