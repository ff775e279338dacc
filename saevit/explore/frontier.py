"""Fronts of millions of points, found as they come. All values are losses: less is better.

Of points that are equal in every loss one is kept, the one with the lowest number.
"""

from bisect import bisect_left, bisect_right
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]  # (points, losses)
Ints = NDArray[np.int64]

BLOCK = 2048
FEW = 512  # values of a loss, such as a number of layers
CELLS = 2**16  # of a grid
PENDING = 2**15  # points that wait to be merged, at least


def first_front(losses: Floats, numbers: Ints) -> Ints:
    """Return the places of the undominated points, sorted by their losses; of equal ones the lowest number.

    One and two losses: a sort. Three: a sweep over a staircase. More: pairs, block by block.
    """
    if not len(losses):
        return np.zeros(0, dtype=np.int64)
    order = np.lexsort((numbers, *losses.T[::-1]))
    rows = losses[order]
    width = rows.shape[1]
    if width == 1:
        return order[:1]
    if width == 2:
        return order[_rising(rows[:, 0], rows[:, 1])]
    if width == 3:
        fewest = min(range(3), key=lambda i: len(np.unique(rows[:, i])))
        few = len(np.unique(rows[:, fewest])) <= FEW
        return order[_by_groups(rows, fewest) if few else _staircase(rows)]
    return order[_by_blocks(rows)]


def _by_groups(rows: Floats, axis: int) -> Ints:
    """Return the undominated of sorted rows of three, of which one axis takes few values.

    Rows of one value compete in the other two, against each other and against what is left of lower values.
    """
    a, b = (rows[:, i] for i in range(3) if i != axis)
    steps = np.empty((0, 2))  # what is covered so far: rising in a, falling in b
    kept = []
    for value in np.unique(rows[:, axis]):
        group = np.flatnonzero(rows[:, axis] == value)
        group = group[_rising(a[group], b[group])]
        floor = np.append(steps[:, 1], np.inf)[np.searchsorted(steps[:, 0], a[group], side="right") - 1]
        group = group[floor > b[group]]
        kept.append(group)
        both = np.concatenate([steps, np.stack([a[group], b[group]], axis=1)])
        both = both[np.lexsort((both[:, 1], both[:, 0]))]
        steps = both[_rising(both[:, 0], both[:, 1])]
    return np.sort(np.concatenate(kept))


def _rising(a: Floats, b: Floats) -> NDArray[np.bool_]:
    """Return which of some points, sorted by a and then b, no earlier one equals or dominates."""
    kept = np.ones(len(a), dtype=np.bool_)
    kept[1:] = b[1:] < np.minimum.accumulate(b)[:-1]
    return kept


def _by_blocks(rows: Floats) -> Ints:
    """Return the undominated of sorted rows, each block held against what is left of the blocks before."""
    kept = np.empty(0, dtype=np.int64)
    for start in range(0, len(rows), BLOCK):
        left = np.arange(start, min(start + BLOCK, len(rows)))
        if len(kept):
            left = left[Grid(rows[kept]).may_stay(list(rows[left].T))]
        for part in range(0, len(kept), BLOCK):
            left = left[~_beaten(rows[left], rows[kept[part : part + BLOCK]])]
        kept = np.concatenate([kept, left[~_beaten(rows[left])]])
    return kept


def _beaten(rows: Floats, earlier: Floats | None = None) -> NDArray[np.bool_]:
    """Return which rows one of the earlier ones, by default of those above, equals or dominates."""
    others = rows if earlier is None else earlier
    beaten = np.ones((len(rows), len(others)), dtype=np.bool_)
    for i in range(1, rows.shape[1]):  # rows are sorted: whatever is earlier is as good in the first
        beaten &= others[:, i] <= rows[:, i, None]
    return np.any(np.tril(beaten, -1) if earlier is None else beaten, axis=1)


