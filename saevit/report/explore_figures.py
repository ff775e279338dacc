"""Figures of `saevit explore`: the front with the best variants, and a tornado of the cost of each key."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from saevit.explore.exploration import CountedVariant, Exploration
from saevit.explore.question import QUANTITIES
from saevit.explore.solve import Sensitivity
from saevit.report.figure import GREY, add_title, new_figure, own_settings, scale_axis, style_axes
from saevit.report.units import giga, scaled
from saevit.text import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Keywords = dict[str, Any]  # of matplotlib

FRONT: Keywords = {"color": "#004c78", "marker": "o", "linewidth": 0.9, "drawstyle": "steps-post"}
TOP: Keywords = {"color": "#56B4E9", "marker": "D", "markersize": 5.0, "markeredgecolor": "#23668c"}
BASE: Keywords = {"color": "#D55E00", "marker": "^", "markersize": 8, "markeredgecolor": "#000000"}
MARGINS = (0.06, 0.08)
MEASURES = {"macs": "MACs", "params": "parameters", "activations": "activations"}
STEPS = {  # colour, label and hatch of the bars; the key is whether the value gets larger
    True: ("#0072B2", "larger value", ""),
    False: ("#E69F00", "smaller value", "//"),
}
BAR: Keywords = {"height": 0.72, "edgecolor": "#333333", "linewidth": 0.4}
MOST_KEYS = 28


@own_settings()
def front_figure(found: Exploration) -> "Figure":
    """Draw the front over the first objective, one panel per other objective (or for the ranking)."""
    x, *others = found.question.objectives
    if not others:
        others = [name for name in (found.question.rank, "params") if name != x][:1]
    figure = new_figure(1.2 + 5.4 * len(others), 4.6, "constrained")
    for number, y in enumerate(others):
        draw_front(figure.add_subplot(1, len(others), number + 1), found, x, y)
    add_legend(figure, 3)
    add_title(figure, front_caption(found), 9)
    return figure


def draw_front(axes: "Axes", found: Exploration, x: str, y: str) -> None:
    """Draw one pair of objectives."""

    def points(rows: Sequence[CountedVariant]) -> list[list[float]]:
        return [[row.value(name) for row in rows] for name in (x, y)]

    rows = (*found.front, *found.top, found.base)
    for axis, name, values in zip((axes.xaxis, axes.yaxis), (x, y), points(rows), strict=True):
        scale_axis(axis, values, MARGINS)
        better = "lower" if QUANTITIES[name].better == "min" else "higher"
        axis.set_label_text(f"{QUANTITIES[name].label}, {better} is better", size=9)
    label = f"front ({plural(len(found.front), 'variant')})"
    (line,) = axes.plot(*points(found.front), **FRONT, label=label, zorder=3)
    line.set_markersize(2.5 if len(found.front) > 60 else 4.5)
    line.set_linestyle("-" if len(found.question.objectives) == 2 else "none")
    if found.top:
        label = f"best by {found.question.rank}"
        axes.plot(*points(found.top), **TOP, linestyle="none", label=label, zorder=2)
    label = found.base.model if len(found.base.model) <= 30 else "the variant as given"
    axes.plot(*points([found.base]), **BASE, markeredgewidth=0.6, linestyle="none", label=label, zorder=4)
    style_axes(axes)


def add_legend(figure: "Figure", columns: int) -> None:
    """Draw the legend of the first panel below all panels."""
    handles = figure.axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)


def front_caption(found: Exploration) -> list[str]:
    """Return what was searched and how, a line each."""
    question, (height, width) = found.question, found.question.img_size
    method = {
        "exhaustive": "all evaluated",
        "dp": "exact, by dynamic programming",
        "sample": f"{found.answer.findings.seen:,} sampled",
    }[found.answer.search.method]
    lines = [
        f"{question.space.size:,} combinations around {found.base.model}, {method}; {height} x {width} px"
    ]
    bounds = [limit.text.lstrip("-") for limit in question.limits] + ["monotone"] * question.rising
    if bounds:
        lines.append(f"within {', '.join(bounds)}")
    if "capacity" in (*question.objectives, question.rank):
        lines.append("capacity: training-free entropy (DeepMAD, arXiv 2303.02165), not an accuracy")
    return lines


@own_settings()
def tornado_figure(found: Sensitivity) -> "Figure":
    """Draw the change of each cost by a step of each key up and down, in per cent, one panel per cost."""
    keys = list(dict.fromkeys(step.key for step in found.steps))[:MOST_KEYS]
    figure = new_figure(11, 1.6 + 0.27 * len(keys), "constrained")
    figure.subplots(1, len(MEASURES), sharey=True)
    for axes, (field, name) in zip(figure.axes, MEASURES.items(), strict=True):
        draw_tornado(axes, found, keys, field)
        axes.set_xlabel(f"change of {name} (%)", size=9)
    first = figure.axes[0]
    first.set_yticks(range(len(keys)), [key_label(found, key) for key in keys], size=8)
    first.invert_yaxis()
    add_legend(figure, 2)
    base, (height, width) = found.base, found.base.img_size
    lines = [
        f"{base.model}: one step of each key, all other keys stay the same, at {height} x {width} px",
        f"{giga(base.macs)} GMACs, {scaled(base.params)} parameters, {scaled(base.activations)} activations",
    ]
    add_title(figure, lines, 9)
    return figure


def draw_tornado(axes: "Axes", found: Sensitivity, keys: Sequence[str], field: str) -> None:
    """Draw the bars of one cost."""
    for up, (colour, text, hatch) in STEPS.items():
        steps = [step for step in found.steps if step.up == up and step.key in keys]
        places = [keys.index(step.key) for step in steps]
        changes = [100 * step.change(found.base, field) / getattr(found.base, field) for step in steps]
        axes.barh(places, changes, **BAR, color=colour, hatch=hatch, label=text)
    axes.axvline(0, color=GREY, linewidth=0.8)
    style_axes(axes)
    axes.yaxis.grid(visible=False)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def key_label(found: Sensitivity, key: str) -> str:
    """Write a key with its value between the smaller and the larger one."""
    steps = {step.up: step for step in found.steps if step.key == key}
    values = [steps[False].new if False in steps else "", next(iter(steps.values())).old]
    values.append(steps[True].new if True in steps else "")
    return f"{key}  {' < '.join(filter(None, values))}"
