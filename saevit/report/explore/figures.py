"""Figures of an exploration: the front with the best on it, and a tornado of what each key costs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from saevit.explore.quantities import QUANTITIES
from saevit.explore.rows import Exploration, Row
from saevit.explore.solve import Sensitivity
from saevit.report.figure import DPI, GREY, GRID, own_settings, scale_axis, style_axes, wrap_text
from saevit.report.units import giga, plural, scaled

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
    """Draw the front: the first objective across, a panel for each other one (for the ranking if none)."""
    from matplotlib.figure import Figure

    names = found.query.objectives
    x = names[0]
    others = names[1:] or tuple(name for name in (found.query.rank, "params") if name != x)[:1]
    figure = Figure(figsize=(1.2 + 5.4 * len(others), 4.6), dpi=DPI, layout="constrained")
    for number, y in enumerate(others):
        axes = figure.add_subplot(1, len(others), number + 1)
        draw_front(axes, found, x, y)
    handles = figure.axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    add_title(figure, caption(found))
    return figure


def draw_front(axes: "Axes", found: Exploration, x: str, y: str) -> None:
    """Draw one pair of objectives."""
    rows = (*found.front, *found.top, found.base)
    for axis, name in ((axes.xaxis, x), (axes.yaxis, y)):
        values = [row.value(name) for row in rows]
        scale_axis(axis, values, MARGINS)
    flat = len(found.query.objectives) == 2
    points = [(row.value(x), row.value(y)) for row in found.front]
    many = len(points) > 60
    axes.plot(
        *zip(*points, strict=True),
        color=FRONT,
        marker="o",
        markersize=2.5 if many else 4.5,
        linewidth=0.9,
        linestyle="-" if flat else "none",
        drawstyle="steps-post",
        label=f"front ({plural(len(points), 'variant')})",
        zorder=3,
    )
    best = [(row.value(x), row.value(y)) for row in found.top]
    if best:
        axes.plot(
            *zip(*best, strict=True),
            color=TOP,
            marker="D",
            markersize=5.0,
            markeredgecolor="#23668c",
            linestyle="none",
            label=f"best by {found.query.rank}",
            zorder=2,
        )
    mark_base(axes, found.base, x, y)
    axes.set_xlabel(axis_text(x), size=9)
    axes.set_ylabel(axis_text(y), size=9)
    style_axes(axes)


def axis_text(name: str) -> str:
    """Name a quantity and its better end."""
    better = "lower" if QUANTITIES[name].better == "min" else "higher"
    return f"{QUANTITIES[name].label}, {better} is better"


def mark_base(axes: "Axes", base: Row, x: str, y: str) -> None:
    """Draw the variant that the space is around."""
    name = base.model if len(base.model) <= 30 else "the variant as given"
    axes.plot(
        base.value(x),
        base.value(y),
        color=BASE,
        marker="^",
        markersize=8,
        markeredgecolor="#000000",
        markeredgewidth=0.6,
        linestyle="none",
        label=name,
        zorder=4,
    )


def add_title(figure: "Figure", lines: Sequence[str]) -> None:
    """Write lines above the panels, broken where they are too long."""
    room = figure.get_figwidth() - 0.2
    title = "\n".join(wrap_text(figure, line, room, 9) for line in lines)
    figure.suptitle(title, x=0.01, ha="left", fontsize=9)


def caption(found: Exploration) -> list[str]:
    """Say what was searched, a line each."""
    query, said = found.query, found.answer
    height, width = query.img_size
    how = {
        "exhaustive": "all looked at",
        "dp": "exact, by dynamic programming",
        "sample": f"{said.seen:,} sampled",
    }[said.job.method]
    lines = [f"{query.space.size:,} combinations around {found.base.model}, {how}; {height} x {width} px"]
    bounds = [limit.text.lstrip("-") for limit in query.limits] + ["monotone"] * query.rising
    if bounds:
        lines.append(f"within {', '.join(bounds)}")
    if "capacity" in (*query.objectives, query.rank):
        lines.append("capacity: training-free entropy (DeepMAD, arXiv 2303.02165), no accuracy")
    return lines


@own_settings()
def tornado_figure(found: Sensitivity) -> "Figure":
    """Draw what a step up and a step down of each key costs, in per cent, a panel for each measure."""
    from matplotlib.figure import Figure

    keys = list(dict.fromkeys(step.key for step in found.steps))[:MOST_KEYS]
    figure = Figure(figsize=(11, 1.6 + 0.27 * len(keys)), dpi=DPI, layout="constrained")
    figure.subplots(1, len(MEASURES), sharey=True)
    for axes, (field, name) in zip(figure.axes, MEASURES.items(), strict=True):
        draw_tornado(axes, found, keys, field)
        axes.set_xlabel(f"change of {name} (%)", size=9)
    first = figure.axes[0]
    first.set_yticks(range(len(keys)), [label(found, key) for key in keys], size=8)
    first.invert_yaxis()
    figure.legend(
        *first.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=8
    )
    height, width = found.img_size
    base = found.base
    counts = (giga(base.macs), scaled(base.params), scaled(base.activations))
    add_title(
        figure,
        [
            f"{base.model}: one step of each key, the others as they are, at {height} x {width} px",
            "{} GMACs, {} parameters, {} activations".format(*counts),
        ],
    )
    return figure


def draw_tornado(axes: "Axes", found: Sensitivity, keys: Sequence[str], field: str) -> None:
    """Draw one measure's bars."""
    for up, colour, text, hatch in ((True, UP, "larger value", ""), (False, DOWN, "smaller value", "//")):
        steps = [step for step in found.steps if step.up == up and step.key in keys]
        whole = getattr(found.base, field)
        axes.barh(
            [keys.index(step.key) for step in steps],
            [100 * step.change(found.base, field) / whole for step in steps],
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


def label(found: Sensitivity, key: str) -> str:
    """Write a key with its value, and those a step away."""
    steps = {step.up: step for step in found.steps if step.key == key}
    old = next(iter(steps.values())).old
    ends = [steps[up].new if up in steps else "" for up in (False, True)]
    return f"{key}  {ends[0]} < {old} < {ends[1]}".replace("  < ", "  ").removesuffix(" < ")
