"""One panel of a scatter plot: points, quartiles, front, labels, and a strip for models without accuracy."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING, Any

from saevit.report.figure import GREY, POINTS, is_wide, scale_axis, style_axes, wrap_text
from saevit.report.metrics import METRICS, Disagreement
from saevit.report.scatter.placement import Box, Label, Point, place_labels, split_line
from saevit.report.scatter.points import MARKERS, ON_FRONT, STYLES, ModelPoint, ScatterPanel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Keywords = dict[str, Any]  # of matplotlib
Line = Sequence[Point]  # in data coordinates

ROW, ROWS = 0.15, (1, 6)  # of labels in the strip: height in inches, fewest and most
POINTS_BELOW = 0.1  # inches from the top of the strip to its points
LONGEST_LABEL = 3.2  # inches of a line of the y axis's label
X_MARGINS = (0.16, 0.08)  # labels of a front are at its better side
Y_MARGINS = (0.08, 0.08)
STRIP = "#f2f2f2"
FRONT: Keywords = {"color": "#000000", "linewidth": 1.0, "zorder": 2.0}
DISAGREEMENT: Keywords = {"color": "#D55E00", "linewidth": 1.3, "linestyle": (0, (4, 2)), "zorder": 2.0}
SPREAD: Keywords = {"color": "#666666", "linewidth": 0.7, "zorder": 2.0}

LABEL_SIZE = 7.5  # points
IMPORTANT, OTHER, CROWDED = 1000.0, 300.0, 9.0  # `Label.most`
MANY = 30  # points from which on OTHER labels are CROWDED: beside their points or left out
PAD = 1.5  # pixels around a label
INSIDE = 3.0  # pixels between a label and the edge of the panel


@dataclass(frozen=True, kw_only=True)
class Strip:
    """The strip below the accuracies: the heights of its top and of its points, relative to the panel's."""

    top: float = 0.0
    points: float = 0.0


