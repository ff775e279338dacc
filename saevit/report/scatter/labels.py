"""Where the names of points go: beside their points, and neither on one another nor on a point.

Where each may stand for itself is in `places`. Nothing is random: the same figure comes out every time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from saevit.report.places import Array, Label, Place, Surroundings, as_boxes, places, touches

LOST_COST = 1000.0  # of a name left out, in the choice between arrangements; the first ones weigh more
ROUNDS = 3
MOST_TRIED, MOST_MOVED = 60, 3  # places to make room at, and names that have to go for it


@dataclass(frozen=True, kw_only=True)
class Options:
    """Where a name may stand, the cheapest place first, with all that each place takes up as boxes."""

    places: list[Place]
    areas: list[Array]
    boxes: Array  # the areas, one after the other
    owners: NDArray[np.int64]  # to which place each box belongs

    @classmethod
    def of(cls, found: list[Place]) -> Self:
        """Return the options of these places."""
        areas = [place.area for place in found]
        owners = np.repeat(np.arange(len(found)), [len(area) for area in areas]).astype(np.int64)
        return cls(places=found, areas=areas, boxes=np.concatenate([as_boxes(()), *areas]), owners=owners)

    def blocked_by(self, area: Array) -> NDArray[np.bool_]:
        """Return which places overlap an area."""
        hits = self.owners[touches(self.boxes, area).any(axis=1)]
        return np.bincount(hits, minlength=len(self.places)) > 0


Taken = list[int | None]  # the place that each name has, among its options


def place(labels: Sequence[Label], around: Surroundings) -> list[Place | None]:
    """Place the names; None is one for which there is no room. The first ones matter most.

    No two boxes overlap, none touches a marker, is crossed by another name's line or leaves the bounds. Of
    several arrangements, each greedy in another order, the one that loses least is taken.
    """
    options = [Options.of(places(label, around)) for label in labels]
    arrangements = [
        [
            None if i is None else options[number].places[i]
            for number, i in enumerate(arranged(options, order))
        ]
        for order in orders(labels)
    ]
    return min(arrangements, key=loss)


def orders(labels: Sequence[Label]) -> list[list[int]]:
    """Return the orders to try: as given, and along either axis, names that may cost more first."""
    numbers = range(len(labels))
    found = [list(numbers)]
    for axis in (0, 1):
        for sign in (1, -1):
            found.append(sorted(numbers, key=lambda i: (-labels[i].most, sign * labels[i].point[axis])))
    return found


def loss(arrangement: Sequence[Place | None]) -> float:
    """Return what is wrong with an arrangement; the earlier a lost name stood, the worse."""
    count = len(arrangement)
    return sum(
        found.cost if found else LOST_COST * (2 - number / count) for number, found in enumerate(arrangement)
    )


def arranged(options: Sequence[Options], order: Sequence[int]) -> Taken:
    """Give each name in turn the cheapest place that is free, and let each move in a few more rounds."""
    taken: Taken = [None] * len(options)
    for _ in range(ROUNDS):
        before = list(taken)
        for number in order:
            taken[number] = first_free(options, taken, number)
            if taken[number] is None:
                taken = with_room_made(options, taken, number)
        if taken == before:
            break
    return taken


def first_free(options: Sequence[Options], taken: Taken, number: int) -> int | None:
    """Return the cheapest place of a name that no other name takes up."""
    others = [options[i].areas[at] for i, at in enumerate(taken) if at is not None and i != number]
    free = np.flatnonzero(~options[number].blocked_by(np.concatenate([as_boxes(()), *others])))
    return int(free[0]) if len(free) else None


def with_room_made(options: Sequence[Options], taken: Taken, number: int) -> Taken:
    """Return the arrangement with room for one more name, if those in its way have another place to go."""
    blocking = {
        i: options[number].blocked_by(options[i].areas[at]) for i, at in enumerate(taken) if at is not None
    }
    for at in range(min(MOST_TRIED, len(options[number].places))):
        trial = list(taken)
        trial[number] = at
        blockers = [i for i, blocked in blocking.items() if blocked[at]]
        for blocker in blockers:
            trial[blocker] = None
        if len(blockers) <= MOST_MOVED and all(moved(options, trial, blocker) for blocker in blockers):
            return trial
    return taken


def moved(options: Sequence[Options], taken: Taken, number: int) -> bool:
    """Give a name another place, in place; False if there is none."""
    taken[number] = first_free(options, taken, number)
    return taken[number] is not None
