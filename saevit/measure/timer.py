"""One sample of one call: warmed up, long enough, synchronised, without garbage collection."""

import gc
import math
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

STEADY = 0.05  # two consecutive blocks that differ less than this end the warm-up
WARM_UP_TIME = 5.0  # seconds, the bound for a call that never gets steady
WARM_UP_BLOCKS = 50  # the other bound, for clocks too coarse to see the call
GROWTH = 10.0  # calls grow by at most this factor at once: first calls are slow and mislead


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The mean time of consecutive calls."""

    seconds: float  # per call
    calls: int


@dataclass(frozen=True, kw_only=True)
class WarmUp:
    """The warm-up of a call."""

    calls: int  # to make a sample last the minimum time
    seconds: float  # spent
    steady: bool  # False: a bound ended it


def warm_up(call: Callable[[], object], synchronize: Callable[[], None], min_time: float) -> WarmUp:
    """Repeat the call until two blocks of at least `min_time` seconds agree; count the calls of a block."""
    start = perf_counter()
    calls, previous, steady = 1, 0.0, False
    for _ in range(WARM_UP_BLOCKS):
        elapsed = _block(call, synchronize, calls)
        if elapsed >= min_time:
            steady = abs(elapsed / calls - previous) <= STEADY * previous
            previous = elapsed / calls
        if steady or perf_counter() - start >= WARM_UP_TIME:
            break
        if elapsed < min_time:
            calls = _more(calls, elapsed, min_time)
    return WarmUp(calls=calls, seconds=perf_counter() - start, steady=steady)


def time_call(
    call: Callable[[], object], synchronize: Callable[[], None], min_time: float, calls: int = 1
) -> Sample:
    """Take one sample that lasts at least `min_time` seconds.

    `synchronize` waits until the device has finished; it runs before the clock starts and before it stops.
    The sample begins with as many calls as `warm_up` found, and more are added if it is too short.
    """
    total, done, ahead = 0.0, 0, calls
    while done == 0 or total < min_time:
        total += _block(call, synchronize, ahead)
        done += ahead
        ahead = max(1, _more(done, total, min_time) - done)
    return Sample(seconds=total / done, calls=done)


def time_passes(call: Callable[[], object], synchronize: Callable[[], None], count: int) -> tuple[float, ...]:
    """Return the seconds of each of `count` calls, with a wait for the device before and after each."""
    return tuple(_block(call, synchronize, 1) for _ in range(count))


def _block(call: Callable[[], object], synchronize: Callable[[], None], calls: int) -> float:
    """Return the seconds of `calls` consecutive calls."""
    was_on = gc.isenabled()
    synchronize()
    gc.disable()
    try:
        start = perf_counter()
        for _ in range(calls):
            call()
        synchronize()
        return perf_counter() - start
    finally:
        if was_on:
            gc.enable()


def _more(calls: int, elapsed: float, min_time: float) -> int:
    """Return how many calls fill `min_time`, from the time that `calls` of them took."""
    factor = min(1.1 * min_time / elapsed, GROWTH) if elapsed > 0 else GROWTH  # 1.1: not to fall just short
    return max(calls + 1, math.ceil(calls * factor))
