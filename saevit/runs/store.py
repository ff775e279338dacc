"""Measured runs on disk: JSON lines, one file per run, only appended to.

The first line has the subjects and the machine; every further line is a finished round, a record, or the end.
A file appears together with its first line: a run that is killed before leaves no file, and a run that is
killed later keeps every finished round. Stores merge by copying their files into one folder.
"""

import contextlib
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Self

from saevit.errors import OptionError, nearest
from saevit.files import TEMPORARY, expand, file_type, read_bytes, replace_file, unusable
from saevit.runs.lines import FILE_VERSION, check_round, head_fields, sealed
from saevit.runs.lines import read_run as read_run
from saevit.runs.record import Record
from saevit.runs.run import Run, RunSummary
from saevit.text import printable

SUFFIX = ".jsonl"
LEFT_OVER = 3600  # seconds: an unfinished file that is older is of a dead process

Tell = Callable[[str], object]  # takes a line


class Writer:
    """Appends one run to a new file; lines are on the disk when a method returns.

    As a context manager it closes the file, and removes the folders that it made if no run began.

    Raises:
        OptionError: the folder cannot be written to, or the disk is full; the lines so far stay whole.
    """

    def __init__(self, folder: Path | None = None) -> None:
        folder = default_folder() if folder is None else folder
        self._made = [path for path in (folder, *folder.parents) if file_type(path) == "missing"]
        self.path = _new_path(folder)
        self._file: BinaryIO | None = None
        self._check = 0
        self._labels: tuple[str, ...] = ()
        self._rounds = 0

    @property
    def is_empty(self) -> bool:
        """Tell whether the file has no content yet."""
        return self._file is None

    def begin(self, run: Run) -> None:
        """Write what the rounds measure, then the facts. A second call drops the earlier rounds."""
        facts = run.facts if self.is_empty else ()
        self._write({"kind": "run", "schema_version": FILE_VERSION, **head_fields(run)})
        self._labels, self._rounds = tuple(subject.label for subject in run.subjects), 0
        for fact in facts:
            self.add_record(fact)

    def add_round(self, number: int, samples: Mapping[str, float]) -> None:
        """Store a finished round: its number from 0, and samples by label without those that failed.

        Raises:
            ValueError: a round out of order, an unknown label, or a sample out of range.
        """
        check_round(number, samples, self._rounds, self._labels)
        self._write({"kind": "round", "number": number, "samples": samples})
        self._rounds += 1

    def add_record(self, record: Record) -> None:
        """Store a record, such as a count."""
        self._write({"kind": "record", "record": record.to_dict()})

    def end(self, *, interrupted: bool = False, failures: Mapping[str, str] | None = None) -> None:
        """Store the last line, with the reasons of labels that have no samples; nothing if no run began."""
        if not self.is_empty:
            self._write({"kind": "end", "interrupted": interrupted, "failures": failures or {}})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()
            return
        with contextlib.suppress(OSError):  # another run may have begun in there
            for made in self._made:
                made.rmdir()

    def _write(self, line: Mapping[str, Any]) -> None:
        data, check = sealed(line, self._check)
        if self._file is None:
            assert line["kind"] == "run"  # a file without its first line could not be read
            replace_file(self.path, partial(_write_through, data))
            self._file = self.path.open("ab", buffering=0)
        else:
            self._append(self._file, data)
        self._check = check

    def _append(self, file: BinaryIO, data: bytes) -> None:
        start, written = file.tell(), 0
        try:
            while written < len(data):
                written += file.write(data[written:])
            os.fsync(file.fileno())
        except OSError as error:
            written = 0
            raise unusable(self.path, error, "written") from error
        finally:
            if written < len(data):  # half a line would spoil the next one
                file.seek(start)
                file.truncate()


def keep(writer: Writer | None, run: Run, write: Callable[[Writer], object]) -> Run:
    """Let `write` store a part of the run. If that fails the run goes on, and `unkept` has the reason."""
    if writer is None or run.unkept:
        return run
    try:
        write(writer)
    except OptionError as error:
        return replace(run, unkept=str(error))
    return run


def default_folder() -> Path:
    """Return the default folder of runs. Raises OptionError if the user has no home folder."""
    from platformdirs import user_data_path

    try:
        return user_data_path("saevit") / "runs"
    except (OSError, RuntimeError, KeyError) as error:
        raise OptionError("there is no home folder to store runs in: name a folder with --store") from error


