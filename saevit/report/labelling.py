"""Names at the marks of a finished panel: measured, placed by `labels`, drawn with a line where moved."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from saevit.report.places import Box, Label, Place, Point, Surroundings, pieces
from saevit.report.scatter.labels import place
from saevit.report.scatter.layout import SMALL
from saevit.report.scatter.panel import STRIP, Drawn
from saevit.report.scatter.points import FRONT, STYLES, Kind, Mark

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAIN, OTHER, CROWDED = 1000.0, 300.0, 9.0  # what a name's place may cost: see Label.most
MANY = 30  # marks: from then on, all other names stand right beside their points, or nowhere
ORDER: tuple[Kind, ...] = ("front", "own_front", "claim", "variant", "own", "apart", "plain")
PAD = 1.5  # pixels around a text
POINTS = 72  # an inch


@dataclass(frozen=True, kw_only=True)
class Spot:
    """A mark in pixels."""

    mark: Mark
    point: Point
    radius: float

    @property
    def box(self) -> Box:
        """What the marker covers."""
        (x, y), r = self.point, self.radius
        return x - r, y - r, x + r, y + r


def spots_of(axes: "Axes", marks: Sequence[Mark], lane: float) -> list[Spot]:
    """Return where marks stand; those without a height are at a share `lane` of the axes' height."""
    dpi = axes.figure.dpi
    found = []
    for mark in marks:
        x, y = axes.transData.transform((mark.x, axes.get_ylim()[0] if mark.y is None else mark.y))
        y = axes.transAxes.transform((0, lane))[1] if mark.y is None else y
        style = STYLES[mark.kind]
        radius = (style.size + style.width) / 2 * dpi / POINTS
        found.append(Spot(mark=mark, point=(float(x), float(y)), radius=radius))
    return found


def add_names(axes: "Axes", spots: Sequence[Spot], bounds: Box, drawn: Drawn, bold: Collection[str]) -> int:
    """Write the names of marks inside bounds, those of `bold` models first; return how many found no room.

    Args:
        axes: finished: neither its limits nor its place may change any more.
        spots: the marks.
        bounds: in pixels.
        drawn: what names should not cover.
        bold: the models that the panel is about.
    """
    ordered = sorted(
        spots, key=lambda spot: (spot.mark.candidate.model not in bold, ORDER.index(spot.mark.kind))
    )
    other = OTHER if len(spots) < MANY else CROWDED
    labels = [label_of(axes, spot, other, strong=spot.mark.candidate.model in bold) for spot in ordered]
    around = Surroundings(
        bounds=bounds,
        markers=[spot.box for spot in spots],
        lines=in_pixels(axes, drawn.lines),
        bars=in_pixels(axes, drawn.bars),
    )
    places = place(labels, around)
    for spot, placed in zip(ordered, places, strict=True):
        if placed:
            write(axes, spot, placed, strong=spot.mark.candidate.model in bold)
    return places.count(None)


def in_pixels(axes: "Axes", lines: Sequence[Sequence[Point]]) -> list[Box]:
    """Return lines in data coordinates as pieces in pixels."""
    found = []
    for line in lines:
        points = [axes.transData.transform(point).tolist() for point in line]
        found += [box for start, end in pairwise(points) for box in pieces(start, end)]
    return found


def label_of(axes: "Axes", spot: Spot, most: float, *, strong: bool) -> Label:
    """Measure a name."""
    text = axes.text(0, 0, spot.mark.name, size=SMALL, weight=weight_of(strong))
    extent = text.get_window_extent()
    text.remove()
    is_main = strong or spot.mark.kind in (*FRONT, "claim", "variant", "own")
    return Label(
        point=spot.point,
        radius=spot.radius,
        size=(extent.width + 2 * PAD, extent.height + 2 * PAD),
        most=MAIN if is_main else most,
    )


def write(axes: "Axes", spot: Spot, placed: Place, *, strong: bool) -> None:
    """Draw a name, and the line to its mark where it stands far off."""
    left, bottom, _, _ = placed.box
    x, y = axes.transAxes.inverted().transform((left + PAD, bottom + PAD))
    name = axes.text(
        x, y, spot.mark.name, size=SMALL, weight=weight_of(strong), transform=axes.transAxes, va="bottom"
    )
    ground = STRIP if spot.mark.y is None else "white"
    name.set_bbox({"boxstyle": "square,pad=0", "facecolor": ground, "alpha": 0.75, "linewidth": 0})
    name.set_gid(spot.mark.candidate.model)
    if placed.leader:
        xs, ys = zip(*axes.transAxes.inverted().transform(placed.leader).tolist(), strict=True)
        axes.plot(xs, ys, color="#777777", linewidth=0.6, transform=axes.transAxes, zorder=2.5)


def weight_of(strong: bool) -> str:
    """Return the weight of a name's letters."""
    return "bold" if strong else "normal"
