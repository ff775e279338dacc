"""A space's partials as tables, one per stage, for some choices of the keys of the whole network.

A variant is then the sum of four entries.
"""

import math
from typing import Any

import numpy as np

from saevit.errors import OptionError
from saevit.explore.capacity import last_factor
from saevit.explore.costs import MOST_ENTRIES, Digits, Evaluator, Flags, Ints
from saevit.explore.question import Question
from saevit.explore.space import Axis, Space

WIDTH_KEYS = ("dims", "heads")  # keys of a stage that the cost of the next stage depends on


def digits_of(axes: list[Axis], places: Ints) -> dict[str, Ints]:
    """Return each axis' choice at places in the order of their product, the last axis fastest."""
    found = {}
    for axis in reversed(axes):
        places, found[axis.key] = np.divmod(places, len(axis.values))
    return found


def shaped(digits: Digits, shape: tuple[int, ...]) -> dict[str, Ints]:
    """Return the digits in another shape."""
    return {key: each.reshape(shape) for key, each in digits.items()}


def width_axes(space: Space, stage: int) -> list[Axis]:
    """Return a stage's own axes that the cost of the next stage depends on; none before the first stage."""
    return [
        axis for axis in space.axes if stage >= 0 and axis.stage == stage and axis.key.startswith(WIDTH_KEYS)
    ]


def count_widths(space: Space, stage: int) -> int:
    """Return the number of combinations of those axes."""
    return math.prod(len(axis.values) for axis in width_axes(space, stage))


def most_entries(space: Space) -> int:
    """Return the entries of the largest table of a space, for one choice of the keys of the whole network.

    Raises:
        OptionError: a stage has too many choices for a table.
    """
    entries = 1
    for i, count in enumerate(space.shape[1:]):
        before = count_widths(space, i - 1)
        if count * before > MOST_ENTRIES:
            raise OptionError(
                f"stage {i + 1} has {count:,} choices after {before:,} widths of the one before: at most "
                f"{MOST_ENTRIES:,} together, take longer steps"
            )
        entries = max(entries, count * before)
    return entries


class Tables:
    """Partials of every stage for the choices [first, first + count) of the keys of the whole network.

    `sums[i][name]` and `rises[i]` are (count, widths of stage i - 1, choices of stage i), `valid[i]` and
    `factor` (count, choices), `kinds[i]` the width of each choice among those of its stage.
    """

    def __init__(self, question: Question, evaluator: Evaluator, first: int, count: int) -> None:
        self.first, self.count, space = first, count, question.space
        whole = shaped(digits_of(evaluator.whole, np.arange(first, first + count)), (-1, 1, 1))
        self.sums: list[dict[str, Ints]] = []
        self.valid: list[Flags] = []
        self.rises: list[Flags] = []
        self.kinds: list[Ints] = []
        in_dim: Any = 0
        for i, size in enumerate(space.shape[1:]):
            own = digits_of(evaluator.own[i], np.arange(size))
            widths = count_widths(space, i - 1)
            before = whole | shaped(digits_of(width_axes(space, i - 1), np.arange(widths)), (1, -1, 1))
            sums, valid, dim = evaluator.stage(i, whole | shaped(own, (1, 1, -1)), before)
            full = (count, widths, size)
            if i and question.rising:
                in_dim = evaluator.dim(i - 1, before)
            self.sums.append({k: np.ascontiguousarray(np.broadcast_to(v, full)) for k, v in sums.items()})
            self.valid.append(np.broadcast_to(valid, full)[:, 0])
            self.rises.append(np.broadcast_to(in_dim <= dim, full))
            kind = np.zeros(size, dtype=np.int64)
            for axis in width_axes(space, i):
                kind = kind * len(axis.values) + own[axis.key]
            self.kinds.append(kind)
        self.factor: Any = last_factor(np.broadcast_to(dim, full)[:, 0], question.img_size)
