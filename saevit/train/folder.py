"""The folder of a run: what is in it, and that nothing in it is lost by accident."""

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from saevit.checkpoint import About, save_checkpoint
from saevit.errors import OptionError
from saevit.files import replace_file
from saevit.results.training import best_of, log_csv
from saevit.train.engine import Engine
from saevit.train.job import run_values
from saevit.train.recipe_text import recipe_toml
from saevit.train.state import State, save_state, with_tensors

RUNS = Path("runs")
MOST_OF_NAME = 100  # characters
TEMPORARY = ".saevit-"  # how the names of `replace_file`'s unfinished files begin


@dataclass(frozen=True)
class Folder:
    """Where a run's files lie."""

    path: Path

    @property
    def best(self) -> Path:
        """Weights of the best epoch."""
        return self.path / "best.safetensors"

    @property
    def last(self) -> Path:
        """All that resuming needs."""
        return self.path / "last.pt"

    @property
    def log(self) -> Path:
        """A row an epoch."""
        return self.path / "log.csv"

    @property
    def curve(self) -> Path:
        """The learning curve."""
        return self.path / "curve.png"

    @property
    def recipe(self) -> Path:
        """Every value that was used."""
        return self.path / "recipe.toml"

    @property
    def files(self) -> tuple[Path, ...]:
        """All that a run writes."""
        return self.best, self.last, self.log, self.curve, self.recipe


def folder_for(model: str, data: str) -> Folder:
    """Return the usual folder of a run: runs/MODEL-DATA."""
    source = data if "/" not in data else Path(data).name
    name = "-".join(re.sub(r"[^A-Za-z0-9._]+", "-", part).strip("-.") for part in (model, source))
    return Folder(RUNS / name[:MOST_OF_NAME])


def claim(folder: Folder, *, overwrite: bool) -> None:
    """Make the folder; with `overwrite`, take an earlier run's files out of it.

    Raises:
        OptionError: it holds something already, or cannot be made or written to.
    """
    path = folder.path
    if path.exists() and not path.is_dir():
        raise OptionError(f"--output {path} is a file: name a folder")
    clear_leftovers(folder)
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        way = f"--resume {path} goes on with it, or " if folder.last.is_file() else ""
        raise OptionError(f"--output {path} is not empty: {way}--overwrite starts anew, or name another")
    try:
        path.mkdir(parents=True, exist_ok=True)
        for file in folder.files:
            file.unlink(missing_ok=True)
    except OSError as error:
        raise OptionError(f"--output {path} cannot be made: {error.strerror or error}") from error
    if not os.access(path, os.W_OK):
        raise OptionError(f"--output {path} cannot be written to: name another folder")


def clear_leftovers(folder: Folder) -> None:
    """Remove the temporary files of a process that was killed while it wrote."""
    for file in folder.path.glob(f"{TEMPORARY}*"):
        file.unlink(missing_ok=True)


def write_recipe(folder: Folder, state: State) -> None:
    """Write every value of the recipe and the run."""
    text = recipe_toml(state.recipe, state.base, run_values(state.run))
    replace_file(folder.recipe, lambda path: path.write_text(text, encoding="utf-8"))


def write_state(folder: Folder, state: State, engine: Engine) -> None:
    """Write what resuming needs, then the log."""
    save_state(with_tensors(state, engine), folder.last)
    text = log_csv(state.rows)
    replace_file(folder.log, lambda path: path.write_text(text, encoding="utf-8"))


def write_best(folder: Folder, state: State, about: About, engine: Engine) -> None:
    """Write the weights, if the last epoch is the best."""
    best = best_of(state.rows)
    if best is None or best is not state.rows[-1]:
        return
    weights = "moving average of the weights" if engine.ema is not None else "weights"
    note = (
        f"{weights} after epoch {best.epoch} of {state.recipe.epochs}; the epoch was chosen by validation "
        f"top-1, {best.val_top1:.2f} %"
    )
    save_checkpoint(engine.judged.state_dict(), replace(about, notes=(note,)), folder.best)
