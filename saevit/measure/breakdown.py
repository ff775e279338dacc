"""Time of every module inside whole forward passes, and the cost of timing them."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from time import perf_counter

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from saevit.errors import OptionError, nearest
from saevit.measure.conditions import example_input, pin_threads, place_network, synchronizer
from saevit.measure.environment import environment
from saevit.measure.rounds import schedule_rounds
from saevit.measure.timer import time_call, warm_up
from saevit.runs.record import Conditions, Environment, utc_now


@dataclass(frozen=True, kw_only=True)
class ModuleTimes:
    """Raw times of modules, in seconds per forward pass of one batch, one sample a round.

    A module inside another one is counted in both, and a module that is called several times has the sum.
    `watched` relative to `plain` is the cost of the hooks.
    """

    modules: Mapping[str, tuple[float, ...]]  # path -> samples, in the order asked for, without uncalled ones
    watched: tuple[float, ...]  # the whole forward pass with the hooks
    plain: tuple[float, ...]  # the whole forward pass without hooks, in the same rounds
    conditions: Conditions
    environment: Environment
    started: str  # ISO-8601, UTC

    @property
    def own(self) -> dict[str, tuple[float, ...]]:
        """The time of each path without the paths inside it; "" is the rest of the forward pass."""
        own = {"": list(self.watched)} | {path: list(samples) for path, samples in self.modules.items()}
        for path, samples in self.modules.items():
            parent = path
            while parent:
                parent = parent.rpartition(".")[0]
                if parent in own:
                    own[parent] = [outer - inner for outer, inner in zip(own[parent], samples, strict=True)]
                    break
        return {path: tuple(max(0.0, s) for s in samples) for path, samples in own.items()}


def time_modules(
    model: nn.Module,
    paths: Sequence[str],
    conditions: Conditions,
    *,
    channels: int = 3,
    rounds: int = 15,
    min_time: float = 0.1,
    seed: int = 0,
) -> ModuleTimes:
    """Time the modules at `paths` inside whole forward passes of a copy of the model.

    On an accelerator every boundary of a module waits for the device, which removes overlap.

    Args:
        paths: names as in `model.named_modules()`.
        conditions: with the runtime "eager": compiled modules have no separate times.
        rounds: samples, each of a pass with hooks and of one without, in shuffled order.
        min_time: seconds a sample lasts at least.

    Raises:
        OptionError: a path that the model does not have, or another runtime.
    """
    if conditions.runtime != "eager":
        raise OptionError(f"runtime {conditions.runtime!r}: modules can be timed only in eager")
    known = dict(model.named_modules(remove_duplicate=False))
    for path in paths:
        if path not in known:
            raise OptionError(f"path {path!r} is not a module of this network: {nearest(path, known)}")
    started = utc_now()
    placed = place_network(model, conditions)
    example = example_input(conditions, channels)
    modules = {path: placed.get_submodule(path) for path in paths}
    synchronize = synchronizer(conditions.device)
    plain: list[float] = []
    watched: list[tuple[float, dict[str, float]]] = []

    def forward() -> object:
        return placed(example)

    def sample(watched_modules: Mapping[str, nn.Module]) -> tuple[float, dict[str, float]]:
        """Return seconds per forward pass: of the whole, and of each given module."""
        with _watch(watched_modules, synchronize) as totals:
            forward()
            totals.clear()
            taken = time_call(forward, synchronize, min_time, calls)
        return taken.seconds, {path: total / taken.calls for path, total in totals.items()}

    with pin_threads(conditions.threads), torch.inference_mode():
        calls = warm_up(forward, synchronize, min_time).calls
        for kind in chain.from_iterable(schedule_rounds(("plain", "watched"), rounds, random.Random(seed))):
            if kind == "plain":
                plain.append(sample({})[0])
            else:
                watched.append(sample(modules))
    return ModuleTimes(
        modules={
            path: tuple(times[path] for _, times in watched) for path in modules if path in watched[0][1]
        },
        watched=tuple(seconds for seconds, _ in watched),
        plain=tuple(plain),
        conditions=conditions,
        environment=environment(),
        started=started,
    )


@contextmanager
def _watch(modules: Mapping[str, nn.Module], synchronize: Callable[[], None]) -> Iterator[dict[str, float]]:
    """Add up the seconds spent in each module while the block runs; the hooks are removed in any case."""
    totals: dict[str, float] = {}
    handles: list[RemovableHandle] = []
    try:
        for path, module in modules.items():
            start, stop = _make_hooks(path, totals, synchronize)
            handles.append(module.register_forward_pre_hook(start))
            handles.append(module.register_forward_hook(stop, prepend=True))
        yield totals
    finally:
        for handle in handles:
            handle.remove()


def _make_hooks(
    path: str, totals: dict[str, float], synchronize: Callable[[], None]
) -> tuple[Callable[[nn.Module, object], None], Callable[[nn.Module, object, object], None]]:
    started = 0.0

    def start(module: nn.Module, args: object) -> None:
        nonlocal started
        synchronize()
        started = perf_counter()

    def stop(module: nn.Module, args: object, output: object) -> None:
        synchronize()
        totals[path] = totals.get(path, 0.0) + perf_counter() - started

    return start, stop
