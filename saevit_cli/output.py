"""Write results: tables to stdout, files by rename, all other lines to stderr.

Every command creates `Outputs` before its work starts, so that invalid files are refused early. At the end it
shows the view and writes the files:

    outputs = Outputs({"--json": json, "--plot": plot}, overwrite=overwrite, endings={"--plot": FORMATS})
    with outputs.measuring(store) as (writer, on_progress):
        found = profile(..., on_progress=on_progress, writer=writer)
    outputs.show(view_profile(found))
    is_written = outputs.write({
        "--json": lambda: write_profile_json(found),
        "--plot": lambda: breakdown_figure(found),
    }, found.run)
    return exit_code(failed=not is_written, interrupted=...)

The page of --report is made from the view, the data and the figure. A command returns its exit code.
"""

import os
import shlex
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from saevit.errors import OptionError, SaevitError, nearest
from saevit.files import file_type, replace_file
from saevit_cli import display

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from saevit.measure.progress import NextStep
    from saevit.report.columns import View
    from saevit.runs.run import Run
    from saevit.runs.store import Writer

Target = str | Path
Named = tuple[str, Target | None]  # an option and its file
Content = Callable[[], "str | Figure | Callable[[Path], object]"]  # returns a text, a figure, or a writer

STDOUT = "-"
DATA, PICTURES = ("--json", "--csv"), ("--plot", "--output")  # options whose contents the page includes
FAILED = 1
INTERRUPTED = 130


