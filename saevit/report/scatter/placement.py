"""Place the labels of points beside their points, without overlaps with labels and points.

All lengths are in pixels; a box is (left, bottom, right, top). The placement is deterministic.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
Box = tuple[float, float, float, float]
Array = NDArray[np.float64]

DISTANCES = (3.0, 8.0, 14.0, 22.0, 32.0, 44.0, 60.0, 80.0, 105.0, 135.0)  # from the marker's edge
ANGLES = (0, 180, 90, 270, 45, 135, 315, 225, *(a for a in np.arange(0, 360, 11.25) if a % 45))  # degrees
LEADER_FROM = 10.0  # a label at a larger distance gets a leader to its point
THICK = 3.0  # half the width of the free space around a line
LINE_COST = 12.0  # for each piece of a line that a label covers
AMBIGUOUS_COST = {False: 120.0, True: 20.0}  # of a label nearer to another point, without and with a leader
OMITTED_COST = 1000.0
MOST_TRIED, MOST_MOVED = 60, 3  # maximum of places tried for a label, and of labels moved for it


@dataclass(frozen=True, kw_only=True)
class Label:
    """A label to place: its point, the radius of the marker, and the size of the text.

    The cost of a place is its distance from the point, plus LINE_COST and AMBIGUOUS_COST if they apply. A
    label is left out if all its places cost more than `most`.
    """

    point: Point
    radius: float
    size: tuple[float, float]
    most: float

    @property
    def marker(self) -> Box:
        """Return the box of the marker."""
        (x, y), r = self.point, self.radius
        return x - r, y - r, x + r, y + r


@dataclass(frozen=True, kw_only=True)
class LabelPlace:
    """A place for a label: its box, the leader to a distant point, and all boxes that both cover."""

    box: Box
    leader: tuple[Point, Point] | None
    area: Array
    cost: float


@dataclass(frozen=True, kw_only=True)
class PlaceOptions:
    """The possible places of one label, the cheapest first, and their boxes as an array."""

    places: Sequence[LabelPlace]
    boxes: Array


Placed = list[LabelPlace | None]


def place_labels(labels: Sequence[Label], bounds: Box, lines: Sequence[Box] = ()) -> Placed:
    """Return a place inside bounds for each label; None leaves a label out.

    Labels and leaders do not overlap, and do not cover a marker. Labels avoid lines (see `split_line`) if
    possible. Labels with a larger `most` are placed first. The search runs once from each side of the panel,
    and the cheapest result is returned.
    """
    markers = as_boxes([label.marker for label in labels])
    options = [list_places(label, bounds, markers, as_boxes(lines)) for label in labels]
    results = []
    for axis, sign in product((0, 1), (1, -1)):
        placed: Placed = [None] * len(labels)
        for number in sorted(
            range(len(labels)), key=lambda i: (-labels[i].most, sign * labels[i].point[axis])
        ):
            placed = insert_label(options, placed, number)
        results.append(placed)
    return min(results, key=lambda placed: sum(place.cost if place else OMITTED_COST for place in placed))


def insert_label(options: Sequence[PlaceOptions], placed: Placed, number: int) -> Placed:
    """Place one more label at its cheapest free place, or at a place from which a few labels can move."""
    if place := find_free(options[number], placed):
        return [*placed[:number], place, *placed[number + 1 :]]
    for place in options[number].places[:MOST_TRIED]:
        in_the_way = [i for i, other in enumerate(placed) if other and touches(place.area, other.area).any()]
        if len(in_the_way) > MOST_MOVED:
            continue
        trial = [None if i in in_the_way else other for i, other in enumerate(placed)]
        trial[number] = place
        for i in in_the_way:
            trial[i] = find_free(options[i], trial)
        if all(trial[i] for i in in_the_way):
            return trial
    return placed


def find_free(options: PlaceOptions, placed: Placed) -> LabelPlace | None:
    """Return the cheapest place that does not overlap with placed labels and leaders."""
    taken = np.concatenate([as_boxes(()), *(other.area for other in placed if other)])
    free = np.flatnonzero(~touches(options.boxes, taken).any(axis=1))
    places = (options.places[int(number)] for number in free)
    return next((place for place in places if not touches(place.area, taken).any()), None)


def list_places(label: Label, bounds: Box, markers: Array, lines: Array) -> PlaceOptions:
    """Return the places of a label inside bounds that do not cover a marker, the cheapest first."""
    boxes, distances = surround_point(label)
    is_far = distances >= LEADER_FROM
    ambiguous = np.where(is_far, AMBIGUOUS_COST[True], AMBIGUOUS_COST[False])
    cost = distances + LINE_COST * touches(boxes, lines).sum(axis=1)
    cost += ambiguous * is_nearer_to_others(label, boxes, markers)
    is_free = (boxes[:, :2] >= bounds[:2]).all(axis=1) & (boxes[:, 2:] <= bounds[2:]).all(axis=1)
    is_free &= (cost <= label.most) & ~touches(boxes, markers).any(axis=1)
    places = []
    for number in np.argsort(cost, kind="stable"):
        if not is_free[number]:
            continue
        leader = find_leader(label, boxes[number]) if is_far[number] else None
        pieces = split_line(*leader) if leader else []
        if not touches(as_boxes(pieces), markers).any():
            left, bottom, right, top = boxes[number].tolist()
            box, area = (left, bottom, right, top), as_boxes([boxes[number], *pieces])
            places.append(LabelPlace(box=box, leader=leader, area=area, cost=float(cost[number])))
    return PlaceOptions(places=places, boxes=as_boxes([place.box for place in places]))


def surround_point(label: Label) -> tuple[Array, Array]:
    """Return boxes around a point with their distances from its marker, the nearest first."""
    half = np.array(label.size) / 2
    angles, distances = np.tile(np.deg2rad(ANGLES), len(DISTANCES)), np.repeat(DISTANCES, len(ANGLES))
    directions = np.column_stack([np.cos(angles), np.sin(angles)])
    near = np.array(label.point) + (label.radius + distances)[:, None] * directions
    centres = near + np.clip(directions * np.sqrt(2), -1, 1) * half  # a corner of diagonal boxes is nearest
    return np.hstack([centres - half, centres + half]), distances


def find_leader(label: Label, box: Array) -> tuple[Point, Point]:
    """Return the line from the edge of the marker to the nearest point of the box."""
    point = np.array(label.point)
    end = np.clip(point, box[:2], box[2:])
    start = point + (end - point) * (label.radius + 2) / float(np.hypot(*(end - point)))
    return (float(start[0]), float(start[1])), (float(end[0]), float(end[1]))


def split_line(start: Point, end: Point) -> list[Box]:
    """Return small boxes along a line, except at its ends, which touch a marker or a label."""
    length = float(np.hypot(end[0] - start[0], end[1] - start[1]))
    shares = np.linspace(0, 1, max(2, int(length / THICK)) + 1)[1:-1]
    centres = np.array(start) + shares[:, None] * (np.array(end) - np.array(start))
    return [(x - THICK, y - THICK, x + THICK, y + THICK) for x, y in centres.tolist()]


def is_nearer_to_others(label: Label, boxes: Array, markers: Array) -> NDArray[np.bool_]:
    """Return for each box whether the centre of another marker is nearer than the label's point."""
    centres = np.vstack([[label.point], (markers[:, :2] + markers[:, 2:]) / 2])
    gaps = np.maximum(boxes[:, None, :2] - centres, centres - boxes[:, None, 2:])
    distances = np.linalg.norm(np.maximum(gaps, 0), axis=2)  # of each box (rows) from each point (columns)
    return distances.min(axis=1) < distances[:, 0] - 0.5


def touches(boxes: Array, others: Array) -> NDArray[np.bool_]:
    """Return the overlaps of boxes (rows) with other boxes (columns) as a matrix of bools."""
    left, bottom, right, top = boxes.T[:, :, None]
    x0, y0, x1, y1 = others.T[:, None]
    return (left < x1) & (right > x0) & (bottom < y1) & (top > y0)


def as_boxes(rows: Sequence[Any]) -> Array:
    """Return boxes as an array (N, 4); N may be 0."""
    return np.array(rows, dtype=np.float64).reshape(-1, 4)
