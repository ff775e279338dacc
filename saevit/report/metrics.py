"""What a model can be judged by: one definition for tables, orders, axes and fronts."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from saevit.compare.comparison import Candidate, Comparison
from saevit.errors import OptionError, nearest
from saevit.explore.pareto import Direction, pareto_front
from saevit.report.names import cut
from saevit.text import printable


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A quantity of a model, in the unit that its label names; None where it is not known."""

    label: str
    better: Direction
    of: Callable[[Candidate], float | None]


def _over(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit


METRICS = {
    "gmacs": Metric(label="GMACs", better="min", of=lambda c: _over(c.macs, 1e9)),
    "params": Metric(label="parameters (M)", better="min", of=lambda c: _over(c.params, 1e6)),
    "memory": Metric(label="peak activations (MB)", better="min", of=lambda c: _over(c.peak_bytes, 1e6)),
    "latency": Metric(
        label="measured latency (ms an image)", better="min", of=lambda c: _over(c.seconds, 1e-3)
    ),
    "throughput": Metric(
        label="measured throughput (images/s)",
        better="max",
        of=lambda c: 1 / c.seconds if c.seconds else None,
    ),
    "top1": Metric(
        label="ImageNet-1k top-1 (%), published",
        better="max",
        of=lambda c: c.accuracy.top1 if c.accuracy else None,
    ),
}
LONGEST_DATA = 40  # characters, in a label
COSTS = tuple(name for name in METRICS if name != "top1")


def metric(name: str) -> Metric:
    """Return a metric by its name.

    Raises:
        OptionError: there is none of that name.
    """
    if name not in METRICS:
        raise OptionError(f"metric {name!r} is not known: {nearest(name, METRICS)}")
    return METRICS[name]


def label(name: str, comparison: Comparison) -> str:
    """Return what a metric is called in a comparison: an accuracy that was measured here says on which data.

    Raises:
        OptionError: there is no such metric.
    """
    if name == "top1" and comparison.top1_on:
        return f"top-1 (%) on {cut(printable(comparison.top1_on), LONGEST_DATA)}, measured here"
    return metric(name).label


def check_axes(xs: Sequence[str], y: str) -> None:
    """Refuse axes that do not exist or say the same.

    Raises:
        OptionError: names the axis and what there is.
    """
    metric(y)
    for x in xs:
        if metric(x) is metric(y):
            raise OptionError(f"axes {x} and {y} are the same: choose two of {', '.join(METRICS)}")
    if len(set(xs)) < len(xs):
        raise OptionError(f"axes {','.join(xs)}: one stands twice, once is enough")


def sorted_by(candidates: Iterable[Candidate], name: str | None) -> list[Candidate]:
    """Order candidates, the best first; what has no such figure comes last. None keeps the order given.

    Raises:
        OptionError: there is no such metric.
    """
    if name is None:
        return list(candidates)
    wanted = metric(name)
    sign = 1 if wanted.better == "min" else -1
    return sorted(candidates, key=lambda c: ((v := wanted.of(c)) is None, sign * (v or 0.0)))


def is_comparable(candidate: Candidate) -> bool:
    """May its accuracy stand on a front? One of another recipe or another size, or claimed, may not."""
    return candidate.accuracy is None or candidate.accuracy.plain


def on_front(candidates: Iterable[Candidate], x: str, y: str) -> dict[str, bool]:
    """Return, for each model that has both figures and may be judged by them, whether no other beats it.

    Accuracies that are distilled, of extra data, of another size than the costs, or claimed neither stand on
    a front nor push others off it (`is_comparable`).

    Raises:
        OptionError: an unknown metric.
    """
    axes = {name: metric(name) for name in (x, y)}
    judged = "top1" not in axes
    rows = {
        c.model: values
        for c in candidates
        if (judged or is_comparable(c)) and None not in (values := [axis.of(c) for axis in axes.values()])
    }
    best = (
        pareto_front(list(rows.values()), {name: axis.better for name, axis in axes.items()}) if rows else []
    )
    return {model: place in best for place, model in enumerate(rows)}
