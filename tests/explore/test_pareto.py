"""Fronts against their definitions and laws, with ties; the best of many."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saevit.errors import OptionError
from saevit.explore import pareto
from saevit.explore.pareto import Direction, Front, Grid, Top, first_front, pareto_front

Rows = list[tuple[int, ...]]


def towards_less(objectives: int) -> dict[str, Direction]:
    return dict.fromkeys("abcde"[:objectives], "min")


def grids(least: int = 1, most: int = 4, size: int = 12) -> st.SearchStrategy[Rows]:
    """Points on a small grid, so that ties and duplicates are common."""
    return st.integers(least, most).flatmap(
        lambda width: st.lists(st.tuples(*[st.integers(0, 4)] * width), min_size=1, max_size=size)
    )


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True)) and tuple(a) != tuple(b)


@given(grids())
def test_the_front_is_the_definition_and_keeps_ties(points: Rows) -> None:
    directions = towards_less(len(points[0]))
    expected = [i for i, p in enumerate(points) if not any(dominates(q, p) for q in points)]
    assert pareto_front(points, directions) == expected


@given(grids(most=5))
def test_order_changes_nothing(points: Rows) -> None:
    directions, backwards = towards_less(len(points[0])), points[::-1]
    last = len(points) - 1
    assert [last - i for i in reversed(pareto_front(backwards, directions))] == pareto_front(
        points, directions
    )


@given(grids(most=5))
def test_a_dominated_point_changes_nothing(points: Rows) -> None:
    worse = tuple(value + (i == 0) for i, value in enumerate(points[0]))
    directions = towards_less(len(worse))
    assert pareto_front([*points, worse], directions) == pareto_front(points, directions)


@given(grids(most=5), st.data())
def test_units_change_nothing(points: Rows, data: st.DataObject) -> None:
    width = len(points[0])
    units = data.draw(st.lists(st.sampled_from([0.25, 3.0, 1e6]), min_size=width, max_size=width))
    scaled = np.array(points) * units
    directions = towards_less(width)
    assert pareto_front(scaled, directions) == pareto_front(points, directions)


@given(grids(most=5), st.data())
def test_more_of_a_maximum_is_less_of_a_minimum(points: Rows, data: st.DataObject) -> None:
    width = len(points[0])
    signs = data.draw(st.lists(st.sampled_from([1, -1]), min_size=width, max_size=width))
    mixed: dict[str, Direction] = {
        name: "min" if sign > 0 else "max" for name, sign in zip("abcde", signs, strict=False)
    }
    turned = [tuple(v * s for v, s in zip(p, signs, strict=True)) for p in points]
    assert pareto_front(turned, mixed) == pareto_front(points, towards_less(width))


def test_cheaper_and_better_at_once() -> None:
    """Two of four models are worth a look: c costs as much as b and is worse, d is worse than a in both."""
    models = [(0.8, 76.3), (1.3, 79.6), (1.3, 78.0), (0.9, 75.0)]
    directions: dict[str, Direction] = {"gmacs": "min", "top1": "max"}
    assert pareto_front(models, directions) == [0, 1]


def test_no_points_have_no_front() -> None:
    assert pareto_front([], towards_less(2)) == []


@pytest.mark.parametrize("missing", [None, math.nan, math.inf, "76.3"])
def test_what_is_missing_is_named(missing: float | None) -> None:
    directions: dict[str, Direction] = {"gmacs": "min", "top1": "max"}
    with pytest.raises(OptionError, match=f"point 1: top1 is {missing}, only finite numbers"):
        pareto_front([(0.8, 76.3), (1.3, missing)], directions)
    with pytest.raises(OptionError, match="point 1: top1"):
        pareto_front(np.array([(0.8, 76.3), (1.3, missing)], dtype=object), directions)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(OptionError, match="no objectives"):
        pareto_front([()], {})
    with pytest.raises(OptionError, match="direction 'up' of top1: choose from min, max"):
        pareto_front([(1.0,)], {"top1": "up"})  # type: ignore[dict-item]
    with pytest.raises(OptionError, match="point 1 has 3 values: one each for a, b"):
        pareto_front([(1, 2), (1, 2, 3)], towards_less(2))


@st.composite
def clouds(draw: st.DrawFn) -> np.ndarray:
    width, count = draw(st.integers(1, 5)), draw(st.integers(1, 60))
    values = st.integers(0, 6) if draw(st.booleans()) else st.integers(-(10**6), 10**6)
    return np.array(
        draw(st.lists(st.tuples(*[values] * width), min_size=count, max_size=count)), dtype=np.float64
    )


def expected(points: np.ndarray) -> list[int]:
    """The first of each point that no other one dominates, in the order of their values."""
    firsts: dict[tuple[float, ...], int] = {}
    for place, point in enumerate(map(tuple, points.tolist())):
        firsts.setdefault(point, place)
    return [firsts[p] for p in sorted(firsts) if not any(dominates(q, p) for q in firsts)]


@given(clouds(), st.integers(1, 9))
def test_first_front_is_the_definition(points: np.ndarray, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pareto, "BLOCK", block)
        assert first_front(points, np.arange(len(points))).tolist() == expected(points)


@given(clouds(), st.integers(1, 20), st.randoms())
def test_points_may_come_in_parts_and_any_order(points, part, random) -> None:
    order = list(range(len(points)))
    random.shuffle(order)
    found = Front(points.shape[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pareto, "PENDING", 5)
        for start in range(0, len(order), part):
            some = np.array(order[start : start + part])
            found.add(list(points[some].T), some)
        found.merge()
    assert found.numbers.tolist() == expected(points)


@given(clouds())
def test_a_grid_drops_only_what_is_dominated(points: np.ndarray) -> None:
    if points.shape[1] == 1:
        return
    known = points[: max(1, len(points) // 3)]
    stays = Grid(known).may_stay(list(points.T))
    for point in points[~stays]:
        assert ((known <= point).all(axis=1) & (known < point).any(axis=1)).any()


@given(clouds(), st.integers(0, 12), st.integers(1, 7))
def test_the_best_of_many(points: np.ndarray, count: int, part: int) -> None:
    values, found = points[:, 0], Top(count)
    for start in range(0, len(values), part):
        found.add(values[start : start + part], np.arange(start, min(start + part, len(values))))
    assert found.numbers.tolist() == np.argsort(values, kind="stable")[:count].tolist()