class Outputs:
    """The output files of a command by option; `-` is stdout."""

    def __init__(
        self,
        targets: Mapping[str, Target | None],
        *,
        overwrite: bool,
        inputs: Iterable[Named] = (),
        endings: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
        in_new_folders: Container[str] = (),
    ) -> None:
        """Check all output files.

        Args:
            targets: option to output file; None is an option that was not given.
            overwrite: whether existing files may be replaced.
            inputs: options with the files or folders that they read.
            endings: option to the allowed endings of its file, which cannot be stdout.
            in_new_folders: options whose file may be in a folder that does not exist yet.

        Raises:
            OptionError: a file cannot be written, exists, or is used by two options.
        """
        targets = choose_stdout(targets)
        self.targets = {option: target for option, target in targets.items() if target is not None}
        endings = {"--report": (".html",), **endings}
        self._view: View  # the view of the last `show`
        self._later: list[str] = []  # lines to write below the tables
        for option, target in self.targets.items():
            if str(target) != STDOUT or option in endings:
                path = Path(target)
                check_target(option, path, overwrite=overwrite, endings=endings.get(option, ()))
                check_folder(option, path, is_new=option in in_new_folders)
        check_roles(self.targets.items(), inputs)

    @property
    def use_stdout(self) -> bool:
        """Tell whether data go to stdout; tables are then not printed."""
        return STDOUT in self.targets.values()

    def show(self, view: "View") -> None:
        """Print a view (only its warnings if data go to stdout), and then the path of the stored run."""
        self._view = view
        if not self.use_stdout:
            display.show(view)
        else:
            for warning in view.warnings:
                display.warn(warning)
        while self._later:
            display.say(self._later.pop(0))

    @contextmanager
    def kept(self, folder: Path | None, *, wanted: bool) -> "Iterator[Writer | None]":
        """Yield a writer for the samples of a run, or None. The path of the run is printed below the tables.

        If the default folder cannot be used, the run is not stored. A folder that the user named must be
        usable.
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
            display.warn(f"samples are not stored: {error}")
            yield None
            return
        with writer:
            try:
                yield writer
            except BaseException:
                if not writer.is_empty:  # there will be no table
                    display.say(f"stored {writer.path}")
                raise
            if not writer.is_empty:
                self._later.append(f"stored {writer.path}")

    @contextmanager
    def measuring(
        self, store: Path | None, *, wanted: bool = True
    ) -> "Iterator[tuple[Writer | None, Callable[[NextStep], None]]]":
        """Yield the writer of a run (see `kept`), and a function that shows its progress."""
        with self.kept(store, wanted=wanted) as writer, display.show_progress() as on_progress:
            yield writer, on_progress

    def write(
        self,
        contents: Mapping[str, Content],
        run: "Run | None" = None,
        pictures: "Callable[[], Sequence[Figure]] | None" = None,
    ) -> bool:
        """Write all requested files, and return whether all were written.

        After an error the other files are still written. A SaevitError is written on stderr, and any other
        error is raised at the end.

        Args:
            contents: option to a function that returns its content; pictures are written last.
            run: the timing for the page of --report.
            pictures: returns the pictures of the page; the default is the figures of the contents.
        """
        if target := self.targets.get("--report"):
            page = partial(make_page, self._view, contents, Path(target).stem, run, pictures)
            contents = {**contents, "--report": page}
        sys.stdout.flush()  # keeps the tables if the process is killed
        is_complete, unexpected = True, []
        for option in sorted(contents, key=PICTURES.__contains__):
            if option not in self.targets:
                continue
            try:
                write_content(self.targets[option], contents[option]())
            except SaevitError as error:
                display.complain(f"{option}: {error}")
                is_complete = False
            except Exception as error:
                unexpected.append(error)
        if unexpected:
            raise unexpected[0]
        return is_complete


def choose_stdout(targets: Mapping[str, Target | None]) -> Mapping[str, Target | None]:
    """Return the targets, with stdout as the target of the data in --format csv or json.

    Raises:
        OptionError: the command does not write this format, or the option of the format is also given.
    """
    form = display.STYLE.get().format
    option = f"--{form}"
    if form not in ("csv", "json"):
        return targets
    if option not in targets:
        raise OptionError(f"--format {form}: this command writes no {form.upper()}; choose table or markdown")
    if targets[option] is not None:
        raise OptionError(f"--format {form} and {option} {targets[option]} are both given: give one of them")
    return {**targets, option: STDOUT}


def make_page(
    view: "View",
    contents: Mapping[str, Content],
    name: str,
    run: "Run | None" = None,
    pictures: "Callable[[], Sequence[Figure]] | None" = None,
) -> str:
    """Return the HTML page of a view, with the data and the pictures of contents (see `Outputs.write`).

    `name` is the stem of the names of the data files.
    """
    from saevit.measure.environment import environment
    from saevit.report.html.page import report_html

    drawn: list[Figure] = []
    try:
        made = pictures() if pictures else [contents[option]() for option in PICTURES if option in contents]
        drawn = [figure for figure in made if not (isinstance(figure, str) or callable(figure))]
    except OptionError as error:
        view = replace(view, warnings=(*view.warnings, f"There is no picture: {error}"))
    texts = {f"{name}.{option[2:]}": contents[option]() for option in DATA if option in contents}
    data = {file: text for file, text in texts.items() if isinstance(text, str)}
    words = shlex.join(["saevit", *sys.argv[1:]])
    machine = run.environment if run else environment()
    return report_html(view, words, machine, run=run, pictures=drawn, data=data)


def write_content(target: Target, content: "str | Figure | Callable[[Path], object]") -> None:
    """Write content to stdout or to a file, which is renamed when it is complete.

    Raises:
        OptionError: the file cannot be written.
    """
    if isinstance(content, str) and str(target) == STDOUT:
        sys.stdout.write(content)
    elif isinstance(content, str):
        data = content.encode("utf-8", "backslashreplace")  # file names may not be valid Unicode
        write_content(target, lambda path: path.write_bytes(data))
    elif callable(content):
        replace_file(Path(target), content)
        display.say(f"wrote {target}")
    else:
        from saevit.report.figure import save_figure

        write_content(target, partial(save_figure, content))


def check_roles(outputs: Iterable[tuple[str, Target]], inputs: Iterable[Named]) -> None:
    """Check that no file is used twice.

    Raises:
        OptionError: two outputs have the same file, an output is also an input, or an output would be an
            image in an input folder of images.
    """
    written: dict[object, tuple[str, Target]] = {}
    for option, target in outputs:
        key = _identity(target)
        if key in written and (key == STDOUT or not Path(target).is_char_device()):
            where = "stdout" if key == STDOUT else target
            both = f"{written[key][0]} and {option}"
            raise OptionError(f"{both} cannot both go to {where}: give one of them a file")
        written[key] = option, target
    for option, source in inputs:
        if source is not None:
            pictures = [named for named in written.values() if _is_picture_in(source, named[1])]
            if clash := written.get(_identity(source)) or next(iter(pictures), None):
                raise OptionError(f"{clash[0]} {clash[1]}: {option} {source} is read, write elsewhere")


def _is_picture_in(source: str | Path, target: str | Path) -> bool:
    """Tell whether an output file would be an image in a folder of images."""
    if not Path(source).is_dir():
        return False
    from saevit.images import ENDINGS

    is_inside = Path(os.path.realpath(target)).is_relative_to(os.path.realpath(source))
    return is_inside and Path(target).suffix.lower() in ENDINGS


def check_target(option: str, path: Path, *, overwrite: bool, endings: tuple[str, ...]) -> None:
    """Raise OptionError if a file must not be written: it exists, is a folder, or has a wrong ending."""
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
    if kind == "file" and not overwrite:
        raise OptionError(f"{option} {path} exists: choose another name, or add --overwrite")


def check_folder(option: str, path: Path, *, is_new: bool) -> None:
    """Raise OptionError if the folder of a file is not writable, or is missing (unless it `is_new`)."""
    if file_type(path) == "other":
        return
    folder = path.resolve().parent if path.is_symlink() else path.parent
    if is_new:
        folder = next(one for one in (folder, *folder.resolve().parents) if file_type(one) != "missing")
    if not folder.is_dir():
        raise OptionError(f"{option} {path}: the folder {folder} does not exist, make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OptionError(f"{option} {path}: the folder {folder} cannot be written to, choose another")


def _identity(target: str | Path) -> object:
    """Return the identity of a file for all its names: the inode, or the path without links."""
    if str(target) == STDOUT:
        return STDOUT
    try:
        found = Path(target).stat()
        return found.st_dev, found.st_ino
    except (OSError, ValueError):
        return os.path.realpath(target)


def exit_code(timings: "Run | None" = None, *, failed: bool) -> int:
    """Return 130 if the user interrupted the timing, 1 if anything failed, else 0."""
    if timings is not None and timings.interrupted:
        return INTERRUPTED
    return FAILED if failed else 0
