"""Lay out a view as lines of text, for a terminal of a given width or for a pipe, and as Markdown.

A line break never splits a name or a number. On a narrow terminal, a long first column gets a separate line,
and texts wrap at spaces. Columns on the right that do not fit are hidden, and a line names them.
"""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

from rich.cells import cell_len

from saevit.report.columns import Table, View
from saevit.text import plural, printable

Kind = Literal["result", "warning", "title", "head", "rule", "row", "note", "blank"]

GAP = "  "  # between columns, and the indent of the cells below a name
LEAST_TEXT = 16  # minimum width of a column that wraps
LONG_NAME = 0.4  # share of the width above which a first column gets a line of its own


@dataclass(frozen=True)
class Line:
    """A line of text with its kind, which decides its colour."""

    text: str
    kind: Kind


def lay_out(view: View, width: int | None = None, *, explain: bool = False) -> list[Line]:
    """Return the lines of a view: result, warnings, tables, notes.

    Args:
        view: what to show.
        width: characters in a line of the terminal; None for a pipe, whose lines have any length.
        explain: whether to show the notes of the tables.
    """
    lines = [Line(text, "result") for text in wrap(view.result, width)]
    for warning in view.warnings:
        lines += [Line(text, "warning") for text in wrap(warning, width, "warning: ")]
    for table in view.tables:
        lines += [Line("", "blank"), *lay_out_table(table, width)] if lines else lay_out_table(table, width)
        if explain:
            lines += [Line(text, "note") for note in table.notes for text in wrap(note, width, "- ")]
    notes = list(view.notes)
    hidden = 0 if explain else sum(len(table.notes) for table in view.tables)
    if hidden:
        notes.append(f"--explain shows {plural(hidden, 'more note')}")
    if notes:
        lines.append(Line("", "blank"))
    return lines + [Line(text, "note") for note in notes for text in wrap(note, width, "- ")]


def write_text(view: View, width: int | None = None, *, explain: bool = False) -> str:
    """Return a view as one text (see `lay_out`)."""
    return "".join(f"{line.text}\n" for line in lay_out(view, width, explain=explain))


def lay_out_table(table: Table, width: int | None = None) -> list[Line]:
    """Return the lines of a table without its notes."""
    lines = [Line(text, "title") for text in wrap(table.title, width)]
    cells = [[printable(cell) for cell in row] for row in table.rows]
    heads = [printable(column.heading) for column in table.columns]
    grid = TextGrid(table, [heads, *cells], None)
    if width is not None and grid.measure() > width:
        names = max(cell_len(row[0]) for row in [heads, *cells])
        is_stacked = names > width * LONG_NAME and not table.columns[0].wraps and len(heads) > 1
        grid = TextGrid(table, [heads, *cells], width, is_stacked=is_stacked)
    lines += grid.lines()
    if hidden := heads[grid.shown :]:
        text = f"hidden: {', '.join(hidden)} (--wide shows all columns)"
        lines += [Line(part, "note") for part in wrap(text, width)]
    return lines


class TextGrid:
    """The heads and cells of a table in columns of chosen widths; columns that do not fit are hidden."""

    def __init__(
        self, table: Table, rows: Sequence[Sequence[str]], width: int | None, *, is_stacked: bool = False
    ) -> None:
        """Choose the width of each column, and the number of columns that are shown."""
        self.table, self.rows, self.is_stacked = table, rows, is_stacked
        self.start = 1 if is_stacked else 0  # first column that is not on a line of its own
        self.shown = len(table.columns)
        self.widths = [max(map(cell_len, cells)) for cells in zip(*rows, strict=True)]
        if width is None:
            return
        heads, *body = rows
        for i, head in enumerate(heads):  # heads are broken at spaces
            cells = [cell_len(row[i]) for row in body]
            self.widths[i] = max([*map(cell_len, head.split(" ")), *cells])
        room = width - (len(GAP) if is_stacked else 0)
        for i in [i for i, column in enumerate(table.columns) if column.wraps]:
            excess = self.measure() - room
            words = [cell_len(word) for row in rows for word in row[i].split()]
            least = min(max([LEAST_TEXT, *words]), self.widths[i])
            self.widths[i] = max(least, self.widths[i] - max(0, excess))
        while self.measure() > room and self.shown > self.start + 1:
            self.shown -= 1

    def measure(self) -> int:
        """Return the width of a line with all shown columns."""
        widths = self.widths[self.start : self.shown]
        return sum(widths) + len(GAP) * (len(widths) - 1)

    def lines(self) -> list[Line]:
        """Return the lines of the heads, the rule and the rows."""
        dashes = GAP.join("-" * width for width in self.widths[self.start : self.shown])
        rule = Line((GAP if self.is_stacked else "") + dashes, "rule")
        heads, *rows = self.rows
        lines = [*(Line(text, "head") for text in self.row_lines(heads)), rule]
        for number, row in enumerate(rows):
            if self.table.total and number == len(rows) - 1:
                lines.append(rule)
            lines += [Line(text, "row") for text in self.row_lines(row)]
        return lines

    def row_lines(self, row: Sequence[str]) -> Iterator[str]:
        """Yield the lines of one row."""
        if self.is_stacked:
            yield row[0]
        broken = [
            [cell] if cell_len(cell) <= size else textwrap.wrap(cell, size, break_long_words=False)
            for cell, size in zip(row, self.widths, strict=True)
        ][self.start : self.shown]
        for parts in zip_longest(*broken, fillvalue=""):
            columns = self.table.columns[self.start : self.shown]
            sizes = self.widths[self.start : self.shown]
            padded = [
                pad(part, size, column.side) for part, size, column in zip(parts, sizes, columns, strict=True)
            ]
            yield ((GAP if self.is_stacked else "") + GAP.join(padded)).rstrip()


def pad(text: str, size: int, side: str) -> str:
    """Pad text with spaces on the left or right to a width of `size` cells."""
    spaces = " " * (size - cell_len(text))
    return spaces + text if side == "right" else text + spaces


def wrap(text: str, width: int | None, mark: str = "") -> list[str]:
    """Wrap printable text at spaces into lines of at most `width`; the first line begins with `mark`."""
    text = mark + printable(text)
    if width is None or cell_len(text) <= width:
        return [text] if text else []
    indent = "  " if mark else ""
    return textwrap.wrap(
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def write_markdown(view: View, *, explain: bool = False) -> str:
    """Return a view with all columns as GitHub Markdown."""
    parts = [printable(view.result)] if view.result else []
    parts += [f"**Warning:** {printable(warning)}" for warning in view.warnings]
    for table in view.tables:
        heads = [column.heading for column in table.columns]
        rules = ["---:" if column.side == "right" else "---" for column in table.columns]
        rows = [[printable(cell).replace("|", "\\|") for cell in row] for row in (heads, *table.rows)]
        lines = ["| " + " | ".join(row) + " |" for row in (rows[0], rules, *rows[1:])]
        parts += [f"**{printable(table.title)}**", "\n".join(lines)]
        parts += (
            ["\n".join(f"- {printable(note)}" for note in table.notes)] if explain and table.notes else []
        )
    parts += ["\n".join(f"- {printable(note)}" for note in view.notes)] if view.notes else []
    return "\n\n".join(parts) + "\n"
