"""Statistics follow from raw samples alone, and an interval covers what it says it covers."""

import math
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from saevit.runs.record import LONGEST, SHORTEST
from saevit.runs.statistics import (
    Share,
    list_percentiles,
    median,
    percentile_ranks,
    quantile,
    ratio,
    rounds_needed,
    summarize,
    wilson,
)

seconds = st.floats(1e-6, 1e3)
samples = st.lists(seconds, min_size=1, max_size=40)
pairs = st.lists(st.tuples(seconds, seconds), min_size=1, max_size=40)


@given(samples, st.floats(0, 1))
def test_quantiles_are_numpys_default(values: list[float], share: float) -> None:
    assert quantile(values, share) == pytest.approx(float(np.quantile(values, share)), rel=1e-12)


def test_a_summary_in_numbers() -> None:
    summary = summarize([5.0, 1.0, 2.0, 4.0, 3.0])
    assert (summary.q1, summary.median, summary.q3, summary.count) == (2, 3, 4, 5)
    assert summary.count == 5
    assert summary.spread == pytest.approx(2 / 3)


@given(samples, st.floats(1e-3, 1e3))
def test_spread_does_not_depend_on_the_unit(values: list[float], scale: float) -> None:
    scaled = summarize([value * scale for value in values])
    assert scaled.spread == pytest.approx(summarize(values).spread, rel=1e-6, abs=1e-9)


@given(samples)
def test_order_of_a_summary(values: list[float]) -> None:
    summary = summarize(values)
    assert min(values) <= summary.q1 <= summary.median <= summary.q3 <= max(values)


@given(samples)
def test_a_subject_is_as_fast_as_itself(values: list[float]) -> None:
    same = ratio(values, values)
    assert (same.median, same.low, same.high, same.verdict) == (1, 1, 1, "not resolved")


@given(pairs, st.sampled_from([0.25, 0.5, 2.0, 8.0]))
def test_a_ratio_scales_with_the_subject_and_not_with_the_machine(
    rounds: list[tuple[float, float]], scale: float
) -> None:
    ours, theirs = [pair[0] for pair in rounds], [pair[1] for pair in rounds]
    before = ratio(ours, theirs)
    slower = ratio([time * scale for time in ours], theirs)
    assert (slower.low, slower.median, slower.high) == pytest.approx(
        (before.low * scale, before.median * scale, before.high * scale)
    )
    assert ratio([time * scale for time in ours], [time * scale for time in theirs]) == before


@given(pairs)
def test_swapping_subject_and_reference_mirrors_the_interval(rounds: list[tuple[float, float]]) -> None:
    ours, theirs = [pair[0] for pair in rounds], [pair[1] for pair in rounds]
    forth, back = ratio(ours, theirs), ratio(theirs, ours)
    assert (back.low, back.high) == pytest.approx((1 / forth.high, 1 / forth.low))
    assert forth.low <= forth.median <= forth.high


def test_per_round_ratios_cancel_a_drifting_machine() -> None:
    drift = np.linspace(1, 3, 15)
    compared = ratio(list(1.1 * drift), list(drift))
    assert compared.median == pytest.approx(1.1)
    assert compared.verdict == "slower"
    assert ratio(list(0.9 * drift), list(drift)).verdict == "faster"


def test_a_ratio_is_the_median_of_ratios_not_the_ratio_of_medians() -> None:
    ours, theirs = [1.0, 4.0, 9.0], [1.0, 2.0, 10.0]  # ratios 1, 2 and 0.9; medians 4 and 2
    assert ratio(ours, theirs).median == 1


@pytest.mark.parametrize("rounds", [1, 2, 3, 4, 5])
def test_too_few_rounds_resolve_nothing_and_say_what_they_cover(rounds: int) -> None:
    compared = ratio([2.0 + i for i in range(rounds)], [1.0] * rounds)
    assert compared.verdict == "not resolved"
    assert (compared.low, compared.high) == (2.0, 1.0 + rounds)
    assert compared.confidence == 1 - 2 * 0.5**rounds


