"""Partials of a space as tables, one per stage, for some choices of the keys of the whole network.

A variant is then the sum of four entries.
"""

import math
from typing import Any

import numpy as np

from saevit.errors import OptionError
from saevit.explore.capacity import last_factor
from saevit.explore.costs import Digits, Evaluator, Flags, Ints
from saevit.explore.question import Question
from saevit.explore.space import Axis, Space

WIDTH_KEYS = ("dims", "heads")  # keys of a stage that the cost of the next stage depends on
MOST_ENTRIES = 2**22  # of the table of a stage, for one choice of the keys of the whole network


def digits_of(axes: list[Axis], indices: Ints, shape: tuple[int, ...] = (-1,)) -> dict[str, Ints]:
    """Return the digit of each axis at indices in the order of their product, the last axis fastest."""
    digits = {}
    for axis in reversed(axes):
        indices, digit = np.divmod(indices, len(axis.values))
        digits[axis.key] = digit.reshape(shape)
    return digits


def width_axes(space: Space, stage: int) -> list[Axis]:
    """Return a stage's own axes that the cost of the next stage depends on; none before the first stage."""
    own = [axis for axis in space.axes if stage >= 0 and axis.stage == stage]
    return [axis for axis in own if axis.key.startswith(WIDTH_KEYS)]


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
        whole: Digits = digits_of(evaluator.whole, np.arange(first, first + count), (-1, 1, 1))
        self.sums: list[dict[str, Ints]] = []
        self.valid: list[Flags] = []
        self.rises: list[Flags] = []
        self.kinds: list[Ints] = []
        in_dim: Any = 0
        for i, size in enumerate(space.shape[1:]):
            own = digits_of(evaluator.own[i], np.arange(size), (1, 1, -1))
            widths = np.arange(count_widths(space, i - 1))
            before = {**whole, **digits_of(width_axes(space, i - 1), widths, (1, -1, 1))}
            sums, valid, dim = evaluator.stage(i, {**whole, **own}, before)
            if i and question.rising:
                in_dim = evaluator.dim(i - 1, before)
            self.sums.append(sums)
            self.valid.append(valid[:, 0])
            self.rises.append(in_dim <= dim)
            kind = np.zeros(size, dtype=np.int64)
            for axis in width_axes(space, i):
                kind = kind * len(axis.values) + own[axis.key].ravel()
            self.kinds.append(kind)
        self.factor: Any = last_factor(dim[:, 0], question.img_size)
