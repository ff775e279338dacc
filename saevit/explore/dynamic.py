"""Exact fronts of spaces that nobody can walk through, by dynamic programming over the stages.

What the remaining stages cost depends on the stages so far only through the channels of the last one. So of
all beginnings that end in the same channels, those that another one beats in every partial that matters
cannot be part of the front, whatever follows; nor can those that break a limit even with the best ending.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from saevit.errors import OptionError
from saevit.explore.chunks import Part, joined
from saevit.explore.costs import Ints
from saevit.explore.frontier import Floats, Front, first_front
from saevit.explore.limits import Limit
from saevit.explore.quantities import QUANTITIES, needed
from saevit.explore.query import LAST, Query
from saevit.explore.tables import Layout, Tables
from saevit.variant import NUM_STAGES

TOGETHER = 2**18  # beginnings that are extended at once
MOST_BEGINNINGS = 2**21  # that are kept after one stage
MOST_ALIKE = 2**16  # of these, with the same channels
MOST_TABLES = 10**6

Sums = dict[str, Ints]


@dataclass(frozen=True, kw_only=True)
class Beginnings:
    """What is left of all beginnings up to a stage: partials, channels, and how each came about."""

    sums: Sums
    kind: Ints  # which channels
    option: Ints  # of the last stage
    previous: Ints  # row among the beginnings one stage before


class Programmer:
    """Finds the front for each choice of the whole network's keys."""

    def __init__(self, query: Query) -> None:
        self.query, self.evaluator = query, query.evaluator()
        Layout.of(query, self.evaluator)  # refuses what has no tables
        partials = needed((*query.objectives, *(limit.quantity for limit in query.limits)))
        self.signs = [(name, -1 if name == "logs" else 1) for name in partials]
        for limit in query.limits:
            if limit.low > -np.inf:  # a cheaper beginning may fall below the band: only equal ones compare
                self.signs += [(name, -sign) for name, sign in self.signs if name in exact_of(limit)]
        self.chunks = query.space.shape[0]
        if self.chunks > MOST_TABLES:
            raise OptionError(
                f"keys of the whole network have {self.chunks:,} combinations, one dynamic programme each: "
                f"at most {MOST_TABLES:,}, take fewer choices of them, or --method sample"
            )

    def do(self, number: int) -> Part:
        """Return the front for one choice of the whole network's keys."""
        tables = Tables(self.query, self.evaluator, number, 1)
        found = OneTable(self.query, self.signs, tables).run(number)
        return Part(
            number=number,
            seen=self.query.space.size // self.chunks,
            invalid=0,
            falling=0,
            kept=0,
            excluded=(0,) * len(self.query.limits),
            front=tuple(found),
            top=(),
            nearest=None,
        )


def exact_of(limit: Limit) -> tuple[str, ...]:
    """Return the partial that a band is of."""
    return QUANTITIES[limit.quantity].partials


