"""Finished chunks on disk: one line of JSON each, so that a killed run is taken up where it was."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from saevit.errors import OptionError
from saevit.explore.chunks import Part

if TYPE_CHECKING:
    from saevit.explore.sweep import Job

FORMAT = 1


class Journal:
    """A file of finished chunks of one job; without a path it keeps nothing.

    A line is complete or does not count: each is flushed to the disk before the next chunk is handed on, and
    a last line that a kill cut off is cut off here too.
    """

    def __init__(self, path: Path | None, job: "Job") -> None:
        """Raises OptionError: the file is of another job, is none of ours, or cannot be written."""
        self.path = path
        self.head = {"saevit_explore": FORMAT, "job": hashlib.sha256(repr(job).encode()).hexdigest()}
        self.file: IO[bytes] | None = None
        self.lines: list[bytes] = []
        if path is not None:
            try:
                self._open(path)
            except OSError as error:
                raise OptionError(f"{path} cannot be written: {error.strerror or error}") from error

    def _open(self, path: Path) -> None:
        text = path.read_bytes() if path.exists() else b""
        complete = text[: text.rfind(b"\n") + 1]
        if complete:
            self._check(path, complete.partition(b"\n")[0])
        elif text:
            raise self._foreign(path)
        self.file = path.open("r+b" if text else "wb")
        self.file.seek(len(complete))
        self.file.truncate()
        if not complete:
            self._write(self.head)
        self.lines = complete.splitlines()[1:]

    def _check(self, path: Path, first: bytes) -> None:
        try:
            head = json.loads(first)
        except ValueError:
            head = None
        if not isinstance(head, dict) or "saevit_explore" not in head:
            raise self._foreign(path)
        if head != self.head:
            raise OptionError(
                f"{path} is of another search (its space, limits, objectives or method differ): "
                "give the same options as then, or another file"
            )

    def _foreign(self, path: Path) -> OptionError:
        return OptionError(f"{path} is no file of an unfinished search: name a new file")

    def parts(self) -> Iterator[Part]:
        """Yield what is finished, each chunk once."""
        seen = set()
        for line in self.lines:
            part = part_from(json.loads(line))
            if part.number not in seen:
                seen.add(part.number)
                yield part

    def add(self, part: Part) -> None:
        """Keep a finished chunk."""
        if self.file is not None:
            self._write(asdict(part))

    def _write(self, data: dict[str, Any]) -> None:
        assert self.file is not None
        self.file.write(json.dumps(data).encode() + b"\n")
        self.file.flush()
        os.fsync(self.file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.file is not None:
            self.file.close()


def part_from(data: dict[str, Any]) -> Part:
    """Return the part that a line holds; JSON knows no tuples."""
    front = tuple((place, tuple(losses)) for place, losses in data["front"])
    top = tuple((place, loss) for place, loss in data["top"])
    nearest = tuple(data["nearest"]) if data["nearest"] else None
    return Part(
        **data | {"front": front, "top": top, "nearest": nearest, "excluded": tuple(data["excluded"])}
    )
