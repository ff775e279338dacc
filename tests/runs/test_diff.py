"""Two runs are compared through what they share, and a change is claimed as rarely as promised."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saevit.errors import OptionError
from saevit.runs.diff import Change, diff_runs
from saevit.runs.run import Run, Subject
from tests.runs.test_record import CONDITIONS, ENVIRONMENT, MEASURED

ROUNDS = 15
STEADY = [1.0 + 0.001 * i for i in range(ROUNDS)]
seconds = st.lists(st.floats(1e-6, 1e3), min_size=ROUNDS, max_size=ROUNDS)


def subject(name: str, **changes: Any) -> Subject:
    return replace(Subject(label=name, name=name, conditions=CONDITIONS), **changes)


def run_of(
    samples: Mapping[str, Sequence[float]],
    subjects: Sequence[Subject] = (),
    failures: Mapping[str, str] | None = None,
) -> Run:
    """A run with one list of samples a label, the reference first."""
    failures = failures or {}
    known = subjects or list(map(subject, samples))
    labels = {one.label for one in known}
    return Run(
        subjects=tuple(
            replace(one, failure=failures[one.label])
            if one.label in failures
            else replace(one, samples=tuple(samples[one.label]))
            for one in known
        ),
        environment=ENVIRONMENT,
        started=MEASURED.time,
        seed=0,
        min_time=0.1,
        rounds=len(next(iter(samples.values()))),
        ending="lost",
        not_built={label: reason for label, reason in failures.items() if label not in labels},
        path=Path("run.jsonl"),
    )


def times(factor: float, samples: Sequence[float] = STEADY) -> list[float]:
    return [factor * sample for sample in samples]


def only(*runs: Run) -> Change:
    (change,) = diff_runs(*runs).changes
    return change


def test_a_faster_subject_on_a_slower_machine() -> None:
    """Twice the seconds of before, yet 0.8 of the reference's: the machine is slower, the subject is not."""
    before = run_of({"base": STEADY, "ours": STEADY})
    after = run_of({"base": times(2.5), "ours": times(2.0)})
    compared = diff_runs(before, after)
    change = only(before, after)
    assert compared.reference == "base"
    assert compared.reference_seconds_ratio == pytest.approx(2.5)
    assert (change.subject, change.verdict, change.resolved) == ("ours", "faster", True)
    assert (change.low, change.ratio, change.high) == pytest.approx((0.8, 0.8, 0.8))
    assert (change.before.median, change.after.median) == pytest.approx((1.0, 0.8))
    assert only(after, before).verdict == "slower"


@given(seconds, seconds, seconds, seconds, st.sampled_from([0.25, 2.0, 8.0]))
def test_laws(base_a: list[float], a: list[float], base_b: list[float], b: list[float], k: float) -> None:
    one, two = run_of({"base": base_a, "x": a}), run_of({"base": base_b, "x": b})
    change = only(one, two)
    assert change.low <= change.ratio <= change.high
    back = only(two, one)
    assert (back.low, back.ratio, back.high) == pytest.approx(
        (1 / change.high, 1 / change.ratio, 1 / change.low)
    )
    machine = only(one, run_of({"base": times(k, base_b), "x": times(k, b)}))
    assert (machine.low, machine.ratio, machine.high) == (change.low, change.ratio, change.high)
    scaled = only(one, run_of({"base": base_b, "x": times(k, b)}))
    assert (scaled.low, scaled.ratio, scaled.high) == pytest.approx(
        (k * change.low, k * change.ratio, k * change.high)
    )
    assert only(one, one).verdict == "not resolved"


@pytest.mark.parametrize(("rounds", "resolved"), [(1, False), (6, False), (7, True), (15, True)])
def test_seven_rounds_a_run_resolve_a_difference(rounds: int, resolved: bool) -> None:
    before = run_of({"base": [1.0] * rounds, "ours": [1.0] * rounds})
    after = run_of({"base": [1.0] * rounds, "ours": [3.0] * rounds})
    change = only(before, after)
    assert (change.ratio, change.resolved) == (3.0, resolved)
    assert (change.confidence >= 0.95) == resolved


NOISE = {
    "lognormal": lambda rng, shape: 0.02 * rng.standard_normal(shape),
    "skewed": lambda rng, shape: rng.exponential(0.03, shape) - 0.03 * math.log(2),
    "heavy tails": lambda rng, shape: 0.01 * rng.standard_t(1.5, shape),
    "two modes": lambda rng, shape: 0.04 * rng.choice([-1, 1], shape) + 0.005 * rng.standard_normal(shape),
}


@pytest.mark.parametrize("rounds", [(7, 7), (15, 15), (10, 30)], ids=str)
@pytest.mark.parametrize("noisier", [1, 5])
@pytest.mark.parametrize("noise", NOISE)
def test_the_interval_covers_what_it_promises(noise: str, noisier: int, rounds: tuple[int, int]) -> None:
    """Simulated: unequal machines, unequal rounds, a true change of 1.1 with a median error of 0."""
    rng, repeats, covered = np.random.default_rng(sum(rounds)), 300, 0
    for _ in range(repeats):
        draws = [
            np.exp(NOISE[noise](rng, count) * scale)
            for count, scale in zip(rounds, (1, noisier), strict=True)
        ]
        before = run_of({"base": [1.0] * rounds[0], "ours": draws[0].tolist()})
        after = run_of({"base": [1.0] * rounds[1], "ours": (1.1 * draws[1]).tolist()})
        change = only(before, after)
        covered += change.low <= 1.1 <= change.high
        assert change.confidence >= 0.95
    assert covered / repeats >= 0.95