def list_runs(folder: Path | None = None) -> list[RunSummary]:
    """Return a summary of every file, oldest first. A file that cannot be read has a `problem`."""
    return [_summarize(path) for path in _paths(folder)]


def read_runs(
    folder: Path | None, on_skip: Tell, *, newest_first: bool = False, having: str = ""
) -> Iterator[Run]:
    """Yield every stored run that can be read; `on_skip` gets a line with the reason for every other file.

    Args:
        folder: of the runs; None is the default one.
        on_skip: takes the lines.
        newest_first: yield the runs in the order of their age.
        having: text in the first line of a file; others are not read.

    Raises:
        OptionError: the folder is a file, or cannot be read.
    """
    paths = _paths(folder)
    for path in reversed(paths) if newest_first else paths:
        try:
            if not having or having.encode() in read_bytes(path).partition(b"\n")[0]:
                yield read_run(path)
        except OptionError as error:
            on_skip(f"skipped: {error}")


def find_run(
    text: str, folder: Path | None = None, *, timed: bool = False, on_skip: Tell = lambda line: None
) -> Path:
    """Return the file of a run: a path, `latest`, or the start of a name in the folder.

    If it is `timed`, `latest` leaves evaluations out; `on_skip` gets a line for every file that `latest`
    cannot read.

    Raises:
        OptionError: there is no such run, or several names start with the text.
    """
    named = expand(text)
    if file_type(named) not in ("missing", "folder"):
        return named
    paths = {path.stem: path for path in _paths(folder)}
    if text in paths:
        return paths[text]
    if text == "latest":
        for run in read_runs(folder, on_skip, newest_first=True):
            if not (timed and run.is_evaluation):
                return run.path
    shown, where = printable(text), printable(str(default_folder() if folder is None else folder))
    found = [stem for stem in paths if stem.startswith(text)]
    if not paths or text == "latest":
        raise OptionError(
            f"run {shown!r}: {where} has no runs yet; saevit profile, compare and eval store results there"
        )
    if len(found) != 1:
        few = f"{len(found)} runs begin with that" if found and text else "there is none"
        near = nearest(text, ["latest", *(found or list(paths))[-5:]])
        raise OptionError(f"run {shown!r}: {few} in {where}: {near}")
    return paths[found[0]]


def _paths(folder: Path | None) -> list[Path]:
    """Return the files of runs in the order of their names, without unfinished and hidden ones."""
    folder = default_folder() if folder is None else folder
    kind = file_type(folder)
    if kind == "missing":
        return []
    if kind != "folder":
        raise OptionError(f"{folder} is a file: runs are stored in a folder, such as {folder.parent}")
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        raise unusable(folder, error, "read") from error
    return [path for path in found if path.name.endswith(SUFFIX) and not path.name.startswith(".")]


def _new_path(folder: Path) -> Path:
    """Return a new path whose name sorts by time and is unique among machines and processes."""
    path = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(4)}{SUFFIX}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, prefix=TEMPORARY):
            pass
        for left in folder.glob(f"{TEMPORARY}*{SUFFIX}"):
            if time.time() - left.stat().st_mtime > LEFT_OVER:
                left.unlink(missing_ok=True)
    except OSError as error:
        raise OptionError(
            f"{printable(str(folder))} cannot store runs ({error.strerror}): choose another folder"
        ) from error
    if file_type(path) != "missing":
        raise OptionError(f"{printable(str(path))} exists: run again")
    return path


def _write_through(data: bytes, path: Path) -> None:
    """Write a file and wait until it is on the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _summarize(path: Path) -> RunSummary:
    try:
        run = read_run(path)
    except OptionError as error:
        return RunSummary(path=path, problem=str(error))
    return RunSummary(
        path=path,
        started=run.started,
        hardware=run.hardware,
        torch=run.environment.torch,
        subjects=tuple(dict.fromkeys(subject.name for subject in run.subjects)),
        rounds=run.rounds,
        is_evaluation=run.is_evaluation,
        training=run.top1s[0].training if run.is_evaluation and run.top1s else None,
        ending=run.ending,
        warnings=run.warnings,
    )
