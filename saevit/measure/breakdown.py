"""Where the time of one forward goes, module by module, and what watching it costs."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from saevit.errors import OptionError, nearest
from saevit.measure.conditions import example_input, pin_threads, place_network, synchronizer
from saevit.measure.environment import environment
from saevit.measure.rounds import schedule_rounds
from saevit.measure.timer import time_call, warm_up
from saevit.runs.record import Conditions, Environment, utc_now


@dataclass(frozen=True, kw_only=True)
class ModuleTimes:
    """Raw times of the modules of one model, all in seconds per forward of one batch, one sample a round.

    A path inside another is counted in both, so only paths that do not contain each other add up. A module
    that runs several times in one forward has the sum. `watched` over `plain` is what the hooks cost.
    """

    modules: Mapping[str, tuple[float, ...]]  # path -> samples, in the order asked for
    uncalled: tuple[str, ...]  # paths whose forward did not run: their time is unknown, not 0
    watched: tuple[float, ...]  # the whole forward, with the hooks
    plain: tuple[float, ...]  # the whole forward without hooks, in the same rounds
    conditions: Conditions
    environment: Environment
    started: str  # ISO-8601, UTC


def time_modules(
    model: nn.Module,
    example_shape: tuple[int, int, int, int],
    paths: Sequence[str],
    conditions: Conditions,
    *,
    rounds: int = 15,
    min_time: float = 0.1,
    seed: int = 0,
) -> ModuleTimes:
    """Time the modules at `paths` inside whole forwards; the model itself is copied, not touched.

    On an accelerator every watched boundary waits for the device, which takes away its overlap.

    Args:
        model: any module; runs eagerly, as only there modules have a time of their own.
        example_shape: (B, C, H, W), as in the conditions.
        paths: names as in `model.named_modules()`.
        conditions: runtime "eager".
        rounds: samples, each of a forward with hooks and one without, in shuffled order.
        min_time: seconds a sample lasts at least.
        seed: of the order inside the rounds.

    Raises:
        OptionError: a path the model does not have, or conditions that contradict the shape or are not eager.
    """
    _check_paths(model, example_shape, paths, conditions)
    started = utc_now()
    placed = place_network(model, conditions)
    example = example_input(conditions, example_shape[1])
    modules = {path: placed.get_submodule(path) for path in paths}
    plain: list[float] = []
    watched: list[tuple[float, dict[str, float]]] = []
    with pin_threads(conditions.threads), torch.inference_mode():
        stopwatch = _stopwatch(placed, example, synchronizer(conditions.device), min_time)
        for kind in chain.from_iterable(schedule_rounds(("plain", "watched"), rounds, random.Random(seed))):
            if kind == "plain":
                plain.append(stopwatch({})[0])
            else:
                watched.append(stopwatch(modules))
    called = [path for path in modules if path in watched[0][1]]
    return ModuleTimes(
        modules={path: tuple(times[path] for _, times in watched) for path in called},
        uncalled=tuple(path for path in modules if path not in called),
        watched=tuple(seconds for seconds, _ in watched),
        plain=tuple(plain),
        conditions=conditions,
        environment=environment(),
        started=started,
    )


def _check_paths(
    model: nn.Module, shape: tuple[int, int, int, int], paths: Sequence[str], conditions: Conditions
) -> None:
    if conditions.runtime != "eager":
        raise OptionError(f"runtime {conditions.runtime!r}: modules have times of their own only in eager")
    wanted = (conditions.batch_size, shape[1], *conditions.img_size)
    if tuple(shape) != wanted:
        raise OptionError(f"example_shape {tuple(shape)}: the conditions ask for {wanted}")
    known = dict(model.named_modules(remove_duplicate=False))
    for path in paths:
        if path not in known:
            raise OptionError(f"path {path!r} is no module of this model: {nearest(path, known)}")


def _stopwatch(
    model: nn.Module, example: Tensor, synchronize: Callable[[], None], min_time: float
) -> Callable[[Mapping[str, nn.Module]], tuple[float, dict[str, float]]]:
    """Return a function that takes one sample: seconds per forward, in whole and of each given module."""

    def forward() -> object:
        return model(example)

    calls = warm_up(forward, synchronize, min_time).calls

    def sample(modules: Mapping[str, nn.Module]) -> tuple[float, dict[str, float]]:
        with _watch(modules, synchronize) as totals:
            forward()
            totals.clear()
            taken = time_call(forward, synchronize, min_time, calls)
        return taken.seconds, {path: total / taken.calls for path, total in totals.items()}

    return sample


@contextmanager
def _watch(modules: Mapping[str, nn.Module], synchronize: Callable[[], None]) -> Iterator[dict[str, float]]:
    """Add up the seconds spent in each module while the block runs; the hooks go whatever happens."""
    totals: dict[str, float] = {}
    handles: list[RemovableHandle] = []
    try:
        for path, module in modules.items():
            start, stop = _hooks(path, totals, synchronize)
            handles.append(module.register_forward_pre_hook(start))
            handles.append(module.register_forward_hook(stop, prepend=True))
        yield totals
    finally:
        for handle in handles:
            handle.remove()


def _hooks(
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


def own_times(times: ModuleTimes) -> dict[str, tuple[float, ...]]:
    """Return the time of each path without the paths inside it; "" is the rest of the forward pass."""
    own = {"": list(times.watched)} | {path: list(samples) for path, samples in times.modules.items()}
    for path, samples in times.modules.items():
        parent = path
        while parent:
            parent = parent.rpartition(".")[0]
            if parent in own:
                own[parent] = [outer - inner for outer, inner in zip(own[parent], samples, strict=True)]
                break
    return {path: tuple(max(0.0, s) for s in samples) for path, samples in own.items()}
