"""What the user sees: tables on stdout and a progress bar on stderr."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from saevit.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress

    from saevit.report.columns import Table

GAP = "  "  # between columns


def show_tables(tables: "Iterable[Table]") -> None:
    """Print tables: drawn with rich on a terminal, else as plain text."""
    for table in tables:
        if sys.stdout.isatty():
            draw_table(table)
        else:
            sys.stdout.write(format_table(table) + "\n")


def format_table(table: "Table") -> str:
    """Return a table as aligned text without colours, independent of the terminal's width."""
    lines = [tuple(map(printable, line)) for line in ([c.heading for c in table.columns], *table.rows)]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    marks = [">" if column.side == "right" else "" for column in table.columns]
    layout = GAP.join(f"{{:{mark}{width}}}" for mark, width in zip(marks, widths, strict=True))
    head, *body = [layout.format(*line).rstrip() for line in lines]
    rule = GAP.join("-" * width for width in widths)
    if table.total:
        body.insert(len(body) - 1, rule)
    notes = [f"* {printable(note)}" for note in table.notes]
    return "\n".join([printable(table.title), "", head, rule, *body, *notes, ""])


def draw_table(table: "Table") -> None:
    """Draw a table with rich."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable

    drawn = RichTable(
        title=printable(table.title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD
    )
    for column in table.columns:
        drawn.add_column(printable(column.heading), justify=column.side, overflow="fold")
    for i, row in enumerate(table.rows):
        drawn.add_row(*map(printable, row), end_section=table.total and i == len(table.rows) - 2)
    console = Console(highlight=False, markup=False)
    console.print(drawn)
    for note in table.notes:
        console.print(f"  • {printable(note)}", style="dim")
    console.print()


@contextmanager
def show_progress() -> Iterator[Callable[[str, float | None, float | None], None]]:
    """Yield a function (text, share done, seconds left) that moves a progress bar if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield lambda text, done, eta: None
        return
    with make_bar() as bar:
        task = bar.add_task("", total=None, left="")

        def tell(text: str, done: float | None, eta: float | None) -> None:
            left = "" if eta is None else f"{eta:.0f} s left"
            bar.update(
                task,
                description=printable(text),
                total=None if done is None else 1.0,
                completed=done or 0.0,
                left=left,
            )

        yield tell


def make_bar() -> "Progress":
    """Return a bar that disappears when the work is done."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[left]}"),
        console=Console(stderr=True),
        transient=True,
    )
