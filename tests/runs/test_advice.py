"""Advice appears when there is something to do, and only then."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saevit.runs.advice import Advice, advice, advise
from saevit.runs.record import LONGEST, SHORTEST
from saevit.runs.run import TWIN, Run, Subject
from tests.runs.test_record import CONDITIONS, ENVIRONMENT

QUIET = tuple(0.1 + 0.0001 * (i * 7 % 15) for i in range(15))


def run_of(samples: tuple[float, ...] = QUIET, threads: int = 1, again: tuple[float, ...] = ()) -> Run:
    net = Subject(label="net", name="net", conditions=replace(CONDITIONS, threads=threads), samples=samples)
    twin = replace(net, label="net (again)", quantity=TWIN, samples=again)
    return Run(
        subjects=(net, twin) if again else (net,),
        rounds=len(samples),
        min_time=0.1,
        seed=0,
        environment=replace(ENVIRONMENT, usable_cores=2),
        load_before=0.1,
        started="2026-01-31T12:00:00+00:00",
    )


def only(run: Run) -> Advice:
    (found,) = advise(run)
    (line,) = advice(run)
    assert (
        line
        == f"{found.level}: {found.subject + ': ' if found.subject else ''}{found.finding}: {found.way_out}"
    )
    assert advice(run, found.level) == (line.partition(": ")[2],)
    assert advice(run, "note" if found.level == "warning" else "warning") == ()
    return found


def test_a_quiet_run_needs_no_advice() -> None:
    assert advise(run_of()) == ()
    assert advise(run_of(threads=2)) == ()
    assert advise(run_of(again=tuple(reversed(QUIET)))) == ()


@given(st.lists(st.floats(SHORTEST, LONGEST), min_size=1, max_size=30), st.integers(0, 2**31))
def test_whatever_can_be_stored_has_advice(samples: list[float], load: int) -> None:
    run = replace(run_of(tuple(samples), again=tuple(reversed(samples))), load_before=float(load))
    for line in advice(run):
        assert line.isprintable()
        assert " inf" not in line
        assert " nan" not in line


@pytest.mark.parametrize(("width", "level"), [(0.1, "note"), (0.3, "warning")])
def test_spread_is_told_in_two_levels(width: float, level: str) -> None:
    samples = tuple(1 + width * (i % 3 - 1) for i in range(15))
    found = only(run_of(samples))
    assert (found.subject, found.level) == ("net", level)
    assert "timings spread " in found.finding


def test_a_machine_that_slows_down_may_be_throttling() -> None:
    found = only(run_of(tuple(0.1 + 0.0007 * i for i in range(15))))
    assert (found.subject, found.level) == ("net", "warning")
    assert "took 1.07 times as long as the first" in found.finding


def test_a_machine_that_speeds_up_was_not_warm() -> None:
    found = only(run_of(tuple(0.1 - 0.0007 * i for i in range(15))))
    assert found.level == "note"
    assert "took 0.929 times as long as the first" in found.finding


def test_noise_without_a_trend_is_no_drift() -> None:
    samples = tuple(0.1 + 0.0045 * (i % 2) for i in range(15))
    assert advise(run_of(samples)) == ()


def test_load_counts_when_it_takes_our_cores() -> None:
    busy = replace(run_of(threads=1), load_before=1.6)
    assert "load average 1.6 on 2 cores" in only(busy).finding
    assert only(replace(busy, load_before=9.0)).level == "note"
    crowded = only(replace(run_of(threads=2), load_before=9.0))
    assert (crowded.level, "use --threads 1" in crowded.way_out) == ("warning", True)
    assert advise(replace(busy, environment=replace(busy.environment, usable_cores=8))) == ()
    assert advise(replace(busy, load_before=None)) == ()


def test_more_threads_than_cores() -> None:
    found = only(run_of(threads=4))
    assert found.level == "warning"
    assert "4 threads on 2 usable cores" in found.finding


def test_too_few_rounds_resolve_nothing() -> None:
    few = run_of(QUIET[:5])
    assert "only 5 rounds" in only(few).finding
    assert "--rounds 6 or more" in only(few).way_out
    assert "interrupted after 5 rounds" in only(replace(few, ending="interrupted")).finding
    assert advise(run_of(QUIET[:6])) == ()


def test_a_model_that_differs_from_itself_is_a_warning() -> None:
    found = only(run_of(again=tuple(sample * 1.03 for sample in QUIET)))
    assert (found.subject, found.level) == (None, "warning")
    assert "two timings of net in the same rounds differ by 3 %" in found.finding


def test_a_failed_subject_gets_no_advice_and_a_failed_run_neither() -> None:
    run = run_of()
    failed = replace(run.timed[0], label="bad", samples=(), failure="broken")
    assert advise(replace(run, subjects=(*run.timed, failed))) == ()
    assert advise(replace(run, subjects=(failed,), rounds=0)) == ()


def test_samples_that_cannot_be_kept_are_a_warning() -> None:
    found = only(replace(run_of(), unkept="disk full"))
    assert "some samples could not be stored (disk full)" in found.finding


def test_what_holds_for_many_is_said_once_of_the_worst() -> None:
    subjects = tuple(
        Subject(
            label=f"net{i}",
            name=f"net{i}",
            conditions=CONDITIONS,
            samples=tuple(1 + (0.06 + 0.01 * i) * (j % 3 - 1) for j in range(15)),
        )
        for i in range(5)
    )
    many = replace(run_of(), subjects=subjects)
    assert len(advise(many)) == 5
    (line,) = advice(many)
    assert line.startswith("note: net4: timings spread ")
    assert "(4 others: at most that): " in line


def test_advice_names_only_the_conditions_that_differ() -> None:
    wild = run_of((1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0))
    (first,) = wild.timed
    second = replace(first, label="net (long)", conditions=replace(first.conditions, batch_size=64))
    found = advise(replace(wild, subjects=(first, second)))
    batch = first.conditions.batch_size
    assert {one.subject for one in found} - {None} == {f"net (batch {batch})", "net (batch 64)"}
