"""Measured runs on disk: JSON lines, one file a run, only ever appended to.

The first line says what is measured and where; each further one is a finished round, a whole record, or the
end. A run that is killed keeps every round it finished. Runs merge by copying their files into one folder.
"""

import contextlib
import json
import math
import os
import secrets
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Self

from saevit.errors import OptionError, nearest
from saevit.results.record import READABLE, SCHEMA_VERSION, Record
from saevit.results.stored_run import Header, RunSummary, StoredRun, StoredSubject

__all__ = [
    "SUFFIX",
    "Header",
    "RunSummary",
    "StoredRun",
    "StoredSubject",
    "Writer",
    "default_folder",
    "locate",
    "read",
    "runs",
]

SUFFIX = ".jsonl"


class Writer:
    """Appends one run to a file of its own; what a method wrote is on the disk when it returns.

    As a context manager it closes the file, and leaves nothing behind if nothing was written.

    Raises:
        OptionError: the folder cannot be written to, or the disk is full; the lines so far stay whole.
    """

    def __init__(self, folder: Path | None = None) -> None:
        folder = default_folder() if folder is None else folder
        self._made = [path for path in (folder, *folder.parents) if not path.exists()]
        self.path, self._file = _create(folder)
        self._labels: tuple[str, ...] = ()
        self._rounds = 0

    @property
    def is_empty(self) -> bool:
        """Has nothing been written?"""
        return self._file.tell() == 0

    def begin(self, header: Header) -> None:
        """Say what the rounds measure; said again, the run starts over and rounds so far do not count."""
        self._append({"kind": "run", "schema_version": SCHEMA_VERSION, **asdict(header)})
        self._labels, self._rounds = tuple(subject.label for subject in header.subjects), 0

    def add_round(self, number: int, samples: Mapping[str, float]) -> None:
        """Keep a finished round: numbers count from 0, samples go by label, who failed is missing.

        Raises:
            ValueError: a round out of turn, an unknown label, or a sample that is no number above 0.
        """
        _check_round(number, samples, self._rounds, self._labels)
        self._append({"kind": "round", "number": number, "samples": dict(samples)})
        self._rounds += 1

    def add_record(self, record: Record) -> None:
        """Keep a whole record, such as a peak of memory."""
        self._append({"kind": "record", "record": record.to_dict()})

    def end(self, *, interrupted: bool = False, failures: Mapping[str, str] | None = None) -> None:
        """Say that nothing follows, and which labels have no samples and why, if the run ever began."""
        if not self.is_empty:
            self._append({"kind": "end", "interrupted": interrupted, "failures": dict(failures or {})})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        empty = self.is_empty
        self._file.close()
        if empty:
            self.path.unlink()
            with contextlib.suppress(OSError):  # another run may have begun in there
                for made in self._made:
                    made.rmdir()

    def _append(self, line: Mapping[str, Any]) -> None:
        data, start, written = json.dumps(line, allow_nan=False).encode() + b"\n", self._file.tell(), 0
        try:
            while written < len(data):
                written += self._file.write(data[written:])
            os.fsync(self._file.fileno())
        except OSError as error:
            written = 0
            raise OptionError(
                f"{self.path} cannot be written ({error.strerror}): choose another folder"
            ) from error
        finally:
            if written < len(data):  # half a line would spoil the next one
                self._file.seek(start)
                self._file.truncate()


def default_folder() -> Path:
    """Return where runs are kept unless the user says otherwise."""
    from platformdirs import user_data_path

    return user_data_path("saevit") / "runs"


def runs(folder: Path | None = None) -> list[RunSummary]:
    """Return every stored run, oldest first; a file that cannot be read is a summary with its problem.

    Raises:
        OptionError: the folder is a file.
    """
    folder = default_folder() if folder is None else folder
    return [_summary(path) for path in _paths(folder)]


def locate(text: str, folder: Path | None = None, *, timed: bool = False) -> Path:
    """Return the file of a run: a path, `latest`, or the start of a name in the folder.

    Args:
        text: what the user says.
        folder: of the runs; None is the default.
        timed: `latest` is the last one that is no evaluation.

    Raises:
        OptionError: there is no such run, or several begin like this.
    """
    if (path := Path(text)).is_file():
        return path
    folder = default_folder() if folder is None else folder
    names = [path.stem for path in _paths(folder)]
    if timed and text == "latest":
        names = [run.path.stem for run in runs(folder) if not run.is_evaluation]
    if not names:
        raise OptionError(
            f"run {text!r}: {folder} has no runs yet; saevit compare and saevit profile keep theirs"
        )
    found = [name for name in names if name.startswith(text)]
    if text in names or text == "latest":
        found = [text] if text in names else names[-1:]
    if len(found) != 1:
        few = f"{len(found)} runs begin so" if found and text else "there is none"
        raise OptionError(
            f"run {text!r}: {few} in {folder}: {nearest(text, ['latest', *(found or names)[-5:]])}"
        )
    return folder / f"{found[0]}{SUFFIX}"


