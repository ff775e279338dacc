"""The lines of a stored run: sealed with a checksum when written, decoded to exact types when read."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from zlib import crc32

from saevit.decode import DecodeError, decode, parse_json
from saevit.errors import OptionError
from saevit.files import read_bytes
from saevit.runs.record import LONGEST, SHORTEST, Record, check_version, convert_version
from saevit.runs.run import Run, Subject, read_top1
from saevit.text import abbreviated, printable

FILE_VERSION = (
    3  # since 3 every line ends with a checksum of all bytes up to it; records have another version
)
HEAD = ("subjects", "environment", "started", "seed", "min_time", "load_before")  # of the first line
NOT_IN_HEAD = ("samples", "failure")  # of a subject: later lines have them
CHANGED = "not as it was written: the file was edited or damaged, use a copy of it"
SECOND = "a second run: copy files into one folder, not into one file"
CHECKED = re.compile(rb'(\{.*), "check": "([0-9a-f]{8})"\}')


@dataclass(frozen=True, kw_only=True)
class RoundLine:
    """A finished round."""

    number: int
    samples: dict[str, float]  # by label


@dataclass(frozen=True, kw_only=True)
class EndLine:
    """The last line."""

    interrupted: bool
    failures: dict[str, str]  # label: why it has no samples


def head_fields(run: Run) -> dict[str, Any]:
    """Return the fields of the first line: the run without samples and facts."""
    head = {name: value for name, value in asdict(run).items() if name in HEAD}
    head["subjects"] = [_without_samples(subject) for subject in head["subjects"]]
    return head


def _without_samples(subject: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in subject.items() if name not in NOT_IN_HEAD}


def _decode_head(line: Any) -> Run:
    """Build a run from its first line, of this file version or an earlier one."""
    head = {name: value for name, value in convert_version(line).items() if name in HEAD}
    if isinstance(head.get("subjects"), list):
        head["subjects"] = [_without_samples(s) if isinstance(s, dict) else s for s in head["subjects"]]
    return replace(decode(Run, head), ending="lost")


def sealed(line: Mapping[str, Any], check: int) -> tuple[bytes, int]:
    """Return a line as bytes and the new checksum, from the checksum of the lines before it."""
    body = json.dumps(_printable_values(line), allow_nan=False).encode().removesuffix(b"}")
    check = crc32(body, check)
    return body + b', "check": "%08x"}\n' % check, check


def _printable_values(value: Any) -> Any:
    """Escape control characters and lone surrogates in all text, because readers refuse them."""
    if isinstance(value, Mapping):
        return {printable(key): _printable_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_printable_values(item) for item in value]
    return printable(value) if isinstance(value, str) else value


def read_run(path: Path) -> Run:
    """Return the run in a file.

    A last line that was cut off is skipped, with a warning in the run: a crash leaves such a line.

    Raises:
        OptionError: an unreadable file, a changed line, a line that saevit did not write, a later version.
    """
    *lines, rest = read_bytes(path).split(b"\n")
    reader = _Reader(path)
    for number, text in enumerate([*lines, *([rest] if rest or not lines else [])], start=1):
        try:
            reader.take_line(text, is_cut_off=number > len(lines))
        except ValueError as error:
            raise OptionError(f"{printable(str(path))}, line {number}: {error}") from error
    return reader.finish()


def check_round(number: int, samples: Mapping[str, float], due: int, labels: Collection[str]) -> None:
    """Refuse, by a DecodeError, a round out of order, an unknown label, or a sample out of range."""
    if number != due:
        raise DecodeError(f"round {number} follows instead of round {due}: rounds must be in order")
    if not samples:
        raise DecodeError(f"round {number} has no samples: a round has one of every subject that works")
    for label, value in samples.items():
        where = f"round {number}, samples.{abbreviated(label)}"
        if label not in labels:
            raise DecodeError(f"{where} is of no subject of this run")
        if not SHORTEST <= value <= LONGEST:
            raise DecodeError(f"{where} = {value}: a sample is from {SHORTEST:g} to {LONGEST:g}")


@dataclass
class _Reader:
    """The content of the lines that were read so far."""

    path: Path
    run: Run | None = None  # without rounds
    labels: frozenset[str] = frozenset()
    rounds: list[dict[str, float]] = field(default_factory=list)
    facts: list[Record] = field(default_factory=list)
    end: EndLine | None = None
    warnings: list[str] = field(default_factory=list)
    check: int | None = None  # checksum of the lines so far; None: a file before version 3, without checksums

    def take_line(self, text: bytes, *, is_cut_off: bool) -> None:
        """Read one more line. Raises DecodeError for a line that saevit did not write."""
        try:
            line = parse_json(text)
        except DecodeError as error:
            if self.run is None:
                raise DecodeError(f"not the first line of a stored run: {error}") from error
            if not is_cut_off:
                raise
            self._warn("the last line is incomplete and is ignored")
            return
        kind = line.get("kind") if isinstance(line, dict) else None
        if self.run is None and kind != "run":
            raise DecodeError("not the first line of a stored run: it is of kind run")
        self._verify(text, line, is_head=kind == "run")
        if kind == "run":
            self._begin(_decode_head(line))
        elif self.end:
            raise DecodeError("after the end of the run: copy files into one folder, not into one file")
        elif kind == "round":
            taken = decode(RoundLine, line)
            check_round(taken.number, taken.samples, len(self.rounds), self.labels)
            self.rounds.append(taken.samples)
        elif kind == "record":
            self.facts.append(Record.from_dict(line.get("record")))
        elif kind == "end":
            self.end = decode(EndLine, line)
        else:
            raise DecodeError(f"kind {abbreviated(repr(kind))}: a line is of kind run, round, record or end")

    def _verify(self, text: bytes, line: dict[str, Any], *, is_head: bool) -> None:
        """Compare a line with its checksum; a file has one in every line or in none."""
        if is_head:
            check_version(line.get("schema_version"), FILE_VERSION, "run")
            if self.run is None and line["schema_version"] == FILE_VERSION:
                self.check = 0
        sealed_line = CHECKED.fullmatch(text)
        if sealed_line and self.check is not None:
            self.check = crc32(sealed_line[1], self.check)
        if (sealed_line is None) != (self.check is None) or (
            sealed_line and self.check != int(sealed_line[2], 16)
        ):
            raise DecodeError(SECOND if is_head and self.run else CHANGED)

    def _begin(self, run: Run) -> None:
        if self.run and (self.end or self.run.started != run.started):
            raise DecodeError(SECOND)
        if self.run:
            self._warn(f"the run was restarted; rounds before that ({len(self.rounds)}) are ignored")
        self.run, self.rounds = run, []
        self.labels = frozenset(subject.label for subject in run.subjects)

    def _warn(self, text: str) -> None:
        self.warnings.append(f"{printable(str(self.path))}: {text}")

    def finish(self) -> Run:
        """Return the run with its samples, facts and failures."""
        assert self.run is not None  # the first line was accepted
        reasons = self.end.failures if self.end else {}
        return replace(
            self.run,
            subjects=tuple(self._with_samples(s, reasons.get(s.label)) for s in self.run.subjects),
            rounds=len(self.rounds),
            ending="lost" if not self.end else "interrupted" if self.end.interrupted else "finished",
            facts=tuple(self.facts),
            top1s=tuple(top1 for fact in self.facts if (top1 := read_top1(fact))),
            not_built={label: reason for label, reason in reasons.items() if label not in self.labels},
            path=self.path,
            warnings=tuple(self.warnings),
        )

    def _with_samples(self, subject: Subject, failure: str | None) -> Subject:
        """Return a subject with its samples, or without if it is missing from a round."""
        gap = next((n for n, samples in enumerate(self.rounds) if subject.label not in samples), None)
        if failure is None and gap is not None:
            failure = f"no sample in round {gap}"
        samples = () if failure else tuple(samples[subject.label] for samples in self.rounds)
        return replace(subject, samples=samples, failure=failure)