class OneTable:
    """The dynamic programme for one choice of the whole network's keys."""

    def __init__(self, query: Query, signs: list[tuple[str, int]], tables: Tables) -> None:
        self.query, self.signs, self.tables = query, signs, tables
        self.names = list(tables.sums[0])
        self.wanted = needed(query.objectives)
        self.allowed = [self._allowed(i) for i in range(NUM_STAGES)]
        self.least, self.most = self._endings(np.min, np.inf), self._endings(np.max, -np.inf)

    def _allowed(self, i: int) -> Any:
        """Return which choices of a stage may follow which channels."""
        rises = self.tables.rises[i]
        shape = self.tables.sums[i][self.names[0]][0].shape
        valid = np.broadcast_to(self.tables.valid[i][0], shape)
        return valid if rises is None else valid & rises[0]

    def _endings(self, best: Any, none: float) -> list[dict[str, Floats]]:
        """Return the least (or most) that the stages after each can add, by its channels."""
        found: list[dict[str, Floats]] = [{}] * NUM_STAGES
        found[LAST] = {name: np.zeros(self._kinds(LAST)) for name in self.names}
        for i in range(LAST - 1, -1, -1):
            after = self.tables.sums[i + 1]
            kind = self.tables.kinds[i + 1]
            found[i] = {}
            for name in self.names:
                total = joined(name, after[name][0].astype(np.float64), found[i + 1][name][kind])
                found[i][name] = best(np.where(self.allowed[i + 1], total, none), axis=1)
        return found

    def _kinds(self, i: int) -> int:
        return int(self.tables.kinds[i].max()) + 1

    def run(self, whole: int) -> list[tuple[int, tuple[float, ...]]]:
        """Return place and losses of the front."""
        steps = [self._first()]
        for i in range(1, NUM_STAGES):
            steps.append(self._extended(i, steps[-1]))
        last = steps[-1]
        inside = np.ones(len(last.kind), dtype=np.bool_)
        for limit in self.query.limits:
            inside &= limit.kept(last.sums)
        rows = np.flatnonzero(inside)
        sums = {name: each[rows] for name, each in last.sums.items()}
        columns = self.query.losses(sums, self.tables.factor[0][last.option[rows]])
        losses = np.stack([np.broadcast_to(c, len(rows)) for c in columns], axis=1)
        best = first_front(losses, rows)
        return [
            (self.query.space.place((whole, *options_of(steps, int(rows[b])))), tuple(losses[b].tolist()))
            for b in best
        ]

    def _first(self) -> Beginnings:
        """Return the beginnings of one stage."""
        nothing = Beginnings(
            sums={}, kind=np.zeros(1, np.int64), option=np.zeros(1, np.int64), previous=np.zeros(1, np.int64)
        )
        return self._extended(0, nothing)

    def _extended(self, i: int, before: Beginnings) -> Beginnings:
        """Extend every beginning by every choice of stage i, and keep what may be part of the front."""
        parts = [self._of_kind(i, before, kind) for kind in range(self._kinds(i))]
        total = sum(len(part.kind) for part in parts)
        if total > MOST_BEGINNINGS:
            raise too_many(total, i)
        return Beginnings(
            sums={name: np.concatenate([part.sums[name] for part in parts]) for name in self.names},
            kind=np.concatenate([part.kind for part in parts]),
            option=np.concatenate([part.option for part in parts]),
            previous=np.concatenate([part.previous for part in parts]),
        )

    def _of_kind(self, i: int, before: Beginnings, kind: int) -> Beginnings:
        """Return the beginnings that end in certain channels."""
        options = self._useful(i, np.flatnonzero(self.tables.kinds[i] == kind))
        front = Front(len(self.signs))
        step = max(1, TOGETHER // max(1, len(options)))
        for start in range(0, len(before.kind) if len(options) else 0, step):
            rows = np.arange(start, min(start + step, len(before.kind)))
            line, column = (each.ravel() for each in np.meshgrid(rows, options, indexing="ij"))
            line, column = self._possible(i, before, kind, line, column)
            sums = self._sums(i, before, line, column)
            front.add(self._columns(i, kind, sums), line * len(self.tables.kinds[i]) + column)
            if len(front.numbers) > MOST_ALIKE:
                raise too_many(len(front.numbers), i)
        front.merge()
        line, column = np.divmod(front.numbers, len(self.tables.kinds[i]))
        sums = self._sums(i, before, line, column)
        return Beginnings(sums=sums, kind=np.full(len(line), kind), option=column, previous=line)

    def _columns(self, i: int, kind: int, sums: Sums) -> list[Floats]:
        """Return what beginnings compete by; limits that no ending can break are met alike."""
        columns: list[Floats] = []
        for name, sign in self.signs:
            column = sums[name].astype(np.float64) * sign
            if name not in self.wanted:
                column = np.maximum(column, np.float64(self._harmless(i, kind, name, sign)))
            columns.append(column)
        if "layers" in sums and "layers" not in self.wanted:
            at = [name for name, _ in self.signs].index("layers")
            columns[at] = np.where(self._surely_effective(i, kind, sums), 0.0, columns[at])
        return columns

    def _harmless(self, i: int, kind: int, name: str, sign: int) -> float:
        """Return up to where a partial that only limits are about breaks none, whatever follows."""
        about = [limit for limit in self.query.limits if name in exact_of(limit)]
        if name in ("peak", "logs", "layers"):
            return -np.inf
        if sign > 0:
            least = min(limit.high / limit_value(limit, {name: 1}) for limit in about)
            return float(least - self.most[i][name][kind])
        most = max(limit.low / limit_value(limit, {name: 1}) for limit in about)
        return float(self.least[i][name][kind] - most)

    def _surely_effective(self, i: int, kind: int, sums: Sums) -> Any:
        """Return where every ending keeps the limits on effectiveness."""
        logs, layers = self.least[i]["logs"][kind], self.most[i]["layers"][kind]
        if not (np.isfinite(logs) and np.isfinite(layers)):
            return False
        worst = {"logs": sums["logs"] + int(logs), "layers": sums["layers"] + int(layers)}
        about = [limit for limit in self.query.limits if limit.quantity == "effectiveness"]
        return np.logical_and.reduce([limit.kept(worst) for limit in about])

    def _useful(self, i: int, options: Ints) -> Ints:
        """Leave out choices that another one with the same channels beats, whatever precedes."""
        options = options[self.allowed[i][:, options].any(axis=0)]
        if "peak" in self.names or not len(options):  # the largest of two does not add
            return options
        table = self.tables.sums[i]
        losses = np.stack([table[name][0, 0, options] * float(sign) for name, sign in self.signs], axis=1)
        kept: Ints = np.sort(options[first_front(losses, options)])
        return kept

    def _possible(self, i: int, before: Beginnings, kind: int, line: Ints, column: Ints) -> tuple[Ints, Ints]:
        """Leave out what is no network, and what breaks a limit even with the best ending."""
        inside = self.allowed[i][before.kind[line], column]
        sums = self._sums(i, before, line, column)
        for limit in self.query.limits:
            best = {
                name: joined(name, sums[name], self._end(i, name, kind, limit)) for name in exact_of(limit)
            }
            inside &= could_keep(limit, best)
            if limit.low > -np.inf:
                (name,) = exact_of(limit)
                high = {name: joined(name, sums[name], self.most[i][name][kind])}
                inside &= limit_value(limit, high) >= limit.low
        kept = np.flatnonzero(inside)
        return line[kept], column[kept]

    def _end(self, i: int, name: str, kind: int, limit: Limit) -> float:
        """Return the ending that is best for a limit: least cost, and most of the logarithms."""
        return float((self.most if name == "logs" else self.least)[i][name][kind])

    def _sums(self, i: int, before: Beginnings, line: Ints, column: Ints) -> Sums:
        """Return the partials of some beginnings."""
        kind = before.kind[line]
        parts = {name: self.tables.sums[i][name][0][kind, column] for name in self.names}
        if not i:
            return parts
        return {name: joined(name, before.sums[name][line], part) for name, part in parts.items()}


def too_many(count: int, i: int) -> OptionError:
    """Return the error for a question whose answer is not to be had in reasonable time."""
    return OptionError(
        f"{count:,} beginnings of {i + 1} stages are still possible: give fewer objectives or limits, "
        "--max-gmacs instead of a band, or longer steps; or take --method sample"
    )


def limit_value(limit: Limit, sums: Any) -> Any:
    """Return a limited quantity's value."""
    return QUANTITIES[limit.quantity].of(sums, 0.0)


def could_keep(limit: Limit, best: Any) -> Any:
    """May the upper end of a limit be kept with the best ending? Endless costs are no ending at all."""
    if limit.quantity != "effectiveness":
        return limit_value(limit, best) <= limit.high
    ends = np.isfinite(best["logs"]) & np.isfinite(best["layers"])
    whole = {name: np.where(ends, each, 1).astype(np.int64) for name, each in best.items()}
    return ends & limit.kept(whole)


def options_of(steps: list[Beginnings], row: int) -> list[int]:
    """Return the choice of each stage that led to a row of the last step."""
    options: list[int] = []
    for step in reversed(steps):
        options.insert(0, int(step.option[row]))
        row = int(step.previous[row])
    return options
