"""Advice appears when there is something to do, and only then."""

from dataclasses import replace

import pytest

from saevit.measure.interleave import Run, Timing
from saevit.measure.stability import Advice, advise
from saevit.results.statistics import ratio
from tests.measure.conftest import CONDITIONS
from tests.results.test_record import ENVIRONMENT

QUIET = tuple(0.1 + 0.0001 * (i * 7 % 15) for i in range(15))


def run_of(
    samples: tuple[float, ...] = QUIET, threads: int = 1, again: tuple[float, ...] | None = None
) -> Run:
    timing = Timing(
        subject="net",
        label="net",
        conditions=replace(CONDITIONS, threads=threads),
        samples=samples,
        calls_per_sample=1,
        warmup_s=0.1,
        notes=(),
        failure=None,
    )
    return Run(
        timings=(timing,),
        twin=None if again is None else replace(timing, samples=again),
        order=tuple((number, "net") for number in range(len(samples))),
        rounds=len(samples),
        min_time=0.1,
        seed=0,
        environment=replace(ENVIRONMENT, usable_cores=2),
        load_before=0.1,
        started="2026-01-31T12:00:00+00:00",
        reference="net",
        noise_floor=None if again is None else ratio(again, samples),
        interrupted=False,
    )


def only(run: Run) -> Advice:
    (advice,) = advise(run)
    assert "\n" not in advice.message
    return advice


def test_a_quiet_run_needs_no_advice() -> None:
    assert advise(run_of()) == ()
    assert advise(run_of(threads=2)) == ()
    assert advise(run_of(again=tuple(reversed(QUIET)))) == ()


@pytest.mark.parametrize(("width", "level"), [(0.1, "note"), (0.3, "warning")])
def test_spread_is_told_in_two_levels(width: float, level: str) -> None:
    samples = tuple(1 + width * (i % 3 - 1) for i in range(15))
    advice = only(run_of(samples))
    assert (advice.subject, advice.level) == ("net", level)
    assert advice.message.startswith("spread ")


def test_a_machine_that_slows_down_may_be_throttling() -> None:
    advice = only(run_of(tuple(0.1 + 0.0007 * i for i in range(15))))
    assert (advice.subject, advice.level) == ("net", "warning")
    assert "7% slower in the last third" in advice.message


def test_a_machine_that_speeds_up_was_not_warm() -> None:
    advice = only(run_of(tuple(0.1 - 0.0007 * i for i in range(15))))
    assert advice.level == "note"
    assert "faster in the last third" in advice.message


def test_noise_without_a_trend_is_no_drift() -> None:
    samples = tuple(0.1 + 0.0045 * (i % 2) for i in range(15))
    assert advise(run_of(samples)) == ()


def test_load_counts_when_it_takes_our_cores() -> None:
    busy = replace(run_of(threads=1), load_before=1.6)
    assert "load average 1.6 on 2 cores" in only(busy).message
    assert advise(replace(busy, environment=replace(busy.environment, usable_cores=8))) == ()
    assert advise(replace(busy, load_before=None)) == ()


def test_more_threads_than_cores() -> None:
    advice = only(run_of(threads=4))
    assert advice.level == "warning"
    assert "4 threads on 2 usable cores" in advice.message


def test_too_few_rounds_resolve_nothing() -> None:
    few = run_of(QUIET[:5])
    assert "only 5 rounds: no difference can be resolved; run 6 or more" in only(few).message
    assert "interrupted after 5 rounds" in only(replace(few, interrupted=True)).message
    assert advise(run_of(QUIET[:6])) == ()


def test_a_model_that_differs_from_itself_is_a_warning() -> None:
    advice = only(run_of(again=tuple(sample * 1.03 for sample in QUIET)))
    assert (advice.subject, advice.level) == (None, "warning")
    assert "net timed twice differs by 3.0%" in advice.message


def test_a_failed_subject_gets_no_advice_and_a_failed_run_neither() -> None:
    run = run_of()
    failed = replace(run.timings[0], label="bad", samples=(), failure="broken")
    assert advise(replace(run, timings=(*run.timings, failed))) == ()
    assert advise(replace(run, timings=(failed,), rounds=0, reference=None)) == ()
