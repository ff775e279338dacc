"""Write the labels of points without overlaps. Labels that do not fit become numbers with a key.

Lengths and boxes are in pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from saevit.report.scatter.placement import Box, Label, LabelPlace, Point, place_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

LABEL_SIZE = 7.5  # points
PAD = 1.5  # around a label
LEADER = "#777777"
NUMBER = "88"  # placeholder with the width of the widest number
MOST_PASSES = 2  # number of passes that may replace further labels by numbers


@dataclass(frozen=True, kw_only=True)
class PointLabel:
    """A label: its text, its point, the radius of its marker, and its importance (`most`)."""

    text: str
    point: Point
    radius: float
    most: float  # see `Label`
    bold: bool = False
    gid: str | None = None
    ground: str = "white"


def write_labels(
    axes: "Axes", labels: Sequence[PointLabel], bounds: Box, covered: Sequence[Box]
) -> tuple[list["Text"], int]:
    """Write labels inside bounds and outside covered boxes. Replace labels that do not fit by numbers.

    The limits and the size of the axes must not change afterwards.

    Returns:
        The texts whose numbers the caller must set, and the number of labels that were left out.
    """
    texts = [
        axes.text(0, 0, one.text, size=LABEL_SIZE, weight="bold" if one.bold else "normal", gid=one.gid)
        for one in labels
    ]
    for text in texts:
        text.set(transform=axes.transAxes, va="bottom")
    places = place_texts(texts, labels, bounds, covered)
    numbers: list[Text] = []
    for _ in range(MOST_PASSES):
        new = [text for text, place in zip(texts, places, strict=True) if not place and text not in numbers]
        if not new:
            break
        numbers += new
        for text in new:
            text.set(text=NUMBER, weight="normal")
        places = place_texts(texts, labels, bounds, covered)
    for text, one, place in zip(texts, labels, places, strict=True):
        if place:
            put_text(axes, text, one, place)
        else:
            text.remove()
    written = {id(text) for text, place in zip(texts, places, strict=True) if place}
    return [text for text in texts if text in numbers and id(text) in written], places.count(None)


def place_texts(
    texts: Sequence["Text"], labels: Sequence[PointLabel], bounds: Box, covered: Sequence[Box]
) -> list[LabelPlace | None]:
    """Return a place for each text, or None, by its current size."""
    placeable = []
    for text, one in zip(texts, labels, strict=True):
        extent = text.get_window_extent()
        size = (extent.width + 2 * PAD, extent.height + 2 * PAD)
        placeable.append(Label(point=one.point, radius=one.radius, size=size, most=one.most))
    return place_labels(placeable, bounds, covered)


def put_text(axes: "Axes", text: "Text", label: PointLabel, place: LabelPlace) -> None:
    """Move a text to its place, and draw a leader to its point if the point is far away."""
    to_axes = axes.transAxes.inverted().transform
    x, y = to_axes((place.box[0] + PAD, place.box[1] + PAD))
    text.set_position((x, y))
    text.set_bbox({"boxstyle": "square,pad=0", "facecolor": label.ground, "alpha": 0.75, "linewidth": 0})
    if place.leader:
        xs, ys = zip(*to_axes(place.leader), strict=True)
        axes.plot(xs, ys, color=LEADER, linewidth=0.6, transform=axes.transAxes, zorder=2.5)
