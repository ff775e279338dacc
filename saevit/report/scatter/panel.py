"""One panel of a scatter plot: marks, quartiles, front, and the strip for models without accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING, Any

from saevit.report.agreement import Discord
from saevit.report.figure import GREY, is_wide, scale_axis, style_axes, wrap_text
from saevit.report.metrics import metric
from saevit.report.places import Point
from saevit.report.scatter.points import FRONT as ON_FRONT
from saevit.report.scatter.points import STYLES, Mark, Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Looks = dict[str, Any]  # matplotlib's keywords

LANE_ROW, LANE_ROWS = 0.15, (1, 6)  # inches of a line of names, how many there may be
LANE_MARKS = 0.1  # inches from the strip's top to its marks
LONGEST_LABEL = 3.2  # inches of a line of the y axis's label
X_MARGINS = (0.16, 0.08)  # names of a front stand at its better side
Y_MARGINS = (0.08, 0.08)
STRIP = "#f2f2f2"
FRONT: Looks = {"color": "#000000", "linewidth": 1.0, "zorder": 2.0}
DISCORD: Looks = {"color": "#D55E00", "linewidth": 1.3, "linestyle": (0, (4, 2)), "zorder": 2.0}
SPREAD: Looks = {"color": "#666666", "linewidth": 0.7, "zorder": 2.0}


@dataclass(frozen=True, kw_only=True)
class Lane:
    """The strip below the accuracies, in shares of a panel's height: its top, and where its marks are."""

    top: float = 0.0
    marks: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Lines and quartiles that were drawn, in data coordinates."""

    lines: list[list[Point]]
    bars: list[list[Point]]


def lane_of(panels: Sequence[Panel], height: float) -> Lane:
    """Return a strip with room for its names, in panels of a height in inches; none where nobody needs it."""
    most = max(sum(mark.y is None for mark in panel.marks) for panel in panels)
    if not most:
        return Lane()
    rows = min(max(LANE_ROWS[0], -(-most // 3)), LANE_ROWS[1])
    top = 2 * LANE_MARKS + LANE_ROW * rows
    return Lane(top=top / height, marks=(top - LANE_MARKS) / height)


def draw(axes: "Axes", panel: Panel, pairs: Sequence[Discord], lane: Lane) -> Drawn:
    """Draw all but names; return what these should not cover."""
    is_less = metric(panel.x).better == "min"
    ends = [end for mark in panel.marks for end in (mark.x, *(mark.x_range or ()))]
    margins = X_MARGINS if is_less or panel.y != "top1" else X_MARGINS[::-1]
    scale_axis(axes.xaxis, ends, margins)
    better = "lower" if is_less else "higher"
    axes.set_xlabel(f"{metric(panel.x).label}, {better} is better", size=9)
    style_axes(axes)
    if lane.top:
        draw_strip(axes, lane)
    spreads = spreads_of(panel)
    front, tied = front_steps(panel), discord_lines(panel, pairs)
    for lines, style in ((spreads, SPREAD), ([front], FRONT), (tied, DISCORD)):
        for line in lines:
            axes.plot(*zip(*line, strict=True), **style) if len(line) > 1 else None
    for mark in panel.marks:
        draw_mark(axes, mark, lane)
    return Drawn(lines=[front, *tied], bars=spreads)


def draw_mark(axes: "Axes", mark: Mark, lane: Lane) -> None:
    """Draw one model; without a height, in the strip."""
    style = STYLES[mark.kind]
    looks: Looks = {
        "marker": style.marker,
        "markersize": style.size,
        "markerfacecolor": style.face,
        "markeredgecolor": style.edge,
        "markeredgewidth": style.width,
        "linestyle": "none",
        "zorder": 4 if mark.kind in (*ON_FRONT, "claim") else 3,
        "gid": mark.candidate.model,
    }
    if mark.y is not None:
        axes.plot(mark.x, mark.y, **looks)
        return
    below = axes.get_xaxis_transform()
    if mark.x_range:
        axes.plot(mark.x_range, [lane.marks] * 2, transform=below, **SPREAD)
    axes.plot(mark.x, lane.marks, transform=below, **looks)


def draw_strip(axes: "Axes", lane: Lane) -> None:
    """Set the strip apart: grey, below a line."""
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle((0, 0), 1, lane.top, transform=axes.transAxes, color=STRIP, linewidth=0, zorder=1)
    )
    axes.plot([0, 1], [lane.top] * 2, transform=axes.transAxes, color=GREY, linewidth=0.8, zorder=2)


def scale_y(axes: "Axes", panels: Sequence[Panel], lane: Lane) -> None:
    """Set the common y axis; it ends above the strip, in which there is no height to read off."""
    from matplotlib.ticker import FixedLocator

    ends = [end for p in panels for m in p.marks if m.y is not None for end in (m.y, *(m.y_range or ()))]
    log = panels[0].y != "top1" and is_wide(ends)
    low, high = scale_axis(axes.yaxis, ends, Y_MARGINS, log=log)
    figure: Any = axes.figure  # no part of one
    text = wrap_text(figure, panels[0].y_label, LONGEST_LABEL, 9)
    axes.set_ylabel(text, size=9, y=(1 + lane.top) / 2)
    if lane.top:
        ticks = [tick for tick in axes.get_yticks() if low <= tick <= high]
        axes.set_ylim(high - (high - low) / (1 - lane.top), high)
        axes.yaxis.set_major_locator(FixedLocator(ticks))


def front_steps(panel: Panel) -> list[Point]:
    """Return the corners of the best accuracy that is to be had up to each cost."""
    points = sorted((mark.x, mark.y) for mark in panel.marks if mark.kind in ON_FRONT and mark.y is not None)
    if metric(panel.x).better == "max":
        corners = [(x, y) for (x, _), (_, y) in pairwise(points)]
    else:
        corners = [(x, y) for (_, y), (x, _) in pairwise(points)]
    return [point for pair in zip_longest(points, corners) for point in pair if point]


def spreads_of(panel: Panel) -> list[list[Point]]:
    """Return the quartiles of measured marks that have a height, as lines."""
    across = [[(x, m.y) for x in m.x_range] for m in panel.marks if m.x_range and m.y is not None]
    return across + [[(m.x, y) for y in m.y_range] for m in panel.marks if m.y_range]


def discord_lines(panel: Panel, pairs: Sequence[Discord]) -> list[list[Point]]:
    """Return a line from either model of a pair to the other."""
    places = {m.candidate.model: (m.x, m.y) for m in panel.marks if m.y is not None}
    return [[places[c.model] for c in (pair.better, pair.worse)] for pair in pairs]