def test_a_drifting_machine_cancels_within_each_run() -> None:
    drift = np.linspace(1, 3, ROUNDS).tolist()
    before = run_of({"base": drift, "ours": times(1.2, drift)})
    after = run_of({"base": drift[::-1], "ours": times(1.5, drift[::-1])})
    change = only(before, after)
    assert (change.low, change.high) == pytest.approx((1.25, 1.25))
    assert change.verdict == "slower"


def test_why_subjects_cannot_be_compared() -> None:
    big = replace(CONDITIONS, batch_size=64)
    names = ["base", "ours", "gone", "broken", "large"]
    before = run_of(dict.fromkeys(names, STEADY))
    after = run_of(
        dict.fromkeys(["base", "ours", "new", "large"], STEADY),
        [*map(subject, ["base", "ours", "new", "broken"]), subject("large", conditions=big)],
        {"broken": "out of memory"},
    )
    compared = diff_runs(before, after)
    assert [change.subject for change in compared.changes] == ["ours"]
    assert [(one.subject, one.reason) for one in compared.not_comparable] == [
        ("gone", "not in the second run"),
        ("broken", "second run: out of memory"),
        ("large", f"not in the second run under these conditions (there: {big})"),
        ("new", "not in the first run"),
        ("large", f"not in the first run under these conditions (there: {CONDITIONS})"),
    ]


def test_two_runs_without_a_common_reference() -> None:
    one, other = run_of({"a": STEADY, "ours": STEADY}), run_of({"b": STEADY, "ours": STEADY})
    compared = diff_runs(one, other)
    assert (compared.reference, compared.reference_conditions, compared.changes) == (None, None, ())
    assert [(one.subject, one.reason) for one in compared.not_comparable] == [
        ("a", "not in the second run"),
        ("ours", "the only model in both runs: there is no second one to compare it with"),
        ("b", "not in the first run"),
    ]
    apart = diff_runs(run_of({"a": STEADY}), run_of({"b": STEADY}))
    assert (apart.reference, len(apart.not_comparable)) == (None, 2)


def test_a_run_without_rounds_and_a_subject_given_twice() -> None:
    full, none = run_of({"base": STEADY, "ours": STEADY}), run_of({"base": [], "ours": []})
    assert {one.reason for one in diff_runs(full, none).not_comparable} == {
        "second run: no round was finished"
    }
    halved = run_of(
        {"base": STEADY, "ours": STEADY, "again": STEADY},
        [subject("base"), subject("ours"), subject("ours", label="again")],
    )
    _, ours = diff_runs(halved, full).not_comparable
    assert (ours.subject, ours.reason) == ("ours", "2 times in the first run under equal conditions")


def test_the_reference_may_be_chosen() -> None:
    before = run_of({"a": STEADY, "b": STEADY, "c": STEADY})
    after = run_of({"a": STEADY, "b": times(2.0), "c": times(2.0)})
    assert [(c.subject, round(c.ratio, 9)) for c in diff_runs(before, after).changes] == [
        ("b", 2.0),
        ("c", 2.0),
    ]
    chosen = diff_runs(before, after, reference="b")
    assert (chosen.reference, chosen.reference_conditions) == ("b", CONDITIONS)
    assert [(c.subject, round(c.ratio, 9)) for c in chosen.changes] == [("a", 0.5), ("c", 1.0)]
    with pytest.raises(OptionError, match=r"reference 'd' was not measured by both .*: choose from a, b, c"):
        diff_runs(before, after, reference="d")
    with pytest.raises(OptionError, match="the runs share no model"):
        diff_runs(before, run_of({"d": STEADY}), reference="a")


def test_the_twin_shows_what_the_method_makes_of_no_change() -> None:
    names = [subject("base"), subject("base", label="twin", quantity="latency_again"), subject("ours")]
    rng = np.random.default_rng(3)

    def noisy() -> Run:
        draws = np.exp(0.02 * rng.standard_normal((3, ROUNDS))).tolist()
        return run_of(dict(zip(["base", "twin", "ours"], draws, strict=True)), names)

    twin, ours = diff_runs(noisy(), noisy()).changes
    assert (twin.subject, twin.quantity, twin.verdict) == ("base", "latency_again", "not resolved")
    assert (ours.quantity, ours.verdict) == ("latency", "not resolved")


def test_what_differs_between_the_machines_is_said() -> None:
    one = run_of({"base": STEADY, "ours": STEADY})
    other = replace(one, environment=replace(ENVIRONMENT, torch="2.15.0"))
    assert diff_runs(one, other).environment == ("torch: 2.11.0+cpu -> 2.15.0",)
    assert diff_runs(one, one).environment == ()
    assert diff_runs(one, one).same_saevit
    older = replace(one, environment=replace(ENVIRONMENT, saevit="0.1.0"))
    assert not diff_runs(older, one).same_saevit


@pytest.mark.parametrize("confidence", [0.0, 1.0, -1.0, 95])
def test_confidence_is_a_share(confidence: float) -> None:
    run = run_of({"base": STEADY, "ours": STEADY})
    with pytest.raises(ValueError, match="between 0 and 1"):
        diff_runs(run, run, confidence=confidence)
