"""What stands in a scatter plot: which models, of which kind, and how each kind looks.

Okabe and Ito's palette. Kinds differ in shape and in lightness as well as in hue: grey print stays readable.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from saevit.compare.comparison import Candidate, Comparison, per_image
from saevit.errors import OptionError
from saevit.report.agreement import TIMED
from saevit.report.metrics import COSTS, check_axes, is_comparable, label, metric, on_front
from saevit.report.names import short_names
from saevit.runs.statistics import summarize

Kind = Literal["front", "plain", "apart", "claim", "variant", "own", "own_front"]
FRONT: tuple[Kind, ...] = ("front", "own_front")
USUAL_Y = ("top1", "latency", "gmacs", "params", "memory", "throughput")  # the first that can be drawn
SAEVIT = "SAEViT"  # the family of what is built here


@dataclass(frozen=True, kw_only=True)
class Style:
    """How a kind looks; `size` is the marker's width in points."""

    marker: str
    size: float
    face: str
    edge: str
    width: float = 0.6  # of the edge, points


STYLES: Mapping[Kind, Style] = {
    "plain": Style(marker="o", size=6.0, face="#56B4E9", edge="#23668c"),
    "front": Style(marker="o", size=7.5, face="#004c78", edge="#000000", width=1.0),
    "apart": Style(marker="D", size=5.0, face="#f6d58f", edge="#b27a00"),
    "claim": Style(marker="s", size=9.5, face="none", edge="#D55E00", width=1.4),
    "variant": Style(marker="^", size=7.0, face="#009E73", edge="#00402f"),
    "own": Style(marker="^", size=7.0, face="#009E73", edge="#00402f"),
    "own_front": Style(marker="^", size=8.5, face="#004d38", edge="#000000", width=1.0),
}
LEGEND: Mapping[Kind, str] = {
    "plain": "plain ImageNet-1k training",
    "front": "plain ImageNet-1k training, on the Pareto front",
    "apart": "judged apart, on no front: distilled, extra data, or accuracy of another size (@)",
    "claim": "paper claim, not reproduced here",
    "variant": "SAEViT variants: no accuracy known",
}
MEASURED_LEGEND: Mapping[Kind, str] = {
    **LEGEND,
    "plain": "baselines, measured here",
    "front": "baselines, measured here, on the Pareto front",
    "own": "SAEViT variants, measured here",
    "own_front": "SAEViT variants, measured here, on the Pareto front",
    "apart": "judged apart, on no front: of another size than the costs (@), or of other images",
    "variant": "SAEViT variants, not measured on these data",
}
COST_LEGEND: Mapping[Kind, str] = {**LEGEND, "plain": "baselines", "variant": "SAEViT variants"}


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One model in one panel; a height of None: it has no such figure, and stands below the axis."""

    candidate: Candidate
    kind: Kind
    name: str
    x: float
    y: float | None
    x_range: tuple[float, float] | None  # quartiles or an interval, where it is measured
    y_range: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One pair of axes."""

    x: str
    y: str
    y_label: str
    marks: tuple[Mark, ...]


def panels_of(comparison: Comparison, xs: Sequence[str], y: str) -> tuple[Panel, ...]:
    """Return what there is to draw, one panel for each x.

    Raises:
        OptionError: no axis, one named twice or on both sides, accuracy as a cost, or one without any figure.
    """
    refuse_axes(xs, y)
    names = names_of(comparison, y)
    return tuple(panel_of(comparison, x, y, names) for x in xs)


def drawable_axes(
    comparison: Comparison, xs: Sequence[str], y: str | None, *, is_asked: bool
) -> tuple[Sequence[str], str, str | None]:
    """Return the first axes on which there is something to draw, and why others, if any, were passed over.

    Args:
        comparison: what is known of the models.
        xs: names of METRICS.
        y: another one; None is accuracy, or else a cost.
        is_asked: does somebody want these xs? Otherwise one of them may do.

    Raises:
        OptionError: why the first ones cannot be drawn, if none can.
    """
    refused: list[OptionError] = []
    for name in [y] if y else [one for one in USUAL_Y if not (is_asked and one in xs)]:
        others = [x for x in xs if x != name] or (["params"] if y else [])
        for choice in [xs] if is_asked else [others, *([x] for x in others)]:
            try:
                panels_of(comparison, choice, name)
                return choice, name, str(refused[0]) if refused else None
            except OptionError as error:
                refused.append(error)
    raise refused[0 if y else -1]


