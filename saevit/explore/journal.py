"""Finished chunks of a search on disk, one line of JSON each, so that a killed search can continue."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

import saevit
from saevit.decode import DecodeError, decode, parse_json
from saevit.errors import OptionError, SaevitError
from saevit.explore.collector import Findings
from saevit.explore.question import Search
from saevit.files import file_type, owned, unusable
from saevit.text import abbreviated

FORMAT = 2
MOST_HEAD = 2**12  # bytes of the first line
INDEX_BITS = 128  # of an index in the largest space
CHECK = b', "check": "'


class SearchError(SaevitError):
    """A search that cannot go on here; the same command continues from its journal."""


@contextlib.contextmanager
def open_journal(path: Path, search: Search) -> "Iterator[Journal]":
    """Yield the journal of a search while no other process uses its file.

    Raises:
        OptionError: another process has the file, or it cannot be written.
    """
    if file_type(path) not in ("file", "missing"):
        raise OptionError(f"{path} cannot be written: it is no regular file, name a new file")
    with owned(path):
        try:
            file = FileIO(path, "a+")
        except OSError as error:
            raise unusable(path, error, "written") from error
        with file:
            yield Journal(path, file, write_head(search))


class Journal:
    """A file of the finished chunks of one search.

    The first line names the search and the code. Every other line ends in a hash of the first line and of
    its own bytes: a damaged line does not count, nor does a last line that was cut off. A chunk is on the
    disk before the next one is added.
    """

    def __init__(self, path: Path, file: FileIO, head: bytes) -> None:
        self.path, self.file, self.head = path, file, head
        self.damaged: list[int] = []  # numbers of lines, after `read`

    def read(self) -> Iterator[tuple[int, Findings]]:
        """Yield number and findings of every finished chunk, each once.

        Raises:
            OptionError: the file is of another search or other code, or no journal.
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
            for count, line in enumerate(file, start=2):
                chunk = self._read_line(line)
                if not line.endswith(b"\n"):
                    self.file.truncate(file.tell() - len(line))
                elif chunk is None:
                    self.damaged.append(count)
                elif chunk[0] not in seen:
                    seen.add(chunk[0])
                    yield chunk

    def add(self, number: int, findings: Findings) -> None:
        """Write a finished chunk. Raises SearchError if the disk is full; the chunks before it stay."""
        self._write(self._sign(json.dumps({"number": number, **asdict(findings)}).encode()[:-1]))

    def _read_line(self, line: bytes) -> tuple[int, Findings] | None:
        """Return the chunk of a line; None if the line is not as it was written."""
        if self._sign(line.rpartition(CHECK)[0]) != line:
            return None
        data = json.loads(line)
        return data["number"], decode(Findings, data, bits=INDEX_BITS)

    def _sign(self, body: bytes) -> bytes:
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
            kept = "finished chunks are kept, the same command continues from there"
            raise SearchError(f"{unusable(self.path, error, 'written')}: {kept}") from error


def write_head(search: Search) -> bytes:
    """Return the first line of a search's journal: who writes it, and what it is about."""
    head = {"saevit_explore": FORMAT, "saevit": saevit.__version__, "formulas": hash_of_code()}
    return json.dumps(head | {"job": hashlib.sha256(repr(search).encode()).hexdigest()}).encode() + b"\n"


def hash_of_code() -> str:
    """Return a hash of the code that decides the numbers."""
    found = hashlib.sha256(f"network {saevit.NETWORK}, numpy {np.__version__}".encode())
    root = Path(saevit.__file__).parent
    for path in sorted([root / "variant.py", *root.glob("count/*.py"), *root.glob("explore/*.py")]):
        found.update(path.read_bytes())
    return found.hexdigest()


def what_differs(first: bytes, head: bytes) -> str:
    """Explain why a file with this first line is not the journal of a search with that one."""
    data: Any = None
    with contextlib.suppress(DecodeError):
        data = parse_json(first)
    if not isinstance(data, dict) or "saevit_explore" not in data:
        return "is no file of an unfinished search: name a new file"
    own = json.loads(head)
    if all(data.get(key) == own[key] for key in ("saevit_explore", "saevit", "formulas")):
        return (
            "is of another search (its space, limits, objectives or method differ): "
            "give the same options as then, or another file"
        )
    writer = f"saevit {abbreviated(str(data.get('saevit', 'before 0.2')))}, this is {own['saevit']}"
    what = "its formulas differ from today's" if data.get("saevit") == own["saevit"] else writer
    return f"was written by other code ({what}): its chunks cannot be used here, name a new file"
