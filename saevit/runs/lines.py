"""The lines of a stored run: sealed when they are written, decoded to exact types when they are read."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

from saevit.decode import DecodeError, decode, parse_json
from saevit.errors import OptionError
from saevit.files import read_bytes
from saevit.runs.record import LONGEST, SHORTEST, Record, check_version, of_today
from saevit.runs.run import Ending, Header, StoredRun
from saevit.text import abbreviated, printable

FILE_VERSION = 3  # since 3 every line ends with a check of all bytes up to it; records have their own version
CHANGED = "not as it was written: the file was edited or damaged, use a copy of it"
SECOND = "a second run: copy files into one folder, not into one file"
CHECKED = re.compile(rb'(\{.*), "check": "([0-9a-f]{8})"\}')


@dataclass(frozen=True, kw_only=True)
class Round:
    """A finished round."""

    number: int
    samples: dict[str, float]  # by label


@dataclass(frozen=True, kw_only=True)
class End:
    """The last line."""

    interrupted: bool
    failures: dict[str, str]  # label: why it has no samples


def sealed(line: Mapping[str, Any], check: int) -> tuple[bytes, int]:
    """Return a line as bytes and the new check, from the check of the lines before it."""
    body = json.dumps(as_shown(line), allow_nan=False).encode().removesuffix(b"}")
    check = crc32(body, check)
    return body + b', "check": "%08x"}\n' % check, check


def as_shown(value: Any) -> Any:
    """Escape in all text what no reader takes: control characters, lone surrogates."""
    if isinstance(value, Mapping):
        return {printable(key): as_shown(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_shown(item) for item in value]
    return printable(value) if isinstance(value, str) else value


def read(path: Path) -> StoredRun:
    """Return the run in a file.

    A last line that was cut off is skipped, with a warning in the run: that is what a crash leaves.

    Raises:
        OptionError: a file that cannot be read, a line that is none of ours or was changed, a later version.
    """
    *lines, rest = read_bytes(path).split(b"\n")
    found = Lines(path)
    for number, text in enumerate([*lines, *([rest] if rest or not lines else [])], start=1):
        try:
            found.take(text, is_cut_off=number > len(lines))
        except ValueError as error:
            raise OptionError(f"{printable(str(path))}, line {number}: {error}") from error
    return found.run()


def check_round(number: int, samples: Mapping[str, float], due: int, labels: Collection[str]) -> None:
    """Refuse, by a DecodeError, a round out of turn, an unknown label, and what is no time."""
    if number != due:
        raise DecodeError(f"round {number} where round {due} is due: rounds are kept in their order")
    if not samples:
        raise DecodeError(f"round {number} has no samples: a round has one of every subject that works")
    for label, value in samples.items():
        where = f"round {number}, samples.{abbreviated(label)}"
        if label not in labels:
            raise DecodeError(f"{where} is of no subject of this run")
        if not SHORTEST <= value <= LONGEST:
            raise DecodeError(f"{where} = {value}: a sample is from {SHORTEST:g} to {LONGEST:g}")


@dataclass
class Lines:
    """What the lines of a file say so far."""

    path: Path
    header: Header | None = None
    labels: frozenset[str] = frozenset()
    rounds: list[dict[str, float]] = field(default_factory=list)
    facts: list[Record] = field(default_factory=list)
    end: End | None = None
    warnings: list[str] = field(default_factory=list)
    check: int | None = None  # of the lines so far; None: they have none, as before version 3

    def take(self, text: bytes, *, is_cut_off: bool) -> None:
        """Take one more line; one without its end may be cut off. A DecodeError says what is not ours."""
        try:
            line = parse_json(text)
        except DecodeError as error:
            if self.header is None:
                raise DecodeError(f"not the first line of a stored run: {error}") from error
            if not is_cut_off:
                raise
            self._warn("the last line was cut off and is skipped")
            return
        kind = line.get("kind") if isinstance(line, dict) else None
        if self.header is None and kind != "run":
            raise DecodeError("not the first line of a stored run: it is of kind run")
        self._verify(text, line, is_head=kind == "run")
        if kind == "run":
            self._begin(decode(Header, of_today(line)))
        elif self.end:
            raise DecodeError("after the end of the run: copy files into one folder, not into one file")
        elif kind == "round":
            found = decode(Round, line)
            check_round(found.number, found.samples, len(self.rounds), self.labels)
            self.rounds.append(found.samples)
        elif kind == "record":
            self.facts.append(Record.from_dict(line.get("record")))
        elif kind == "end":
            self.end = decode(End, line)
        else:
            raise DecodeError(f"kind {abbreviated(repr(kind))}: a line is of kind run, round, record or end")

    def _verify(self, text: bytes, line: dict[str, Any], *, is_head: bool) -> None:
        """Compare a line with its check; a file has one in every line or in none."""
        if is_head:
            check_version(line.get("schema_version"), FILE_VERSION, "run")
            if self.header is None and line["schema_version"] == FILE_VERSION:
                self.check = 0
        found = CHECKED.fullmatch(text)
        if found and self.check is not None:
            self.check = crc32(found[1], self.check)
        if (found is None) != (self.check is None) or (found and self.check != int(found[2], 16)):
            raise DecodeError(SECOND if is_head and self.header else CHANGED)

    def _begin(self, header: Header) -> None:
        if self.header and (self.end or self.header.started != header.started):
            raise DecodeError(SECOND)
        if self.header:
            self._warn(f"the run began anew, rounds before that ({len(self.rounds)}) do not count")
        self.header, self.rounds = header, []
        self.labels = frozenset(subject.label for subject in header.subjects)

    def _warn(self, text: str) -> None:
        self.warnings.append(f"{printable(str(self.path))}: {text}")

    def run(self) -> StoredRun:
        """Return all of it."""
        assert self.header is not None  # else the first line was refused
        ending: Ending = "lost" if not self.end else "interrupted" if self.end.interrupted else "finished"
        missing: dict[str, str] = {}
        for label in (subject.label for subject in self.header.subjects):
            gap = next((n for n, samples in enumerate(self.rounds) if label not in samples), None)
            if gap is not None:
                missing[label] = f"no sample in round {gap}"
        return StoredRun(
            path=self.path,
            header=self.header,
            rounds=tuple(self.rounds),
            facts=tuple(self.facts),
            failures=missing | (self.end.failures if self.end else {}),
            ending=ending,
            warnings=tuple(self.warnings),
        )
