"""The table of models; every cell carries the raw figure by which it is sorted."""

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from saevit.compare.comparison import Candidate, Comparison
from saevit.report.columns import NONE, Column, Table
from saevit.report.comparison import comparison_columns
from saevit.report.html.markup import element

FIGURES = {  # column of the table: unrounded figure (`comparison_columns`); other columns sort as text
    "params": "param_count",
    "GMACs": "infer_gmacs",
    "peak act.": "peak_bytes",
    "ms/batch": "infer_step_time",
    "images/s": "infer_samples_per_sec",
    "ratio": "ratio",
    "top-1": "top1",
    "images": "top1_images",
    "at px": "top1_img_size",
}


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


def figure_of(column: str) -> str | None:
    """Return the figure that a column shows; None is a text. The ratio's column names the reference."""
    return FIGURES.get("ratio" if column.startswith("ratio to ") else column)


def heading(column: Column[Any]) -> Element:
    """Return a column's head: a button that sorts."""
    kind = "number" if figure_of(column.head) else "text"
    button = element("button", {"type": "button"}, column.heading)
    return element("th", {"scope": "col", "class": f"side-{column.side[0]}", "data-kind": kind}, button)


def model_row(
    comparison: Comparison, c: Candidate, texts: Sequence[str], columns: Sequence[Column[Any]], index: int
) -> Element:
    """Return one model; the first cell selects it, and says why it failed."""
    known = comparison_columns(comparison, c, {})
    name = element("button", {"type": "button", "aria-pressed": "false"}, texts[0])
    reason = [element("span", {"class": "reason"}, c.reason)] if c.reason else []
    cells = [
        element("td", cell_attributes(text, column, known), text)
        for text, column in zip(texts[1:], columns[1:], strict=True)
    ]
    first = element("th", {"scope": "row", "data-value": c.model}, name, *reason)
    marks = {"class": "reference"} if c.model == comparison.reference else {}
    return element("tr", marks | {"data-index": str(index)}, first, *cells)


def cell_attributes(text: str, column: Column[Any], known: Mapping[str, Any]) -> dict[str, str]:
    """Return the sort key, none where the value is unknown, and what the style needs."""
    figure = figure_of(column.head)
    value = known.get(figure) if figure else None if text == NONE else text
    verdict = known["verdict"].replace(" ", "-") if figure == "ratio" and known["verdict"] else ""
    style = f"side-{column.side[0]} {verdict if figure else 'text'}".strip()
    return {"class": style} | ({} if value is None else {"data-value": str(value)})
