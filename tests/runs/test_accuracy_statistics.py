"""Intervals of accuracies and of their differences, on simulated trainings with a known truth."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom, norm

from saevit.runs.accuracy_statistics import compare_groups, compare_hits, estimate_accuracy
from saevit.runs.statistics import Share

REPETITIONS = 2_000
LOWEST = 0.95 - 3 * (0.95 * 0.05 / REPETITIONS) ** 0.5  # share of intervals that contain the truth
MOST_FALSE = 0.05 + 3 * (0.95 * 0.05 / REPETITIONS) ** 0.5
IMAGES, FEW_IMAGES = 4_835, 200
ACCURACY = 0.78
SHARED, OWN, CHANGING = 0.72, 0.12, 0.16  # variance of an image's margin: of all models, one, one seed

Table = NDArray[Any]


def simulate(
    rng: np.random.Generator,
    seeds: tuple[int, int],
    images: int,
    spreads: tuple[float, float],
    *,
    gain: float = 0.0,
    paired: bool = True,
) -> tuple[Table, Table]:
    """Return the hits of two models whose seeds differ by a standard deviation in points.

    A hit is a positive margin: a normal sum of parts of the image, of the model and of the seed. The first
    model is `gain` points more accurate than the second one, which has ACCURACY.
    """
    slope = norm.pdf(norm.ppf(ACCURACY))
    tables = []
    shared = rng.standard_normal(images, dtype=np.float32)
    for count, spread, points in zip(seeds, spreads, (gain, 0.0), strict=True):
        shared = shared if paired else rng.standard_normal(images, dtype=np.float32)
        seed_effects = spread / 100 / slope * rng.standard_normal((count, 1))
        total = 1 + (spread / 100 / slope) ** 2
        level = norm.ppf(ACCURACY + points / 100) * total**0.5
        known = SHARED**0.5 * shared + OWN**0.5 * rng.standard_normal(images, dtype=np.float32)
        changes = CHANGING**0.5 * rng.standard_normal((count, images), dtype=np.float32)
        tables.append(known + changes + (level + seed_effects).astype(np.float32) > 0)
    return tables[0], tables[1]


def repeat(function: Callable[[], bool]) -> float:
    """Return how often something is true."""
    return sum(function() for _ in range(REPETITIONS)) / REPETITIONS


@pytest.mark.parametrize(
    ("seeds", "images", "spread"),
    [(2, IMAGES, 0.6), (3, IMAGES, 0.3), (5, FEW_IMAGES, 0.6), (1, FEW_IMAGES, 0.0)],
)
def test_the_interval_of_an_accuracy_covers_the_truth(seeds: int, images: int, spread: float) -> None:
    rng = np.random.default_rng(0)

    def covers() -> bool:
        found = estimate_accuracy(simulate(rng, (seeds, 0), images, (spread, 0.0))[0])
        return found.low <= ACCURACY <= found.high

    assert repeat(covers) >= LOWEST


@pytest.mark.parametrize(
    ("seeds", "images", "spreads", "paired"),
    [
        ((2, 2), IMAGES, (0.6, 0.6), True),
        ((3, 3), IMAGES, (0.6, 0.15), True),
        ((2, 5), IMAGES, (0.6, 0.3), True),
        ((2, 2), IMAGES, (0.3, 0.6), False),
        ((2, 3), FEW_IMAGES, (0.6, 0.15), True),
        ((5, 2), FEW_IMAGES, (0.3, 0.3), False),
    ],
)
def test_equal_models_are_seldom_told_apart(
    seeds: tuple[int, int], images: int, spreads: tuple[float, float], *, paired: bool
) -> None:
    rng = np.random.default_rng(1)

    def is_resolved() -> bool:
        tables = simulate(rng, seeds, images, spreads, paired=paired)
        return compare_hits(*tables, paired=paired).is_resolved

    assert repeat(is_resolved) <= MOST_FALSE


def test_a_difference_of_two_points_is_mostly_resolved_with_three_seeds() -> None:
    rng = np.random.default_rng(2)
    found = [compare_hits(*simulate(rng, (3, 3), IMAGES, (0.3, 0.3), gain=2.0)) for _ in range(200)]
    assert np.mean([one.verdict == "higher" for one in found]) > 0.8
    assert np.mean([one.low <= 0.02 <= one.high for one in found]) > 0.9


def test_one_seed_each_is_a_test_of_these_weights_only() -> None:
    ours, theirs = [True] * 30 + [False] * 70, [False] * 20 + [True] * 12 + [False] * 68
    found = compare_hits([ours], [theirs])
    assert found.value == pytest.approx(0.18)
    assert found.low > 0
    assert (found.verdict, found.has_seeds) == ("not resolved", False)
    assert found.weights_p == pytest.approx(2 * binom.cdf(2, 22, 0.5))  # 20 images gained, 2 lost
    assert compare_hits([ours], [ours]).weights_p == 1
    assert compare_hits([ours, ours], [theirs]).weights_p is None
    assert compare_hits([ours, ours], [theirs]).verdict == "not resolved"


def test_images_that_are_all_hits_leave_an_interval() -> None:
    hits = [[True] * 100] * 3
    assert estimate_accuracy(hits[:1]).low == Share(hits=100, total=100).interval[0]
    found = estimate_accuracy(hits)
    assert (found.value, found.high, found.seeds, found.images) == (1.0, 1.0, 3, 100)
    assert 0.94 < found.low < 0.99
    equal = compare_hits(hits, hits)
    assert equal.low < 0 < equal.high
    assert equal.high == -equal.low


def test_a_difference_changes_its_sign_with_the_order() -> None:
    tables = simulate(np.random.default_rng(3), (3, 2), FEW_IMAGES, (0.5, 0.5), gain=9.0)
    found, back = compare_hits(*tables), compare_hits(*tables[::-1])
    assert (found.value, found.low, found.high) == pytest.approx((-back.value, -back.high, -back.low))
    assert {found.verdict, back.verdict} == {"higher", "lower"}
    pairs, apart = found.high - found.low, compare_hits(*tables, paired=False)
    assert apart.value == found.value
    assert apart.high - apart.low > pairs  # the images that are hard for both no longer cancel


@pytest.mark.parametrize("hits", [[], [[]], [[True], [True, False]]])
def test_hits_that_are_no_table(hits: list[list[bool]]) -> None:
    with pytest.raises(ValueError, match="hits: one row or more"):
        estimate_accuracy(hits)


def test_only_the_same_images_are_paired() -> None:
    with pytest.raises(ValueError, match="2 and 3 images: only results on the same images are paired"):
        compare_hits([[True, False]], [[True, False, True]])
    assert compare_hits([[True, False]], [[True, False, True]], paired=False).images == (2, 3)


def draw_pairs(rng: np.random.Generator, count: int, gain: float, spread: float) -> list[tuple[Table, Table]]:
    """Return the hits of pairs of models, of two seeds each, whose accuracies spread by so many points."""
    pairs = []
    shared = rng.standard_normal(FEW_IMAGES)
    for _ in range(count):
        one, two = (
            norm.ppf(ACCURACY + (points + spread * rng.standard_normal()) / 100) * 1.2 for points in (gain, 0)
        )
        tables = [level + shared + 0.66 * rng.standard_normal((2, FEW_IMAGES)) > 0 for level in (one, two)]
        pairs.append((tables[0], tables[1]))
    return pairs


@pytest.mark.parametrize("count", [2, 4])
def test_groups_of_equal_models_are_seldom_resolved(count: int) -> None:
    rng, times = np.random.default_rng(count), 600
    found = [compare_groups(draw_pairs(rng, count, 0.0, 2.0)).verdict for _ in range(times)]
    false = 1 - found.count("not resolved") / times
    assert false <= 0.05 + 3 * (0.95 * 0.05 / times) ** 0.5


def test_a_clear_difference_of_groups_is_resolved() -> None:
    rng = np.random.default_rng(0)
    found = [compare_groups(draw_pairs(rng, 6, 10.0, 1.0)) for _ in range(50)]
    assert sum(one.verdict == "higher" for one in found) > 45
    assert np.mean([one.low <= 0.10 <= one.high for one in found]) > 0.85
    assert np.mean([one.value for one in found]) == pytest.approx(0.10, abs=0.01)


def test_a_single_pair_is_not_resolved() -> None:
    ours, theirs = [(True,) * 90 + (False,) * 10] * 2, [(False,) * 90 + (True,) * 10] * 2
    assert compare_groups([(ours, theirs)] * 2).verdict == "higher"
    assert compare_groups([(ours, theirs)]).verdict == "not resolved"
    assert compare_groups([(ours[:1], theirs[:1])] * 2).verdict == "higher"
    with pytest.raises(ValueError, match="on the same images"):
        compare_groups([(ours, theirs), ([(True,)], [(False,)])])
    with pytest.raises(ValueError, match="pairs: one or more"):
        compare_groups([])
