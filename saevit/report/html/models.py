"""The table of models; every cell carries the raw figure by which it is sorted."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from saevit.compare.comparison import Candidate, Comparison
from saevit.report.columns import NONE, Column, Table
from saevit.report.html.markup import element
from saevit.runs.statistics import Ratio


def models_table(comparison: Comparison, table: Table) -> Element:
    """Return the table, rows in the comparison's order; the script sorts and filters them."""
    rows = zip(comparison.candidates, table.rows, strict=True)
    return element(
        "table",
        {"id": "models"},
        element("caption", {"class": "unseen"}, table.title),
        element("thead", {}, element("tr", {}, *map(heading, table.columns))),
        element(
            "tbody",
            {},
            *(model_row(comparison, c, texts, table.columns, i) for i, (c, texts) in enumerate(rows)),
        ),
    )


def is_number(column: Column[Candidate]) -> bool:
    """Return whether a column sorts by its unrounded value and not by its text."""
    return column.side == "right" or column.key == "ratio"


def heading(column: Column[Candidate]) -> Element:
    """Return a column's head: a button that sorts."""
    kind = "number" if is_number(column) else "text"
    button = element("button", {"type": "button"}, column.heading)
    return element("th", {"scope": "col", "class": f"side-{column.side[0]}", "data-kind": kind}, button)


def model_row(
    comparison: Comparison,
    c: Candidate,
    texts: Sequence[str],
    columns: Sequence[Column[Candidate]],
    index: int,
) -> Element:
    """Return one model; the first cell selects it, and says why it failed."""
    name = element("button", {"type": "button", "aria-pressed": "false"}, texts[0])
    reason = [element("span", {"class": "reason"}, c.reason)] if c.reason else []
    cells = [
        element("td", cell_attributes(text, column, c, comparison.ratio(c)), text)
        for text, column in zip(texts[1:], columns[1:], strict=True)
    ]
    first = element("th", {"scope": "row", "data-value": c.model}, name, *reason)
    marks = {"class": "reference"} if c.model == comparison.reference else {}
    return element("tr", marks | {"data-index": str(index)}, first, *cells)


def cell_attributes(
    text: str, column: Column[Candidate], c: Candidate, ratio: Ratio | None
) -> dict[str, str]:
    """Return the sort key, none where the value is unknown, and what the style needs."""
    numeric = is_number(column)
    value = column.value(c) if numeric else None if text == NONE else text
    verdict = ratio.verdict.replace(" ", "-") if column.key == "ratio" and ratio else ""
    style = f"side-{column.side[0]} {verdict if numeric else 'text'}".strip()
    return {"class": style} | ({} if value is None else {"data-value": str(value)})
