"""Show results in a notebook: the view of the command as HTML, and its CSV as a pandas data frame."""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element

from saevit.comparing.comparison import Comparison
from saevit.errors import need
from saevit.explore.exploration import Exploration
from saevit.notebook import NotebookResult
from saevit.profiling import Profile
from saevit.report.columns import Table, View
from saevit.report.html.elements import element, write_html
from saevit.report.views.compare import view_comparison, write_comparison_csv
from saevit.report.views.explore import explore_csv, view_exploration
from saevit.report.views.listing import write_records_csv
from saevit.report.views.profile import view_profile, write_profile_csv
from saevit.report.views.run import view_run
from saevit.runs.run import Run

if TYPE_CHECKING:
    from pandas import DataFrame

# The view and the CSV of each type of result.
VIEWS: dict[type[NotebookResult], tuple[Callable[[Any], View], Callable[[Any], str]]] = {
    Profile: (view_profile, write_profile_csv),
    Comparison: (lambda found: view_comparison(found, None), write_comparison_csv),
    Exploration: (view_exploration, explore_csv),
    Run: (view_run, lambda found: write_records_csv([found])),
}


def write_result_html(result: NotebookResult) -> str:
    """Return the result, warnings, tables and notes as HTML in the style of the notebook."""
    show, _ = VIEWS[type(result)]
    view = show(result)
    above = [element("p", {}, element("strong", {}, text)) for text in (view.result, *view.warnings) if text]
    return write_html(*above, *map(table_element, view.tables), *(element("p", {}, n) for n in view.notes))


def table_element(table: Table) -> Element:
    """Return a table with its title, and its columns aligned as in a terminal."""
    sides = [{"style": f"text-align: {column.side}"} for column in table.columns]
    heads = [element("th", side, c.heading) for side, c in zip(sides, table.columns, strict=True)]
    rows = [
        element("tr", {}, *(element("td", side, cell) for side, cell in zip(sides, row, strict=True)))
        for row in table.rows
    ]
    head = element("thead", {}, element("tr", {}, *heads))
    return element(
        "table",
        {},
        element("caption", {"style": "text-align: left"}, table.title),
        head,
        element("tbody", {}, *rows),
    )


def make_dataframe(result: NotebookResult) -> "DataFrame":
    """Return the rows of a result's CSV as a data frame.

    Raises:
        MissingPackageError: pandas is not installed.
    """
    pandas = need("pandas")
    _, write = VIEWS[type(result)]
    return pandas.read_csv(io.StringIO(write(result)))
