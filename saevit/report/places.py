"""Where one name may stand: beside its point, on no point, and within bounds.

Everything is in pixels; a box is (left, bottom, right, top).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
Box = tuple[float, float, float, float]
Array = NDArray[np.float64]

STEPS = (3.0, 8.0, 14.0, 22.0, 32.0, 44.0, 60.0, 80.0, 105.0, 135.0)  # from a marker's edge to its name
ANGLES = (0, 180, 90, 270, 45, 135, 315, 225, *(a for a in np.arange(0, 360, 11.25) if a % 45))  # degrees
LEADER_FROM = 10.0  # a name that stands further off than this gets a line to its point
THICK = 3.0  # half the width that a line takes up
LINE_COST = 12.0  # of each piece of a line (front) that a name would cover
BAR_COST = 4.0  # of each piece of a bar (quartiles)
ASTRAY_COST = {False: 120.0, True: 20.0}  # of standing nearer to another point: without and with a line


@dataclass(frozen=True, kw_only=True)
class Label:
    """A name to place: its point, the radius of that point's marker, the size of its text.

    `most`: what its place may cost, in pixels off its point and what else there is against it (LINE_COST,
    BAR_COST, ASTRAY_COST); rather than dearer, it is left out.
    """

    point: Point
    radius: float
    size: tuple[float, float]
    most: float


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What names must stay inside of, must not touch (markers), and should not cover (the other two)."""

    bounds: Box
    markers: Sequence[Box]
    lines: Sequence[Box] = ()
    bars: Sequence[Box] = ()


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a name may stand, and the line to its point if that is far off."""

    box: Box
    leader: tuple[Point, Point] | None
    cost: float

    @property
    def area(self) -> Array:
        """What it takes up: its box, and its line in pieces."""
        return as_boxes([self.box, *(pieces(*self.leader) if self.leader else ())])


def places(label: Label, around: Surroundings) -> list[Place]:
    """Return where a name may stand as far as markers, lines and bounds are concerned, the cheapest first."""
    boxes, distances = boxes_around(label)
    markers, lines, bars = (as_boxes(kind) for kind in (around.markers, around.lines, around.bars))
    left, bottom, right, top = around.bounds
    cost = (
        distances
        + LINE_COST * touches(boxes, lines).sum(axis=1)
        + BAR_COST * touches(boxes, bars).sum(axis=1)
    )
    astray = np.where(distances < LEADER_FROM, ASTRAY_COST[False], ASTRAY_COST[True])
    cost += astray * is_astray(label, boxes, markers)
    free = (boxes[:, :2] >= (left, bottom)).all(axis=1) & (boxes[:, 2:] <= (right, top)).all(axis=1)
    free &= (cost <= label.most) & ~touches(boxes, markers).any(axis=1)
    found = []
    for number in np.argsort(cost, kind="stable"):
        if not free[number]:
            continue
        x0, y0, x1, y1 = boxes[number].tolist()
        leader = leader_of(label, boxes[number]) if distances[number] >= LEADER_FROM else None
        if leader is None or not touches(as_boxes(pieces(*leader)), markers).any():
            found.append(Place(box=(x0, y0, x1, y1), leader=leader, cost=float(cost[number])))
    return found


def boxes_around(label: Label) -> tuple[Array, Array]:
    """Return the boxes to try, the preferred directions first, and their distances from the marker."""
    half = np.array(label.size) / 2
    angles, distances = np.tile(np.deg2rad(ANGLES), len(STEPS)), np.repeat(STEPS, len(ANGLES))
    ways = np.column_stack([np.cos(angles), np.sin(angles)])
    near = np.array(label.point) + (label.radius + distances)[:, None] * ways
    centres = near + np.clip(ways * np.sqrt(2), -1, 1) * half  # diagonally, a corner is what is near
    return np.hstack([centres - half, centres + half]), distances


def leader_of(label: Label, box: Array) -> tuple[Point, Point]:
    """Return the line from a marker's edge to the nearest point of its name."""
    point = np.array(label.point)
    end = np.clip(point, box[:2], box[2:])
    start = point + (end - point) * (label.radius + 2) / float(np.hypot(*(end - point)))
    return (float(start[0]), float(start[1])), (float(end[0]), float(end[1]))


def pieces(start: Point, end: Point) -> list[Box]:
    """Return a line as small boxes along it, its very ends left out: these touch what they belong to."""
    length = float(np.hypot(end[0] - start[0], end[1] - start[1]))
    shares = np.linspace(0, 1, max(2, int(length / THICK)) + 1)[1:-1]
    centres = np.array(start) + shares[:, None] * (np.array(end) - np.array(start))
    return [(x - THICK, y - THICK, x + THICK, y + THICK) for x, y in centres.tolist()]


def is_astray(label: Label, boxes: Array, markers: Array) -> NDArray[np.bool_]:
    """Return which boxes stand nearer to the middle of another marker than to their own point."""
    own = distance(boxes, np.array([label.point]))[:, 0]
    nearest = distance(boxes, (markers[:, :2] + markers[:, 2:]) / 2).min(axis=1, initial=np.inf)
    return nearest < own - 0.5


def distance(boxes: Array, points: Array) -> Array:
    """Return the distance of each box (rows) from each point (columns)."""
    gaps = np.maximum(boxes[:, None, :2] - points[None], points[None] - boxes[:, None, 2:])
    return np.linalg.norm(np.maximum(gaps, 0), axis=2)


def touches(boxes: Array, others: Array) -> NDArray[np.bool_]:
    """Return which boxes (rows) overlap which others (columns)."""
    left, bottom, right, top = boxes.T[:, :, None]
    x0, y0, x1, y1 = others.T[:, None]
    return (left < x1) & (right > x0) & (bottom < y1) & (top > y0)


def as_boxes(rows: Sequence[Any]) -> Array:
    """Return boxes as an array of four columns, also when there is none."""
    return np.array(rows, dtype=np.float64).reshape(-1, 4)
