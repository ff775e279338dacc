"""Looking at variants: at every one of a space, from tables of stages, or at a random sample."""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from saevit.explore.capacity import last_factor
from saevit.explore.collector import Collector, Findings, Variants
from saevit.explore.costs import Evaluator, Ints, Tables, digits_of, most_entries
from saevit.explore.question import Question, Search, join_partials

ROWS = 2**16  # variants that are looked at together: they fit in the cache of a core
FEWEST, MOST = 2**23, 2**26  # variants in a chunk
CHUNKS = 256  # of a space, within these bounds
BUDGET = 2**19  # entries of the largest table that is held at a time
DRAWN = 2**17  # variants in a chunk of a sample


class Work(Protocol):
    """A search in chunks. A chunk has the same findings in every process and order."""

    chunks: int

    def search_chunk(self, number: int) -> Findings:
        """Return what one chunk holds."""


class Sweep:
    """Every variant of a space.

    A prefix is a choice of every key but those of the last stage. A chunk is a range of prefixes with all
    choices of the last stage.
    """

    def __init__(self, question: Question) -> None:
        self.question = question
        self.evaluator = Evaluator(question.space, question.img_size, question.partials, question.latency)
        whole, *middle, self.tail = question.space.shape
        self.middle = math.prod(middle)  # prefixes for one choice of the keys of the whole network
        self.prefixes = whole * self.middle
        variants = min(max(FEWEST, question.space.size // CHUNKS), MOST)
        per_table = max(1, BUDGET // most_entries(question.space)) * self.middle
        self.per_chunk = max(1, min(variants // self.tail, per_table))
        self.chunks = -(-self.prefixes // self.per_chunk)
        self.tables: Tables | None = None  # of the last chunk

    def search_chunk(self, number: int) -> Findings:
        """Look at every variant of a chunk."""
        start = number * self.per_chunk
        stop = min(start + self.per_chunk, self.prefixes)
        first, last = start // self.middle, (stop - 1) // self.middle
        if self.tables is None or (self.tables.first, self.tables.count) != (first, last - first + 1):
            self.tables = Tables(self.question, self.evaluator, first, last - first + 1)
        collector, step = Collector(self.question), max(1, ROWS // self.tail)
        for row in range(start, stop, step):
            collector.add_variants(self._variants(self.tables, np.arange(row, min(row + step, stop))))
        return collector.findings()

    def _variants(self, tables: Tables, prefixes: Ints) -> Variants:
        """Return the variants that begin with some prefixes: add up the entries of their stages."""
        rest, options = split_indices(prefixes, self.question.space.shape[1:-1])
        whole, before = rest - tables.first, np.zeros_like(rest)
        valid, rising = np.ones(len(rest), np.bool_), np.ones(len(rest), np.bool_)
        sums: dict[str, Ints] = {}
        for i, option in enumerate(options):
            valid &= tables.valid[i][whole, option]
            rising &= tables.rises[i][whole, before, option]
            for name, table in tables.sums[i].items():
                part = table[whole, before, option]
                sums[name] = join_partials(name, sums[name], part) if i else part
            before = tables.kinds[i][option]
        for name, table in tables.sums[-1].items():
            ends = table[whole, before]
            sums[name] = join_partials(name, ends, sums[name][:, None], out=ends).ravel()
        return Variants(
            first=prefixes * self.tail,
            tail=self.tail,
            sums=sums,
            valid=(valid[:, None] & tables.valid[-1][whole]).ravel(),
            rising=(rising[:, None] & tables.rises[-1][whole, before]).ravel(),
            factor=tables.factor[whole].ravel(),
        )


class RandomSample:
    """Variants drawn evenly, with replacement; the seed and the number of a chunk decide which."""

    def __init__(self, search: Search) -> None:
        self.search, question = search, search.question
        self.evaluator = Evaluator(question.space, question.img_size, question.partials, question.latency)
        self.chunks = -(-search.samples // DRAWN)

    def search_chunk(self, number: int) -> Findings:
        """Draw the variants of a chunk and look at them."""
        count = min(DRAWN, self.search.samples - number * DRAWN)
        generator = np.random.default_rng([self.search.seed, number])
        indices = generator.integers(0, self.search.question.space.size, count, dtype=np.int64)
        collector = Collector(self.search.question)
        collector.add_variants(evaluate(self.evaluator, indices))
        return collector.findings()


def evaluate(evaluator: Evaluator, indices: Ints) -> Variants:
    """Return the variants at some indices (int64) of a space, each counted by itself, without tables."""
    rest, options = split_indices(indices, evaluator.space.shape[1:])
    whole = digits_of(evaluator.whole, rest, (-1, 1, 1))
    sums: dict[str, Ints] = {}
    valid = rising = np.ones(len(indices), dtype=np.bool_)
    before, last_dim = whole, np.zeros(1, dtype=np.int64)
    for i, option in enumerate(options):
        digits = whole | digits_of(evaluator.own[i], option, (-1, 1, 1))
        part, part_valid, dim = evaluator.stage(i, digits, before)
        flat = {name: np.broadcast_to(each.ravel(), len(indices)) for name, each in part.items()}
        sums = {name: join_partials(name, sums[name], each) if i else each for name, each in flat.items()}
        valid = valid & part_valid.ravel()
        rising = rising & (last_dim <= dim.ravel())
        before, last_dim = digits, dim.ravel()
    factor = np.broadcast_to(last_factor(last_dim, evaluator.img_size), len(indices))
    return Variants(first=indices, tail=1, sums=sums, valid=valid, rising=rising, factor=factor)


def split_indices(indices: Ints, sizes: Sequence[int]) -> tuple[Ints, list[Ints]]:
    """Return the index of the choice of the whole network's keys, and the choice of each stage."""
    options: list[Ints] = []
    for size in reversed(sizes):
        indices, option = np.divmod(indices, size)
        options.insert(0, option)
    return indices, options
