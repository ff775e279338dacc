"""Whether one cost predicts another: rank correlation in words, and pairs of models that disagree."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from saevit.compare.comparison import Candidate
from saevit.report.metrics import find_metric
from saevit.runs.statistics import ratio
from saevit.text import plural

LEAST = 5  # models that a sentence about their rank correlation needs
WORDS = (  # from this agreement on; below the last one, the opposite is mostly true
    (0.95, "is nearly always {}"),
    (0.7, "is mostly {}, but not always"),
    (0.3, "is often not {}"),
    (-0.3, "does not predict {}"),
)


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """Two models of which the first is better by x and worse by y."""

    better: Candidate
    worse: Candidate
    x_ratio: float  # better's value divided by worse's
    y_ratio: float
    is_resolved: bool  # both differences are larger than the noise

    @property
    def size(self) -> float:
        """How much the two axes disagree: the product of both ratios' logarithms."""
        return abs(math.log(self.x_ratio) * math.log(self.y_ratio))


def rank_correlation(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    """Return Spearman's rho, the correlation of the ranks; None if all values of one side are equal.

    Raises:
        ValueError: the two differ in length.
    """
    if len(xs) != len(ys):
        raise ValueError(f"{len(xs)} and {len(ys)} values: a rank correlation needs pairs")
    if len(set(xs)) < 2 or len(set(ys)) < 2:
        return None
    return float(np.corrcoef(average_ranks(xs), average_ranks(ys))[0, 1])


def average_ranks(values: Sequence[float]) -> NDArray[np.float64]:
    """Return each value's rank, from 1; equal values share the mean of their ranks."""
    _, places, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[places.reshape(-1)]


def describe_agreement(candidates: Sequence[Candidate], x: str, y: str) -> str:
    """Return a sentence on whether models that are better by x are better by y, with the rank correlation.

    Raises:
        OptionError: there is no such metric.
    """
    axes = find_metric(x), find_metric(y)
    rows = [values for c in candidates if None not in (values := [axis.of(c) for axis in axes])]
    models = plural(len(rows), "model")
    rho = rank_correlation(*zip(*rows, strict=True)) if len(rows) >= LEAST else None
    if rho is None:
        return f"{axes[1].label} against {axes[0].label}: {models}; no rank correlation"
    agreement = rho if axes[0].better == axes[1].better else -rho
    better, worse = axes[1].adjectives
    words = next((text.format(better) for least, text in WORDS if agreement >= least), f"is mostly {worse}")
    return f"{axes[0].less} {axes[0].noun} {words}: rank correlation {rho:.2f} over {models}"


def find_disagreements(candidates: Sequence[Candidate], x: str, y: str) -> list[Disagreement]:
    """Return the pairs of models that the two axes order in opposite ways, the largest disagreement first.

    Raises:
        OptionError: there is no such metric.
    """
    axes = find_metric(x), find_metric(y)
    known = [c for c in candidates if all((axis.of(c) or 0) > 0 for axis in axes)]
    pairs = []
    for better, worse in permutations(known, 2):
        ratios = [(axis.of(better) or 0) / (axis.of(worse) or 1) for axis in axes]
        gains = [1 - r if axis.better == "min" else r - 1 for r, axis in zip(ratios, axes, strict=True)]
        if gains[0] > 0 > gains[1]:
            pairs.append(
                Disagreement(
                    better=better,
                    worse=worse,
                    x_ratio=ratios[0],
                    y_ratio=ratios[1],
                    is_resolved=is_resolved(better, worse, x) and is_resolved(worse, better, y),
                )
            )
    return sorted(pairs, key=lambda pair: -pair.size)


def is_resolved(better: Candidate, worse: Candidate, name: str) -> bool:
    """Is a difference larger than the noise? Counts have none; times are compared in the same rounds."""
    if not find_metric(name).is_timed:
        return True
    return (
        len(better.samples) == len(worse.samples)
        and ratio(better.seconds_per_image, worse.seconds_per_image).verdict == "faster"
    )
