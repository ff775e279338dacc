"""Measure all that will be compared in one run: each round runs every subject once, in shuffled order.

Drift of the machine then reaches all subjects alike and cancels in the per-round ratios.
"""

import functools
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from saevit.errors import OptionError
from saevit.measure import runtimes
from saevit.measure.entry import Entry, Subject, entries_of, guarded, prepare, sample
from saevit.measure.environment import environment, load_average
from saevit.measure.timer import WarmUp
from saevit.results.record import Conditions, Environment, Record, utc_now
from saevit.results.statistics import Ratio, ratio, rounds_needed

__all__ = ["Progress", "Run", "Subject", "Timing", "measure", "records", "schedule"]


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The raw samples of one subject; compare two only where their batch sizes agree."""

    subject: str
    label: str  # its name in Run.order: the subject, with the conditions where subjects share the name
    conditions: Conditions  # as run
    samples: tuple[float, ...]  # seconds per batch, one a round
    calls_per_sample: int  # at least
    warmup_s: float  # seconds from the placed model to steady speed, compiling included
    notes: tuple[str, ...]
    failure: str | None  # why there are no samples, in one line


@dataclass(frozen=True, kw_only=True)
class Run:
    """One measurement of several subjects: raw, and with what is needed to repeat it."""

    timings: tuple[Timing, ...]  # as the subjects were given
    twin: Timing | None  # the first working subject once more (A/A); noise_floor follows from its samples
    order: tuple[tuple[int, str], ...]  # (round, label) as run
    rounds: int  # finished
    min_time: float  # seconds a sample lasts at least
    seed: int  # of the order
    environment: Environment
    load_before: float | None  # processes running or waiting, mean over the minute before
    started: str  # ISO-8601, UTC
    reference: str | None  # label of the first subject that worked
    noise_floor: Ratio | None  # twin over reference: what the method shows where nothing differs
    interrupted: bool  # by the user, who keeps the finished rounds


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a run is about to do."""

    phase: Literal["prepare", "measure"]
    round: int  # from 0
    rounds: int
    subject: str  # label
    eta: float | None  # seconds to the end of the run, once it can be told


Tell = Callable[[Progress], None]


def measure(
    subjects: Sequence[Subject],
    *,
    rounds: int = 15,
    min_time: float = 0.1,
    seed: int = 0,
    noise_floor: bool = True,
    on_progress: Tell | None = None,
) -> Run:
    """Time all subjects in interleaved rounds.

    A subject that cannot be built or run becomes a timing with `failure`, and the others finish. One that
    runs out of memory is measured at half the batch, and its notes say so. Ctrl-C keeps finished rounds.

    Args:
        subjects: what to time, the reference first.
        rounds: samples a subject; fewer than `statistics.rounds_needed()` resolve no difference.
        min_time: seconds a sample lasts at least.
        seed: of the order inside the rounds.
        noise_floor: time the first working subject twice a round.
        on_progress: called before each step, never while the clock runs.

    Raises:
        OptionError: no subjects, two that are the same, or rounds or min_time out of range.
    """
    _check(subjects, rounds, min_time)
    started, load = utc_now(), load_average()
    tell = on_progress or (lambda progress: None)
    entries = entries_of(subjects)
    prepared = _prepare_all(entries, rounds, min_time, tell)
    plan = {entry.label: entry for entry in entries if prepared and entry.failure is None}
    if plan and noise_floor:
        first = next(iter(plan.values()))
        plan[_again(first.label)] = first
    laps, finished = _laps(plan, schedule(list(plan), rounds, random.Random(seed)), min_time, tell)
    timings = tuple(_timing(entry, entry.label, laps) for entry in entries)
    reference = next((timing for timing in timings if timing.failure is None), None)
    twin = _twin(plan, reference, laps)
    return Run(
        timings=timings,
        twin=twin,
        order=tuple((lap.round, lap.label) for lap in laps),
        rounds=len({lap.round for lap in laps}),
        min_time=min_time,
        seed=seed,
        environment=environment(),
        load_before=load,
        started=started,
        reference=reference.label if reference else None,
        noise_floor=ratio(twin.samples, reference.samples) if twin and reference else None,
        interrupted=not (prepared and finished),
    )


def schedule(names: Sequence[str], rounds: int, rng: random.Random) -> tuple[tuple[int, str], ...]:
    """Return (round, name) in the order to run: every name once a round, each round shuffled anew."""
    return tuple((number, name) for number in range(rounds) for name in rng.sample(names, len(names)))


