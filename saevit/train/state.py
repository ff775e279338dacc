"""All that a training needs to go on as if it had never stopped, in one file of tensors and numbers."""

import io
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

import saevit
from saevit.checkpoint import NETWORK, check_network
from saevit.errors import OptionError
from saevit.files import replace_file
from saevit.results.training import Epoch
from saevit.train.engine import Engine
from saevit.train.job import Run, run_values
from saevit.train.recipe import Recipe

VERSION = 1


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
    rows: tuple[Epoch, ...] = ()  # finished epochs
    part: Part = field(default_factory=Part)  # of the epoch after these
    tensors: dict[str, Any] | None = None  # of network, average and optimizer; None: not started


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
    facts = {
        "run": run_values(state.run),
        "recipe": asdict(state.recipe),
        "base": state.base,
        "processes": state.processes,
        "rows": [asdict(row) for row in state.rows],
        "part": asdict(state.part),
        NETWORK: saevit.NETWORK,
    }
    data = io.BytesIO()  # torch turns a full disk into an error of another kind
    torch.save({"saevit": VERSION, "facts": json.dumps(facts), **(state.tensors or {})}, data)
    replace_file(path, lambda temporary: temporary.write_bytes(data.getvalue()))


def load_state(path: Path) -> State:
    """Read a file back, with `weights_only=True`; JSON gives every float back to the last bit.

    Raises:
        OptionError: there is none, it cannot be read, another program wrote it, or its network is no more.
    """
    if not path.is_file():
        raise OptionError(f"--resume {path.parent}: there is no {path.name} in it, name the folder of a run")
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
        facts = json.loads(data.pop("facts"))
        if data.pop("saevit") != VERSION:
            raise OptionError(f"--resume: {path} is of another version of saevit")
        check_network(f"--resume: {path}", facts["run"]["model"], facts.get(NETWORK))
        return State(
            run=Run.from_dict(facts["run"]),
            recipe=Recipe(**facts["recipe"]),
            base=facts["base"],
            processes=facts["processes"],
            rows=tuple(Epoch(**row) for row in facts["rows"]),
            part=Part(**facts["part"]),
            tensors=data,
        )
    except OptionError:
        raise
    except Exception as error:  # pickle, zip, json and the file system raise all kinds
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise OptionError(f"--resume: {path} cannot be read: {reason}") from error


def restore(state: State, engine: Engine) -> None:
    """Give the engine what the state holds."""
    if state.tensors is None:
        return
    engine.net.load_state_dict(state.tensors["model"])
    if engine.ema is not None:
        engine.ema.module.load_state_dict(state.tensors["ema"])
    engine.optimizer.load_state_dict(state.tensors["optimizer"])
    engine.scaler.load_state_dict(state.tensors["scaler"])
