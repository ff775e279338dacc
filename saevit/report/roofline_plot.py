"""Draw the roofline of a runtime with its stages and its kinds of operators."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from saevit.profiling import Profile
from saevit.report.figure import (
    POINTS,
    add_legend,
    add_message,
    new_figure,
    own_settings,
    scale_axis,
    style_axes,
)
from saevit.report.operator_tables import describe_roofs, find_stages, summarize_operators
from saevit.report.scatter.labels import PointLabel, write_labels
from saevit.report.units import cut, digits, percent
from saevit.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from saevit.measure.operator_times import OperatorGroup, OperatorTimes
    from saevit.measure.roofs import Roofs

WIDTH, HEIGHT = 7.5, 4.6  # inches of a panel with its texts
STYLES: dict[str, dict[str, Any]] = {
    "stages": {"marker": "o", "color": "#0072B2", "zorder": 4, "alpha": 0.85},
    "kinds of operators": {"marker": "s", "color": "#D55E00", "zorder": 3},
}
ROOF: dict[str, Any] = {"color": "#000000", "linewidth": 1.2, "zorder": 2}
LEAST_AREA, AREA = 16.0, 400.0  # of a marker in square points: the least, and for all of the time
MARGINS = (0.08, 0.12)
LONGEST_NAME = 32  # characters
MOST_COST = 1000.0  # `Label.most`


@dataclass(frozen=True, kw_only=True)
class Point:
    """The point of a group of operators."""

    text: str
    x: float
    y: float
    area: float  # of the marker, in square points


@own_settings()
def roofline_figure(profile: Profile) -> "Figure":
    """Draw the rates of stages and kinds of operators below the machine's roofs, one panel per runtime.

    The area of a marker is its share of the time. The caption names groups without MACs, which have no point.
    """
    count = len(profile.operator_times)
    figure = new_figure(WIDTH, HEIGHT * count, "constrained")
    panels = [figure.add_subplot(count, 1, place + 1) for place in range(count)]
    caption, drawn = [], []
    for axes, times in zip(panels, profile.operator_times, strict=True):
        named = zip(STYLES, (find_stages(profile, times), times.kinds), strict=True)
        groups = {name: make_points(members, times.total.seconds) for name, members in named}
        draw_roofline(axes, times.roofs, groups)
        drawn.append([point for members in groups.values() for point in members])
        axes.set_title(str(times.conditions), loc="left", size=9, pad=20)
        caption += [f"{times.conditions.runtime}: {describe_roofs(times)}; {describe_missing(times)}."]
    processor = profile.operator_times[0].environment.cpu
    caption.append(
        f"{profile.model}, random weights; {processor}. Area of a point: its share of the time. Bytes as if "
        "no cache held them: points above the memory roof read from a cache."
    )
    add_message(figure, summarize_operators(profile), caption)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # labels are placed in panels of their final size
    for axes, points in zip(panels, drawn, strict=True):
        label_points(axes, points)
    return figure


def draw_roofline(axes: "Axes", roofs: "Roofs", groups: Mapping[str, Sequence[Point]]) -> None:
    """Draw the points and the two roofs."""
    points = [point for members in groups.values() for point in members]
    xs = [*(point.x for point in points), roofs.ridge]
    ys = [*(point.y for point in points), roofs.macs / 1e9]
    low, high = scale_axis(axes.xaxis, xs, MARGINS, log=True)
    scale_axis(axes.yaxis, ys, MARGINS, log=True)
    edges = [low, roofs.ridge, high]
    label = f"limits: {digits(roofs.macs / 1e9)} GMAC/s and {digits(roofs.bandwidth / 1e9)} GB/s"
    axes.plot(edges, [roofs.limit(edge) / 1e9 for edge in edges], **ROOF, label=label)
    for name, members in groups.items():
        areas = [point.area for point in members]
        axes.scatter(
            [point.x for point in members],
            [point.y for point in members],
            s=areas,
            label=name,
            **STYLES[name],
        )
    axes.set_xlabel("MACs per byte moved", size=9)
    axes.set_ylabel("GMAC/s", size=9)
    style_axes(axes)
    add_legend(axes, 3)


def make_points(groups: Sequence["OperatorGroup"], whole: float) -> list[Point]:
    """Return the points of the groups that have MACs; `whole` is the time of all operators in seconds."""
    return [
        Point(
            text=f"{cut(printable(group.name), LONGEST_NAME)} ({percent(group.seconds / whole, 0)})",
            x=group.intensity,
            y=group.rate / 1e9,
            area=max(LEAST_AREA, AREA * group.seconds / whole),
        )
        for group in groups
        if group.macs and group.seconds
    ]


def describe_missing(times: "OperatorTimes") -> str:
    """Write the share of time of each kind of operator without MACs, which has no point."""
    without = [kind for kind in times.kinds if not kind.macs]
    shares = ", ".join(f"{kind.name} {percent(kind.seconds / times.total.seconds)}" for kind in without)
    return f"kinds without MACs have no point: {shares or 'none'}"


def label_points(axes: "Axes", points: Sequence[Point]) -> None:
    """Write the names of the points beside them."""
    labels = []
    for point in points:
        across, up = axes.transData.transform((point.x, point.y))
        radius = point.area**0.5 / 2 * axes.figure.dpi / POINTS
        place = (float(across), float(up))
        labels.append(PointLabel(text=point.text, point=place, radius=radius, most=MOST_COST))
    left, bottom, right, top = axes.bbox.extents
    numbered, _ = write_labels(axes, labels, (left + 2, bottom + 2, right, top), [])
    for text in numbered:  # there is no room for its name
        text.remove()
