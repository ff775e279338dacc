"""The largest value of a key within a budget, as a table."""

from saevit.explore.solve import solve
from saevit.report.columns import row_values
from saevit.report.views.solve import view_solution
from saevit.variant import parse
from tests.explore.spaces import MIDDLE


def test_a_solution_shows_what_fits_and_what_does_not() -> None:
    view, columns, rows = view_solution(solve(MIDDLE, "depths3", 10**9, (224, 224)))
    (table,) = view.tables
    assert view.result.startswith("The largest depths3 within 1 GMACs is ")
    assert [row[2] for row in table.rows] == ["fits", "too much", "as given"]
    assert [row_values(columns, row)["is"] for row in rows] == ["fits", "too much", "as given"]
    assert parse(table.rows[0][0]).depths[2] + 1 == parse(table.rows[1][0]).depths[2]
