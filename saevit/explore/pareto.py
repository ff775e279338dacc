"""Which points no other point beats in every respect, and how much of the objective space they cover.

A point dominates another one if it is as good in every objective and better in one. Equal points do not
dominate each other, so ties stay together. Objectives are compared as float64: integers up to 2**53 exactly.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from saevit.errors import OptionError

Direction = Literal["min", "max"]
Points = Sequence[Sequence[float | None]] | NDArray[Any]  # one row a point, one column an objective
Directions = Mapping[str, Direction]  # name of the objective: what is better, in the order of the columns


def front(points: Points, directions: Directions) -> list[int]:
    """Return the places of the points that no other one dominates, in the order given; of equal ones all.

    Takes at most points x size of the front comparisons.

    Raises:
        OptionError: no objective, an unknown direction, or a value that is missing or not finite.
    """
    return sorted(_undominated(_losses(points, directions)))


def ranks(points: Points, directions: Directions) -> list[int]:
    """Return how many fronts have to be taken away before each point is on the front; 0 is the front.

    That is the length of the longest chain of points that dominate one another down to it (the non-dominated
    sorting of Deb et al., 2002, which removes front after front). Takes points^2 / 2 comparisons: 10^4 points
    in well under a second.

    Raises:
        OptionError: as `front`.
    """
    rows, inverse = np.unique(_losses(points, directions), axis=0, return_inverse=True)
    columns = np.ascontiguousarray(rows.T[1:])  # rows come sorted: whoever dominates stands above
    depth = np.zeros(len(rows), dtype=np.int64)
    for row in range(len(rows)):
        dominating = (columns[:, :row] <= columns[:, row, None]).all(axis=0)
        depth[row] = (depth[:row][dominating] + 1).max(initial=0)
    return depth[inverse.reshape(-1)].tolist()


def hypervolume(points: Points, directions: Directions, reference: Sequence[float]) -> float:
    """Return the volume of the region that the points dominate, up to the reference point.

    Exact but for rounding, in the product of the objectives' units. A point that is not better than the
    reference in every objective adds nothing. Two and three objectives: a sweep over a staircase, n log n
    (Fonseca et al., 2006). More: the exclusive volumes of While et al. (2012), exponential in the objectives.

    Raises:
        OptionError: as `front`, or a reference of another length.
    """
    losses, signs = _losses(points, directions), _signs(directions)
    _check("reference", reference, directions)
    limit = np.array(reference, dtype=np.float64) * signs
    return _volume(losses[(losses < limit).all(axis=1)], limit)


def _losses(points: Points, directions: Directions) -> NDArray[np.float64]:
    """Return the points as floats of which less is better."""
    signs = _signs(directions)
    if not (isinstance(points, np.ndarray) and _all_finite(points, len(signs))):
        for number, point in enumerate(points):
            _check(f"point {number}", point, directions)
    losses = np.asarray(points, dtype=np.float64).reshape(len(points), len(signs))
    return losses * signs + 0.0  # no -0.0, which would sort apart from 0.0


def _all_finite(points: NDArray[Any], width: int) -> bool:
    return points.shape[1:] == (width,) and points.dtype.kind in "iuf" and bool(np.isfinite(points).all())


def _signs(directions: Directions) -> NDArray[np.float64]:
    if not directions:
        raise OptionError("no objectives: name at least one and its direction, such as macs: min")
    for name, direction in directions.items():
        if direction not in ("min", "max"):
            raise OptionError(f"direction {direction!r} of {name}: choose from min, max")
    return np.array([1.0 if direction == "min" else -1.0 for direction in directions.values()])


def _check(what: str, values: Sequence[float | None] | NDArray[Any], directions: Directions) -> None:
    if len(values) != len(directions):
        raise OptionError(f"{what} has {len(values)} values: one each for {', '.join(directions)}")
    for name, value in zip(directions, values, strict=True):
        if not isinstance(value, Real) or not math.isfinite(value):
            raise OptionError(
                f"{what}: {name} is {value}, only finite numbers compare: leave out what has none"
            )


def _volume(losses: NDArray[np.float64], limit: NDArray[np.float64]) -> float:
    """Return the volume between points and limit; every point is below the limit."""
    if not len(losses):
        return 0.0
    if len(limit) == 1:
        return float(limit[0] - losses.min())
    if len(limit) > 3:
        return _volume_by_exclusion(losses, limit)
    xs, ys = [-math.inf, float(limit[0])], [float(limit[1]), -math.inf]
    if len(limit) == 2:
        return math.fsum(_step(xs, ys, x, y) for x, y in losses.tolist())
    upward = losses[np.argsort(losses[:, 2])].tolist()
    return math.fsum(_step(xs, ys, x, y) * (float(limit[2]) - z) for x, y, z in upward)


def _step(xs: list[float], ys: list[float], x: float, y: float) -> float:
    """Add a point to a staircase, in place, and return the area that it adds.

    From xs[i] to xs[i + 1] all above ys[i] is covered; xs rise, ys fall.
    """
    first = bisect_right(xs, x) - 1
    if ys[first] <= y:
        return 0.0
    last, left, area = first, x, []
    while ys[last] > y:
        area.append((xs[last + 1] - left) * (ys[last] - y))
        last += 1
        left = xs[last]
    start = first if xs[first] == x else first + 1
    xs[start:last], ys[start:last] = [x], [y]
    return math.fsum(area)


def _volume_by_exclusion(losses: NDArray[np.float64], limit: NDArray[np.float64]) -> float:
    """Sum what each point dominates and no later one does, from the worst in the last objective on.

    Later points are better there, so their overlap with the point is flat in it: one objective less.
    """
    losses = losses[np.argsort(-losses[:, -1])]
    volumes = []
    for number, point in enumerate(losses):
        flat = np.maximum(losses[number + 1 :, :-1], point[:-1])
        alone = float(np.prod(limit[:-1] - point[:-1])) - _volume(flat[_undominated(flat)], limit[:-1])
        volumes.append(alone * float(limit[-1] - point[-1]))
    return math.fsum(volumes)


def _undominated(losses: NDArray[np.float64]) -> list[int]:
    """Return the places of the rows that no other row dominates."""
    order = np.lexsort(losses.T[::-1])  # whoever dominates comes first
    columns = np.ascontiguousarray(losses[order].T)
    kept: list[int] = []
    while order.size:
        first = columns[:, :1]
        better = (columns < first).any(axis=0)
        out, stay = np.flatnonzero(~better), np.flatnonzero(better)
        kept += order[out[(columns[:, out] == first).all(axis=0)]].tolist()
        order, columns = order[stay], columns.take(stay, axis=1)
    return kept
