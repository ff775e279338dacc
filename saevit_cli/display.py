"""Show output to the user: views on stdout, single lines and a progress bar on stderr."""

import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from saevit.measure.progress import NextStep
from saevit.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress

    from saevit.report.columns import View

Format = Literal["table", "markdown", "csv", "json"]
COLOURS = {
    "result": "bold",
    "warning": "yellow",
    "title": "bold",
    "head": "bold",
    "rule": "dim",
    "note": "dim",
}


@dataclass(frozen=True)
class OutputStyle:
    """The output options that every command has."""

    format: Format = "table"
    wide: bool = False
    explain: bool = False
    quiet: bool = False
    verbose: bool = False


DEFAULT = OutputStyle()
STYLE = ContextVar("STYLE", default=DEFAULT)  # of the running command


@contextmanager
def use_style(style: OutputStyle) -> Iterator[None]:
    """Use an output style while the block runs."""
    token = STYLE.set(style)
    try:
        yield
    finally:
        STYLE.reset(token)


def show(view: "View") -> None:
    """Print a view on stdout: in colour at the width of a terminal, or in full into a file or a pipe."""
    from saevit.report.screen import lay_out, write_markdown, write_text

    style = STYLE.get()
    explain, is_wide = style.explain or style.verbose, style.wide or style.verbose
    if style.quiet:
        view = replace(view, notes=(), tables=tuple(replace(table, notes=()) for table in view.tables))
    if style.format == "markdown":
        sys.stdout.write(write_markdown(view, explain=explain))
    elif not sys.stdout.isatty():
        sys.stdout.write(write_text(view, explain=explain))
    else:
        from rich.console import Console

        console = Console(highlight=False, markup=False, soft_wrap=True)
        width = None if is_wide else shutil.get_terminal_size().columns
        for line in lay_out(view, width, explain=explain):
            console.print(line.text, style=COLOURS.get(line.kind))


def write_line(text: str) -> None:
    """Write one line on stderr. Control characters are escaped; on a terminal the line wraps at spaces."""
    text = printable(text)
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns
        text = "\n".join(textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False))
    sys.stderr.write(f"{text}\n")  # typer.echo would ignore an ASCII encoding of stderr


def say(text: str) -> None:
    """Write one line on stderr, unless --quiet is given."""
    if not STYLE.get().quiet:
        write_line(text)


def warn(text: str) -> None:
    """Write a warning on stderr."""
    write_line(f"warning: {text}")


def complain(text: str) -> None:
    """Write an error on stderr as one line."""
    write_line("error: " + " ".join(text.split()))


@contextmanager
def show_progress() -> Iterator[Callable[[NextStep], None]]:
    """Yield a function that shows a step of the work on a progress bar, if stderr is a terminal."""
    if not sys.stderr.isatty() or STYLE.get().quiet:
        yield lambda step: None
        return
    with make_bar() as bar:
        task = bar.add_task("loading", total=None, left="")

        def show_step(step: NextStep) -> None:
            bar.update(
                task,
                description=printable(step.text),
                total=None if step.done is None else 1.0,
                completed=step.done or 0.0,
                left="" if step.eta is None else f"{write_duration(step.eta)} left",
            )

        yield show_step


def write_duration(seconds: float) -> str:
    """Write a duration in seconds (below 100 s), minutes (below 100 min) or hours."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def make_bar() -> "Progress":
    """Return a progress bar on stderr that disappears when the work is done."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[left]}"),
        console=Console(stderr=True),
        redirect_stdout=sys.stdout.isatty(),  # lines for a file or a pipe do not go to the terminal
        transient=True,
    )
