"""A run: the samples of several subjects taken together, with their machine, or one evaluation. Only data.

Measuring returns a `Run`, the store writes and reads it, and reports show it.
"""

import math
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from saevit.notebook import NotebookResult
from saevit.provenance import Training
from saevit.runs.record import LONGEST, Conditions, Environment, Record, check_label, check_time
from saevit.runs.statistics import Ratio, Share, ratio
from saevit.text import abbreviated, read_whole

TOP1 = "top1"


@dataclass(frozen=True, kw_only=True)
class MeasuredTop1:
    """The accuracy of a trained network on one split of data."""

    record: Record
    data: str
    fingerprint: str  # of the data; "": not known
    split: str
    share: Share
    unreadable: int
    checkpoint: str
    sha256: str
    training: Training | None = None  # None: not known
    hits: tuple[bool, ...] = ()  # of each image, in the order of the data; empty: not known
    num_classes: int | None = None  # of the data; None: not known

    @property
    def model(self) -> str:
        """The text of the network."""
        return self.record.subject

    @property
    def img_size(self) -> tuple[int, int]:
        """(H, W) that it was evaluated at."""
        assert self.record.conditions is not None
        return self.record.conditions.img_size

    @property
    def definition(self) -> int:
        """Number of the network's definition that variants had."""
        assert self.record.environment is not None
        return self.record.environment.network

    @property
    def terms(self) -> str | None:
        """Digest of the recipe of a complete training; None if it is not known, or was not complete."""
        return self.training.recipe if self.training and self.training.is_complete else None


def read_top1(record: Record) -> MeasuredTop1 | None:
    """Return the top-1 of a record, whose notes are written as `name=value`; None if it is another record."""
    if record.quantity != TOP1 or record.source != "measured" or record.conditions is None:
        return None
    facts = dict(note.split("=", 1) for note in record.notes if "=" in note)
    try:
        share = Share(hits=read_whole(facts["correct"]), total=read_whole(facts["images"]))
        unreadable = read_whole(facts["unreadable"])
        if unreadable < 0 or not math.isclose(100 * share.value, record.value or 0.0):
            return None
        hits = unpack_hits(facts["hits"], share.total) if "hits" in facts else ()
        if hits and sum(hits) != share.hits:
            return None
        return MeasuredTop1(
            record=record,
            share=share,
            data=facts["data"],
            fingerprint=facts.get("fingerprint", ""),
            split=facts["split"],
            unreadable=unreadable,
            checkpoint=facts["checkpoint"],
            sha256=facts["sha256"],
            training=Training.from_notes(facts),
            hits=hits,
            num_classes=read_whole(facts["classes"]) if "classes" in facts else None,
        )
    except (KeyError, ValueError):
        return None


