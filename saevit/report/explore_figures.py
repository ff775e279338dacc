"""Figures of `saevit explore`: the front with the best variants, and a tornado of the cost of each key."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from saevit.explore.exploration import CountedVariant, Exploration
from saevit.explore.question import QUANTITIES
from saevit.explore.solve import Sensitivity
from saevit.report.figure import DPI, GREY, GRID, own_settings, scale_axis, style_axes, wrap_text
from saevit.report.units import giga, scaled
from saevit.text import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FRONT, TOP, BASE = "#004c78", "#56B4E9", "#D55E00"  # Okabe and Ito's palette
MARGINS = (0.06, 0.08)
MEASURES = {"macs": "MACs", "params": "parameters", "activations": "activations"}
UP, DOWN = "#0072B2", "#E69F00"
MOST_KEYS = 28


@own_settings()
def front_figure(found: Exploration) -> "Figure":
    """Draw the front over the first objective, one panel per other objective (or for the ranking)."""
    from matplotlib.figure import Figure

    x, *others = found.question.objectives
    if not others:
        others = [name for name in (found.question.rank, "params") if name != x][:1]
    figure = Figure(figsize=(1.2 + 5.4 * len(others), 4.6), dpi=DPI, layout="constrained")
    for number, y in enumerate(others):
        draw_front(figure.add_subplot(1, len(others), number + 1), found, x, y)
    add_legend(figure, 3)
    add_title(figure, front_caption(found))
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
    axes.plot(
        *points(found.front),
        color=FRONT,
        marker="o",
        markersize=2.5 if len(found.front) > 60 else 4.5,
        linewidth=0.9,
        linestyle="-" if len(found.question.objectives) == 2 else "none",
        drawstyle="steps-post",
        label=f"front ({plural(len(found.front), 'variant')})",
        zorder=3,
    )
    if found.top:
        axes.plot(
            *points(found.top),
            color=TOP,
            marker="D",
            markersize=5.0,
            markeredgecolor="#23668c",
            linestyle="none",
            label=f"best by {found.question.rank}",
            zorder=2,
        )
    axes.plot(
        *points([found.base]),
        color=BASE,
        marker="^",
        markersize=8,
        markeredgecolor="#000000",
        markeredgewidth=0.6,
        linestyle="none",
        label=found.base.model if len(found.base.model) <= 30 else "the variant as given",
        zorder=4,
    )
    style_axes(axes)


def add_legend(figure: "Figure", columns: int) -> None:
    """Draw the legend of the first panel below all panels."""
    handles = figure.axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)


def add_title(figure: "Figure", lines: Sequence[str]) -> None:
    """Write lines above the panels, and break those that are too long."""
    room = figure.get_figwidth() - 0.2
    title = "\n".join(wrap_text(figure, line, room, 9) for line in lines)
    figure.suptitle(title, x=0.01, ha="left", fontsize=9)


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
    from matplotlib.figure import Figure

    keys = list(dict.fromkeys(step.key for step in found.steps))[:MOST_KEYS]
    figure = Figure(figsize=(11, 1.6 + 0.27 * len(keys)), dpi=DPI, layout="constrained")
    figure.subplots(1, len(MEASURES), sharey=True)
    for axes, (field, name) in zip(figure.axes, MEASURES.items(), strict=True):
        draw_tornado(axes, found, keys, field)
        axes.set_xlabel(f"change of {name} (%)", size=9)
    first = figure.axes[0]
    first.set_yticks(range(len(keys)), [key_label(found, key) for key in keys], size=8)
    first.invert_yaxis()
    add_legend(figure, 2)
    base, (height, width) = found.base, found.base.img_size
    counts = (giga(base.macs), scaled(base.params), scaled(base.activations))
    add_title(
        figure,
        [
            f"{base.model}: one step of each key, all other keys stay the same, at {height} x {width} px",
            "{} GMACs, {} parameters, {} activations".format(*counts),
        ],
    )
    return figure


def draw_tornado(axes: "Axes", found: Sensitivity, keys: Sequence[str], field: str) -> None:
    """Draw the bars of one cost."""
    for up, colour, text, hatch in ((True, UP, "larger value", ""), (False, DOWN, "smaller value", "//")):
        steps = [step for step in found.steps if step.up == up and step.key in keys]
        axes.barh(
            [keys.index(step.key) for step in steps],
            [100 * step.change(found.base, field) / getattr(found.base, field) for step in steps],
            height=0.72,
            color=colour,
            hatch=hatch,
            edgecolor="#333333",
            linewidth=0.4,
            label=text,
        )
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.xaxis.grid(visible=True, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, color=GREY, labelcolor=GREY)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def key_label(found: Sensitivity, key: str) -> str:
    """Write a key with its value between the smaller and the larger one."""
    steps = {step.up: step for step in found.steps if step.key == key}
    values = [steps[False].new if False in steps else "", next(iter(steps.values())).old]
    values.append(steps[True].new if True in steps else "")
    return f"{key}  {' < '.join(filter(None, values))}"
