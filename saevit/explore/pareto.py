"""Fronts: the points that no other point beats in every objective.

A point dominates another one if it is as good in every objective and better in one. Objectives are compared
as float64: integers up to 2**53 exactly. `pareto_front` is for a few points with named directions and keeps
ties. `Front` is for millions of points that come in parts; less is better in each column, and of equal points
it keeps the one with the lowest number.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from saevit.errors import OptionError

Direction = Literal["min", "max"]
Floats = NDArray[np.float64]  # (points, losses)
Ints = NDArray[np.int64]

BLOCK = 2048  # rows that are compared with each other at once
CELLS = 2**16  # of a grid
PENDING = 2**15  # points that wait before the front is computed again, at least


def pareto_front(
    points: Sequence[Sequence[float | None]] | NDArray[Any], directions: Mapping[str, Direction]
) -> list[int]:
    """Return the indices of the points that no other point dominates, in the order given; ties all stay.

    Points have one column per objective; directions have the name of each column and which values are better.

    Raises:
        OptionError: no objective, an unknown direction, or a value that is missing or not finite.
    """
    if not directions:
        raise OptionError("no objectives: name at least one and its direction, such as macs: min")
    for name, direction in directions.items():
        if direction not in ("min", "max"):
            raise OptionError(f"direction {direction!r} of {name}: choose from min, max")
    for number, values in enumerate(points):
        if len(values) != len(directions):
            raise OptionError(
                f"point {number} has {len(values)} values: one each for {', '.join(directions)}"
            )
        for name, value in zip(directions, values, strict=True):
            if not isinstance(value, Real) or not math.isfinite(value):
                raise OptionError(f"point {number}: {name} is {value}, only finite numbers can be compared")
    if not len(points):
        return []
    signs = [1.0 if direction == "min" else -1.0 for direction in directions.values()]
    rows, which = np.unique(np.asarray(points, dtype=np.float64) * signs + 0.0, axis=0, return_inverse=True)
    best = first_front(rows, np.arange(len(rows)))
    return np.flatnonzero(np.isin(which.ravel(), best)).tolist()


def first_front(losses: Floats, numbers: Ints) -> Ints:
    """Return the indices of the undominated rows, sorted by their losses; of equal rows the lowest number."""
    if not len(losses):
        return np.zeros(0, dtype=np.int64)
    if len(losses) > CELLS and losses.shape[1] > 1:  # a sort of few points takes less time than one of all
        some = np.flatnonzero(Grid(losses).may_stay(list(losses.T)))
        if len(some) < len(losses) / 2:
            kept: Ints = some[first_front(losses[some], numbers[some])]
            return kept
    order = np.lexsort((numbers, *losses.T[::-1]))
    rows = losses[order]
    width = rows.shape[1]
    if width == 1:
        return order[:1]
    if width == 2:
        lowest = np.minimum.accumulate(rows[:, 1])
        return order[np.append(True, rows[1:, 1] < lowest[:-1])]
    return order[_staircase(rows) if width == 3 else _by_blocks(rows)]


def _staircase(rows: Floats) -> list[int]:
    """Return the undominated rows of three sorted columns: a row that dominates another one comes before it.

    The steps are what earlier rows cover in the second and third column: `ys` rise while `zs` fall.
    """
    ys: list[float] = []
    zs: list[float] = []
    kept: list[int] = []
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        step = np.searchsorted(np.array(ys), block[:, 1], side="right") - 1
        floor = np.array([*zs, np.inf])[step]  # step -1: no earlier row covers it
        for place in np.flatnonzero(floor > block[:, 2]).tolist():
            y, z = block[place, 1], block[place, 2]
            at = bisect_right(ys, y)
            if at and zs[at - 1] <= z:
                continue
            first = at = bisect_left(ys, y)
            while at < len(ys) and zs[at] >= z:
                at += 1
            ys[first:at], zs[first:at] = [y], [z]
            kept.append(start + place)
    return kept


def _by_blocks(rows: Floats) -> Ints:
    """Return the undominated rows of any number of sorted columns, comparing block with block."""
    kept = np.empty(0, dtype=np.int64)
    for start in range(0, len(rows), BLOCK):
        left = np.arange(start, min(start + BLOCK, len(rows)))
        if len(kept):
            left = left[Grid(rows[kept]).may_stay(list(rows[left].T))]
        for part in range(0, len(kept), BLOCK):
            left = left[~_covers(rows[kept[part : part + BLOCK]], rows[left]).any(axis=1)]
        kept = np.concatenate([kept, left[~np.tril(_covers(rows[left], rows[left]), -1).any(axis=1)]])
    return kept


def _covers(earlier: Floats, rows: Floats) -> NDArray[np.bool_]:
    """Return (rows, earlier rows): does an earlier sorted row equal or dominate a row?"""
    columns = range(1, rows.shape[1])  # rows are sorted by the first column
    return np.logical_and.reduce([earlier[:, i] <= rows[:, i, None] for i in columns])


class Grid:
    """Finds many of the points that a front dominates, in a few operations per point.

    Every loss but the last is cut into bins. A cell holds the lowest last loss of those front points that are
    strictly better than the cell in all other losses.
    """

    def __init__(self, losses: Floats) -> None:
        width = losses.shape[1]
        self.bins = max(2, int(CELLS ** (1 / max(1, width - 1))))
        self.low = losses[:, :-1].min(axis=0)
        spread = losses[:, :-1].max(axis=0) - self.low
        self.scale = (self.bins - 2) / np.where(spread > 0, spread, 1.0)
        bound = np.full((self.bins,) * (width - 1), np.inf)
        cells = tuple(np.minimum(self._bin(losses[:, i], i) + 1, self.bins - 1) for i in range(width - 1))
        np.minimum.at(bound, cells, losses[:, -1])
        for axis in range(width - 1):
            np.minimum.accumulate(bound, axis=axis, out=bound)
        self.bound = bound.ravel()

    def _bin(self, values: Any, i: int) -> Any:
        # One rounding, never decreasing in the value: a higher bin holds a larger value.
        scaled = (values - self.low[i]) * self.scale[i]
        return np.clip(scaled, -1, self.bins - 1).astype(np.int64)

    def may_stay(self, columns: list[Floats]) -> NDArray[np.bool_]:
        """Return False for points that are certainly dominated; columns are losses."""
        cell = np.zeros(len(columns[0]), dtype=np.int64)
        for i, values in enumerate(columns[:-1]):
            cell = cell * self.bins + np.maximum(self._bin(values, i), 0)
        stays: NDArray[np.bool_] = columns[-1] <= self.bound[cell]
        return stays


class Front:
    """The front of all points that were added. Call `merge` before reading `losses` and `numbers`."""

    def __init__(self, width: int) -> None:
        self.losses, self.numbers = np.empty((0, width)), np.empty(0, dtype=np.int64)
        self.pending: list[tuple[Floats, Ints]] = []
        self.waiting = 0
        self.grid: Grid | None = None

    def add(self, columns: list[Floats], numbers: Ints) -> None:
        """Add points: a column for each loss, and their numbers."""
        if self.grid is not None:
            stays = np.flatnonzero(self.grid.may_stay(columns))
            columns, numbers = [c[stays] for c in columns], numbers[stays]
        if not len(numbers):
            return
        self.pending.append((np.stack(columns, axis=1), numbers))
        self.waiting += len(numbers)
        if self.waiting > max(PENDING, len(self.numbers)):
            self.merge()

    def merge(self) -> None:
        """Compare the points that wait with the front."""
        losses = np.concatenate([self.losses, *(each for each, _ in self.pending)])
        numbers = np.concatenate([self.numbers, *(each for _, each in self.pending)])
        kept = first_front(losses, numbers)
        self.losses, self.numbers = losses[kept], numbers[kept]
        self.pending, self.waiting = [], 0
        self.grid = Grid(self.losses) if len(self.losses) and self.losses.shape[1] > 1 else None


class Top:
    """The points with the lowest losses, in order; of equal losses the lower number first."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.losses, self.numbers = np.empty(0), np.empty(0, dtype=np.int64)

    def add(self, losses: Floats, numbers: Ints) -> None:
        """Add points."""
        if not self.count:
            return
        if len(self.losses) == self.count:
            stays = losses <= self.losses[-1]
            losses, numbers = losses[stays], numbers[stays]
        losses, numbers = np.concatenate([self.losses, losses]), np.concatenate([self.numbers, numbers])
        if len(losses) > self.count:  # cut before the sort
            stays = losses <= np.partition(losses, self.count - 1)[self.count - 1]
            losses, numbers = losses[stays], numbers[stays]
        best = np.lexsort((numbers, losses))[: self.count]
        self.losses, self.numbers = losses[best], numbers[best]