def pack_hits(hits: Sequence[bool]) -> str:
    """Write hits and misses as bits in base64."""
    bits = "".join("01"[hit] for hit in hits)
    return b64encode(int(f"1{bits}", 2).to_bytes(len(bits) // 8 + 1, "big")).decode()


def unpack_hits(text: str, total: int) -> tuple[bool, ...]:
    """Read what `pack_hits` wrote. Raises ValueError for another text, or another number of images."""
    bits = f"{int.from_bytes(b64decode(text, validate=True), 'big'):b}"[1:]
    if len(bits) != total:
        raise ValueError(f"{len(bits)} hits or misses for {total} images")
    return tuple(bit == "1" for bit in bits)


Quantity = Literal["latency", "latency_again", "evaluation"]
LATENCY: Quantity = "latency"
TWIN: Quantity = "latency_again"  # the reference, timed a second time in every round
EVALUATION: Quantity = "evaluation"  # of a trained network on data, without timed rounds
PASS = "latency of single passes"  # quantity of a record: samples are single passes, not means of rounds
UNITS: dict[Quantity, str] = {LATENCY: "s", TWIN: "s", EVALUATION: "%"}
Ending = Literal["finished", "interrupted", "lost"]  # lost: the file has no end, as after kill -9


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model under conditions, and its samples: one a round, or none and the reason."""

    label: str  # unique in the run: the name, with the conditions if several subjects share it
    name: str  # variant string or model id
    conditions: Conditions  # as run: the batch is smaller than asked for if memory ran out
    quantity: Quantity = LATENCY
    unit: str = "s"
    calls_per_sample: int = 1  # at least; 0: it failed before the warm-up
    warmup_s: float = 0.0  # seconds from the placed network to steady speed, compiling included
    notes: tuple[str, ...] = ()  # what a reader of the samples must know
    samples: tuple[float, ...] = ()  # seconds per batch, in the order of the rounds
    failure: str | None = None  # why there are no samples, in one line

    def __post_init__(self) -> None:
        check_label("label", self.label)
        check_label("name", self.name)
        if self.unit != UNITS[self.quantity]:
            raise ValueError(f"unit {abbreviated(self.unit)}: {self.quantity} is in {UNITS[self.quantity]}")
        for name, value in {"calls_per_sample": self.calls_per_sample, "warmup_s": self.warmup_s}.items():
            if not 0 <= value <= LONGEST:
                raise ValueError(f"{name} {value}: from 0 to {LONGEST:g}")

    @property
    def seconds_per_image(self) -> tuple[float, ...]:
        """Samples divided by the batch size, because batches may differ between subjects."""
        return tuple(sample / self.conditions.batch_size for sample in self.samples)


@dataclass(frozen=True, kw_only=True)
class Run(NotebookResult):
    """Several subjects timed in the same rounds, or one evaluation.

    Raises:
        ValueError: two subjects with one label, timed subjects mixed with an evaluation, an invalid time.
    """

    subjects: tuple[Subject, ...]  # the reference first, its twin last
    environment: Environment
    started: str  # ISO-8601, UTC
    seed: int  # of the order inside the rounds
    min_time: float  # seconds a sample lasts at least
    load_before: float | None = None  # processes running or waiting, mean over the minute before
    rounds: int = 0  # finished
    ending: Ending = "finished"
    facts: tuple[Record, ...] = ()  # what was found once, not once a round
    top1s: tuple[MeasuredTop1, ...] = ()  # those of the facts that an evaluation measured
    not_built: Mapping[str, str] = field(default_factory=dict)  # model: why it is no subject
    unkept: str | None = None  # why the file lacks a part of the run
    path: Path = Path()  # of the file
    warnings: tuple[str, ...] = ()  # parts of the file that are not used

    def __post_init__(self) -> None:
        for label, count in Counter(subject.label for subject in self.subjects).items():
            if count > 1:
                raise ValueError(f"label {abbreviated(label)} is given twice: a label is of one subject")
        quantities = [subject.quantity for subject in self.subjects]
        is_timed = LATENCY in quantities and EVALUATION not in quantities
        if not is_timed and quantities != [EVALUATION]:
            raise ValueError("subjects: a run has timed subjects, or one evaluation")
        for name, value in {"min_time": self.min_time, "load_before": self.load_before or 0.0}.items():
            if not 0 <= value <= LONGEST:
                raise ValueError(f"{name} {value}: from 0 to {LONGEST:g}")
        check_time(self.started)

    @property
    def timed(self) -> tuple[Subject, ...]:
        """The subjects that were to be timed, without the twin."""
        return tuple(subject for subject in self.subjects if subject.quantity == LATENCY)

    def passes_of(self, subject: Subject) -> tuple[float, ...]:
        """Return the seconds of single passes of a subject; empty if none were timed."""
        for fact in self.facts:
            if (fact.quantity, fact.subject, fact.conditions) == (PASS, subject.name, subject.conditions):
                return fact.samples
        return ()

    @property
    def reference(self) -> Subject | None:
        """The first timed subject that has samples."""
        return next((subject for subject in self.timed if subject.samples), None)

    @property
    def twin(self) -> tuple[float, ...]:
        """Samples of the second timing of the reference."""
        return next((subject.samples for subject in self.subjects if subject.quantity == TWIN), ())

    @property
    def noise_floor(self) -> Ratio | None:
        """The twin relative to the reference: how far the method shows equal subjects to differ."""
        first = self.reference
        return ratio(self.twin, first.samples) if first and len(first.samples) == len(self.twin) else None

    @property
    def interrupted(self) -> bool:
        """Were fewer rounds finished than asked for?"""
        return self.ending != "finished"

    @property
    def failures(self) -> dict[str, str]:
        """Return the reason for each label that has no samples because it failed."""
        return {s.label: s.failure for s in self.subjects if s.failure} | dict(self.not_built)

    @property
    def is_evaluation(self) -> bool:
        """Tell whether it is an evaluation of a trained network, without timed rounds."""
        return self.subjects[0].quantity == EVALUATION

    @property
    def hardware(self) -> str:
        """Name the processor, or the accelerator if anything ran on one."""
        devices = [s.conditions.device for s in self.subjects if s.conditions.device != "cpu"]
        return self.environment.accelerator or devices[0] if devices else self.environment.cpu

    def records(self) -> list[Record]:
        """Return every subject that worked as a record, then the facts."""
        measured = [
            Record(
                subject=subject.name,
                quantity=subject.quantity,
                unit=subject.unit,
                samples=subject.samples,
                source="measured",
                conditions=subject.conditions,
                environment=self.environment,
                time=self.started,
                notes=(*subject.notes, *self._describe_sampling(subject)),
            )
            for subject in self.subjects
            if subject.samples
        ]
        return [*measured, *self.facts]

    def _describe_sampling(self, subject: Subject) -> tuple[str, ...]:
        how = (
            f"interleaved, seed {self.seed}, a sample is {self.min_time:g} s or more and "
            f"{subject.calls_per_sample} or more calls, after {subject.warmup_s:.1f} s of warm-up"
        )
        cut = f"the run is incomplete: these are its {self.rounds} finished rounds"
        return (how, cut) if self.ending == "lost" else (how,)


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """One file of the store; `problem` is why it cannot be read."""

    path: Path
    started: str | None = None  # ISO-8601, UTC
    hardware: str | None = None  # processor, or accelerator if anything ran on one
    torch: str | None = None
    subjects: tuple[str, ...] = ()  # names, each once
    rounds: int = 0  # finished
    is_evaluation: bool = False
    training: Training | None = None  # of the weights that an evaluation is of; None: not known
    ending: Ending = "lost"
    warnings: tuple[str, ...] = ()
    problem: str | None = None
