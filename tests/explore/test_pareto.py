"""Fronts, ranks and hypervolumes against definitions, laws, closed forms and another implementation."""

import itertools
import math
import time
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saevit.errors import OptionError
from saevit.explore.pareto import Direction, front, hypervolume, ranks

Rows = list[tuple[int, ...]]
LIMIT = 5  # worse than any point drawn, in every objective


def towards_less(objectives: int) -> dict[str, Direction]:
    return dict.fromkeys("abcde"[:objectives], "min")


def grids(least: int = 1, most: int = 4, size: int = 12) -> st.SearchStrategy[Rows]:
    """Points on a small grid, so that ties and duplicates are common."""
    return st.integers(least, most).flatmap(
        lambda width: st.lists(st.tuples(*[st.integers(0, 4)] * width), min_size=1, max_size=size)
    )


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True)) and tuple(a) != tuple(b)


def by_peeling(points: Rows) -> list[int]:
    """The definition: take the front away, again and again."""
    left, depth = dict(enumerate(points)), [0] * len(points)
    while left:
        best = [i for i, p in left.items() if not any(dominates(q, p) for q in left.values())]
        for place in best:
            del left[place]
        for place in left:
            depth[place] += 1
    return depth


def by_cells(points: Rows, limit: int = LIMIT) -> int:
    """Count the unit cells that some point dominates."""
    cells = itertools.product(range(limit), repeat=len(points[0]))
    return sum(any(all(x <= c for x, c in zip(p, cell, strict=True)) for p in points) for cell in cells)


def volume(points: Rows) -> float:
    width = len(points[0])
    return hypervolume(points, towards_less(width), [LIMIT] * width)


@given(grids())
def test_ranks_are_the_definition(points: Rows) -> None:
    assert ranks(points, towards_less(len(points[0]))) == by_peeling(points)


@given(grids())
def test_the_front_is_rank_0_and_keeps_ties(points: Rows) -> None:
    directions = towards_less(len(points[0]))
    expected = [i for i, p in enumerate(points) if not any(dominates(q, p) for q in points)]
    assert front(points, directions) == expected
    assert [i for i, rank in enumerate(ranks(points, directions)) if rank == 0] == expected


@given(grids(most=5, size=8))
def test_the_hypervolume_counts_dominated_cells(points: Rows) -> None:
    assert volume(points) == by_cells(points)


@given(grids(most=5))
def test_order_changes_nothing(points: Rows) -> None:
    directions, backwards = towards_less(len(points[0])), points[::-1]
    assert ranks(backwards, directions) == ranks(points, directions)[::-1]
    last = len(points) - 1
    assert [last - i for i in reversed(front(backwards, directions))] == front(points, directions)
    assert volume(backwards) == pytest.approx(volume(points))


@given(grids(most=5))
def test_a_dominated_point_changes_nothing(points: Rows) -> None:
    worse = tuple(value + (i == 0) for i, value in enumerate(points[0]))
    directions = towards_less(len(worse))
    assert front([*points, worse], directions) == front(points, directions)
    assert volume([*points, worse]) == pytest.approx(volume(points))


@given(grids(most=5), st.data())
def test_a_further_point_never_takes_volume_away(points: Rows, data: st.DataObject) -> None:
    more = data.draw(st.tuples(*[st.integers(0, 4)] * len(points[0])))
    grown = volume([*points, more])
    assert grown >= volume(points)
    if len(points) in front([*points, more], towards_less(len(more))) and more not in points:
        assert grown > volume(points)


@given(grids(most=5), st.data())
def test_units_scale_the_volume_and_nothing_else(points: Rows, data: st.DataObject) -> None:
    width = len(points[0])
    units = data.draw(st.lists(st.sampled_from([0.25, 3.0, 1e6]), min_size=width, max_size=width))
    scaled = np.array(points) * units
    directions = towards_less(width)
    assert ranks(scaled, directions) == ranks(points, directions)
    limit = [LIMIT * unit for unit in units]
    expected = volume(points) * math.prod(units)
    assert hypervolume(scaled, directions, limit) == pytest.approx(expected)


@given(grids(most=5), st.data())
def test_more_of_a_maximum_is_less_of_a_minimum(points: Rows, data: st.DataObject) -> None:
    width = len(points[0])
    signs = data.draw(st.lists(st.sampled_from([1, -1]), min_size=width, max_size=width))
    mixed: dict[str, Direction] = {
        name: "min" if sign > 0 else "max" for name, sign in zip("abcde", signs, strict=False)
    }
    turned = [tuple(v * s for v, s in zip(p, signs, strict=True)) for p in points]
    assert front(turned, mixed) == front(points, towards_less(width))
    assert hypervolume(turned, mixed, [LIMIT * s for s in signs]) == pytest.approx(volume(points))