def records(run: Run) -> list[Record]:
    """Return the raw samples of all subjects that worked, and the twin's as quantity "latency_again"."""
    rows = [("latency", timing) for timing in run.timings if timing.failure is None]
    rows += [("latency_again", run.twin)] if run.twin else []
    return [_record(run, timing, quantity) for quantity, timing in rows]


@dataclass(frozen=True)
class _Lap:
    round: int
    label: str
    seconds: float


def _check(subjects: Sequence[Subject], rounds: int, min_time: float) -> None:
    if not subjects:
        raise OptionError("no subjects: name at least one model to measure")
    for (name, conditions), count in Counter((s.name, s.conditions) for s in subjects).items():
        if count > 1:
            raise OptionError(
                f"{name!r} is given {count} times under the same conditions ({conditions}): once is enough"
            )
    if rounds < 1:
        raise OptionError(f"rounds {rounds}: at least 1, and {rounds_needed()} to resolve a difference")
    if not 0 < min_time < math.inf:
        raise OptionError(f"min_time {min_time}: seconds above 0, such as 0.1")


def _prepare_all(entries: Sequence[Entry], rounds: int, min_time: float, tell: Tell) -> bool:
    """Prepare every subject; False if the user interrupted."""
    try:
        for entry in entries:
            tell(Progress(phase="prepare", round=0, rounds=rounds, subject=entry.label, eta=None))
            prepare(entry, min_time)
    except KeyboardInterrupt:
        return False
    return True


def _laps(
    plan: Mapping[str, Entry], order: Sequence[tuple[int, str]], min_time: float, tell: Tell
) -> tuple[list[_Lap], bool]:
    """Run the schedule; return the samples of finished rounds, and False if the user interrupted."""
    laps: list[_Lap] = []
    number, start = 0, time.perf_counter()
    try:
        for done, (number, label) in enumerate(order):
            entry = plan[label]
            if entry.failure is not None:
                continue
            left = (time.perf_counter() - start) / done * (len(order) - done) if done else None
            tell(Progress(phase="measure", round=number, rounds=order[-1][0] + 1, subject=label, eta=left))
            seconds = guarded(entry, functools.partial(sample, entry, min_time))
            if seconds is not None:
                laps.append(_Lap(number, label, seconds))
            elif entry.failure is None:  # at half the batch now: the samples so far are of another batch size
                prepare(entry, min_time)
                return _laps(plan, order, min_time, tell)
    except KeyboardInterrupt:
        return [lap for lap in laps if lap.round < number], False
    return laps, True


def _again(label: str) -> str:
    return f"{label} (again)"


def _twin(plan: Mapping[str, Entry], reference: Timing | None, laps: Sequence[_Lap]) -> Timing | None:
    """Return the A/A timing, unless there is none or what it repeats has failed since."""
    again = _again(reference.label) if reference else ""
    return _timing(plan[again], again, laps) if again in plan else None


def _timing(entry: Entry, label: str, laps: Sequence[_Lap]) -> Timing:
    samples = tuple(lap.seconds for lap in laps if lap.label == label and entry.failure is None)
    unfinished = None if samples else "interrupted before the first round was finished"
    warm = entry.ready[1] if entry.ready else WarmUp(calls=0, seconds=0.0, steady=True)
    return Timing(
        subject=entry.subject.name,
        label=label,
        conditions=entry.conditions,
        samples=samples,
        calls_per_sample=warm.calls,
        warmup_s=warm.seconds,
        notes=_notes(entry, warm) if samples else (),
        failure=entry.failure or unfinished,
    )


def _notes(entry: Entry, warm: WarmUp) -> tuple[str, ...]:
    wanted, batch = entry.subject.conditions.batch_size, entry.conditions.batch_size
    notes = (
        f"out of memory at batch {wanted}: measured at {batch}" if batch < wanted else None,
        None if warm.steady else f"not steady after {warm.seconds:.1f} s of warm-up",
        runtimes.precision_note(entry.conditions),
    )
    return tuple(note for note in notes if note)


def _record(run: Run, timing: Timing, quantity: str) -> Record:
    protocol = (
        f"interleaved, seed {run.seed}, a sample is {run.min_time:g} s or more and {timing.calls_per_sample} "
        f"or more calls, after {timing.warmup_s:.1f} s of warm-up"
    )
    return Record(
        subject=timing.subject,
        quantity=quantity,
        unit="s",
        samples=timing.samples,
        source="measured",
        conditions=timing.conditions,
        environment=run.environment,
        time=run.started,
        notes=(*timing.notes, protocol),
    )
