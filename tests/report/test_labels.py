"""Names never overlap one another, points or lines to points, and never leave their bounds."""

from dataclasses import replace
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from saevit.report.places import LEADER_FROM, Box, Label, Place, Surroundings, pieces
from saevit.report.scatter.labels import place

BOUNDS = (0.0, 0.0, 700.0, 500.0)
ANYWHERE = 1000.0


@st.composite
def panels(draw: st.DrawFn) -> tuple[list[Label], Surroundings]:
    """Draw points on a coarse grid, so that equal and touching ones are frequent; names of any length."""
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
    lines = pieces((0.0, 0.0), draw(st.tuples(st.floats(10, 700), st.floats(10, 500))))
    return labels, Surroundings(bounds=BOUNDS, markers=[marker_of(label) for label in labels], lines=lines)


def marker_of(label: Label) -> Box:
    (x, y), r = label.point, label.radius
    return x - r, y - r, x + r, y + r


def overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def lone(label: Label) -> Place | None:
    (found,) = place([label], Surroundings(bounds=BOUNDS, markers=[marker_of(label)]))
    return found


@settings(max_examples=40, deadline=None)
@given(panels())
def test_no_name_overlaps_a_name_a_point_or_the_edge(panel: tuple[list[Label], Surroundings]) -> None:
    labels, around = panel
    placed = place(labels, around)
    assert len(placed) == len(labels)
    boxes = [found.box for found in placed if found]
    assert not any(overlap(a, b) for a, b in combinations(boxes, 2))
    assert not any(overlap(box, marker) for box in boxes for marker in around.markers)
    assert all(min(box[:2]) >= 0 and box[2] <= 700 and box[3] <= 500 for box in boxes)


@settings(max_examples=40, deadline=None)
@given(panels())
def test_no_line_to_a_point_crosses_another_name_or_point(panel: tuple[list[Label], Surroundings]) -> None:
    labels, around = panel
    placed = place(labels, around)
    for number, found in enumerate(placed):
        if found and found.leader:
            way = pieces(*found.leader)
            others = [other.box for i, other in enumerate(placed) if other and i != number]
            assert not any(overlap(piece, box) for piece in way for box in (*others, *around.markers))


@settings(max_examples=40, deadline=None)
@given(panels())
def test_the_same_points_give_the_same_figure(panel: tuple[list[Label], Surroundings]) -> None:
    assert place(*panel) == place(*panel)


@given(st.tuples(st.floats(60, 640), st.floats(60, 440)), st.floats(10, 100))
def test_a_lone_name_stands_right_beside_its_point(point: tuple[float, float], width: float) -> None:
    found = lone(Label(point=point, radius=5.0, size=(width, 20.0), most=ANYWHERE))
    assert found is not None
    assert found.leader is None
    left, bottom, right, top = found.box
    gap = max(left - point[0], point[0] - right, bottom - point[1], point[1] - top)
    assert 5.0 < gap < 5.0 + LEADER_FROM


def test_a_name_longer_than_the_panel_is_left_out() -> None:
    assert lone(Label(point=(350.0, 250.0), radius=5.0, size=(701.0, 20.0), most=ANYWHERE)) is None


def test_a_name_goes_further_off_with_a_line_if_that_is_worth_it() -> None:
    """The point lies in a niche that is open below, and too narrow for its name."""
    label = Label(point=(350.0, 250.0), radius=5.0, size=(80.0, 20.0), most=ANYWHERE)
    niche = [(200.0, 225.0, 338.0, 275.0), (362.0, 225.0, 500.0, 275.0), (200.0, 257.0, 500.0, 275.0)]
    around = Surroundings(bounds=BOUNDS, markers=[marker_of(label), *niche])
    (found,) = place([label], around)
    assert found is not None
    assert found.leader is not None
    assert found.box[3] <= 225
    assert place([replace(label, most=9.0)], around) == [None]


def test_names_avoid_lines_where_they_can() -> None:
    label = Label(point=(350.0, 250.0), radius=5.0, size=(80.0, 20.0), most=ANYWHERE)
    to_the_right = pieces((350.0, 250.0), (600.0, 250.0))
    (found,) = place([label], Surroundings(bounds=BOUNDS, markers=[marker_of(label)], lines=to_the_right))
    assert found is not None
    assert not any(overlap(found.box, piece) for piece in to_the_right)


def test_room_is_made_for_a_name_that_comes_too_late() -> None:
    """Greedy in any order, one of the three finds its places taken by names that could stand elsewhere."""
    labels = [
        Label(point=(x, 20.0), radius=5.0, size=(width, 20.0), most=9.0)
        for x, width in ((60.0, 80.0), (80.0, 40.0), (40.0, 40.0))
    ]
    around = Surroundings(bounds=(0.0, 0.0, 220.0, 120.0), markers=[marker_of(label) for label in labels])
    assert None not in place(labels, around)


def test_a_name_stands_nearer_to_its_own_point_than_to_another() -> None:
    """Right of the point, the preferred side, it would end right at the other point."""
    label = Label(point=(350.0, 250.0), radius=5.0, size=(80.0, 20.0), most=ANYWHERE)
    other = (441.0, 246.0, 449.0, 254.0)
    (found,) = place([label], Surroundings(bounds=BOUNDS, markers=[marker_of(label), other]))
    assert found is not None
    assert found.box[2] < 350


def test_nothing_to_name() -> None:
    assert place([], Surroundings(bounds=BOUNDS, markers=[])) == []
