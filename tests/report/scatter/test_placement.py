"""Labels never overlap one another, points, or lines to points, and never leave their bounds."""

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from saevit.report.scatter.placement import LEADER_FROM, Box, Label, LabelPlace, place_labels, split_line

BOUNDS = (0.0, 0.0, 700.0, 500.0)
ANYWHERE = 1000.0
Panel = tuple[list[Label], list[Box]]  # and lines to avoid


@st.composite
def panels(draw: st.DrawFn) -> Panel:
    """Draw points on a coarse grid, so that equal and touching ones are frequent; labels of any length."""
    points = draw(st.lists(st.tuples(st.integers(0, 70), st.integers(0, 50)), min_size=1, max_size=25))
    labels = [
        Label(
            point=(10.0 * x, 10.0 * y),
            radius=draw(st.sampled_from([5.0, 8.0])),
            size=(draw(st.floats(10, 250)), 20.0),
            most=draw(st.sampled_from([9.0, 90.0, ANYWHERE])),
        )
        for x, y in points
    ]
    return labels, split_line((0.0, 0.0), draw(st.tuples(st.floats(10, 700), st.floats(10, 500))))


def label(point: tuple[float, float] = (350.0, 250.0), width: float = 80.0, most: float = ANYWHERE) -> Label:
    return Label(point=point, radius=5.0, size=(width, 20.0), most=most)


def obstacle(x: float, y: float, radius: float) -> Label:
    """A point whose label is too long for the bounds."""
    return Label(point=(x, y), radius=radius, size=(701.0, 20.0), most=ANYWHERE)


def overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def place_first(first: Label, *others: Label, lines: list[Box] | None = None) -> LabelPlace | None:
    return place_labels([first, *others], BOUNDS, lines or [])[0]


@settings(max_examples=40, deadline=None)
@given(panels())
def test_no_label_overlaps_a_label_a_point_or_the_edge(panel: Panel) -> None:
    labels, lines = panel
    placed = place_labels(labels, BOUNDS, lines)
    assert len(placed) == len(labels)
    boxes = [place.box for place in placed if place]
    assert not any(overlap(a, b) for a, b in combinations(boxes, 2))
    assert not any(overlap(box, one.marker) for box in boxes for one in labels)
    assert all(min(box[:2]) >= 0 and box[2] <= 700 and box[3] <= 500 for box in boxes)


@settings(max_examples=40, deadline=None)
@given(panels())
def test_no_line_to_a_point_crosses_another_label_or_point(panel: Panel) -> None:
    labels, lines = panel
    placed = place_labels(labels, BOUNDS, lines)
    markers = [one.marker for one in labels]
    for number, place in enumerate(placed):
        if place and place.leader:
            pieces = split_line(*place.leader)
            others = [other.box for i, other in enumerate(placed) if other and i != number]
            assert not any(overlap(piece, box) for piece in pieces for box in (*others, *markers))


@settings(max_examples=40, deadline=None)
@given(panels())
def test_the_same_points_give_the_same_places(panel: Panel) -> None:
    first, second = (
        [place and place.box for place in place_labels(panel[0], BOUNDS, panel[1])] for _ in range(2)
    )
    assert first == second


@given(st.tuples(st.floats(60, 640), st.floats(60, 440)), st.floats(10, 100))
def test_a_single_label_is_right_beside_its_point(point: tuple[float, float], width: float) -> None:
    place = place_first(label(point, width))
    assert place is not None
    assert place.leader is None
    left, bottom, right, top = place.box
    gap = max(left - point[0], point[0] - right, bottom - point[1], point[1] - top)
    assert 5.0 < gap < 5.0 + LEADER_FROM


def test_a_label_longer_than_the_panel_is_left_out() -> None:
    assert place_first(label(width=701.0)) is None


def test_a_label_is_placed_further_away_with_a_line_if_its_cost_allows_that() -> None:
    """The point is in a niche that is open below, and too narrow for its label."""
    walls = [obstacle(x, 250.0, 25.0) for x in (225, 275, 313, 387, 425, 475)]
    roof = [obstacle(x, 266.0, 9.0) for x in range(209, 500, 18)]
    place = place_first(label(), *walls, *roof)
    assert place is not None
    assert place.leader is not None
    assert place.box[3] <= 225
    assert place_first(label(most=9.0), *walls, *roof) is None


def test_labels_avoid_lines_where_they_can() -> None:
    to_the_right = split_line((350.0, 250.0), (600.0, 250.0))
    place = place_first(label(), lines=to_the_right)
    assert place is not None
    assert not any(overlap(place.box, piece) for piece in to_the_right)


def test_labels_move_away_for_one_that_has_no_free_place() -> None:
    """In any order, one of the three finds its places taken by labels that can be elsewhere."""
    labels = [label((x, 20.0), width, 9.0) for x, width in ((60.0, 80.0), (80.0, 40.0), (40.0, 40.0))]
    assert None not in place_labels(labels, (0.0, 0.0, 220.0, 120.0))


def test_a_label_is_nearer_to_its_own_point_than_to_another() -> None:
    """Right of the point, the preferred side, it would end right at the other point."""
    place = place_first(label(), obstacle(445.0, 250.0, 4.0))
    assert place is not None
    assert place.box[2] < 350


def test_no_labels() -> None:
    assert place_labels([], BOUNDS) == []
