"""A space's partials as tables, one for each stage, for some choices of the whole network's keys.

Variants are then sums of four entries. `Layout` cuts the space into chunks that need a bounded table each.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from saevit.errors import OptionError
from saevit.explore import capacity
from saevit.explore.costs import BUDGET, MOST_ENTRIES, Digits, Evaluator, Flags, Ints
from saevit.explore.query import LAST, Query
from saevit.explore.space import Axis
from saevit.variant import NUM_STAGES

FEWEST, MOST = 2**22, 2**26  # variants in a chunk
MOST_CHUNKS = 256  # if these are not too large then
MOST_PREFIXES = 2**20  # in a chunk: their sums are held at once
WIDTH_KEYS = ("dims", "heads")  # keys of a stage that the next one's cost depends on


def digits_of(axes: list[Axis], places: Ints) -> dict[str, Ints]:
    """Return each axis' choice at places in the order of their product, the last axis fastest."""
    found = {}
    for axis in reversed(axes):
        places, found[axis.key] = np.divmod(places, len(axis.values))
    return found


def shaped(digits: Digits, shape: tuple[int, ...]) -> dict[str, Ints]:
    """Return the digits in another shape."""
    return {key: each.reshape(shape) for key, each in digits.items()}


def width_axes(evaluator: Evaluator, stage: int) -> list[Axis]:
    """Return a stage's own axes that the next stage's cost depends on."""
    return [axis for axis in evaluator.own[stage] if axis.key.startswith(WIDTH_KEYS)]


def kinds_of(evaluator: Evaluator, stage: int) -> Ints:
    """Return, for each choice of a stage, the number of its channels among all that the stage can have."""
    axes = evaluator.own[stage]
    digits = digits_of(axes, np.arange(evaluator.space.shape[1 + stage]))
    kind = np.zeros(evaluator.space.shape[1 + stage], dtype=np.int64)
    for axis in width_axes(evaluator, stage):
        kind = kind * len(axis.values) + digits[axis.key]
    return kind


class Tables:
    """Partials of every stage for the choices [first, first + count) of the whole network's keys.

    `sums[i][name]` is (count, channels of stage i - 1, choices of stage i).
    """

    def __init__(self, query: Query, evaluator: Evaluator, first: int, count: int) -> None:
        self.count, self.shape = count, query.space.shape[1:]
        self.kinds = [kinds_of(evaluator, i) for i in range(NUM_STAGES)]
        whole = shaped(digits_of(evaluator.whole, np.arange(first, first + count)), (-1, 1, 1))
        self.sums: list[dict[str, Ints]] = []
        self.valid: list[Flags] = []  # (count, choices)
        self.rises: list[Flags | None] = [None]  # like sums
        for i in range(NUM_STAGES):
            own = digits_of(evaluator.own[i], np.arange(self.shape[i]))
            before, size = dict(whole), 1
            if i:
                axes = width_axes(evaluator, i - 1)
                size = math.prod(len(axis.values) for axis in axes)
                before |= shaped(digits_of(axes, np.arange(size)), (1, -1, 1))
            sums, valid, dim = evaluator.stage(i, whole | shaped(own, (1, 1, -1)), before)
            full = (count, size, self.shape[i])
            self.sums.append({k: np.ascontiguousarray(np.broadcast_to(v, full)) for k, v in sums.items()})
            self.valid.append(np.broadcast_to(valid, full)[:, 0])
            if i:
                in_dim = np.broadcast_to(evaluator.dim(i - 1, before), (count, size, 1))
                self.rises.append(in_dim <= dim if query.rising else None)
        self.factor: Any = capacity.last_factor(np.broadcast_to(dim, full)[:, 0], query.img_size)


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Part of a space: choices of the whole network's keys, and of all but the last stage's choices."""

    number: int
    first: int  # of the table
    count: int
    start: int  # of the prefixes within the table
    stop: int


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a space is cut into chunks: a function of the space alone."""

    whole: int  # choices of the whole network's keys
    prefixes: int  # choices of all stages but the last, for one choice of the whole network's keys
    tail: int  # choices of the last stage
    per_table: int
    per_chunk: int  # prefixes

    @classmethod
    def of(cls, query: Query, evaluator: Evaluator) -> "Layout":
        """Return the layout of a query's space.

        Raises:
            OptionError: a stage has too many choices for a table.
        """
        whole, *stages = query.space.shape
        entries = 1
        for i, count in enumerate(stages):
            before = math.prod(len(axis.values) for axis in width_axes(evaluator, i - 1)) if i else 1
            if count * before > MOST_ENTRIES:
                raise OptionError(
                    f"stage {i + 1} has {count:,} choices after {before:,} widths of the one before: at most "
                    f"{MOST_ENTRIES:,} together, take longer steps"
                )
            entries = max(entries, count * before)
        variants = min(max(FEWEST, query.space.size // MOST_CHUNKS), MOST)
        return cls(
            whole=whole,
            prefixes=math.prod(stages[:LAST]),
            tail=stages[LAST],
            per_table=min(whole, max(1, BUDGET // entries)),
            per_chunk=max(1, min(variants // stages[LAST], MOST_PREFIXES)),
        )

    @property
    def chunks_per_table(self) -> int:
        """Chunks of a full table."""
        return -(-self.per_table * self.prefixes // self.per_chunk)

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        full, rest = divmod(self.whole, self.per_table)
        return full * self.chunks_per_table + -(-rest * self.prefixes // self.per_chunk)

    def chunk(self, number: int) -> Chunk:
        """Return a chunk by its number."""
        table, part = divmod(number, self.chunks_per_table)
        first = table * self.per_table
        count = min(self.per_table, self.whole - first)
        start = part * self.per_chunk
        stop = min(start + self.per_chunk, count * self.prefixes)
        return Chunk(number=number, first=first, count=count, start=start, stop=stop)