def size_strip(panels: Sequence[ScatterPanel], height: float) -> Strip:
    """Return a strip with room for its labels, in panels of a height in inches; empty if not needed."""
    most = max(sum(point.y is None for point in panel.points) for panel in panels)
    if not most:
        return Strip()
    top = 2 * POINTS_BELOW + ROW * min(max(ROWS[0], -(-most // 3)), ROWS[1])
    return Strip(top=top / height, points=(top - POINTS_BELOW) / height)


def draw_panel(axes: "Axes", panel: ScatterPanel, pairs: Sequence[Disagreement], strip: Strip) -> list[Line]:
    """Draw all but the y axis and the labels; return the lines that labels should not cover."""
    from matplotlib.patches import Rectangle

    is_less = METRICS[panel.x].better == "min"
    ends = [end for point in panel.points for end in (point.x, *(point.x_range or ()))]
    scale_axis(axes.xaxis, ends, X_MARGINS if is_less or panel.y != "top1" else X_MARGINS[::-1])
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
    """Draw one model; without accuracy, in the strip."""
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
    """Set the common y axis; it ends above the strip."""
    from matplotlib.ticker import FixedLocator

    points = [point for panel in panels for point in panel.points if point.y is not None]
    ends = [end for point in points for end in (point.y, *(point.y_range or ())) if end is not None]
    log = panels[0].y != "top1" and is_wide(ends)
    low, high = scale_axis(axes.yaxis, ends, Y_MARGINS, log=log)
    figure: Any = axes.figure  # not a part of one
    text = wrap_text(figure, panels[0].y_label, LONGEST_LABEL, 9)
    axes.set_ylabel(text, size=9, y=(1 + strip.top) / 2)
    if strip.top:
        ticks = [tick for tick in axes.get_yticks() if low <= tick <= high]
        axes.set_ylim(high - (high - low) / (1 - strip.top), high)
        axes.yaxis.set_major_locator(FixedLocator(ticks))


def find_front_steps(panel: ScatterPanel) -> list[Point]:
    """Return the corners of the highest accuracy up to each cost."""
    points = sorted((p.x, p.y) for p in panel.points if p.kind in ON_FRONT and p.y is not None)
    if METRICS[panel.x].better == "max":
        corners = [(x, y) for (x, _), (_, y) in pairwise(points)]
    else:
        corners = [(x, y) for (_, y), (x, _) in pairwise(points)]
    return [point for pair in zip_longest(points, corners) for point in pair if point]


def label_panel(
    axes: "Axes", panel: ScatterPanel, strip: Strip, lines: Sequence[Line], pairs: Sequence[Disagreement]
) -> None:
    """Write the labels of a finished panel and the number of omitted ones.

    Neither the limits nor the position of the axes may change afterwards.
    """
    in_pairs = {c.model for pair in pairs for c in (pair.better, pair.worse)}
    bold = in_pairs | {point.candidate.model for point in panel.points if point.kind in ON_FRONT}
    left, bottom, right, top = axes.bbox.extents
    strip_top, strip_y = (bottom + share * (top - bottom) for share in (strip.top, strip.points))
    to_pixels = axes.transData.transform
    covered = [box for line in lines for ends in pairwise(line) for box in split_line(*to_pixels(ends))]
    above = [point for point in panel.points if point.y is not None]
    omitted = label_points(
        axes, above, strip_y, (left + INSIDE, strip_top + INSIDE, right, top), covered, bold
    )
    below = [point for point in panel.points if point.y is None]
    lowest = strip_y - max((marker_radius(axes, point) for point in below), default=0.0)
    omitted += label_points(axes, below, strip_y, (left + INSIDE, bottom + 1, right, lowest), [], bold)
    if omitted:
        text = f"{omitted} of {len(panel.points)} labels omitted, not enough space"
        axes.text(
            1, 1.01, text, size=LABEL_SIZE, color=GREY, transform=axes.transAxes, ha="right", va="bottom"
        )


def label_points(
    axes: "Axes",
    points: Sequence[ModelPoint],
    strip_y: float,
    bounds: Box,
    covered: Sequence[Box],
    bold: Collection[str],
) -> int:
    """Write the labels of some points inside bounds; return how many are omitted. Lengths are in pixels."""
    other = OTHER if len(points) < MANY else CROWDED
    texts, labels = [], []
    for point in points:
        is_bold = point.candidate.model in bold
        is_important = is_bold or point.kind in ("claim", "variant", "measured_variant")
        text = axes.text(0, 0, point.name, size=LABEL_SIZE, weight="bold" if is_bold else "normal")
        text.set(transform=axes.transAxes, va="bottom", gid=point.candidate.model)
        extent = text.get_window_extent()
        size = (extent.width + 2 * PAD, extent.height + 2 * PAD)
        x, y = axes.transData.transform((point.x, axes.get_ylim()[0] if point.y is None else point.y))
        at = (float(x), strip_y if point.y is None else float(y))
        most = IMPORTANT if is_important else other
        labels.append(Label(point=at, radius=marker_radius(axes, point), size=size, most=most))
        texts.append(text)
    places = place_labels(labels, bounds, covered)
    to_axes = axes.transAxes.inverted().transform
    for point, text, place in zip(points, texts, places, strict=True):
        if place is None:
            text.remove()
            continue
        x, y = to_axes((place.box[0] + PAD, place.box[1] + PAD))
        text.set_position((x, y))
        ground = STRIP if point.y is None else "white"
        text.set_bbox({"boxstyle": "square,pad=0", "facecolor": ground, "alpha": 0.75, "linewidth": 0})
        if place.leader:
            xs, ys = zip(*to_axes(place.leader), strict=True)
            axes.plot(xs, ys, color="#777777", linewidth=0.6, transform=axes.transAxes, zorder=2.5)
    return places.count(None)


def marker_radius(axes: "Axes", point: ModelPoint) -> float:
    """Return the radius of a point's marker in pixels."""
    _, size, _, _, edge_width = MARKERS[point.kind]
    return (size + edge_width) / 2 * axes.figure.dpi / POINTS
