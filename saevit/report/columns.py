"""Tables defined by columns. A column has the text of a cell and the unrounded value for CSV, JSON and HTML.

Columns without `text` are not in tables, and columns without `key` are not in CSV and JSON. The columns of a
table are sorted by importance, because a narrow terminal hides columns on the right.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Generic, Literal, TypeVar

from saevit.runs.record import SCHEMA_VERSION
from saevit.text import printable

Row = TypeVar("Row")
Other = TypeVar("Other")
Side = Literal["left", "right"]

NONE = "-"  # text of an unknown value
MOST_NOTES = 3  # of a view
FORMULA = ("=", "+", "-", "@")  # first characters of a formula in spreadsheets


@dataclass(frozen=True)
class Column(Generic[Row]):
    """One column of a view: its head and text in tables, and its name and value in files."""

    head: str = ""
    text: Callable[[Row], str | None] | None = None  # of the cell; None is shown as `-`
    side: Side = "left"
    unit: str = ""
    key: str = ""  # timm's column name where timm has one
    value: Callable[[Row], Any] = lambda row: None
    wraps: bool = False  # whether the text may wrap at spaces

    @property
    def heading(self) -> str:
        """Return the head with the unit."""
        return f"{self.head} ({self.unit})" if self.unit else self.head

    def cell(self, row: Row) -> str:
        """Return the text of the cell of a row."""
        text = self.text(row) if self.text else None
        return NONE if text is None else text

    def via(self, read: Callable[[Other], Row | None]) -> "Column[Other]":
        """Return the column for outer rows, from which `read` gets a row of this column, or None."""

        def compose(function: Callable[[Row], Any]) -> Callable[[Other], Any]:
            return lambda row: None if (inner := read(row)) is None else function(inner)

        text = compose(self.text) if self.text else None
        return Column(self.head, text, self.side, self.unit, self.key, compose(self.value), self.wraps)


def number_column(
    head: str, key: str, read: Callable[[Row], float | None], form: Callable[[Any], str], divisor: float = 1
) -> Column[Row]:
    """Return a right-aligned column of numbers, which `form` writes in tables; None is an unknown number.

    In files, the number is divided by `divisor`, for example by 1e6 for timm's `param_count`.
    """

    def value(row: Row) -> float | None:
        number = read(row)
        return number if number is None or divisor == 1 else number / divisor

    return Column(
        head,
        lambda row: None if (number := read(row)) is None else form(number),
        "right",
        key=key,
        value=value,
    )


def text_column(
    head: str, key: str, read: Callable[[Row], str | None], side: Side = "left", *, wraps: bool = False
) -> Column[Row]:
    """Return a column whose text is also its value in files."""
    return Column(head, read, side, key=key, value=read, wraps=wraps)


def attribute_columns(*paths: str, **renamed: str) -> tuple[Column[Any], ...]:
    """Return columns for files only, each with the value of an attribute such as `share.hits`.

    The key of a column is the name of its attribute, or the keyword: `right="share.hits"`.
    """
    named = {path.rpartition(".")[2]: path for path in paths} | renamed
    return tuple(Column(key=key, value=attrgetter(path)) for key, path in named.items())


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of texts with its columns, and with notes that --explain shows."""

    title: str
    columns: tuple[Column[Any], ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    total: bool = False  # the last row is the sum of the others
    values: tuple[tuple[Any, ...], ...] = ()  # unrounded values of the cells; empty for text tables

    def without_empty_columns(self) -> "Table":
        """Return the table without the columns that have no value in any row."""
        return self._with_columns(
            [i for i in range(len(self.columns)) if any(row[i] != NONE for row in self.rows)]
        )

    def without_column(self, head: str) -> "Table":
        """Return the table without one column."""
        return self._with_columns([i for i, column in enumerate(self.columns) if column.head != head])

    def _with_columns(self, places: Sequence[int]) -> "Table":
        return replace(
            self,
            columns=tuple(self.columns[i] for i in places),
            rows=tuple(tuple(row[i] for i in places) for row in self.rows),
            values=tuple(tuple(row[i] for i in places) for row in self.values),
        )


@dataclass(frozen=True, kw_only=True)
class View:
    """The output of a command: the result in one or two sentences, warnings, tables, and a few notes."""

    result: str = ""
    warnings: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()  # always shown, because they are needed to read the tables

    def __post_init__(self) -> None:
        """Check the number of notes."""
        assert len(self.notes) <= MOST_NOTES, self.notes


def text_table(
    title: str, heads: Iterable[str], rows: Iterable[Sequence[str]], notes: Iterable[str] = ()
) -> Table:
    """Return the table of rows of text.

    The first character of a head may set the style of its column: `>` aligns it right, and `~` lets it wrap.
    """
    columns = [
        Column[Any](head.lstrip(">~"), side="right" if head[:1] == ">" else "left", wraps=head[:1] == "~")
        for head in heads
    ]
    return Table(title=title, columns=tuple(columns), rows=tuple(map(tuple, rows)), notes=tuple(notes))


def make_table(
    title: str,
    columns: Iterable[Column[Row]],
    rows: Iterable[Row],
    notes: Iterable[str] = (),
    *,
    total: bool = False,
) -> Table:
    """Return the table of rows; with `total`, the last row is the sum of the others."""
    shown, rows = tuple(column for column in columns if column.text), tuple(rows)
    return Table(
        title=title,
        columns=shown,
        rows=tuple(tuple(column.cell(row) for column in shown) for row in rows),
        notes=tuple(notes),
        total=total,
        values=tuple(tuple(column.value(row) for column in shown) for row in rows),
    )


def row_values(columns: Iterable[Column[Row]], row: Row) -> dict[str, Any]:
    """Return the unrounded values of a row by their keys."""
    return {column.key: column.value(row) for column in columns if column.key}


def write_csv(columns: Sequence[Column[Row]], rows: Iterable[Row]) -> str:
    """Return rows as CSV. Text is escaped, so that spreadsheets do not read it as a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.key for column in columns if column.key])
    for row in rows:
        values = row_values(columns, row).values()
        writer.writerow(
            "'" * v.startswith(FORMULA) + printable(v) if isinstance(v, str) else v for v in values
        )
    return text.getvalue()


def write_json(data: Mapping[str, Any]) -> str:
    """Return a JSON object with the version of its schema as the first key."""
    versioned = {"schema_version": SCHEMA_VERSION} | dict(data)
    return json.dumps(finite(versioned), indent=2, allow_nan=False) + "\n"


def finite(data: Any) -> Any:
    """Return nested data with None in place of NaN and infinity, which JSON does not have."""
    if isinstance(data, dict):
        return {name: finite(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def size_value(img_size: tuple[int, int]) -> int | str:
    """Return an input size as timm writes it: one side of a square, else `height,width`."""
    height, width = img_size
    return height if height == width else f"{height},{width}"
