"""Samples are long enough, warmed up, synchronised, and undisturbed by the garbage collector."""

import gc
from collections.abc import Iterator
from itertools import chain, cycle, repeat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saevit.measure.timer import WARM_UP_TIME, time_call, warm_up
from tests.measure.conftest import Clock


def idle() -> None:
    """There is nothing to wait for."""


class Call:
    """Takes the next of the given times, and counts."""

    def __init__(self, clock: Clock, seconds: Iterator[float]) -> None:
        self.clock, self.seconds, self.count = clock, seconds, 0

    def __call__(self) -> None:
        self.count += 1
        self.clock.pass_by(next(self.seconds))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cost=st.floats(1e-4, 10), min_time=st.floats(1e-3, 1), calls=st.integers(1, 50))
def test_a_sample_lasts_at_least_the_minimum(clock: Clock, cost: float, min_time: float, calls: int) -> None:
    call = Call(clock, repeat(cost))
    sample = time_call(call, idle, min_time, calls)
    assert sample.calls == call.count >= calls
    assert sample.seconds * sample.calls >= min_time * (1 - 1e-9)
    assert sample.seconds == pytest.approx(cost)


def test_calls_found_in_warm_up_fill_a_sample(clock: Clock) -> None:
    call = Call(clock, repeat(0.003))
    warm = warm_up(call, idle, 0.1)
    assert warm.steady
    assert 34 <= warm.calls <= 60
    assert time_call(call, idle, 0.1, warm.calls).calls == warm.calls


def test_warm_up_outlasts_slow_first_calls(clock: Clock) -> None:
    call = Call(clock, chain([1.0, 0.5, 0.25], repeat(0.125)))
    warm = warm_up(call, idle, 0.1)
    assert warm.steady
    assert warm.seconds == pytest.approx(2.0)  # seconds: three slow calls, and the two that agree
    assert time_call(call, idle, 0.1, warm.calls).seconds == pytest.approx(0.125)


def test_a_call_that_never_gets_steady_is_given_up(clock: Clock) -> None:
    warm = warm_up(Call(clock, cycle([0.2, 0.4])), idle, 0.1)
    assert not warm.steady
    assert WARM_UP_TIME <= warm.seconds <= WARM_UP_TIME + 0.4


def test_a_call_too_quick_for_the_clock_ends(clock: Clock) -> None:
    coarse = Call(clock, chain(repeat(0.0, 10), repeat(0.001)))
    assert warm_up(coarse, idle, 0.1).calls > 10


def test_the_device_is_waited_for_inside_the_timed_part(clock: Clock) -> None:
    pending = [0.0]

    def launch() -> None:
        pending[0] += 0.2

    def synchronize() -> None:
        clock.pass_by(pending[0])
        pending[0] = 0.0

    pending[0] = 5.0  # earlier work of others
    assert time_call(launch, synchronize, 0.1, 3).seconds == pytest.approx(0.2)


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_rests_while_timing_and_is_as_it_was_after(clock: Clock, enabled: bool) -> None:
    seen = []

    def call() -> None:
        seen.append(gc.isenabled())
        clock.pass_by(1.0)
        if len(seen) == 2:
            raise RuntimeError("model broke")

    (gc.enable if enabled else gc.disable)()
    try:
        time_call(call, idle, 0.1)
        with pytest.raises(RuntimeError, match="model broke"):
            time_call(call, idle, 0.1)
        assert seen == [False, False]
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
