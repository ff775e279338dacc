"""All that a training needs to go on as if it had never stopped, in one file of tensors and numbers."""

import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import saevit
from saevit.checkpoint import LARGEST, NETWORK, check_network
from saevit.decode import DecodeError, decode, parse_json
from saevit.errors import OptionError
from saevit.files import read_bytes, replace_file
from saevit.text import printable
from saevit.train.engine import Engine
from saevit.train.image_data import Identity
from saevit.train.job import Job
from saevit.train.recipe import Recipe
from saevit.train.recipe_text import BUILT_IN
from saevit.train.run import Run
from saevit.train.training_log import Epoch
from saevit.weight_files import read_contents, reason_of

VERSION = 2
FORMS = "forms"  # in the facts, what the tensors are like


@dataclass(frozen=True, kw_only=True)
class Part:
    """How far an epoch has come; sums are over all processes."""

    updates: int = 0
    loss: float = 0.0
    images: int = 0
    skipped: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class State:
    """Where a training stands."""

    run: Run
    recipe: Recipe  # closed
    base: str  # name of the recipe that it came from
    processes: int
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat())  # no two runs share it
    data: tuple[Identity, ...] = ()  # to train and to validate on; none: not known yet
    rows: tuple[Epoch, ...] = ()  # finished epochs
    part: Part = field(default_factory=Part)  # of the epoch after these
    tensors: dict[str, Any] | None = None  # of network, average and optimizer; None: not started

    @property
    def is_begun(self) -> bool:
        """Is anything of it done?"""
        return bool(self.rows) or self.part.updates > 0


def with_tensors(state: State, engine: Engine) -> State:
    """Return the state with what the engine holds now (not a copy)."""
    return replace(
        state,
        tensors={
            "model": engine.net.state_dict(),
            "ema": None if engine.ema is None else engine.ema.module.state_dict(),
            "optimizer": engine.optimizer.state_dict(),
            "scaler": engine.scaler.state_dict(),
        },
    )


def save_state(state: State, path: Path) -> None:
    """Write the file; it appears only when it is complete.

    Raises:
        OptionError: the disk or the folder refuses; an earlier file stays.
    """
    tensors = state.tensors or {}
    facts = asdict(replace(state, tensors=None)) | {NETWORK: saevit.NETWORK, FORMS: forms_of(tensors)}
    data = io.BytesIO()  # torch turns a full disk into an error of another kind
    torch.save({"saevit": VERSION, "facts": json.dumps(facts), **tensors}, data)
    replace_file(path, lambda temporary: temporary.write_bytes(data.getvalue()))


def load_state(path: Path) -> State:
    """Read a file back; JSON gives every float back to the last bit.

    Raises:
        OptionError: there is none, it cannot be read, another program wrote it, or its network is no more.
    """
    shown = f"--resume: {printable(str(path))}"
    content = read_bytes(path, most=LARGEST)
    try:
        data, _ = read_contents(content)
    except Exception as error:  # pickle, zip and torch raise all kinds
        raise OptionError(f"{shown} cannot be read: {reason_of(error)}") from error
    if not isinstance(data, dict) or data.pop("saevit", None) != VERSION:
        raise OptionError(f"{shown} is of another version of saevit, or of another program: train it again")
    try:
        facts = parse_json(data.pop("facts", ""))
        state = decode(State, facts)
        check_network(shown, state.run.model, facts.get(NETWORK))
        check_facts(state, facts.get(FORMS), forms_of(data))
    except DecodeError as error:
        raise OptionError(f"{shown} cannot be used: {error}") from error
    return replace(state, tensors=data or None)


def check_facts(state: State, said: object, forms: dict[str, str]) -> None:
    """Refuse facts that do not fit together, and tensors that are not as the facts say.

    Raises:
        DecodeError: names the first.
    """
    if state.base not in BUILT_IN:
        raise DecodeError(f"base = {state.base}: no recipe of this version")
    if [row.epoch for row in state.rows] != list(range(1, len(state.rows) + 1)):
        raise DecodeError("rows: not the epochs from 1 on")
    if len(state.rows) > state.recipe.epochs or len(state.data) != 2 or state.processes < 1:
        raise DecodeError("rows, data or processes: another number than a run has")
    if state.is_begun != bool(forms):
        raise DecodeError("tensors without anything done, or the other way round")
    if not isinstance(said, dict) or said != forms:
        wanted = said if isinstance(said, dict) else {}
        name = next((name for name in (*wanted, *forms) if wanted.get(name) != forms.get(name)), FORMS)
        raise DecodeError(f"{name}: {forms.get(name, 'missing')} instead of {wanted.get(name, 'none')}")


def forms_of(data: object) -> dict[str, str]:
    """Return type and shape of every value in nested dicts and lists, by its place."""
    return dict(leaves("", data))


def leaves(place: str, value: object) -> Iterator[tuple[str, str]]:
    """Yield each place with what stands there."""
    if isinstance(value, dict | list | tuple):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(f"{place}.{name}".lstrip("."), inner)
    elif isinstance(value, torch.Tensor):
        yield place, f"{value.dtype} {list(value.shape)}"
    else:
        yield place, type(value).__name__


def checked(state: State, job: Job) -> State:
    """Return the state if the job can go on from it.

    Raises:
        OptionError: other data, and what changed; another number of processes.
    """
    if not state.is_begun:  # it may be known from its recipe alone
        return replace(state, recipe=job.recipe, processes=job.sizes.processes, data=job.identities)
    if job.sizes.processes != state.processes:
        raise OptionError(
            f"--resume: the run is of {state.processes} processes and {job.sizes.processes} are here: "
            "start as many, or its losses would be others"
        )
    for before, now in zip(state.data, (job.train, job.validation), strict=True):
        if changes := before.changes(now.identity):
            raise OptionError(
                f"--resume: {printable(now.name)} ({now.split}) is not what the run began with: {changes}; "
                "put it back, or train anew with another --output"
            )
    if state.part.updates > job.updates:
        done = state.part.updates
        raise OptionError(f"--resume: {done} updates of an epoch are done, and it has {job.updates}")
    return state


def restore(state: State, engine: Engine) -> None:
    """Give the engine what the state holds.

    Raises:
        OptionError: it is of another network, as after a change in a library.
    """
    if state.tensors is None:
        return
    try:
        engine.net.load_state_dict(state.tensors["model"])
        if engine.ema is not None:
            engine.ema.module.load_state_dict(state.tensors["ema"])
        engine.optimizer.load_state_dict(state.tensors["optimizer"])
        engine.scaler.load_state_dict(state.tensors["scaler"])
    except Exception as error:  # torch and timm raise all kinds
        reason = printable(" ".join(str(error).split())[:200])
        raise OptionError(f"--resume: last.pt does not fit {state.run.model}: {reason}") from error
