"""The folder of a training run: its files, its lock, and the state from which a training continues."""

import contextlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

import saevit
from saevit.checkpoint import MAX_BYTES, NETWORK, About, check_network, save_checkpoint
from saevit.decode import DecodeError, decode, parse_json
from saevit.errors import OptionError
from saevit.export.timm_folder import CONFIG, write_config
from saevit.files import (
    TEMPORARY,
    file_type,
    name_source,
    owned,
    read_bytes,
    replace_file,
    to_file_name,
    unusable,
)
from saevit.text import printable
from saevit.train.engine import Engine
from saevit.train.recipe_files import BUILT_IN, read_recipe, write_toml
from saevit.train.state import TrainingRun, TrainingState, best_epoch, write_log
from saevit.weight_files import describe_error, read_contents

BEST = "best.safetensors"  # weights of the best epoch
LAST = "last.pt"  # the state, for --resume
LOG = "log.csv"  # one row per epoch
CURVE = "curve.png"  # the learning curve
REPORT = "report.html"  # the page of the run
RECIPE = "recipe.toml"  # every value that was used
FILES = (BEST, CONFIG, LAST, LOG, CURVE, REPORT, RECIPE)  # timm loads BEST by the CONFIG beside it
RUNS = Path("runs")
MAX_NAME = 100  # characters
VERSION = 2  # of last.pt
FORMS = "forms"  # key in last.pt: the dtype and the shape of each tensor


def default_folder(model: str, data: str) -> Path:
    """Return the default folder of a run: runs/MODEL-DATA."""
    return RUNS / "-".join(map(to_file_name, (model, name_source(data))))[:MAX_NAME]