def _staircase(rows: Floats) -> list[int]:
    """Return the undominated of sorted rows of three: whoever dominates a row stands before it."""
    ys: list[float] = []  # rising, with zs falling: the steps of what is covered so far
    zs: list[float] = []
    kept: list[int] = []
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        left = np.arange(len(block))
        if ys:
            step = np.searchsorted(np.array(ys), block[:, 1], side="right") - 1
            floor = np.array([*zs, np.inf])[step]  # of step -1, nothing is covered
            left = left[floor > block[:, 2]]
        for place in left.tolist():
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


class Grid:
    """Says at once which of many points a front certainly dominates: a few operations a point.

    Every loss but the last is cut into bins. A cell holds the least last loss of those front points that are
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
        # One rounding, never decreasing in the value: a bin above another's is a larger value.
        scaled = (values - self.low[i]) * self.scale[i]
        return np.clip(scaled, -1, self.bins - 1).astype(np.int64)

    def may_stay(self, columns: list[Floats]) -> NDArray[np.bool_]:
        """Return which points no point of the front is known to dominate; columns are losses."""
        cell = np.zeros(len(columns[0]), dtype=np.int64)
        for i, values in enumerate(columns[:-1]):
            cell = cell * self.bins + np.maximum(self._bin(values, i), 0)
        stays: NDArray[np.bool_] = columns[-1] <= self.bound[cell]
        return stays


class Front:
    """The front of all points that were added."""

    def __init__(self, width: int, known: Floats | None = None) -> None:
        """Known: losses of points that are in the whole somewhere; what they dominate need not be kept."""
        self.losses, self.numbers = np.empty((0, width)), np.empty(0, dtype=np.int64)
        self.known = np.empty((0, width)) if known is None else known
        self.pending: list[tuple[Floats, Ints]] = []
        self.waiting = 0
        self.grid: Grid | None = None
        self._cut()

    def add(self, columns: list[Floats], numbers: Ints) -> None:
        """Add points: a column for each loss, and their numbers."""
        if self.grid is not None:
            stays = np.flatnonzero(self.grid.may_stay(columns))
            if not len(stays):
                return
            columns, numbers = [c[stays] for c in columns], numbers[stays]
        self.pending.append((np.stack(columns, axis=1), numbers))
        self.waiting += len(numbers)
        if self.waiting > max(PENDING, len(self.numbers)):
            self.merge()

    def merge(self) -> None:
        """Let the points that wait compete."""
        if not self.pending:
            return
        losses = np.concatenate([self.losses, *(each for each, _ in self.pending)])
        numbers = np.concatenate([self.numbers, *(each for _, each in self.pending)])
        kept = first_front(losses, numbers)
        self.losses, self.numbers = losses[kept], numbers[kept]
        self.pending, self.waiting = [], 0
        self._cut()

    def _cut(self) -> None:
        both = np.concatenate([self.known, self.losses])
        self.grid = Grid(both) if len(both) and both.shape[1] > 1 else None


class Top:
    """The best of all points by one loss; ties go to the lower number."""

    def __init__(self, count: int, worst: float = np.inf) -> None:
        """Worst: a loss that so many points are known to reach."""
        self.count, self.worst = count, worst
        self.losses, self.numbers = np.empty(0), np.empty(0, dtype=np.int64)
        self.pending: list[tuple[Floats, Ints]] = []
        self.waiting = 0

    def add(self, losses: Floats, numbers: Ints) -> None:
        """Add points."""
        stays = np.flatnonzero(losses <= self.worst)
        if len(stays) and self.count:
            self.pending.append((losses[stays], numbers[stays]))
            self.waiting += len(stays)
            if self.waiting > PENDING:
                self.merge()

    def merge(self) -> None:
        """Let the points that wait compete."""
        losses = np.concatenate([self.losses, *(each for each, _ in self.pending)])
        numbers = np.concatenate([self.numbers, *(each for _, each in self.pending)])
        best = np.lexsort((numbers, losses))[: self.count]
        self.losses, self.numbers = losses[best], numbers[best]
        self.pending, self.waiting = [], 0
        if len(self.losses) == self.count > 0:
            self.worst = min(self.worst, float(self.losses[-1]))
