"""Accuracy against cost, and cost against measured time: a figure of panels side by side."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from saevit.compare.comparison import Candidate, Comparison
from saevit.report.agreement import Discord, discords, finding
from saevit.report.figure import DPI, GREY, own_settings
from saevit.report.labelling import add_names, spots_of
from saevit.report.scatter import captions
from saevit.report.scatter.layout import SMALL, arrange, figure_width
from saevit.report.scatter.panel import DISCORD, FRONT, Drawn, Lane, draw, lane_of, scale_y
from saevit.report.scatter.points import COST_LEGEND, LEGEND, MEASURED_LEGEND, STYLES, Kind, Panel, panels_of
from saevit.report.scatter.points import FRONT as ON_FRONT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

HEIGHT, HIGH = 3.5, 5.0  # of a panel, inches; high where there are many models
MANY = 30
MOST_DISCORDS = 2
INSIDE = 3.0  # pixels between a name and the panel's edge


@own_settings()
def scatter_figure(comparison: Comparison, xs: Sequence[str], y: str = "top1") -> "Figure":
    """Draw one panel for each metric of `xs`, side by side, with a common y axis.

    With y = top1: published accuracies, their Pareto front, claims and other recipes apart; SAEViT variants,
    of which no accuracy is known, stand in a strip of their own below the axis. Accuracies that were measured
    here stand in place of published ones, each with its interval. With a cost as y: whether the better by x
    is the better by y, and the pairs of models that contradict it most.

    Args:
        comparison: what is known of the models.
        xs: names of METRICS, without top1.
        y: another one.

    Raises:
        OptionError: no metric, an unknown one, one on two axes, or one of which no model has a figure.
    """
    from matplotlib.figure import Figure

    panels = panels_of(comparison, xs, y)
    opposed = [discords(networks(panel), panel.x, y) if y != "top1" else [] for panel in panels]
    pairs = [starkest(those) for those in opposed]
    height = HIGH if max(len(panel.marks) for panel in panels) > MANY else HEIGHT
    lane = lane_of(panels, height)
    figure = Figure(figsize=(figure_width(len(panels)), height), dpi=DPI)
    figure.subplots(1, len(panels), sharey=True)
    drawn = [draw(*each, lane) for each in zip(figure.axes, panels, pairs, strict=True)]
    scale_y(figure.axes[0], panels, lane)
    arrange(
        figure,
        title=captions.title(panels) if y == "top1" else "",
        titles=[captions.sentence(finding(networks(panel), panel.x, y)) for panel in panels if y != "top1"],
        captions=[
            *(captions.opposition(*each) for each in zip(panels, opposed, pairs, strict=True) if y != "top1"),
            captions.caption(comparison, panels),
        ],
        handles=legend_handles(panels, has_pairs=any(pairs), is_measured=comparison.top1_on is not None),
        height=height,
    )
    for axes, panel, lines, those in zip(figure.axes, panels, drawn, pairs, strict=True):
        end_axis(axes, lane)
        name_marks(axes, panel, lane, lines, models_of(those))
    return figure


def starkest(opposed: Sequence[Discord]) -> list[Discord]:
    """Return the pairs to point out: beyond noise, and each model in one of them at most."""
    chosen: list[Discord] = []
    for discord in opposed:
        if (
            len(chosen) < MOST_DISCORDS
            and discord.is_resolved
            and models_of(chosen).isdisjoint(models_of([discord]))
        ):
            chosen.append(discord)
    return chosen


def networks(panel: Panel) -> list[Candidate]:
    """Return the models of a panel that exist: a claim is none."""
    return [mark.candidate for mark in panel.marks if mark.kind != "claim"]


def models_of(pairs: Sequence[Discord]) -> set[str]:
    """Return the models of some pairs."""
    return {c.model for discord in pairs for c in (discord.better, discord.worse)}


def name_marks(axes: "Axes", panel: Panel, lane: Lane, drawn: Drawn, bold: set[str]) -> None:
    """Write the names, above the strip and in it, and say how many found no room."""
    left, bottom, right, top = axes.bbox.extents
    border = bottom + lane.top * (top - bottom)
    inner = (left + INSIDE, border + INSIDE, right, top)
    bold = bold | {mark.candidate.model for mark in panel.marks if mark.kind in ON_FRONT}
    spots = spots_of(axes, panel.marks, lane.marks)
    above = [spot for spot in spots if spot.mark.y is not None]
    below = [spot for spot in spots if spot.mark.y is None]
    lost = add_names(axes, above, inner, drawn, bold)
    under = min((spot.box[1] for spot in below), default=border)  # beside a mark runs its error bar
    lost += add_names(axes, below, (left + INSIDE, bottom + 1, right, under), Drawn(lines=[], bars=[]), bold)
    if lost:
        text = f"{lost} of {len(spots)} names left out for want of room"
        axes.text(1, 1.01, text, size=SMALL, color=GREY, transform=axes.transAxes, ha="right", va="bottom")


def end_axis(axes: "Axes", lane: Lane) -> None:
    """Let the y axis end where the strip begins."""
    low, high = axes.get_ylim()
    if lane.top:
        axes.spines["left"].set_bounds(low + lane.top * (high - low), high)


def legend_handles(panels: Sequence[Panel], *, has_pairs: bool, is_measured: bool) -> list["Line2D"]:
    """Return an entry for each kind that is drawn."""
    from matplotlib.lines import Line2D

    texts = COST_LEGEND if panels[0].y != "top1" else MEASURED_LEGEND if is_measured else LEGEND
    kinds: set[Kind] = {mark.kind for panel in panels for mark in panel.marks}
    handles = []
    for kind, style in STYLES.items():
        if kind in kinds:
            handle = Line2D([], [], marker=style.marker, linestyle="none", label=texts[kind])
            handle.set(markersize=style.size, markerfacecolor=style.face)
            handle.set(markeredgecolor=style.edge, markeredgewidth=style.width)
            handle.set(**(FRONT | {"linestyle": "-"} if kind in ON_FRONT else {}))
            handles.append(handle)
    if has_pairs:
        handles.append(Line2D([], [], label="axes disagree most on these pairs", **DISCORD))
    return handles
