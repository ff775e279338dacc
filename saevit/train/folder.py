"""The folder of a run: what is in it, and that nothing in it is lost by accident."""

import contextlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from saevit.checkpoint import About, save_checkpoint
from saevit.errors import OptionError
from saevit.files import TEMPORARY, file_type, owned, replace_file, unusable
from saevit.text import printable
from saevit.train.engine import Engine
from saevit.train.recipe_text import read_recipe, recipe_toml
from saevit.train.run import Run
from saevit.train.state import State, load_state, save_state, with_tensors
from saevit.train.training_log import best_of, log_csv

RUNS = Path("runs")
MOST_OF_NAME = 100  # characters


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


@contextmanager
def claimed(folder: Folder, *, overwrite: bool = False, resume: bool = False) -> Iterator[None]:
    """Make a run's folder and own it while the block runs; what is in it stays for now.

    Raises:
        OptionError: it holds something already, another process owns it, or it cannot be made or written to.
    """
    path, shown = folder.path, printable(str(folder.path))
    kind = file_type(path)
    if kind != "folder" and (resume or kind != "missing"):
        option, what = ("--resume", "no folder of a run") if resume else ("--output", "a file")
        raise OptionError(f"{option} {shown} is {what}: name a folder")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unusable(path, error, "made") from error
    with owned(path):
        clear_leftovers(folder)
        if not (resume or overwrite) and any(not file.name.startswith(TEMPORARY) for file in path.iterdir()):
            goes_on = folder.last.is_file() or folder.recipe.is_file()
            way = f"--resume {shown} goes on with it, or " if goes_on else ""
            raise OptionError(f"--output {shown} is not empty: {way}--overwrite starts anew, or name another")
        yield


def clear_leftovers(folder: Folder) -> None:
    """Remove the temporary files of a training that was killed while it wrote; the caller owns the folder."""
    for file in folder.path.glob(f"{TEMPORARY}*"):
        if file.suffix in {one.suffix for one in folder.files}:
            with contextlib.suppress(OSError):
                file.unlink()


def found_state(folder: Folder) -> State:
    """Return where the folder's run stands; one that was killed before it kept a state stands at its begin.

    Raises:
        OptionError: there is no run in it, or what there is cannot be read.
    """
    shown = printable(str(folder.path))
    if file_type(folder.last) != "missing":
        return load_state(folder.last)
    if file_type(folder.recipe) == "missing":
        raise OptionError(f"--resume {shown}: there is no {folder.last.name} in it, name the folder of a run")
    base, recipe, said = read_recipe(str(folder.recipe))
    if not {"model", "data"} <= said.keys():
        raise OptionError(
            f"--resume {shown}: {folder.recipe.name} does not say of which model and data it is"
        )
    return State(run=Run(**said), recipe=recipe, base=base, processes=0)


def begin(folder: Folder, state: State, *, overwrite: bool) -> None:
    """Write every value of the recipe and the run; an earlier run's files go, if they may."""
    old = [file for file in folder.files if file.exists()]
    if is_of(folder, state) or (old and not overwrite):
        return
    for file in old:
        file.unlink()
    replace_file(folder.recipe, lambda path: path.write_text(recipe_of(state), encoding="utf-8"))


def is_of(folder: Folder, state: State) -> bool:
    """Tell whether the folder's recipe is the one of this run."""
    try:
        return folder.recipe.read_text(encoding="utf-8") == recipe_of(state)
    except (OSError, UnicodeDecodeError):
        return False


def recipe_of(state: State) -> str:
    """Return every value of the recipe and the run as TOML, and what the data are known by."""
    names = ("train_fingerprint", "validation_fingerprint")
    known = {name: one.fingerprint for name, one in zip(names, state.data, strict=False)}
    return recipe_toml(state.recipe, state.base, asdict(state.run) | {"started": state.started} | known)


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