def test_cheaper_and_better_at_once() -> None:
    """Two of four models are worth a look: c costs as much as b and is worse, d is worse than a in both."""
    models = [(0.8, 76.3), (1.3, 79.6), (1.3, 78.0), (0.9, 75.0)]
    directions: dict[str, Direction] = {"gmacs": "min", "top1": "max"}
    assert front(models, directions) == [0, 1]
    assert ranks(models, directions) == [0, 0, 1, 1]
    assert hypervolume(models, directions, (2.0, 70.0)) == pytest.approx(1.2 * 6.3 + 0.7 * 3.3)


@pytest.mark.parametrize("objectives", [1, 2, 3, 4, 5])
def test_one_point_spans_a_box(objectives: int) -> None:
    point = [1.0 + i for i in range(objectives)]
    box = math.prod(10 - value for value in point)
    assert hypervolume([point], towards_less(objectives), [10] * objectives) == pytest.approx(box)


@pytest.mark.parametrize("objectives", [2, 3, 4, 5])
def test_the_corners_of_a_cube(objectives: int) -> None:
    """Each point is 0 in one objective and 1 in the others."""
    corners = (1 - np.eye(objectives)).tolist()
    covered = 1 + objectives  # unit cells of [0, 2]^d where at most one objective is below 1
    assert hypervolume(corners, towards_less(objectives), [2] * objectives) == pytest.approx(covered)


def test_a_staircase_has_the_area_of_its_steps() -> None:
    stairs = [(i, 99 - i) for i in range(100)]
    assert hypervolume(stairs, towards_less(2), (100, 100)) == 100 * 101 / 2


def test_points_at_or_beyond_the_reference_add_nothing() -> None:
    directions = towards_less(2)
    assert hypervolume([(1, 1), (2, 0), (0, 2), (5, -5)], directions, (2, 2)) == 1
    assert hypervolume([], directions, (2, 2)) == 0
    assert (front([], directions), ranks([], directions)) == ([], [])


@pytest.mark.parametrize("objectives", [2, 3, 4, 5])
def test_optuna_finds_the_same_volume(objectives: int) -> None:
    pytest.importorskip("optuna")
    theirs = pytest.importorskip("optuna._hypervolume").compute_hypervolume
    rng = np.random.default_rng(objectives)
    limit = np.full(objectives, 1.1)
    for spread in (rng.random((60, objectives)), 1 - normed(rng.random((40, objectives)))):
        ours = hypervolume(spread, towards_less(objectives), limit.tolist())
        assert ours == pytest.approx(float(theirs(spread, limit)), rel=1e-9)


def normed(points: np.ndarray) -> np.ndarray:
    """Push points to the unit sphere, where no one dominates another."""
    return points / np.linalg.norm(points, axis=1, keepdims=True)


@pytest.mark.parametrize("shape", ["cloud", "front", "chain"])
def test_ten_thousand_points_take_about_a_second(shape: str) -> None:
    cloud = np.random.default_rng(0).random((10_000, 3))
    points = {"cloud": cloud, "front": normed(cloud), "chain": np.sort(cloud, axis=0)}[shape]
    start = time.process_time()
    found = ranks(points, towards_less(3))
    assert time.process_time() - start < 5  # 0.3 s measured; the rest is for a slow machine
    assert max(found) in {"cloud": range(20, 100), "front": [0], "chain": [9999]}[shape]


@pytest.mark.parametrize("missing", [None, math.nan, math.inf, "76.3"])
def test_what_is_missing_is_named(missing: float | None) -> None:
    directions: dict[str, Direction] = {"gmacs": "min", "top1": "max"}
    for refused in (front, ranks):
        with pytest.raises(OptionError, match=f"point 1: top1 is {missing}, only finite numbers"):
            refused([(0.8, 76.3), (1.3, missing)], directions)
    with pytest.raises(OptionError, match="point 1: top1"):
        front(np.array([(0.8, 76.3), (1.3, missing)], dtype=object), directions)
    with pytest.raises(OptionError, match="reference: gmacs is"):
        hypervolume([(0.8, 76.3)], directions, [missing, 0.0])  # type: ignore[list-item]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(OptionError, match="no objectives"):
        front([()], {})
    with pytest.raises(OptionError, match="direction 'up' of top1: choose from min, max"):
        front([(1.0,)], {"top1": "up"})  # type: ignore[dict-item]
    with pytest.raises(OptionError, match="point 1 has 3 values: one each for a, b"):
        ranks([(1, 2), (1, 2, 3)], towards_less(2))
    with pytest.raises(OptionError, match="reference has 1 values: one each for a, b"):
        hypervolume([(1, 2)], towards_less(2), [3])
