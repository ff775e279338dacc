"""The contents of a scatter plot: its axes, the point of each model, and the marker of each kind of model.

Colours are from the palette of Okabe and Ito. Kinds also differ in shape and lightness, for greyscale prints.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from saevit.comparing.comparison import Candidate, Comparison
from saevit.errors import OptionError
from saevit.report.metrics import (
    COSTS,
    METRICS,
    check_axes,
    find_front,
    find_undecided,
    is_comparable,
    metric_label,
)
from saevit.report.units import short_names
from saevit.runs.statistics import summarize

BaselineKind = Literal["plain", "front", "near", "excluded", "claim"]
VariantKind = Literal["variant", "measured_variant", "front_variant", "near_variant"]
Kind = BaselineKind | VariantKind
ON_FRONT: tuple[Kind, ...] = ("front", "front_variant")
NEAR_FRONT: tuple[Kind, ...] = ("near", "near_variant")
USUAL_Y = ("top1", "latency", "gmacs", "params", "memory", "throughput")  # default y: the first with values


MARKERS: dict[Kind, tuple[str, float, str, str, float]] = {  # shape, size in points, face, edge, its width
    "plain": ("o", 6.0, "#56B4E9", "#23668c", 0.6),
    "front": ("o", 7.5, "#004c78", "#000000", 1.0),
    "excluded": ("D", 5.0, "#f6d58f", "#b27a00", 0.6),
    "claim": ("s", 9.5, "none", "#D55E00", 1.4),
    "variant": ("^", 7.0, "#009E73", "#00402f", 0.6),
    "measured_variant": ("^", 7.0, "#009E73", "#00402f", 0.6),
    "front_variant": ("^", 8.5, "#004d38", "#000000", 1.0),
    "near": ("o", 6.5, "#ffffff", "#004c78", 1.4),  # not resolved from the front
    "near_variant": ("^", 7.5, "#ffffff", "#004d38", 1.4),
}
MARKER_KEYWORDS = ("marker", "markersize", "markerfacecolor", "markeredgecolor", "markeredgewidth")
STYLES: dict[Kind, dict[str, Any]] = {
    kind: dict(zip(MARKER_KEYWORDS, marker, strict=True)) for kind, marker in MARKERS.items()
}
LEGEND: dict[Kind, str] = {
    "plain": "ImageNet-1k training without distillation",
    "front": "ImageNet-1k training without distillation, on the Pareto front",
    "excluded": "not ranked: distilled, extra data, or accuracy at another size (@)",
    "claim": "paper claim, not reproduced here",
    "variant": "SAEViT variants, no accuracy known",
}
MEASURED_LEGEND: dict[Kind, str] = LEGEND | {
    "plain": "baselines, measured here",
    "front": "baselines, measured here, on the Pareto front",
    "measured_variant": "SAEViT variants, measured here",
    "front_variant": "SAEViT variants, measured here, on the Pareto front",
    "near": "baselines, not resolved from the front",
    "near_variant": "SAEViT variants, not resolved from the front",
    "excluded": "not ranked: trained otherwise, at another size (@), or on other images",
    "variant": "SAEViT variants, not measured on these data",
}
COST_LEGEND: dict[Kind, str] = LEGEND | {"plain": "baselines", "variant": "SAEViT variants"}
FEWEST_RATED = 2  # minimum number of models with an accuracy for the default y axis


@dataclass(frozen=True, kw_only=True)
class ModelPoint:
    """The point of one model in one panel; without `y` it is in a strip below the axis."""

    candidate: Candidate
    kind: Kind
    name: str
    x: float
    y: float | None
    x_range: tuple[float, float] | None  # quartiles, or the interval of a measured accuracy
    y_range: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class ScatterPanel:
    """One pair of axes and its points."""

    x: str
    y: str
    y_label: str
    points: tuple[ModelPoint, ...]

    @property
    def models(self) -> list[Candidate]:
        """Return the models of the points, except claims of the paper."""
        return [point.candidate for point in self.points if point.kind != "claim"]


def list_panels(comparison: Comparison, xs: Sequence[str], y: str) -> tuple[ScatterPanel, ...]:
    """Return one panel for each x; raise OptionError for axes without values and for top1 as x."""
    if not xs:
        raise OptionError(f"no x axis: name one or more of {', '.join(COSTS)}")
    check_axes(xs, y)
    if "top1" in xs:
        raise OptionError(f"axis top1 cannot be x: make it y, and choose x from {', '.join(COSTS)}")
    return tuple(fill_panel(comparison, x, y) for x in xs)


def choose_axes(
    comparison: Comparison, xs: Sequence[str], y: str | None, *, is_asked: bool
) -> tuple[Sequence[str], str, str | None]:
    """Return axes (xs, y) that can be drawn, and the reason if preferred axes cannot be drawn.

    Args:
        comparison: the models.
        xs: the x axes.
        y: the y axis; None is top1 if two models or more have an accuracy, else a cost.
        is_asked: whether the user gave the xs, so that all of them must be drawn.

    Raises:
        OptionError: no axes can be drawn.
    """
    refused: list[OptionError] = []
    is_rated = has_accuracies(comparison)
    if y is None and not is_rated:
        refused.append(OptionError("fewer than two models have a known top1"))
    usual = [one for one in USUAL_Y if (is_rated or one != "top1") and not (is_asked and one in xs)]
    for name in [y] if y else usual:
        others = [x for x in xs if x != name] or (["params"] if y else [])
        for choice in [xs] if is_asked else [others, *([x] for x in others)]:
            try:
                list_panels(comparison, choice, name)
                return choice, name, str(refused[0]) if refused else None
            except OptionError as error:
                refused.append(error)
    raise refused[0 if y else -1]


def has_accuracies(comparison: Comparison) -> bool:
    """Tell whether enough models have an accuracy for an axis."""
    return sum(c.accuracy is not None for c in comparison.candidates) >= FEWEST_RATED


def fill_panel(comparison: Comparison, x: str, y: str) -> ScatterPanel:
    """Return the panel of one pair of axes.

    In a plot of costs, several trainings of one network are one point, which the correlation counts once.
    """
    has_accuracy = y == "top1"
    names = short_names(c.model for c in comparison.candidates)
    front = find_front(comparison.candidates, x, y) if has_accuracy else {}
    undecided = find_undecided(comparison.candidates, x, front)
    points = []
    for c in comparison.candidates:
        across, height = METRICS[x].of(c), METRICS[y].of(c)
        is_in_strip = has_accuracy and c.is_variant and c.accuracy is None
        if across is None or (height is None and not is_in_strip) or (not has_accuracy and c.same_as):
            continue
        size = c.accuracy.img_size if c.accuracy and is_of_other_size(c, comparison) else None
        points.append(
            ModelPoint(
                candidate=c,
                kind=find_kind(c, y, on_front=front.get(c.model, False), is_undecided=c.model in undecided),
                name=f"{names[c.model]} @{size}" if has_accuracy and size else names[c.model],
                x=across,
                y=height,
                x_range=find_range(c, x),
                y_range=find_range(c, y),
            )
        )
    if all(point.y is None for point in points):
        raise explain_empty(comparison, x, y)
    return ScatterPanel(x=x, y=y, y_label=metric_label(y, comparison), points=tuple(points))


def is_of_other_size(c: Candidate, comparison: Comparison) -> bool:
    """Tell whether the accuracy of a model is of another input size than its costs."""
    size = c.accuracy.img_size if c.accuracy else None
    return size is not None and comparison.img_size != (size, size)


def find_kind(c: Candidate, y: str, *, on_front: bool, is_undecided: bool) -> Kind:
    """Return the kind of a model; its training matters only if y is accuracy."""
    if c.accuracy and c.accuracy.claim:
        return "claim"
    if c.is_variant and (y != "top1" or c.accuracy is None):
        return "variant"
    if on_front:
        return "front_variant" if c.is_variant else "front"
    if is_undecided:
        return "near_variant" if c.is_variant else "near"
    if y == "top1" and not is_comparable(c):
        return "excluded"
    return "measured_variant" if c.is_variant else "plain"


def find_range(c: Candidate, name: str) -> tuple[float, float] | None:
    """Return the quartiles of a time, or the interval of an accuracy, as (low, high)."""
    if name == "top1" and c.accuracy:
        return c.accuracy.interval
    if not METRICS[name].is_timed or not c.samples:
        return None
    summary = summarize(c.seconds_per_image)
    return (summary.q1 * 1e3, summary.q3 * 1e3) if name == "latency" else (1 / summary.q3, 1 / summary.q1)


def explain_empty(comparison: Comparison, x: str, y: str) -> OptionError:
    """Return the error for axes without points; its message proposes another command."""
    candidates = comparison.candidates
    if all(c.reason for c in candidates):
        return OptionError(f"nothing to draw, every model failed: {candidates[0].reason}")
    timed = [name for name in (x, y) if METRICS[name].is_timed]
    if timed and not any(c.samples for c in candidates):
        return OptionError(f"no model has a {timed[0]}, nothing was timed: add --measure, or draw gmacs")
    if y == "top1" and not any(c.accuracy for c in candidates):
        if comparison.top1_on:
            problem = f"no model here was measured on {comparison.top1_on}: saevit eval measures it, "
        else:
            problem = "no model has a published top1: add one that has, such as efficientnet_b0, "
        return OptionError(problem + "or draw a cost on the y axis")
    return OptionError(f"no model has both {x} and {y}: draw another metric, or compare other models")