def test_six_rounds_are_enough_for_95_percent() -> None:
    assert rounds_needed() == 6
    assert rounds_needed(0.99) == 8
    assert ratio([2.0] * 6, [1.0] * 6).verdict == "slower"


@pytest.mark.parametrize(("rounds", "dropped"), [(6, 0), (8, 0), (9, 1), (15, 3), (20, 5), (30, 9)])
def test_the_interval_is_the_tabulated_sign_test_interval(rounds: int, dropped: int) -> None:
    compared = ratio([float(i + 1) for i in range(rounds)], [1.0] * rounds)
    assert (compared.low, compared.high) == (1 + dropped, rounds - dropped)
    below = sum(math.comb(rounds, i) for i in range(dropped + 1)) / 2**rounds
    assert compared.confidence == pytest.approx(1 - 2 * below)
    assert compared.confidence >= 0.95


@given(st.integers(1, 300), st.floats(0.001, 0.9999))
def test_the_coverage_is_the_binomial_probability_in_whole_numbers(rounds: int, confidence: float) -> None:
    found = ratio([float(i + 1) for i in range(rounds)], [1.0] * rounds, confidence=confidence)
    below = [Fraction(sum(math.comb(rounds, i) for i in range(k)), 2**rounds) for k in range(rounds // 2 + 2)]
    dropped = round(found.low) - 1
    assert found.high == rounds - dropped
    assert found.confidence == pytest.approx(float(1 - 2 * below[dropped + 1]), abs=1e-12)
    assert found.confidence >= confidence - 1e-12 or dropped == 0
    if 2 * (dropped + 1) < rounds:  # one more at either end would be too many
        assert 1 - 2 * below[dropped + 2] < confidence + 1e-12


@pytest.mark.parametrize("rounds", [1029, 1030, 1100, 10_001, 100_000, 10**6])
def test_the_interval_of_many_rounds_is_that_of_the_normal_distribution(rounds: int) -> None:
    """At 1030 rounds a binomial coefficient is beyond what a double holds."""
    times = [1.0 + i for i in range(rounds)]
    found = ratio(times, [1.0] * rounds)
    assert 0.95 <= found.confidence < 0.956
    half = NormalDist().inv_cdf(0.975) * math.sqrt(rounds) / 2
    assert found.high - found.low == pytest.approx(2 * half, abs=3)
    assert found.low + found.high == rounds + 1
    assert ratio(times, [1.0] * rounds, confidence=0.99).low < found.low


legal = st.floats(SHORTEST, LONGEST) | st.sampled_from([SHORTEST, LONGEST, 1.0, 1e-9])


@given(st.lists(st.tuples(legal, legal), min_size=1, max_size=40))
def test_whatever_can_be_stored_has_statistics(rounds: list[tuple[float, float]]) -> None:
    ours, theirs = [pair[0] for pair in rounds], [pair[1] for pair in rounds]
    seen, found = summarize(ours), ratio(ours, theirs)
    assert min(ours) <= seen.q1 <= seen.median <= seen.q3 <= max(ours)
    assert 0 < found.low <= found.median <= found.high < math.inf
    assert 0 <= seen.spread < math.inf
    assert 0 <= found.confidence <= 1


@pytest.mark.parametrize("rounds", [6, 10, 15, 30])
@pytest.mark.parametrize("noise", ["lognormal", "spikes", "two modes"])
def test_equal_subjects_are_told_apart_at_most_as_often_as_promised(rounds: int, noise: str) -> None:
    rng = np.random.default_rng(rounds)
    draws = {
        "lognormal": np.exp(0.03 * rng.standard_normal((2, 1500, rounds))),
        "spikes": 1
        + (rng.random((2, 1500, rounds)) < 0.2) * rng.exponential(0.3, (2, 1500, rounds))
        + 0.01 * rng.random((2, 1500, rounds)),
        "two modes": 1
        + 0.08 * (rng.random((2, 1500, rounds)) < 0.5)
        + 0.005 * rng.standard_normal((2, 1500, rounds)),
    }[noise]
    covered = [ratio(list(a), list(b)).verdict == "not resolved" for a, b in zip(*draws, strict=True)]
    assert np.mean(covered) >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 1500)


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        ([1.0], [1.0, 1.0], "1 and 2 samples"),
        ([0.0], [1.0], "above 0"),
        ([1.0], [-1.0], "above 0"),
        ([math.nan], [1.0], "above 0"),
        ([], [], "at least one"),
        ([math.inf], [1.0], "finite"),
    ],
)
def test_samples_that_cannot_be_compared_are_refused(
    ours: list[float], theirs: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ratio(ours, theirs)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95])
