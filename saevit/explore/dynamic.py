"""Exact fronts of spaces too large to look at every variant, by dynamic programming over the stages.

The cost of the remaining stages depends on the stages before only through the channels of the last of them.
So among all beginnings that end in the same channels, a beginning that another one beats in every partial
cannot lead to the front, nor can one that breaks a limit even with the best ending.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from saevit.errors import OptionError
from saevit.explore.collector import Findings
from saevit.explore.costs import Evaluator, Ints, Tables, most_entries
from saevit.explore.pareto import Floats, Front, first_front
from saevit.explore.question import QUANTITIES, Limit, Question, compute_loss, join_partials
from saevit.variant import NUM_STAGES

LAST = NUM_STAGES - 1

TOGETHER = 2**18  # beginnings that are extended at once
MOST_BEGINNINGS = 2**21  # that are kept after one stage
MOST_ALIKE = 2**16  # of these, with the same channels
MOST_TABLES = 10**6

Sums = dict[str, Ints]


@dataclass(frozen=True, kw_only=True)
class Beginnings:
    """Beginnings up to one stage that may lead to the front, a row each."""

    sums: Sums
    kind: Ints  # the number of their last channels
    option: Ints  # the choice of the last stage
    previous: Ints  # the row among the beginnings one stage before


class Programmer:
    """Finds the front for each choice of the keys of the whole network: a chunk is one choice."""

    def __init__(self, question: Question) -> None:
        self.question = question
        most_entries(question.space)  # refuses a space whose tables are too large
        self.evaluator = Evaluator(question.space, question.img_size, question.partials, question.latency)
        self.signs = list_signs(question)
        self.chunks = question.space.shape[0]
        if self.chunks > MOST_TABLES:
            raise OptionError(
                f"keys of the whole network have {self.chunks:,} combinations, one dynamic programme each: "
                f"at most {MOST_TABLES:,}, take fewer choices of them, or --method sample"
            )

    def search_chunk(self, number: int) -> Findings:
        """Return the front for one choice of the keys of the whole network."""
        tables = Tables(self.question, self.evaluator, number, 1)
        front = OneTable(self.question, self.signs, tables).find_front(number)
        return Findings(seen=self.question.space.size // self.chunks, front=tuple(front))


def list_signs(question: Question) -> dict[tuple[str, int], bool]:
    """Return each partial with its sign, and whether an objective needs it; 1: less is better, -1: more is.

    Limits need the other partials. A band gives both signs: a cheaper beginning may fall below it.
    """
    objectives = [QUANTITIES[name] for name in question.objectives]
    signs = {(name, -1 if one.better == "max" else 1): True for one in objectives for name in one.partials}
    for limit in question.limits:
        for name in QUANTITIES[limit.quantity].partials:
            sign = -1 if name == "logs" else 1
            signs.setdefault((name, sign), False)
            if limit.low > -np.inf:
                signs.setdefault((name, -sign), False)
    return signs


class OneTable:
    """The dynamic programme for one choice of the keys of the whole network."""

    def __init__(self, question: Question, signs: dict[tuple[str, int], bool], tables: Tables) -> None:
        self.question, self.signs, self.tables = question, signs, tables
        self.names = list(tables.sums[0])
        self.allowed = [self._allowed(i) for i in range(NUM_STAGES)]
        self.least, self.most = self._endings(np.min, np.inf), self._endings(np.max, -np.inf)

    def _allowed(self, i: int) -> Any:
        """Return (channels before, choices): may the choice follow?"""
        return self.tables.valid[i][0] & self.tables.rises[i][0]

    def _endings(self, best: Any, none: float) -> list[dict[str, Floats]]:
        """Return the least (or most) that all later stages can add after each stage, by its channels."""
        found: list[dict[str, Floats]] = [{}] * NUM_STAGES
        found[LAST] = {name: np.zeros(self._kinds(LAST)) for name in self.names}
        for i in range(LAST - 1, -1, -1):
            after = self.tables.sums[i + 1]
            kind = self.tables.kinds[i + 1]
            found[i] = {}
            for name in self.names:
                total = join_partials(name, after[name][0].astype(np.float64), found[i + 1][name][kind])
                found[i][name] = best(np.where(self.allowed[i + 1], total, none), axis=1)
        return found

    def _kinds(self, i: int) -> int:
        return int(self.tables.kinds[i].max()) + 1

    def find_front(self, whole: int) -> list[tuple[int, tuple[float, ...]]]:
        """Return index and losses of the front."""
        none = np.zeros(1, dtype=np.int64)
        steps = [Beginnings(sums={}, kind=none, option=none, previous=none)]
        for i in range(NUM_STAGES):
            steps.append(self._extended(i, steps[-1]))
        last = steps[-1]
        inside = [limit.kept(last.sums) for limit in self.question.limits]
        rows = np.flatnonzero(np.logical_and.reduce([np.ones(len(last.kind), np.bool_), *inside]))
        sums = {name: each[rows] for name, each in last.sums.items()}
        factor = self.tables.factor[0][last.option[rows]]
        losses = np.stack([compute_loss(name, sums, factor) for name in self.question.objectives], axis=1)
        best = first_front(losses, rows)
        return [
            (
                self.question.space.index_of((whole, *options_of(steps[1:], int(rows[b])))),
                tuple(losses[b].tolist()),
            )
            for b in best
        ]

    def _extended(self, i: int, before: Beginnings) -> Beginnings:
        """Extend every beginning by every choice of stage i, and keep those that may lead to the front."""
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
        """Extend beginnings by the choices of stage i that have certain channels."""
        options = self._useful(i, np.flatnonzero(self.tables.kinds[i] == kind))
        front = Front(len(self.signs))
        step = max(1, TOGETHER // max(1, len(options)))
        for start in range(0, len(before.kind) if len(options) else 0, step):
            rows = np.arange(start, min(start + step, len(before.kind)))
            line, column = (each.ravel() for each in np.meshgrid(rows, options, indexing="ij"))
            line, column, sums = self._possible(i, before, kind, line, column)
            front.add(self._columns(i, kind, sums), line * len(self.tables.kinds[i]) + column)
            if len(front.numbers) > MOST_ALIKE:
                raise too_many(len(front.numbers), i)
        front.merge()
        line, column = np.divmod(front.numbers, len(self.tables.kinds[i]))
        sums = self._sums(i, before, line, column)
        return Beginnings(sums=sums, kind=np.full(len(line), kind), option=column, previous=line)

    def _columns(self, i: int, kind: int, sums: Sums) -> list[Floats]:
        """Return the losses by which beginnings are compared: values that break no limit count as equal."""
        columns: list[Floats] = []
        for (name, sign), is_objective in self.signs.items():
            column = sums[name].astype(np.float64) * sign
            if not is_objective:
                column = np.maximum(column, np.float64(self._harmless(i, kind, name, sign)))
            columns.append(column)
        if "layers" in sums:  # no objective needs their number
            at = [name for name, _ in self.signs].index("layers")
            columns[at] = np.where(self._surely_effective(i, kind, sums), 0.0, columns[at])
        return columns

    def _harmless(self, i: int, kind: int, name: str, sign: int) -> float:
        """Return the largest loss of a limited partial with which no ending breaks a limit."""
        about = [limit for limit in self.question.limits if name in QUANTITIES[limit.quantity].partials]
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
        about = [limit for limit in self.question.limits if limit.quantity == "effectiveness"]
        return np.logical_and.reduce([limit.kept(worst) for limit in about])

    def _useful(self, i: int, options: Ints) -> Ints:
        """Leave out choices that another choice with the same channels beats after every beginning."""
        options = options[self.allowed[i][:, options].any(axis=0)]
        if "peak" in self.names or not len(options):  # peaks do not add up
            return options
        table = self.tables.sums[i]
        losses = np.stack([table[name][0, 0, options] * float(sign) for name, sign in self.signs], axis=1)
        kept: Ints = np.sort(options[first_front(losses, options)])
        return kept

    def _possible(
        self, i: int, before: Beginnings, kind: int, line: Ints, column: Ints
    ) -> tuple[Ints, Ints, Sums]:
        """Return combinations with their partials, without those that are no network.

        Those that break a limit with every ending are left out too.
        """
        inside = self.allowed[i][before.kind[line], column]
        sums = self._sums(i, before, line, column)
        for limit in self.question.limits:
            names = QUANTITIES[limit.quantity].partials
            ends = {name: join_partials(name, sums[name], self._end(i, name, kind, limit)) for name in names}
            inside &= could_keep(limit, ends)
            if limit.low > -np.inf:
                (name,) = names
                high = {name: join_partials(name, sums[name], self.most[i][name][kind])}
                inside &= limit_value(limit, high) >= limit.low
        if inside.all():
            return line, column, sums
        kept = np.flatnonzero(inside)
        return line[kept], column[kept], {name: each[kept] for name, each in sums.items()}

    def _end(self, i: int, name: str, kind: int, limit: Limit) -> float:
        """Return the ending that is best for a limit: the least cost, or the most logarithms."""
        return float((self.most if name == "logs" else self.least)[i][name][kind])

    def _sums(self, i: int, before: Beginnings, line: Ints, column: Ints) -> Sums:
        """Return the partials of some beginnings."""
        kind = before.kind[line]
        parts = {name: self.tables.sums[i][name][0][kind, column] for name in self.names}
        if not i:
            return parts
        return {name: join_partials(name, before.sums[name][line], part) for name, part in parts.items()}


def too_many(count: int, i: int) -> OptionError:
    """Return the error for a question that would take too long."""
    return OptionError(
        f"{count:,} beginnings of {i + 1} stages are still possible: give fewer objectives or limits, "
        "--max-gmacs instead of a band, or longer steps; or take --method sample"
    )


def limit_value(limit: Limit, sums: Any) -> Any:
    """Return a limited quantity's value."""
    return QUANTITIES[limit.quantity].of(sums, 0.0)


def could_keep(limit: Limit, best: Any) -> Any:
    """Return where the best ending keeps the upper bound of a limit; an infinite cost means no ending."""
    if limit.quantity != "effectiveness":
        return limit_value(limit, best) <= limit.high
    ends = np.isfinite(best["logs"]) & np.isfinite(best["layers"])
    whole = {name: np.where(ends, each, 1).astype(np.int64) for name, each in best.items()}
    return ends & limit.kept(whole)


def options_of(steps: list[Beginnings], row: int) -> list[int]:
    """Return the choice of each stage that leads to a row of the last step."""
    options: list[int] = []
    for step in reversed(steps):
        options.insert(0, int(step.option[row]))
        row = int(step.previous[row])
    return options
