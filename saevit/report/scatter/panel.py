"""Draw one panel of a scatter plot: points, quartiles, front, labels, and a strip for unknown accuracies."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING, Any

from saevit.report.figure import GREY, POINTS, is_wide, scale_axis, style_axes, wrap_text
from saevit.report.metrics import METRICS, Disagreement
from saevit.report.scatter.labels import LABEL_SIZE, PointLabel, write_labels
from saevit.report.scatter.placement import Point, split_line
from saevit.report.scatter.points import MARKERS, NEAR_FRONT, ON_FRONT, STYLES, ModelPoint, ScatterPanel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.text import Text

Keywords = dict[str, Any]  # of matplotlib
Line = Sequence[Point]  # in data coordinates

ROW, ROWS = 0.15, (1, 6)  # rows of labels in the strip: height in inches, minimum and maximum
POINTS_BELOW = 0.1  # inches from the top of the strip to its points
LONGEST_LABEL = 3.2  # inches of a line of the y axis's label
X_MARGINS = (0.16, 0.08)  # larger at the better side, where the labels of a front are
Y_MARGINS = (0.08, 0.08)
FEW = 9  # a linear axis of costs with at most this number of values (three models) begins at 0
FROM_ZERO = 0.7  # it also begins at 0 if smallest over largest value is at most this ratio
STRIP = "#f2f2f2"
FRONT: Keywords = {"color": "#000000", "linewidth": 1.0, "zorder": 2.0}
DISAGREEMENT: Keywords = {"color": "#D55E00", "linewidth": 1.3, "linestyle": (0, (4, 2)), "zorder": 2.0}
SPREAD: Keywords = {"color": "#666666", "linewidth": 0.7, "zorder": 2.0}

IMPORTANT, OTHER, CROWDED = 1000.0, 300.0, 9.0  # `Label.most`
MANY = 30  # with this number of points or more, OTHER labels are CROWDED: near their points or left out
INSIDE = 3.0  # pixels between a label and the edge of the panel


@dataclass(frozen=True, kw_only=True)
class Strip:
    """The strip below the accuracies: heights of its top and of its points, relative to the panel."""

    top: float = 0.0
    points: float = 0.0


def size_strip(panels: Sequence[ScatterPanel], height: float) -> Strip:
    """Return a strip with room for its labels (height 0 if not needed); `height` of a panel in inches."""
    most = max(sum(point.y is None for point in panel.points) for panel in panels)
    if not most:
        return Strip()
    top = 2 * POINTS_BELOW + ROW * min(max(ROWS[0], -(-most // 3)), ROWS[1])
    return Strip(top=top / height, points=(top - POINTS_BELOW) / height)


def list_ends(panel: ScatterPanel) -> list[float]:
    """Return all x values of a panel, including the ends of ranges."""
    return [end for point in panel.points for end in (point.x, *(point.x_range or ()))]


def scale_cost(axis: "Axis", values: Sequence[float], margins: tuple[float, float], *, log: bool) -> None:
    """Scale an axis of costs. A linear axis with few values or a wide range begins at 0, to show ratios."""
    if not log and min(values) > 0 and (len(values) <= FEW or min(values) <= FROM_ZERO * max(values)):
        scale_axis(axis, [0.0, *values], (0.0, margins[1]), log=False)
    else:
        scale_axis(axis, values, margins, log=log)


def draw_panel(
    axes: "Axes", panel: ScatterPanel, pairs: Sequence[Disagreement], strip: Strip, *, log: bool
) -> list[Line]:
    """Draw a panel without y axis and labels; return the lines that labels should not cover."""
    from matplotlib.patches import Rectangle

    is_less = METRICS[panel.x].better == "min"
    margins = X_MARGINS if is_less or panel.y != "top1" else X_MARGINS[::-1]
    scale_cost(axes.xaxis, list_ends(panel), margins, log=log)
    axes.set_xlabel(f"{METRICS[panel.x].label}, {'lower' if is_less else 'higher'} is better", size=9)
    style_axes(axes)
    if strip.top:
        axes.add_patch(Rectangle((0, 0), 1, strip.top, transform=axes.transAxes, color=STRIP, lw=0, zorder=1))
        axes.plot([0, 1], [strip.top] * 2, transform=axes.transAxes, color=GREY, linewidth=0.8, zorder=2)
    above = [(point, point.y) for point in panel.points if point.y is not None]
    lines: list[tuple[Line, Keywords]] = [
        ([(x, y) for x in p.x_range], SPREAD) for p, y in above if p.x_range
    ]
    lines += [([(p.x, y) for y in p.y_range], SPREAD) for p, _ in above if p.y_range]
    lines += [(find_front_steps(panel), FRONT)]
    places = {p.candidate.model: (p.x, y) for p, y in above}
    lines += [([places[c.model] for c in (pair.better, pair.worse)], DISAGREEMENT) for pair in pairs]
    for line, style in lines:
        if len(line) > 1:
            axes.plot(*zip(*line, strict=True), **style)
    for point in panel.points:
        draw_point(axes, point, strip)
    return [line for line, _ in lines]


def draw_point(axes: "Axes", point: ModelPoint, strip: Strip) -> None:
    """Draw the point of one model; a model without accuracy is in the strip."""
    zorder = 4 if point.kind in (*ON_FRONT, "claim") else 3
    keywords: Keywords = {"linestyle": "none", "zorder": zorder, "gid": point.candidate.model}
    keywords |= STYLES[point.kind]
    if point.y is not None:
        axes.plot(point.x, point.y, **keywords)
        return
    below = axes.get_xaxis_transform()
    if point.x_range:
        axes.plot(point.x_range, [strip.points] * 2, transform=below, **SPREAD)
    axes.plot(point.x, strip.points, transform=below, **keywords)


def scale_y(axes: "Axes", panels: Sequence[ScatterPanel], strip: Strip) -> None:
    """Set the common y axis, whose ticks end above the strip."""
    from matplotlib.ticker import FixedLocator

    points = [point for panel in panels for point in panel.points if point.y is not None]
    ends = [end for point in points for end in (point.y, *(point.y_range or ())) if end is not None]
    log = panels[0].y != "top1" and is_wide(ends)
    if panels[0].y == "top1":
        scale_axis(axes.yaxis, ends, Y_MARGINS, log=False)
    else:
        scale_cost(axes.yaxis, ends, Y_MARGINS, log=log)
    low, high = axes.get_ylim()
    figure: Any = axes.figure  # not a part of one
    text = wrap_text(figure, panels[0].y_label, LONGEST_LABEL, 9)
    axes.set_ylabel(text, size=9, y=(1 + strip.top) / 2)
    if strip.top:
        ticks = [tick for tick in axes.get_yticks() if low <= tick <= high]
        axes.set_ylim(high - (high - low) / (1 - strip.top), high)
        axes.yaxis.set_major_locator(FixedLocator(ticks))
        place: Keywords = {"transform": axes.transAxes, "ha": "right", "va": "center"}
        axes.text(-0.01, strip.points, "no top-1", size=LABEL_SIZE, color=GREY, **place)


def find_front_steps(panel: ScatterPanel) -> list[Point]:
    """Return the corners of the step line of the front: the highest accuracy up to each cost."""
    points = sorted((p.x, p.y) for p in panel.points if p.kind in ON_FRONT and p.y is not None)
    if METRICS[panel.x].better == "max":
        corners = [(x, y) for (x, _), (_, y) in pairwise(points)]
    else:
        corners = [(x, y) for (_, y), (x, _) in pairwise(points)]
    return [point for pair in zip_longest(points, corners) for point in pair if point]


def label_panel(
    axes: "Axes", panel: ScatterPanel, strip: Strip, lines: Sequence[Line], bold: Collection[str]
) -> list["Text"]:
    """Write the labels of a finished panel; return the labels whose numbers the caller must set.

    The limits and the size of the axes must not change afterwards.
    """
    left, bottom, right, top = axes.bbox.extents
    strip_top, strip_y = (bottom + share * (top - bottom) for share in (strip.top, strip.points))
    to_pixels = axes.transData.transform
    covered = [box for line in lines for ends in pairwise(line) for box in split_line(*to_pixels(ends))]
    above = [point for point in panel.points if point.y is not None]
    below = [point for point in panel.points if point.y is None]
    lowest = strip_y - max((marker_radius(axes, point) for point in below), default=0.0)
    numbers: list[Text] = []
    omitted = 0
    for points, bounds, boxes in (
        (above, (left + INSIDE, strip_top + INSIDE, right, top), covered),
        (below, (left + INSIDE, bottom + 1, right, lowest), []),
    ):
        labels = [label_point(axes, point, strip_y, bold, is_crowded=len(points) >= MANY) for point in points]
        more, missing = write_labels(axes, labels, bounds, boxes)
        numbers, omitted = [*numbers, *more], omitted + missing
    if omitted:
        text = f"{omitted} of {len(panel.points)} labels omitted, not enough space"
        axes.text(
            1, 1.01, text, size=LABEL_SIZE, color=GREY, transform=axes.transAxes, ha="right", va="bottom"
        )
    return numbers


def label_point(
    axes: "Axes", point: ModelPoint, strip_y: float, bold: Collection[str], *, is_crowded: bool
) -> PointLabel:
    """Return the label of a point; `strip_y` is the height of points in the strip, in pixels."""
    is_bold = point.candidate.model in bold
    is_important = is_bold or point.kind in (*ON_FRONT, "claim", "variant", "measured_variant", *NEAR_FRONT)
    x, y = axes.transData.transform((point.x, axes.get_ylim()[0] if point.y is None else point.y))
    return PointLabel(
        text=point.name,
        point=(float(x), strip_y if point.y is None else float(y)),
        radius=marker_radius(axes, point),
        most=IMPORTANT if is_important else CROWDED if is_crowded else OTHER,
        bold=is_bold,
        gid=point.candidate.model,
        ground=STRIP if point.y is None else "white",
    )


def marker_radius(axes: "Axes", point: ModelPoint) -> float:
    """Return the radius of a point's marker in pixels."""
    _, size, _, _, edge_width = MARKERS[point.kind]
    return (size + edge_width) / 2 * axes.figure.dpi / POINTS
