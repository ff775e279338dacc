"""Where results go: tables to stdout, files by rename, everything else to stderr."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from saevit.errors import OptionError, SaevitError, nearest
from saevit.files import file_type, replace_file
from saevit.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress

    from saevit.report.columns import Table
    from saevit.runs.profile import Timings
    from saevit.runs.store import Writer

Output = tuple[str, str | Path | None, Callable[[], str | Callable[[Path], object]]]  # see write_all
Named = tuple[str, str | Path | None]  # an option and its file

STDOUT = "-"
GAP = "  "
FAILED = 1
INTERRUPTED = 130


def check_targets(
    outputs: Iterable[Named],
    *,
    overwrite: bool,
    inputs: Iterable[Named] = (),
    endings: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
) -> None:
    """Refuse, before any work, a file that cannot or should not be written, and one that has two roles.

    Args:
        outputs: each option with its file; None is not asked for, `-` is stdout.
        overwrite: may files be replaced that exist?
        inputs: each option with a file or folder that is read.
        endings: what an option's file ends with, where that matters; such a one cannot go to stdout.

    Raises:
        OptionError: the first one that is found.
    """
    outputs = list(outputs)
    for option, target in outputs:
        if target is not None and (str(target) != STDOUT or option in endings):
            check_target(option, Path(target), overwrite=overwrite, endings=endings.get(option, ()))
    check_roles(outputs, inputs)


def check_roles(outputs: Iterable[Named], inputs: Iterable[Named]) -> None:
    """Refuse two outputs in one file, whatever its names, and an output that is read or lies among images.

    Raises:
        OptionError: names both roles.
    """
    written: dict[object, tuple[str, str | Path]] = {}
    for option, target in outputs:
        if target is None:
            continue
        key = _identity(target)
        if key in written and (key == STDOUT or not Path(target).is_char_device()):
            where = "stdout" if key == STDOUT else target
            both = f"{written[key][0]} and {option}"
            raise OptionError(f"{both} cannot both go to {where}: give one of them a file")
        written[key] = option, target
    for option, source in inputs:
        if source is not None:
            pictures = [named for named in written.values() if _is_picture_in(source, named[1])]
            if found := written.get(_identity(source)) or next(iter(pictures), None):
                raise OptionError(f"{found[0]} {found[1]}: {option} {source} is read, write elsewhere")


def _is_picture_in(source: str | Path, target: str | Path) -> bool:
    """Tell whether a file would be one more image in a folder of images."""
    if not Path(source).is_dir():
        return False
    from saevit.images import ENDINGS

    is_inside = Path(os.path.realpath(target)).is_relative_to(os.path.realpath(source))
    return is_inside and Path(target).suffix.lower() in ENDINGS


def check_target(option: str, path: Path, *, overwrite: bool, endings: tuple[str, ...]) -> None:
    """Refuse a file that cannot or should not be written; devices and pipes can."""
    try:
        kind = file_type(path)
    except OptionError as error:
        raise OptionError(f"{option} {error}: choose another file") from error
    if kind == "folder":
        raise OptionError(f"{option} {path} is a directory: name a file in it, such as {path / 'profile'}")
    if endings and path.suffix not in endings:
        raise OptionError(f"{option} {path} has no known ending: {nearest(path.suffix, endings)}")
    if kind == "other":
        if path.is_block_device() or not os.access(path, os.W_OK):
            raise OptionError(f"{option} {path} is a device that is not written to: choose a file")
        return
    folder = path.resolve().parent if path.is_symlink() else path.parent
    if not folder.is_dir():
        raise OptionError(f"{option} {path}: the folder {folder} does not exist, make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OptionError(f"{option} {path}: the folder {folder} cannot be written to, choose another")
    if kind == "file" and not overwrite:
        raise OptionError(f"{option} {path} exists: choose another name, or add --overwrite")


def _identity(target: str | Path) -> object:
    """Return what all names of a file share: its inode, or the place where it would be made."""
    if str(target) == STDOUT:
        return STDOUT
    try:
        found = Path(target).stat()
        return found.st_dev, found.st_ino
    except (OSError, ValueError):
        return os.path.realpath(target)


def say(text: str) -> None:
    """Write one line on stderr; control characters of foreign text are escaped."""
    sys.stderr.write(f"{printable(text)}\n")  # typer.echo writes UTF-8 where the user says ASCII


def warn(text: str) -> None:
    """Say on stderr what is not used, and why."""
    say(f"warning: {text}")


def write_text(target: str, text: str) -> None:
    """Write to stdout, or to a file that appears only when it is complete."""
    if target == STDOUT:
        sys.stdout.write(text)
    else:
        data = text.encode("utf-8", "backslashreplace")  # names of files may be no Unicode
        write_file(Path(target), lambda path: path.write_bytes(data))


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file that appears only when it is complete, and say so.

    Raises:
        OptionError: the disk or the folder refuses.
    """
    replace_file(path, write)
    say(f"wrote {path}")


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
            say(f"error: {option}: {' '.join(str(error).split())}")
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
    rows = [tuple(map(printable, row)) for row in table.rows]
    lines = [tuple(printable(column.heading) for column in table.columns), *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    sides = [column.side for column in table.columns]

    def align(line: tuple[str, ...]) -> str:
        cells = zip(line, widths, sides, strict=True)
        return GAP.join(
            text.rjust(n) if side == "right" else text.ljust(n) for text, n, side in cells
        ).rstrip()

    rule = GAP.join("-" * width for width in widths)
    body = [align(line) for line in rows]
    if table.total:
        body.insert(len(body) - 1, rule)
    notes = [f"* {printable(note)}" for note in table.notes]
    return "\n".join([printable(table.title), "", align(lines[0]), rule, *body, *notes, ""])


def draw(table: "Table") -> None:
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
def kept(folder: Path | None, *, wanted: bool) -> "Iterator[Writer | None]":
    """Yield a writer for the samples of a run, if it has any, and say at the end where they are.

    A folder that the user names has to work; if the usual one does not, the run goes on without.
    """
    from saevit.runs.store import Writer

    if not wanted:
        yield None
        return
    try:
        writer = Writer(folder)
    except OptionError as error:
        if folder is not None:
            raise
        warn(f"samples are not kept: {error}")
        yield None
        return
    with writer:
        yield writer
        if not writer.is_empty:
            say(f"kept {writer.path}")


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
                task,
                description=printable(text),
                total=None if done is None else 1.0,
                completed=done or 0.0,
                left=left,
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
