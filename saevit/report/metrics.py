"""The quantities by which models are compared: one table for tables, orders, axes, fronts and sentences."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from saevit.compare.comparison import Candidate, Comparison
from saevit.errors import OptionError, nearest
from saevit.explore.pareto import Direction, pareto_front
from saevit.report.names import cut
from saevit.text import printable


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A quantity of a model. `of` returns it in the unit that the label names, None where it is not known.

    The last fields are words for sentences about costs: the quantity, its better end as a subject, and what a
    model at the better and at the worse end is.
    """

    label: str
    better: Direction
    of: Callable[[Candidate], float | None]
    is_timed: bool = False  # differences are compared with the noise of the rounds; others are exact
    noun: str = ""
    advantage: str = ""
    adjectives: tuple[str, str] = ("", "")


def divide(value: float | None, unit: float) -> float | None:
    """Return a value in another unit."""
    return None if value is None else value / unit


METRICS = {
    "gmacs": Metric(
        label="GMACs",
        better="min",
        of=lambda c: divide(c.macs, 1e9),
        noun="MACs",
        advantage="fewer MACs",
        adjectives=("cheaper in MACs", "more expensive in MACs"),
    ),
    "params": Metric(
        label="parameters (M)",
        better="min",
        of=lambda c: divide(c.params, 1e6),
        noun="parameters",
        advantage="fewer parameters",
        adjectives=("smaller", "larger"),
    ),
    "memory": Metric(
        label="peak activations (MB)",
        better="min",
        of=lambda c: divide(c.peak_bytes, 1e6),
        noun="peak memory",
        advantage="less peak memory",
        adjectives=("lower in memory", "higher in memory"),
    ),
    "latency": Metric(
        label="measured latency (ms per image)",
        better="min",
        of=lambda c: divide(c.seconds, 1e-3),
        is_timed=True,
        noun="latency",
        advantage="lower latency",
        adjectives=("faster", "slower"),
    ),
    "throughput": Metric(
        label="measured throughput (images/s)",
        better="max",
        of=lambda c: 1 / c.seconds if c.seconds else None,
        is_timed=True,
        noun="throughput",
        advantage="higher throughput",
        adjectives=("faster", "slower"),
    ),
    "top1": Metric(
        label="ImageNet-1k top-1 (%), published",
        better="max",
        of=lambda c: c.accuracy.top1 if c.accuracy else None,
    ),
}
COSTS = tuple(name for name in METRICS if name != "top1")
LONGEST_DATA = 40  # characters of a label


def find_metric(name: str) -> Metric:
    """Return a metric by its name.

    Raises:
        OptionError: there is no such metric.
    """
    if name not in METRICS:
        raise OptionError(f"metric {name!r} is not known: {nearest(name, METRICS)}")
    return METRICS[name]


def metric_label(name: str, comparison: Comparison) -> str:
    """Return the label of a metric in a comparison: measured accuracies name their data."""
    if name == "top1" and comparison.top1_on:
        return f"top-1 (%) on {cut(printable(comparison.top1_on), LONGEST_DATA)}, measured here"
    return METRICS[name].label


def check_axes(xs: Sequence[str], y: str) -> None:
    """Refuse axes that do not exist, and one metric on two axes.

    Raises:
        OptionError: names the axis and the metrics.
    """
    for name in (y, *xs):
        find_metric(name)
    if y in xs:
        raise OptionError(f"axes {y} and {y} are the same: choose two of {', '.join(METRICS)}")
    if len(set(xs)) < len(xs):
        raise OptionError(f"axes {','.join(xs)}: one is named twice, name it once")


def sort_candidates(candidates: Iterable[Candidate], name: str | None) -> list[Candidate]:
    """Sort models by a metric, the best first and unknown values last; None keeps their order.

    Raises:
        OptionError: there is no such metric.
    """
    if name is None:
        return list(candidates)
    metric = find_metric(name)
    sign = 1 if metric.better == "min" else -1
    return sorted(candidates, key=lambda c: ((v := metric.of(c)) is None, sign * (v or 0.0)))


def is_comparable(candidate: Candidate) -> bool:
    """Is its accuracy compared with others'? It is not if it is a claim, or of another recipe or size."""
    return candidate.accuracy is None or candidate.accuracy.plain


def find_front(candidates: Iterable[Candidate], x: str, y: str) -> dict[str, bool]:
    """Return for each model that has both values whether it is on the front: no other model is better.

    On a front of accuracies, models that are not comparable are left out (see `is_comparable`).

    Raises:
        OptionError: there is no such metric.
    """
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