@contextmanager
def claim_folder(folder: Path, *, overwrite: bool = False, resume: bool = False) -> Iterator[None]:
    """Make the folder of a run, and lock it while the block runs. Existing files are not changed.

    Args:
        folder: the folder.
        overwrite: allow a folder that is not empty.
        resume: require an existing folder.

    Raises:
        OptionError: the folder is not empty, another process uses it, or it cannot be made or written to.
    """
    name = printable(str(folder))
    kind = file_type(folder)
    if kind != "folder" and (resume or kind != "missing"):
        option, what = ("--resume", "not the folder of a run") if resume else ("--output", "a file")
        raise OptionError(f"{option} {name} is {what}: name a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unusable(folder, error, "made") from error
    with owned(folder):
        for file in folder.glob(f"{TEMPORARY}*"):  # left by a training that was killed during a write
            if file.suffix in {Path(one).suffix for one in FILES}:
                with contextlib.suppress(OSError):
                    file.unlink()
        if not (resume or overwrite) and any(
            not file.name.startswith(TEMPORARY) for file in folder.iterdir()
        ):
            is_run = (folder / LAST).is_file() or (folder / RECIPE).is_file()
            way = f"--resume {name} continues the run in it, or " if is_run else ""
            raise OptionError(
                f"--output {name} is not empty: {way}--overwrite replaces it, or name another folder"
            )
        yield


def read_state(folder: Path) -> TrainingState:
    """Read the state of the run in a folder. Without last.pt, return the state before the first update.

    Raises:
        OptionError: the folder has no run, or its files cannot be read.
    """
    option = f"--resume {printable(str(folder))}"
    if file_type(folder / LAST) != "missing":
        return load_state(folder / LAST)
    if file_type(folder / RECIPE) == "missing":
        raise OptionError(f"{option}: it contains no {LAST}, name the folder of a run")
    base, recipe, settings = read_recipe(str(folder / RECIPE))
    if not {"model", "data"} <= settings.keys():
        raise OptionError(f"{option}: {RECIPE} has no model and data in its table [run]")
    return TrainingState(run=TrainingRun(**settings), recipe=recipe, base=base, processes=0)


def begin_run(folder: Path, state: TrainingState, *, overwrite: bool) -> None:
    """Write recipe.toml of a new run; with `overwrite`, remove the files of an earlier run before."""
    old = [folder / name for name in FILES if (folder / name).exists()]
    if holds_run(folder, state) or (old and not overwrite):
        return
    for file in old:
        file.unlink()
    text = recipe_text(state)
    replace_file(folder / RECIPE, lambda path: path.write_text(text, encoding="utf-8"))


def holds_run(folder: Path, state: TrainingState) -> bool:
    """Tell whether recipe.toml in the folder belongs to this run."""
    try:
        return (folder / RECIPE).read_text(encoding="utf-8") == recipe_text(state)
    except (OSError, UnicodeDecodeError):
        return False


def recipe_text(state: TrainingState) -> str:
    """Return the contents of recipe.toml: recipe, settings of the run, and fingerprints of the data."""
    names = ("train_fingerprint", "validation_fingerprint")
    fingerprints = {name: one.fingerprint for name, one in zip(names, state.data, strict=False)}
    return write_toml(state.recipe, state.base, asdict(state.run) | {"started": state.started} | fingerprints)


def write_state(folder: Path, state: TrainingState, engine: Engine) -> None:
    """Write last.pt, then log.csv."""
    save_state(replace(state, tensors=engine.tensors()), folder / LAST)
    text = write_log(state.rows)
    replace_file(folder / LOG, lambda path: path.write_text(text, encoding="utf-8"))


def write_best(folder: Path, state: TrainingState, about: About, engine: Engine, images: int) -> None:
    """Write best.safetensors and its config if the last epoch is the best; `images`: training images."""
    best = best_epoch(state.rows)
    if best is None or best is not state.rows[-1]:
        return
    weights = "moving average of the weights" if engine.ema is not None else "weights"
    note = (
        f"{weights} after epoch {best.epoch} of {state.recipe.epochs}; the epoch was chosen by validation "
        f"top-1, {best.val_top1:.2f} %"
    )
    described = replace(about, notes=(note,), training=state.describe_training(images))
    save_checkpoint(engine.evaluated.state_dict(), described, folder / BEST)
    replace_file(folder / CONFIG, lambda path: path.write_text(write_config(described), encoding="utf-8"))


def save_state(state: TrainingState, path: Path) -> None:
    """Write a state to a file; an earlier file is replaced only when the new one is complete.

    Raises:
        OptionError: the file cannot be written.
    """
    tensors = state.tensors or {}
    facts = asdict(replace(state, tensors=None)) | {NETWORK: saevit.NETWORK, FORMS: dict(list_forms(tensors))}
    data = io.BytesIO()  # torch.save would hide the OSError of a full disk
    torch.save({"saevit": VERSION, "facts": json.dumps(facts), **tensors}, data)
    replace_file(path, lambda temporary: temporary.write_bytes(data.getvalue()))


def load_state(path: Path) -> TrainingState:
    """Read a state from a file. Its floats are exact, because JSON stores them without rounding.

    Raises:
        OptionError: the file cannot be read, or is from another program, another version of saevit, or
            another definition of the network.
    """
    option = f"--resume: {printable(str(path))}"
    content = read_bytes(path, most=MAX_BYTES)
    try:
        data, _ = read_contents(content)
    except Exception as error:  # pickle, zip and torch raise errors of any type
        raise OptionError(f"{option} cannot be read: {describe_error(error)}") from error
    if not isinstance(data, dict) or data.pop("saevit", None) != VERSION:
        raise OptionError(f"{option} is of another version of saevit, or of another program: train it again")
    try:
        facts = parse_json(data.pop("facts", ""))
        state = decode(TrainingState, facts)
        check_network(option, state.run.model, facts.get(NETWORK))
        check_facts(state, facts.get(FORMS), dict(list_forms(data)))
    except DecodeError as error:
        raise OptionError(f"{option} cannot be used: {error}") from error
    return replace(state, tensors=data or None)


def check_facts(state: TrainingState, stored: object, forms: dict[str, str]) -> None:
    """Raise DecodeError if the facts of a state are inconsistent, or if tensors have other forms."""
    if state.base not in BUILT_IN:
        raise DecodeError(f"base = {state.base}: not a recipe of this version")
    if [row.epoch for row in state.rows] != list(range(1, len(state.rows) + 1)):
        raise DecodeError("rows: not the epochs from 1 on")
    if len(state.rows) > state.recipe.epochs or len(state.data) != 2 or state.processes < 1:
        raise DecodeError("rows, data or processes: not a possible number")
    if state.is_begun != bool(forms):
        raise DecodeError("tensors and finished updates do not fit together")
    if stored != forms:
        wanted = stored if isinstance(stored, dict) else {}
        name = next((name for name in (*wanted, *forms) if wanted.get(name) != forms.get(name)), FORMS)
        raise DecodeError(f"{name}: {forms.get(name, 'missing')} instead of {wanted.get(name, 'none')}")


def list_forms(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path of every value in nested dicts and lists, with its dtype and shape or its type."""
    if isinstance(value, dict | list | tuple):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from list_forms(inner, f"{place}.{name}".lstrip("."))
    elif isinstance(value, torch.Tensor):
        yield place, f"{value.dtype} {list(value.shape)}"
    else:
        yield place, type(value).__name__