def refuse_axes(xs: Sequence[str], y: str) -> None:
    """Refuse axes that make no figure."""
    if not xs:
        raise OptionError(f"no x axis: name one or more of {', '.join(COSTS)}")
    check_axes(xs, y)
    if "top1" in xs:
        raise OptionError(f"axis top1 cannot be x: make it y, and choose x from {', '.join(COSTS)}")


def names_of(comparison: Comparison, y: str) -> dict[str, str]:
    """Return what the models are called; an accuracy of another size than the cost's says of which."""
    names = short_names(c.model for c in comparison.candidates)
    if y != "top1":
        return names
    return {
        c.model: f"{names[c.model]} @{c.accuracy.img_size}"
        if is_elsewhere(c, comparison) and c.accuracy
        else names[c.model]
        for c in comparison.candidates
    }


def is_elsewhere(c: Candidate, comparison: Comparison) -> bool:
    """Is its accuracy of another size than its cost?"""
    size = c.accuracy.img_size if c.accuracy else None
    return size is not None and comparison.img_size != (size, size)


def panel_of(comparison: Comparison, x: str, y: str, names: Mapping[str, str]) -> Panel:
    """Return the marks of one pair of axes."""
    best = on_front(comparison.candidates, x, y) if y == "top1" else {}
    marks = []
    for c in comparison.candidates:
        width, height = metric(x).of(c), metric(y).of(c)
        below = y == "top1" and is_variant(c) and c.accuracy is None
        if width is None or (height is None and not below) or (y != "top1" and c.same_as):
            continue  # the same network twice is one point of two costs, and one in their correlation
        marks.append(
            Mark(
                candidate=c,
                kind=kind_of(c, y, on_front=best.get(c.model, False)),
                name=names[c.model],
                x=width,
                y=height,
                x_range=quartiles(c, x),
                y_range=quartiles(c, y),
            )
        )
    if all(mark.y is None for mark in marks):
        raise nothing_to_draw(comparison, x, y)
    return Panel(x=x, y=y, y_label=label(y, comparison), marks=tuple(marks))


def kind_of(c: Candidate, y: str, *, on_front: bool) -> Kind:
    """Return how a model may be judged; how it was trained matters only where accuracy is drawn."""
    if is_claim(c):
        return "claim"
    if is_variant(c) and (y != "top1" or c.accuracy is None):
        return "variant"
    if on_front:
        return "own_front" if is_variant(c) else "front"
    if y == "top1" and not is_comparable(c):
        return "apart"
    return "own" if is_variant(c) else "plain"


def is_claim(c: Candidate) -> bool:
    """Is it what the paper says of its own network, which nobody can build?"""
    return c.accuracy is not None and c.accuracy.claim


def is_variant(c: Candidate) -> bool:
    """Is it one of ours, of which nobody published an accuracy?"""
    return c.family == SAEVIT and not c.published_only


def quartiles(c: Candidate, name: str) -> tuple[float, float] | None:
    """Return quartiles of a time, or an accuracy's interval, in the metric's unit, the lower value first."""
    if name == "top1" and c.accuracy:
        return c.accuracy.interval
    if name not in TIMED or not c.samples:
        return None
    seen = summarize(per_image(c))
    return (seen.q1 * 1e3, seen.q3 * 1e3) if name == "latency" else (1 / seen.q3, 1 / seen.q1)


def nothing_to_draw(comparison: Comparison, x: str, y: str) -> OptionError:
    """Return the error for axes that no model has figures on, with the way out."""
    if all(c.reason for c in comparison.candidates):
        return OptionError(f"nothing to draw, every model failed: {comparison.candidates[0].reason}")
    timed = [name for name in (x, y) if name in TIMED]
    if timed and not any(c.samples for c in comparison.candidates):
        return OptionError(f"no model has a {timed[0]}, nothing was timed: add --measure, or draw gmacs")
    if y == "top1" and comparison.top1_on and not any(c.accuracy for c in comparison.candidates):
        return OptionError(
            f"no model here was measured on {comparison.top1_on}: saevit eval measures it, "
            "or draw a cost on the y axis"
        )
    if y == "top1" and not any(c.accuracy for c in comparison.candidates):
        return OptionError(
            "no model has a published top1: add one that has, such as efficientnet_b0, "
            "or draw a cost on the y axis"
        )
    return OptionError(f"no model has both {x} and {y}: draw another metric, or compare other models")
