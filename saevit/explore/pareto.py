"""Find the points that no other point beats in every objective.

A point dominates another one if it is as good in every objective and better in one. Equal points do not
dominate each other, so ties stay together. Objectives are compared as float64: integers up to 2**53 exactly.
"""

import math
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
