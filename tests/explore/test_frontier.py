"""Fast fronts against the plain definition, with ties; the best of many."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saevit.explore import frontier
from saevit.explore.frontier import Front, Grid, Top, first_front
from saevit.explore.pareto import Direction, front


@st.composite
def clouds(draw: st.DrawFn) -> np.ndarray:
    width, count = draw(st.integers(1, 5)), draw(st.integers(1, 60))
    values = st.integers(0, 6) if draw(st.booleans()) else st.integers(-(10**6), 10**6)
    return np.array(
        draw(st.lists(st.tuples(*[values] * width), min_size=count, max_size=count)), dtype=np.float64
    )


def expected(points: np.ndarray) -> list[int]:
    """The first of each point that no other one dominates, in the order of their values."""
    directions: dict[str, Direction] = {str(i): "min" for i in range(points.shape[1])}
    firsts: dict[tuple[float, ...], int] = {}
    for place in front(points, directions):
        firsts.setdefault(tuple(points[place]), place)
    return [firsts[values] for values in sorted(firsts)]


@given(clouds(), st.integers(1, 9), st.sampled_from([0, 3, 512]))
def test_first_front_is_the_definition(points: np.ndarray, block: int, few: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frontier, "BLOCK", block)
        patch.setattr(frontier, "FEW", few)
        assert first_front(points, np.arange(len(points))).tolist() == expected(points)


@given(clouds(), st.integers(1, 20), st.booleans(), st.randoms())
def test_points_may_come_in_parts_and_any_order(points, part, with_known, random) -> None:
    order = list(range(len(points)))
    random.shuffle(order)
    known = points[order[: len(points) // 2]] if with_known and len(points) > 1 else None
    found = Front(points.shape[1], known)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frontier, "PENDING", 5)
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
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frontier, "PENDING", 3)
        for start in range(0, len(values), part):
            found.add(values[start : start + part], np.arange(start, min(start + part, len(values))))
        found.merge()
    assert found.numbers.tolist() == np.argsort(values, kind="stable")[:count].tolist()
