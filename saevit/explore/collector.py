"""Findings of a search in a set of variants: counts, the front, the best. Sets merge in any order."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from saevit.explore.pareto import Front, Top
from saevit.explore.question import Question, compute_loss, needed_partials

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
LARGEST = 2**62  # indices up to which int64 holds them


@dataclass(frozen=True, kw_only=True)
class Variants:
    """Variants of a space with their partials: rows of variants that follow each other in the space."""

    first: Ints  # the index of the first variant of each row
    tail: int  # variants per row; the arrays below hold row after row
    sums: dict[str, Ints]
    valid: Flags  # the combination is a network
    rising: Flags  # its channels never fall from stage to stage
    factor: NDArray[np.float64]  # log(r^2 c) of the last map

    def indices(self, some: Ints) -> Ints:
        """Return the indices in the space of some of the variants."""
        row, column = np.divmod(some, self.tail)
        return self.first[row] + column


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What was found in a set of variants."""

    seen: int
    invalid: int = 0  # combinations that are no network
    falling: int = 0  # networks whose channels fall although the question forbids it
    kept: int = 0  # networks within all limits
    excluded: tuple[int, ...] = ()  # by each limit alone, of the networks left
    front: tuple[tuple[int, tuple[float, ...]], ...] = ()  # index, losses; sorted by losses
    top: tuple[tuple[int, float], ...] = ()  # index, loss; the best first
    nearest: tuple[float, int] | None = None  # the least miss of a limit, and its index; None if any is kept


class Collector:
    """Collects findings of one question, from variants and from other findings."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.front, self.top = Front(len(question.objectives)), Top(question.top)
        self.seen = self.invalid = self.falling = self.kept = 0
        self.excluded = [0] * len(question.limits)
        self.nearest: tuple[float, int] | None = None
        self.large: dict[int, int] = {}  # in spaces beyond int64: number in the front -> index
        self.wanted = needed_partials((*question.objectives, question.rank))

    def add_variants(self, variants: Variants) -> None:
        """Check variants against the limits, and compare those that keep them."""
        limits, sums = self.question.limits, variants.sums
        allowed = variants.valid & variants.rising if self.question.rising else variants.valid
        valid, networks = int(np.count_nonzero(variants.valid)), int(np.count_nonzero(allowed))
        self.seen += len(allowed)
        self.invalid += len(allowed) - valid
        self.falling += valid - networks
        mask = allowed
        for i, limit in enumerate(limits):
            inside = limit.kept(sums) & allowed
            self.excluded[i] += networks - int(np.count_nonzero(inside))
            mask = mask & inside
        kept = np.flatnonzero(mask)
        self.kept += len(kept)
        if len(kept):
            some = slice(None) if len(kept) == len(mask) else kept
            self._compare(
                {name: sums[name][some] for name in self.wanted},
                variants.factor[some],
                variants.indices(kept),
            )
        elif networks and not self.kept:
            miss = np.maximum.reduce([limit.miss(sums) for limit in limits])
            miss = np.where(allowed, miss, np.inf)
            found = float(miss.min()), int(variants.indices(np.array(miss.argmin())))
            self.nearest = min(self.nearest or found, found)

    def _compare(self, sums: dict[str, Ints], factor: NDArray[np.float64], indices: Ints) -> None:
        self.front.add([compute_loss(name, sums, factor) for name in self.question.objectives], indices)
        self.top.add(compute_loss(self.question.rank, sums, factor), indices)

    def add_findings(self, findings: Findings) -> None:
        """Add what was found in another set of variants."""
        self.seen += findings.seen
        self.invalid += findings.invalid
        self.falling += findings.falling
        self.kept += findings.kept
        if findings.excluded:
            self.excluded = [a + b for a, b in zip(self.excluded, findings.excluded, strict=True)]
        if findings.nearest is not None:
            self.nearest = min(self.nearest or findings.nearest, findings.nearest)
        if findings.front:
            numbers = [self._numbered(index) for index, _ in findings.front]
            columns = np.array([losses for _, losses in findings.front]).T
            self.front.add(list(columns), np.array(numbers, dtype=np.int64))
        if findings.top:
            indices, losses = zip(*findings.top, strict=True)
            self.top.add(np.array(losses), np.array(indices))

    def _numbered(self, index: int) -> int:
        if self.question.space.size < LARGEST:
            return index
        self.large[len(self.large)] = index
        return len(self.large) - 1

    def findings(self) -> Findings:
        """Return all that was found."""
        self.front.merge()
        front = zip(self.front.numbers.tolist(), self.front.losses.tolist(), strict=True)
        return Findings(
            seen=self.seen,
            invalid=self.invalid,
            falling=self.falling,
            kept=self.kept,
            excluded=tuple(self.excluded),
            front=tuple((self.large.get(number, number), tuple(losses)) for number, losses in front),
            top=tuple(zip(self.top.numbers.tolist(), self.top.losses.tolist(), strict=True)),
            nearest=None if self.kept else self.nearest,
        )