def read(path: Path) -> StoredRun:
    """Return the run in a file.

    A last line that was cut off is skipped, with a warning in the run: that is what a crash leaves.

    Raises:
        OptionError: a file that cannot be read, a line that is none of ours, or another schema version.
    """
    try:
        lines = path.read_bytes().removesuffix(b"\n").split(b"\n")
    except OSError as error:
        raise OptionError(
            f"{path} cannot be read ({error.strerror}): choose the file of a stored run"
        ) from error
    run: StoredRun | None = None
    for number, text in enumerate(lines, start=1):
        try:
            run = _taken(path, run, _parsed(text), last=number == len(lines))
        except ValueError as error:
            raise OptionError(f"{path}, line {number}: {error}") from error
        except (TypeError, KeyError, AttributeError) as error:
            raise OptionError(f"{path}, line {number}: not as saevit writes it ({error!r})") from error
    assert run is not None  # else the first line was refused
    return replace(run, failures=_missing(run) | dict(run.failures))


def _paths(folder: Path) -> list[Path]:
    if folder.exists() and not folder.is_dir():
        raise OptionError(f"{folder} is a file: runs are kept in a folder, such as {folder.parent}")
    return sorted(folder.glob(f"*{SUFFIX}"))


def _create(folder: Path) -> tuple[Path, BinaryIO]:
    """Open a new file whose name sorts by time and that no other machine or process has chosen."""
    path = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(4)}{SUFFIX}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return path, path.open("xb", buffering=0)
    except OSError as error:
        raise OptionError(f"{folder} cannot keep runs ({error.strerror}): choose another folder") from error


def _check_round(number: int, samples: Mapping[str, float], due: int, labels: Collection[str]) -> None:
    if number != due:
        raise ValueError(f"round {number} where round {due} is due: rounds are kept in their order")
    if not samples:
        raise ValueError(f"round {number} has no samples: a round has one of every subject that works")
    for label, value in samples.items():
        if label not in labels:
            raise ValueError(
                f"round {number}, {label!r}: the subjects are {', '.join(labels) or 'not given yet'}"
            )
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise ValueError(f"round {number}, {label!r}: {value!r} is no sample, a number above 0 is")


def _parsed(text: bytes) -> dict[str, Any] | None:
    """Return the object in a line; None if it is cut off, as no part of an object is one."""
    try:
        line = json.loads(text.decode())
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) else None


def _taken(path: Path, run: StoredRun | None, line: dict[str, Any] | None, *, last: bool) -> StoredRun:
    """Return the run with one more line."""
    if line is not None and line.get("kind") == "run":
        return _begun(path, run, line)
    if run is None:
        raise ValueError(
            "not the first line of a stored run: " + ("it is cut off" if line is None else "no header")
        )
    match line:
        case None if last:
            warning = f"{path}: the last line was cut off and is skipped"
            return replace(run, warnings=(*run.warnings, warning))
        case None:
            raise ValueError("cut off or edited: only the last line of a file may be")
        case _ if run.ending != "lost":
            raise ValueError("after the end of the run: copy files into one folder, not into one file")
        case {"kind": "round", "number": number, "samples": samples}:
            _check_round(number, samples, len(run.rounds), [subject.label for subject in run.header.subjects])
            return replace(run, rounds=(*run.rounds, samples))
        case {"kind": "record", "record": record}:
            return replace(run, facts=(*run.facts, Record.from_dict(record)))
        case {"kind": "end", "interrupted": bool(interrupted), "failures": dict(failures)}:
            return replace(run, ending="interrupted" if interrupted else "finished", failures=failures)
    raise ValueError(f"kind {line.get('kind')!r}: a whole line is of kind run, round, record or end")


def _begun(path: Path, run: StoredRun | None, line: dict[str, Any]) -> StoredRun:
    version = line.get("schema_version")
    if version not in READABLE:
        raise ValueError(
            f"run of schema version {version}: this saevit reads up to version {SCHEMA_VERSION}, "
            "use the saevit that wrote it or a newer one"
        )
    header = Header.from_dict({key: line[key] for key in line.keys() - {"kind", "schema_version"}})
    if run is None:
        return StoredRun(path=path, header=header)
    if run.ending != "lost" or run.header.started != header.started:
        raise ValueError("a second run: copy files into one folder, not into one file")
    warning = f"{path}: the run began anew, rounds before that ({len(run.rounds)}) do not count"
    return replace(run, header=header, rounds=(), warnings=(*run.warnings, warning))


def _missing(run: StoredRun) -> dict[str, str]:
    """Return the labels without a sample in some finished round."""
    labels = [subject.label for subject in run.header.subjects]
    short = {label: [n for n, samples in enumerate(run.rounds) if label not in samples] for label in labels}
    return {label: f"no sample in round {gaps[0]}" for label, gaps in short.items() if gaps}


def _summary(path: Path) -> RunSummary:
    try:
        run = read(path)
    except OptionError as error:
        return RunSummary(path=path, problem=str(error))
    return RunSummary(
        path=path,
        started=run.header.started,
        hardware=run.header.hardware,
        torch=run.header.environment.torch,
        subjects=tuple(dict.fromkeys(subject.name for subject in run.header.subjects)),
        rounds=len(run.rounds),
        is_evaluation=run.is_evaluation,
        ending=run.ending,
        warnings=run.warnings,
    )
