"""Where results go: tables to stdout, files by rename, everything else to stderr."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from saevit.errors import OptionError, SaevitError, nearest
from saevit.files import replace_file
from saevit.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress

    from saevit.report.tables import Table
    from saevit.results.profile import Timings
    from saevit.results.store import Writer

Output = tuple[str, str | Path | None, Callable[[], str | Callable[[Path], object]]]  # see write_all

STDOUT = "-"
GAP = "  "
FAILED = 1
INTERRUPTED = 130


def check_target(
    option: str, target: str | Path | None, *, overwrite: bool, endings: tuple[str, ...] = ()
) -> None:
    """Refuse, before any work, a file that cannot or should not be written.

    Raises:
        OptionError: a directory, a missing or closed folder, a file that exists, an unknown ending.
    """
    if target is None or target == STDOUT:
        return
    path = Path(target)
    if path.is_dir():
        raise OptionError(f"{option} {target} is a directory: name a file in it, such as {path / 'profile'}")
    if endings and path.suffix not in endings:
        raise OptionError(f"{option} {target} has no known ending: {nearest(path.suffix, endings)}")
    if not path.parent.is_dir():
        raise OptionError(f"{option} {target}: the folder {path.parent} does not exist, make it first")
    if not os.access(path.parent, os.W_OK):
        raise OptionError(f"{option} {target}: the folder {path.parent} cannot be written to, choose another")
    if path.is_file() and not overwrite:
        raise OptionError(f"{option} {target} exists: choose another name, or add --overwrite")


def check_one_stdout(**targets: str | None) -> None:
    """Refuse two outputs on stdout."""
    names = [f"--{name}" for name, target in targets.items() if target == STDOUT]
    if len(names) > 1:
        raise OptionError(f"{' and '.join(names)} cannot both go to stdout: give one of them a file")


def write_text(target: str, text: str) -> None:
    """Write to stdout, or to a file that appears only when it is complete."""
    if target == STDOUT:
        sys.stdout.write(text)
    else:
        write_file(Path(target), lambda path: path.write_text(text, encoding="utf-8"))


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file that appears only when it is complete, and say so.

    Raises:
        OptionError: the disk or the folder refuses.
    """
    replace_file(path, write)
    typer.echo(f"wrote {path}", err=True)


def write_all(*outputs: Output) -> bool:
    """Write every output that is asked for, whatever becomes of the others. Were all of them written?

    What nobody foresaw is raised when all the others are written.

    Args:
        outputs: the option that asks for it, its file (None: not asked for), and what makes its text, or
            else what fills a file; data before pictures. A line on stderr names each that fails.
    """
    sys.stdout.flush()  # what was shown is not lost, whatever happens
    done, unforeseen = True, []
    for option, target, make in outputs:
        try:
            if target is None:
                continue
            content = make()
            if isinstance(content, str):
                write_text(str(target), content)
            else:
                write_file(Path(target), content)
        except SaevitError as error:
            typer.echo(f"error: {option}: {printable(' '.join(str(error).split()))}", err=True)
            done = False
        except Exception as error:
            unforeseen.append(error)
    if unforeseen:
        raise unforeseen[0]
    return done


def show(tables: "Iterable[Table]") -> None:
    """Print tables: drawn on a terminal, plain where something reads them."""
    for table in tables:
        if sys.stdout.isatty():
            draw(table)
        else:
            sys.stdout.write(plain(table) + "\n")


def plain(table: "Table") -> str:
    """Write a table as aligned text without colours, the same on every terminal width."""
    lines = [tuple(name for name, _ in table.columns), *table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    sides = [side for _, side in table.columns]

    def align(line: tuple[str, ...]) -> str:
        cells = zip(line, widths, sides, strict=True)
        return GAP.join(text.rjust(n) if side == "r" else text.ljust(n) for text, n, side in cells).rstrip()

    rule = GAP.join("-" * width for width in widths)
    body = [align(line) for line in table.rows]
    if table.total:
        body.insert(len(body) - 1, rule)
    notes = [f"* {note}" for note in table.notes]
    return "\n".join([table.title, "", align(lines[0]), rule, *body, *notes, ""])


def draw(table: "Table") -> None:
    """Draw a table with rich."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable

    drawn = RichTable(title=table.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for name, side in table.columns:
        drawn.add_column(name, justify="right" if side == "r" else "left", overflow="fold")
    for i, row in enumerate(table.rows):
        drawn.add_row(*row, end_section=table.total and i == len(table.rows) - 2)
    console = Console(highlight=False, markup=False)
    console.print(drawn)
    for note in table.notes:
        console.print(f"  • {note}", style="dim")
    console.print()


@contextmanager
def kept(folder: Path | None, *, wanted: bool) -> "Iterator[Writer | None]":
    """Yield a writer for the samples of a run, if it has any, and say at the end where they are.

    A folder that the user names has to work; if the usual one does not, the run goes on without.
    """
    from saevit.results.store import Writer

    if not wanted:
        yield None
        return
    try:
        writer = Writer(folder)
    except OptionError as error:
        if folder is not None:
            raise
        typer.echo(f"warning: samples are not kept: {error}, by --store", err=True)
        yield None
        return
    with writer:
        yield writer
        if not writer.is_empty:
            typer.echo(f"kept {writer.path}", err=True)


def exit_code(timings: "Timings | None", *, failed: bool) -> int:
    """130 if the user interrupted, 1 if something that was asked for failed."""
    if timings is not None and timings.interrupted:
        return INTERRUPTED
    return FAILED if failed else 0


@contextmanager
def progress() -> Iterator[Callable[[str, float | None, float | None], None]]:
    """Yield a function (text, share done, seconds left) that moves a bar on stderr, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda text, done, eta: None
        return
    with progress_bar() as bar:
        task = bar.add_task("", total=None, left="")

        def tell(text: str, done: float | None, eta: float | None) -> None:
            left = "" if eta is None else f"{eta:.0f} s left"
            bar.update(
                task, description=text, total=None if done is None else 1.0, completed=done or 0.0, left=left
            )

        yield tell


def progress_bar() -> "Progress":
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
