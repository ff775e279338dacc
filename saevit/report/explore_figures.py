"""Figures of `saevit explore`: the front with the best variants, and a tornado plot of the keys."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from saevit.explore.exploration import CountedVariant, Exploration
from saevit.explore.question import QUANTITIES
from saevit.explore.solve import Sensitivity
from saevit.report.explore_messages import (
    choose_answer,
    describe_best,
    name_base,
    summarize_exploration,
    summarize_sensitivity,
    write_amount,
    write_limit,
)
from saevit.report.figure import (
    GREY,
    POINTS,
    add_legend,
    add_message,
    new_figure,
    own_settings,
    scale_axis,
    style_axes,
)
from saevit.report.scatter.labels import PointLabel, write_labels
from saevit.report.scatter.placement import split_line
from saevit.report.units import cut, giga, scaled, write_pixels
from saevit.report.views.calibration import describe_prediction
from saevit.report.views.explore import list_shown
from saevit.text import plural, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Keywords = dict[str, Any]  # of matplotlib

FRONT: Keywords = {"color": "#004c78", "marker": "o", "linewidth": 0.9, "drawstyle": "steps-post"}
TOP: Keywords = {
    "color": "#56B4E9",
    "marker": "D",
    "markersize": 7.0,
    "markeredgecolor": "#004c78",
    "zorder": 2,
}
BASE: Keywords = {
    "color": "#D55E00",
    "marker": "^",
    "markersize": 8,
    "markeredgecolor": "#000000",
    "zorder": 4,
}
ANSWER: Keywords = {
    "color": "#F0E442",
    "marker": "*",
    "markersize": 14,
    "markeredgecolor": "#000000",
    "linestyle": "none",
    "zorder": 3.5,
}
LIMIT: Keywords = {"color": "#000000", "linewidth": 1.0, "linestyle": (0, (4, 2)), "zorder": 1.5}
MARGINS = (0.08, 0.1)
MANY = 60  # a front with more points has small markers
RADII = {False: 9.0, True: 15.0}  # pixels of a marker, and of the answer's
IMPORTANT = 1000.0  # see `Label.most`
LONGEST_KEY = 84  # characters of a variant in the key
MEASURES = {"macs": "MACs", "params": "parameters", "activations": "activations"}
STEPS = {  # colour, label and hatch of the bars; the key is whether the value gets larger
    True: ("#0072B2", "larger value", ""),
    False: ("#E69F00", "smaller value", "//"),
}
BAR: Keywords = {"height": 0.72, "edgecolor": "#333333", "linewidth": 0.4}
MOST_KEYS = 28


@own_settings()
def front_figure(found: Exploration) -> "Figure":
    """Draw the front with the first objective as x, and one panel for each other objective (or the ranking).

    The variants of the table have numbers, which a list below the panels explains.
    """
    x, *others = found.question.objectives
    if not others:
        others = [name for name in (found.question.rank, "params") if name != x][:1]
    numbered = list_shown(found)
    figure = new_figure(1.2 + 5.8 * len(others), 4.8 + 0.14 * len(numbered), "constrained")
    panels = [figure.add_subplot(1, len(others), number + 1) for number in range(len(others))]
    answer = choose_answer(found)
    for axes, y in zip(panels, others, strict=True):
        draw_front(axes, found, x, y)
        if answer:
            label = f"answer, number {numbered.index(answer) + 1}"
            axes.plot(answer.value(x), answer.value(y), **ANSWER, label=label, gid=answer.model)
    add_legend(panels[0], 3)
    names = list(dict.fromkeys((*found.question.objectives, found.question.rank)))
    key = [
        f"{number}: {', '.join(write_amount(row, name) for name in names)}: {cut(row.model, LONGEST_KEY)}"
        for number, row in enumerate(numbered, 1)
    ]
    title = describe_best(found) if found.top else summarize_exploration(found)
    add_message(figure, title, [*key, *front_caption(found)])
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # labels are placed in panels of their final size
    for axes, y in zip(panels, others, strict=True):
        label_front(axes, found, numbered, (x, y))
    return figure


def draw_front(axes: "Axes", found: Exploration, x: str, y: str) -> None:
    """Draw one pair of objectives, with the limits of both."""

    def points(rows: Sequence[CountedVariant]) -> list[list[float]]:
        return [[row.value(name) for row in rows] for name in (x, y)]

    limited = {name.removeprefix("most-"): name for name in (x, y)}
    limits = [limit for limit in found.question.limits if limit.quantity in limited]
    rows = (*found.front, *found.top, found.base)
    for axis, name, values in zip((axes.xaxis, axes.yaxis), (x, y), points(rows), strict=True):
        ends = [limit.high / QUANTITIES[name].unit for limit in limits if limited[limit.quantity] == name]
        scale_axis(axis, [*values, *ends], MARGINS)
        better = "lower" if QUANTITIES[name].better == "min" else "higher"
        axis.set_label_text(f"{QUANTITIES[name].label}, {better} is better", size=9)
    size, shown = 2.5 if len(found.front) > MANY else 4.5, list_shown(found)
    label = plural(len(found.front), "variant") + " on the front"
    (line,) = axes.plot(*points(found.front), **FRONT, markersize=size, label=label, zorder=3)
    line.set_linestyle("-" if len(found.question.objectives) == 2 else "none")
    line.set_markevery([i for i, row in enumerate(found.front) if row not in shown])
    number = "best" if len(found.top) == 1 else f"best {len(found.top)}"
    labels = [f"{number} by {found.question.rank}", *[""] * len(found.top)]
    marks = [(row, FRONT | {"markersize": size, "zorder": 3}, "") for row in shown if row in found.front]
    marks += [(row, TOP, label) for row, label in zip(found.top, labels, strict=False)]
    marks += [(found.base, BASE, printable(name_base(found.base)))]
    for row, style, label in marks:  # one mark per variant, so that a page can link it to its row
        axes.plot(*points([row]), **style, linestyle="none", label=label, gid=row.model)
    for limit in limits:
        draw = axes.axvline if limited[limit.quantity] == x else axes.axhline
        draw(limit.high / QUANTITIES[limit.quantity].unit, **LIMIT, label=f"limit, {write_limit(limit)}")
    style_axes(axes)


def label_front(
    axes: "Axes", found: Exploration, numbered: Sequence[CountedVariant], names: tuple[str, str]
) -> None:
    """Write the numbers of variants and the name of the base variant beside their points."""

    def pixels(row: CountedVariant) -> tuple[float, float]:
        across, up = axes.transData.transform([row.value(name) for name in names])
        return float(across), float(up)

    answer = choose_answer(found)
    rows = [(str(number), row) for number, row in enumerate(numbered, 1)]
    labels = [
        PointLabel(
            text=text, point=pixels(row), radius=RADII[is_it], most=IMPORTANT, bold=is_it, gid=row.model
        )
        for text, row in (*rows, (printable(name_base(found.base)), found.base))
        for is_it in (row == answer,)
    ]
    dots = sorted({pixels(row) for row in (*found.front, *found.top)})
    radius = 2.5 * axes.figure.dpi / POINTS
    covered = [(a - radius, b - radius, a + radius, b + radius) for a, b in dots]
    if len(found.question.objectives) == len(names):
        front = sorted(map(pixels, found.front))
        covered += [box for ends in pairwise(front) for box in split_line(*ends)]
    left, bottom, right, top = axes.bbox.extents
    write_labels(axes, labels, (left + 2, bottom + 2, right, top), covered)


def front_caption(found: Exploration) -> list[str]:
    """Return the lines of the caption: space and method of the search, limits, latency, capacity."""
    question = found.question
    method = {
        "exhaustive": "all evaluated",
        "dp": "exact, by dynamic programming",
        "sample": f"{found.answer.findings.seen:,} sampled",
    }[found.answer.search.method]
    lines = [
        f"{question.space.size:,} combinations around {found.base.model}, {method}; "
        f"{write_pixels(question.img_size)}"
    ]
    bounds = [limit.text.lstrip("-") for limit in question.limits] + ["monotone"] * question.rising
    if bounds:
        lines.append(f"Limits: {', '.join(bounds)}")
    if found.calibration:
        lines.append(describe_prediction(found.calibration))
    if "capacity" in (*question.objectives, question.rank):
        lines.append("Capacity: training-free entropy (DeepMAD, arXiv 2303.02165), not an accuracy")
    return lines


@own_settings()
def tornado_figure(found: Sensitivity) -> "Figure":
    """Draw the change in per cent of each cost (one panel each) by one step of each key up and down."""
    keys = list(dict.fromkeys(step.key for step in found.steps))[:MOST_KEYS]
    figure = new_figure(11, 1.8 + 0.27 * len(keys), "constrained")
    figure.subplots(1, len(MEASURES), sharey=True)
    for axes, (field, name) in zip(figure.axes, MEASURES.items(), strict=True):
        draw_tornado(axes, found, keys, field)
        axes.set_xlabel(f"change of {name} (%)", size=9)
    first = figure.axes[0]
    first.set_yticks(range(len(keys)), [key_label(found, key) for key in keys], size=8)
    first.set_ylim(len(keys) - 0.4, -0.6)
    add_legend(first, 2)
    base = found.base
    lines = [
        f"{base.model}: {giga(base.macs)} GMACs, {scaled(base.params)} parameters, "
        f"{scaled(base.activations)} activations at {write_pixels(base.img_size)}",
        "One step of each key while all other keys stay the same; the middle value is the variant's.",
    ]
    add_message(figure, summarize_sensitivity(found), lines)
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
    """Write a key with its next smaller value, its value and its next larger value."""
    steps = {step.up: step for step in found.steps if step.key == key}
    values = [steps[False].new if False in steps else "", next(iter(steps.values())).old]
    values.append(steps[True].new if True in steps else "")
    return f"{key}  {' < '.join(filter(None, values))}"
