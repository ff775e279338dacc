"""Finished chunks on disk: one line of JSON each, so that a killed run is taken up where it was."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import saevit
from saevit.decode import DecodeError, decode, parse_json
from saevit.errors import OptionError, SaevitError
from saevit.explore.chunks import Hints, Part, part_of
from saevit.explore.quantities import OBJECTIVES
from saevit.explore.query import Query
from saevit.explore.space import Space
from saevit.files import file_type, owned, unusable
from saevit.text import abbreviated
from saevit.variant import PRESETS

if TYPE_CHECKING:
    from saevit.explore.sweep import Job

FORMAT = 2
MOST_HEAD, MOST_BYTES = 2**12, 2**28  # of the first line, of another one
PLACE_BITS = 128  # of a place in the largest space
CHECK = b', "check": "'


class SearchError(SaevitError):
    """A search that cannot go on here; the same command goes on from what its journal holds."""


@contextlib.contextmanager
def open_journal(path: Path | None, job: "Job") -> "Iterator[Journal | None]":
    """Yield the journal in a file that nobody else writes to meanwhile; None: none is wanted.

    Raises:
        OptionError: another process has the file, or it is none that can be written.
    """
    if path is None:
        yield None
        return
    if file_type(path) not in ("file", "missing"):
        raise OptionError(f"{path} cannot be written: it is no regular file, name a new file")
    with owned(path):
        try:
            file = FileIO(path, "a+")
        except OSError as error:
            raise unusable(path, error, "written") from error
        with file:
            yield Journal(path, file, head_of(job))


class Journal:
    """A file of finished chunks of one job.

    The first line says what the job is and which code did it. Every other line ends in a hash of the first
    one and of its own bytes: one that was damaged does not count, nor does a last one that a kill cut off.
    Each is on the disk before the next chunk is handed on.
    """

    def __init__(self, path: Path, file: FileIO, head: bytes) -> None:
        self.path, self.file, self.head = path, file, head
        self.damaged: list[int] = []  # numbers of lines, once they are read

    def parts(self) -> Iterator[Part]:
        """Yield what is finished, each chunk once.

        Raises:
            OptionError: the file is of another job, of other code, or none of ours.
        """
        seen: set[int] = set()
        with self.path.open("rb") as file:
            first = file.readline(MOST_HEAD)
            if self.head.startswith(first) and first != self.head:  # empty, or cut off by a kill
                self.file.truncate(0)
                self._write(self.head)
                return
            if first != self.head:
                raise OptionError(f"{self.path} {what_differs(first, self.head)}")
            for number, line in enumerate(iter(lambda: file.readline(MOST_BYTES), b""), start=2):
                if len(line) == MOST_BYTES:
                    raise OptionError(f"{self.path} is no file of a search: line {number} has no end")
                if not line.endswith(b"\n"):
                    self.file.truncate(file.tell() - len(line))
                elif (part := self._part_of(line)) is None:
                    self.damaged.append(number)
                elif part.number not in seen:
                    seen.add(part.number)
                    yield part

    def add(self, part: Part) -> None:
        """Keep a finished chunk.

        Raises:
            SearchError: the disk is full; what was kept before stays.
        """
        self._write(self._signed(json.dumps(asdict(part)).encode()[:-1]))

    def _part_of(self, line: bytes) -> Part | None:
        """Return the part that a line holds; None if it is not as it was written."""
        if self._signed(line.rpartition(CHECK)[0]) != line:
            return None
        with contextlib.suppress(DecodeError):
            return decode(Part, json.loads(line), bits=PLACE_BITS)
        return None

    def _signed(self, body: bytes) -> bytes:
        return body + CHECK + hashlib.sha256(self.head + body).hexdigest()[:16].encode() + b'"}\n'

    def _write(self, line: bytes) -> None:
        start = self.file.seek(0, os.SEEK_END)
        try:
            while line:
                line = line[self.file.write(line) :]
            os.fsync(self.file)
        except OSError as error:
            with contextlib.suppress(OSError):
                self.file.truncate(start)
            kept = "what is finished is kept, the same command goes on from there"
            raise SearchError(f"{unusable(self.path, error, 'written')}: {kept}") from error


def head_of(job: "Job") -> bytes:
    """Return the first line of a job's journal: who writes it, and what it is about."""
    head = {"saevit_explore": FORMAT, "saevit": saevit.__version__, "formulas": hash_of_code()}
    return json.dumps(head | {"job": hashlib.sha256(repr(job).encode()).hexdigest()}).encode() + b"\n"


def hash_of_code() -> str:
    """Return a hash of what decides the numbers: the code that counts and searches, and its answers."""
    found = hashlib.sha256(f"network {saevit.NETWORK}, numpy {np.__version__}".encode())
    root = Path(saevit.__file__).parent
    for path in sorted([root / "variant.py", *root.glob("count/*.py"), *root.glob("explore/*.py")]):
        found.update(path.read_bytes())
    for spec in PRESETS.values():
        query = Query(space=Space(base=spec, axes=()), objectives=OBJECTIVES)
        found.update(repr(part_of(query, query.evaluator(), 0, np.zeros(1, np.int64), Hints())).encode())
    return found.hexdigest()


def what_differs(first: bytes, head: bytes) -> str:
    """Say why a file with this first line is not the journal of a job with that one."""
    said: Any = None
    with contextlib.suppress(DecodeError):
        said = parse_json(first)
    if not isinstance(said, dict) or "saevit_explore" not in said:
        return "is no file of an unfinished search: name a new file"
    own = json.loads(head)
    if all(said.get(key) == own[key] for key in ("saevit_explore", "saevit", "formulas")):
        return (
            "is of another search (its space, limits, objectives or method differ): "
            "give the same options as then, or another file"
        )
    writer = f"saevit {abbreviated(str(said.get('saevit', 'before 0.2')))}, this is {own['saevit']}"
    what = "its formulas are not today's" if said.get("saevit") == own["saevit"] else writer
    return f"was written by other code ({what}): its chunks do not count here, name a new file"
