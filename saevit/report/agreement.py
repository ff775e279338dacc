"""Does one cost tell another? Rank correlation, in words that follow from it, and the pairs that break it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from saevit.compare.comparison import Candidate
from saevit.report.metrics import metric
from saevit.report.units import plural
from saevit.runs.statistics import ratio

LEAST = 5  # models: the rank correlation of fewer says nothing
TIMED = ("latency", "throughput")  # their differences are resolved by rounds, all others' are exact
LESS = {  # the better end of an axis, as the subject of a sentence
    "gmacs": "fewer MACs",
    "params": "fewer parameters",
    "memory": "less peak memory",
    "latency": "lower latency",
    "throughput": "higher throughput",
}
BETTER = {  # and as its predicate: better, worse
    "gmacs": ("cheaper in MACs", "dearer in MACs"),
    "params": ("smaller", "larger"),
    "memory": ("leaner in memory", "hungrier for memory"),
    "latency": ("faster", "slower"),
    "throughput": ("faster", "slower"),
}
WORDS = (  # from this agreement on; below the last one it is mostly the other way round
    (0.95, "is nearly always {}"),
    (0.7, "is mostly {}, but not always"),
    (0.3, "is often not {}"),
    (-0.3, "is no sign of being {}"),
)


@dataclass(frozen=True, kw_only=True)
class Discord:
    """A model that is better by x than another one, and worse by y."""

    better: Candidate
    worse: Candidate  # by x
    x_ratio: float  # better's value over worse's
    y_ratio: float
    is_resolved: bool  # beyond the noise of what is measured

    @property
    def size(self) -> float:
        """How much the two axes disagree: the product of both factors' logarithms."""
        return abs(math.log(self.x_ratio) * math.log(self.y_ratio))


def rank_correlation(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    """Return Spearman's rho: Pearson's correlation of the ranks, ties averaged; None if all of one are equal.

    Raises:
        ValueError: the two differ in length.
    """
    if len(xs) != len(ys):
        raise ValueError(f"{len(xs)} and {len(ys)} values: a rank correlation needs pairs")
    if len(set(xs)) < 2 or len(set(ys)) < 2:
        return None
    a, b = (ranks - ranks.mean() for ranks in (average_ranks(xs), average_ranks(ys)))
    return float((a @ b) / math.sqrt((a @ a) * (b @ b)))


def average_ranks(values: Sequence[float]) -> NDArray[np.float64]:
    """Return each value's rank from 1 on, equal values sharing the mean of their ranks."""
    _, places, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[places.reshape(-1)]


def finding(candidates: Sequence[Candidate], x: str, y: str) -> str:
    """Say in one sentence whether the better by x is the better by y; the words follow from the value.

    Raises:
        OptionError: an unknown metric.
    """
    axes = metric(x), metric(y)
    rows = [values for c in candidates if None not in (values := [axis.of(c) for axis in axes])]
    rho = rank_correlation(*zip(*rows, strict=True)) if len(rows) >= LEAST else None
    if rho is None:
        models = plural(len(rows), "model")
        return f"{axes[1].label} against {axes[0].label}: {models}; no rank correlation"
    agreement = rho if axes[0].better == axes[1].better else -rho
    better, worse = BETTER[y]
    words = next((form.format(better) for least, form in WORDS if agreement >= least), f"is mostly {worse}")
    return f"{LESS[x]} {words}: rank correlation {rho:.2f} over {plural(len(rows), 'model')}"


def discords(candidates: Sequence[Candidate], x: str, y: str) -> list[Discord]:
    """Return the pairs that the two axes put in opposite orders, the starkest first.

    Raises:
        OptionError: an unknown metric.
    """
    axes = metric(x), metric(y)
    known = [c for c in candidates if all((axis.of(c) or 0) > 0 for axis in axes)]
    found = []
    for pair in combinations(known, 2):
        for better, worse in (pair, pair[::-1]):
            if is_better(better, worse, x) and is_better(worse, better, y):
                found.append(
                    Discord(
                        better=better,
                        worse=worse,
                        x_ratio=ratio_of(better, worse, x),
                        y_ratio=ratio_of(better, worse, y),
                        is_resolved=is_resolved(better, worse, x) and is_resolved(worse, better, y),
                    )
                )
    return sorted(found, key=lambda discord: -discord.size)


def is_better(one: Candidate, other: Candidate, name: str) -> bool:
    """Is one model's value the better one? Both have one."""
    values = metric(name).of(one) or 0, metric(name).of(other) or 0
    return values[0] < values[1] if metric(name).better == "min" else values[0] > values[1]


def is_resolved(one: Candidate, other: Candidate, name: str) -> bool:
    """Is the better value better beyond noise? What is counted has none; times need the same rounds."""
    if name not in TIMED:
        return True
    return (
        len(one.samples) == len(other.samples)
        and ratio(one.seconds_per_image, other.seconds_per_image).verdict == "faster"
    )


def ratio_of(one: Candidate, other: Candidate, name: str) -> float:
    """Return one model's value over another's."""
    return (metric(name).of(one) or 0) / (metric(name).of(other) or 1)
