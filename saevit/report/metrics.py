"""The metrics by which models are compared, Pareto fronts, and the agreement of two metrics."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

from saevit.comparing.comparison import Candidate, Comparison, subtract_accuracies
from saevit.errors import OptionError, nearest
from saevit.report.units import cut
from saevit.runs.statistics import rank_correlation, ratio
from saevit.text import printable

if TYPE_CHECKING:
    from saevit.explore.pareto import Direction


@dataclass(frozen=True)
class Metric:
    """A metric of models, with words for sentences about it."""

    label: str
    better: "Direction"
    read: Callable[[Candidate], float | None]  # None if the value is not known
    unit: float = 1.0  # unit of the label in units of `read`
    noun: str = ""
    less: str = ""  # adjective of a better value: "fewer" MACs, "higher" throughput
    adjectives: tuple[str, str] = ("", "")  # of a model with a better value, with a worse value
    is_timed: bool = False  # whether values have noise; other values are exact

    def of(self, candidate: Candidate) -> float | None:
        """Return the value of a model in the unit of the label."""
        value = self.read(candidate)
        return None if value is None else value / self.unit


SPEED = ("faster", "slower")
METRICS = {
    "gmacs": Metric(
        "GMACs", "min", lambda c: c.macs, 1e9, "MACs", "fewer", ("lower in MACs", "higher in MACs")
    ),
    "params": Metric(
        "parameters (M)", "min", lambda c: c.params, 1e6, "parameters", "fewer", ("smaller", "larger")
    ),
    "memory": Metric(
        label="peak activations (MB)",
        better="min",
        read=lambda c: c.peak_bytes,
        unit=1e6,
        noun="peak memory",
        less="less",
        adjectives=("lower in memory", "higher in memory"),
    ),
    "latency": Metric(
        "measured latency (ms per image)", "min", lambda c: c.seconds, 1e-3, "latency", "lower", SPEED, True
    ),
    "throughput": Metric(
        label="measured throughput (images/s)",
        better="max",
        read=lambda c: 1 / c.seconds if c.seconds else None,
        noun="throughput",
        less="higher",
        adjectives=SPEED,
        is_timed=True,
    ),
    "top1": Metric(
        "ImageNet-1k top-1 (%), published", "max", lambda c: c.accuracy.top1 if c.accuracy else None
    ),
}
COSTS = tuple(name for name in METRICS if name != "top1")
LONGEST_DATA = 40  # characters of a label

LEAST = 8  # minimum number of models for a rank correlation
WORDS = (  # minimum agreement, and its description
    (0.95, "are nearly always {better}"),
    (0.7, "are mostly {better}, but not always"),
    (0.3, "are often not {better}"),
    (-0.3, "are about as often {worse} as {better}"),
)


def find_metric(name: str) -> Metric:
    """Return a metric by its name; raise OptionError for an unknown name."""
    if name not in METRICS:
        raise OptionError(f"metric {name!r} is not known: {nearest(name, METRICS)}")
    return METRICS[name]


def metric_label(name: str, comparison: Comparison) -> str:
    """Return the axis label of a metric; the label of measured accuracies names the data."""
    if name == "top1" and comparison.top1_on:
        return f"top-1 (%) on {cut(printable(comparison.top1_on), LONGEST_DATA)}, measured here"
    return METRICS[name].label


def check_axes(xs: Sequence[str], y: str) -> None:
    """Raise OptionError for an unknown metric, or for one metric on two axes."""
    for name in (y, *xs):
        find_metric(name)
    if y in xs:
        raise OptionError(f"axes {y} and {y} are the same: choose two of {', '.join(METRICS)}")
    if len(set(xs)) < len(xs):
        raise OptionError(f"axes {','.join(xs)}: one is named twice, name it once")


def sort_candidates(candidates: Iterable[Candidate], name: str | None) -> list[Candidate]:
    """Sort models by a metric, with the best first and unknown values last; None keeps the order."""
    if name is None:
        return list(candidates)
    metric = find_metric(name)
    sign = 1 if metric.better == "min" else -1
    return sorted(candidates, key=lambda c: ((v := metric.of(c)) is None, sign * (v or 0.0)))


def is_comparable(candidate: Candidate) -> bool:
    """Tell whether the accuracy of a model, if it has one, is comparable (see `Accuracy.plain`)."""
    return candidate.accuracy is None or candidate.accuracy.plain


def find_front(candidates: Iterable[Candidate], x: str, y: str) -> dict[str, bool]:
    """Return for each model with both values whether it is on the Pareto front.

    On a front of accuracies, models that are not comparable are left out (see `is_comparable`).
    """
    from saevit.explore.pareto import pareto_front  # needs numpy, which most commands do not load

    axes = {name: find_metric(name) for name in (x, y)}
    has_accuracy = "top1" in axes
    rows = {
        c.model: values
        for c in candidates
        if (not has_accuracy or is_comparable(c))
        and None not in (values := [metric.of(c) for metric in axes.values()])
    }
    best = pareto_front(list(rows.values()), {name: metric.better for name, metric in axes.items()})
    return {model: number in best for number, model in enumerate(rows)}


def find_undecided(candidates: Iterable[Candidate], x: str, front: Mapping[str, bool]) -> set[str]:
    """Return the models off a front of measured accuracies that are not significantly worse than the front.

    No other model dominates them with significant differences (see `is_beaten`).
    """
    rows = [c for c in candidates if c.model in front and c.accuracy and c.accuracy.measured_on]
    return {c.model for c in rows if not front[c.model] and not any(is_beaten(c, other, x) for other in rows)}


def is_beaten(c: Candidate, other: Candidate, x: str) -> bool:
    """Tell whether another model is more accurate and not more expensive, with significant differences."""
    metric = find_metric(x)
    ours, theirs = metric.of(c), metric.of(other)
    if ours is None or theirs is None or not (c.accuracy and other.accuracy):
        return False
    is_cheaper = theirs < ours if metric.better == "min" else theirs > ours
    if ours != theirs and not (is_cheaper and is_resolved(other, c, x)):
        return False
    difference = subtract_accuracies(other.accuracy, c.accuracy)
    return difference is not None and difference.verdict == "higher"


@dataclass(frozen=True)
class Disagreement:
    """A pair of models whose first model is better by x and worse by y."""

    better: Candidate
    worse: Candidate
    x_ratio: float  # value of `better` over value of `worse`
    y_ratio: float
    is_resolved: bool  # whether both differences are larger than the noise

    @property
    def size(self) -> float:
        """Return the size of the disagreement: the absolute product of the logarithms of both ratios."""
        return abs(math.log(self.x_ratio) * math.log(self.y_ratio))


def describe_agreement(candidates: Sequence[Candidate], x: str, y: str) -> str:
    """Return a sentence on the agreement of two metrics, with the rank correlation.

    It is empty for fewer than 8 models, and if all values of a metric are equal.
    """
    axes = find_metric(x), find_metric(y)
    rows = [values for c in candidates if None not in (values := [axis.of(c) for axis in axes])]
    rho = rank_correlation(*zip(*rows, strict=True)) if len(rows) >= LEAST else None
    if rho is None:
        return ""
    agreement = rho if axes[0].better == axes[1].better else -rho
    better, worse = axes[1].adjectives
    words = next((text for least, text in WORDS if agreement >= least), "are mostly {worse}")
    return (
        f"Models with {axes[0].less} {axes[0].noun} {words.format(better=better, worse=worse)}: "
        f"rank correlation {rho:.2f} over {len(rows)} models"
    )


def find_disagreements(candidates: Sequence[Candidate], x: str, y: str) -> list[Disagreement]:
    """Return the pairs of models that two metrics order in opposite ways, the largest disagreement first."""
    axes = find_metric(x), find_metric(y)
    known = [c for c in candidates if all((axis.of(c) or 0) > 0 for axis in axes)]
    pairs = []
    for better, worse in permutations(known, 2):
        ratios = [(axis.of(better) or 0) / (axis.of(worse) or 1) for axis in axes]
        gains = [1 - r if axis.better == "min" else r - 1 for r, axis in zip(ratios, axes, strict=True)]
        if gains[0] > 0 > gains[1]:
            resolved = is_resolved(better, worse, x) and is_resolved(worse, better, y)
            pairs.append(Disagreement(better, worse, ratios[0], ratios[1], resolved))
    return sorted(pairs, key=lambda pair: -pair.size)


def is_resolved(better: Candidate, worse: Candidate, name: str) -> bool:
    """Tell whether a model is better by a metric beyond the noise; counts are exact, times have rounds."""
    if not find_metric(name).is_timed:
        return True
    return (
        len(better.samples) == len(worse.samples)
        and ratio(better.seconds_per_image, worse.seconds_per_image).verdict == "faster"
    )