def test_confidence_is_a_share(confidence: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        ratio([1.0], [1.0], confidence=confidence)


def test_no_samples_have_no_median() -> None:
    with pytest.raises(ValueError, match="at least one"):
        median([])


@given(st.integers(1, 500), st.data())
def test_wilsons_interval_is_what_the_score_test_does_not_reject(total: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, total))
    low, high = wilson(hits, total)
    assert 0 <= low <= hits / total <= high <= 1
    assert high - low > 0

    def distance(p: float) -> float:
        """How far p is from what was seen, in standard errors of p."""
        spread = math.sqrt(p * (1 - p) / total)
        return abs(hits / total - p) / spread if spread else (0.0 if p == hits / total else math.inf)

    for p in np.linspace(0, 1, 401):
        if distance(float(p)) < 1.9599:
            assert low - 1e-9 <= p <= high + 1e-9
        if distance(float(p)) > 1.9600:
            assert not low + 1e-9 < p < high - 1e-9


@given(st.integers(1, 500), st.data())
def test_wilsons_interval_mirrors(total: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, total))
    low, high = wilson(hits, total)
    assert wilson(total - hits, total) == pytest.approx((1 - high, 1 - low), abs=1e-12)
    wide = wilson(hits, total, confidence=0.99)
    assert wide[0] <= low
    assert high <= wide[1]


def test_wilsons_interval_in_numbers() -> None:
    assert wilson(10, 10) == pytest.approx((0.72247, 1.0), abs=1e-5)
    assert wilson(50, 100) == pytest.approx((0.40383, 0.59617), abs=1e-5)


@pytest.mark.parametrize(("hits", "total"), [(-1, 3), (4, 3), (0, 0)])
def test_a_share_is_of_something(hits: int, total: int) -> None:
    with pytest.raises(ValueError, match="hits of"):
        Share(hits=hits, total=total)


@pytest.mark.parametrize(("count", "shares"), [(19, []), (20, [0.5]), (100, [0.5, 0.9]), (999, [0.5, 0.9])])
def test_few_samples_have_few_percentiles(count: int, shares: list[float]) -> None:
    assert [one.share for one in list_percentiles([1.0] * count)] == shares


def test_percentiles_of_a_thousand_samples() -> None:
    samples = [float(i) for i in range(1, 1001)]
    p50, p90, p99 = list_percentiles(samples[::-1])
    assert (p50.share, p90.share, p99.share) == (0.5, 0.9, 0.99)
    assert (p50.value, p90.value, p99.value) == pytest.approx((500.5, 900.1, 990.01))
    assert all(one.low < one.value < one.high and one.count == 1000 for one in (p50, p90, p99))
    assert (p50.low, p50.high) == (469.0, 532.0)  # as in tables of the sign test: 500 -+ 1.96 x 15.8


@pytest.mark.parametrize("count", [20, 101, 1000, 5000])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_the_interval_of_a_percentile_covers_it(count: int, share: float) -> None:
    low, high = percentile_ranks(count, share)
    below = binom(count, share)
    assert 0 <= low <= high < count
    assert below.cdf(low) <= 0.025 or low == 0
    assert below.cdf(low + 1) > 0.025
    assert below.cdf(high) >= 0.975 or high == count - 1
    assert high == 0 or below.cdf(high - 1) < 0.975
