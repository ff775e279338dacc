"""What a stored run says: its subjects and conditions, its rounds, and how it ended. Only data."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from saevit.runs.record import LONGEST, Conditions, Environment, Record, check_name, check_time
from saevit.text import abbreviated

Quantity = Literal["latency", "latency_again", "evaluation"]
EVALUATION: Quantity = "evaluation"  # of a subject that was not timed in rounds but judged on data
UNITS: dict[Quantity, str] = {"latency": "s", "latency_again": "s", EVALUATION: "%"}
Ending = Literal["finished", "interrupted", "lost"]  # lost: nobody wrote the end, as after kill -9


@dataclass(frozen=True, kw_only=True)
class StoredSubject:
    """What one label in the rounds stands for."""

    label: str  # unique in the run
    name: str  # variant string or model id
    conditions: Conditions  # as run
    quantity: Quantity = "latency"
    unit: str = "s"
    calls_per_sample: int = 1  # at least; 0: it failed before
    warmup_s: float = 0.0  # seconds from the placed model to steady speed, compiling included
    notes: tuple[str, ...] = ()  # what a reader of the samples has to know

    def __post_init__(self) -> None:
        check_name("label", self.label)
        check_name("name", self.name)
        if self.unit != UNITS[self.quantity]:
            raise ValueError(f"unit {abbreviated(self.unit)}: {self.quantity} is in {UNITS[self.quantity]}")
        for name, value in {"calls_per_sample": self.calls_per_sample, "warmup_s": self.warmup_s}.items():
            if not 0 <= value <= LONGEST:
                raise ValueError(f"{name} {value}: from 0 to {LONGEST:g}")


@dataclass(frozen=True, kw_only=True)
class Header:
    """All of a run that its rounds do not say.

    Raises:
        ValueError: two subjects under one label, subjects of which no table is, a time that is none.
    """

    subjects: tuple[StoredSubject, ...]  # the reference first
    environment: Environment
    started: str  # ISO-8601, UTC
    seed: int  # of the order inside the rounds
    min_time: float  # seconds a sample lasts at least
    load_before: float | None = None  # processes running or waiting, mean over the minute before

    def __post_init__(self) -> None:
        for label, count in Counter(subject.label for subject in self.subjects).items():
            if count > 1:
                raise ValueError(f"label {abbreviated(label)} is given twice: a label stands for one subject")
        quantities = [subject.quantity for subject in self.subjects]
        is_timed = "latency" in quantities and EVALUATION not in quantities
        if not is_timed and quantities != [EVALUATION]:
            raise ValueError("subjects: a run is of timed ones, or of one evaluation")
        for name, value in {"min_time": self.min_time, "load_before": self.load_before or 0.0}.items():
            if not 0 <= value <= LONGEST:
                raise ValueError(f"{name} {value}: from 0 to {LONGEST:g}")
        check_time(self.started)

    @property
    def hardware(self) -> str:
        """Name the processor, or the accelerator if anything ran on one."""
        elsewhere = [s.conditions.device for s in self.subjects if s.conditions.device != "cpu"]
        return self.environment.accelerator or elsewhere[0] if elsewhere else self.environment.cpu


@dataclass(frozen=True, kw_only=True)
class StoredRun:
    """One run as its file tells it."""

    path: Path
    header: Header
    rounds: tuple[Mapping[str, float], ...] = ()  # label: sample, in the subject's unit
    facts: tuple[Record, ...] = ()  # what was found once, not once a round
    failures: Mapping[str, str] = field(default_factory=dict)  # label: why it has no samples
    ending: Ending = "lost"
    warnings: tuple[str, ...] = ()  # what of the file is not used, harmless for the rest

    @property
    def is_evaluation(self) -> bool:
        """Does it tell what a trained network reached, and no rounds of timing?"""
        subjects = self.header.subjects
        return bool(subjects) and all(subject.quantity == EVALUATION for subject in subjects)

    def samples(self, label: str) -> tuple[float, ...]:
        """Return one sample a finished round; none if the subject failed."""
        return () if label in self.failures else tuple(samples[label] for samples in self.rounds)

    def records(self) -> list[Record]:
        """Return every subject that worked as a record, and the facts."""
        measured = [
            Record(
                subject=subject.name,
                quantity=subject.quantity,
                unit=subject.unit,
                samples=samples,
                source="measured",
                conditions=subject.conditions,
                environment=self.header.environment,
                time=self.header.started,
                notes=(*subject.notes, *self._protocol(subject)),
            )
            for subject in self.header.subjects
            if (samples := self.samples(subject.label))
        ]
        return [*measured, *self.facts]

    def _protocol(self, subject: StoredSubject) -> tuple[str, ...]:
        """Say how samples were taken."""
        header, rounds = self.header, len(self.rounds)
        how = (
            f"interleaved, seed {header.seed}, a sample is {header.min_time:g} s or more and "
            f"{subject.calls_per_sample} or more calls, after {subject.warmup_s:.1f} s of warm-up"
        )
        cut = f"the run was cut off: these are its {rounds} finished rounds"
        return (how, cut) if self.ending == "lost" else (how,)


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """A line about one file; `problem` says why it cannot be read."""

    path: Path
    started: str | None = None  # ISO-8601, UTC
    hardware: str | None = None  # processor, or accelerator if anything ran on one
    torch: str | None = None
    subjects: tuple[str, ...] = ()  # names, each once
    rounds: int = 0  # finished
    is_evaluation: bool = False  # of a trained network, without rounds
    ending: Ending = "lost"
    warnings: tuple[str, ...] = ()
    problem: str | None = None
