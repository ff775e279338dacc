"""Measure all that will be compared in one run: each round runs every subject once, in shuffled order.

Drift of the machine then reaches all subjects alike and cancels in the per-round ratios.
"""

import functools
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from saevit.errors import OptionError
from saevit.measure.entry import Entry, Subject, entries_of, guarded, notes, prepare, sample
from saevit.measure.environment import environment, load_average
from saevit.measure.interrupts import held_back
from saevit.measure.keeping import About, Keeper, Keeping
from saevit.runs.record import Conditions, Environment, utc_now
from saevit.runs.statistics import Ratio, ratio, rounds_needed

MOST_ROUNDS, MOST_SECONDS = 10**5, 3600

__all__ = ["Keeper", "Progress", "Run", "Subject", "Timing", "measure", "schedule"]


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
    unkept: str | None = None  # why the keeper has not got all finished rounds


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
    keeper: Keeper | None = None,
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
        keeper: gets every round as soon as it is finished; the run goes on without it if it fails.

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
    keeping = Keeping(keeper, entries, About(started, seed, min_time, load))
    order = schedule(list(plan), rounds, random.Random(seed))
    laps, finished = _laps(plan, order, min_time, tell, keeping)
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
        unkept=keeping.problem,
    )


def schedule(names: Sequence[str], rounds: int, rng: random.Random) -> tuple[tuple[int, str], ...]:
    """Return (round, name) in the order to run: every name once a round, each round shuffled anew."""
    return tuple((number, name) for number in range(rounds) for name in rng.sample(names, len(names)))


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
    if not 1 <= rounds <= MOST_ROUNDS:
        raise OptionError(
            f"rounds {rounds}: at least 1, and {rounds_needed()} to resolve a difference, "
            f"at most {MOST_ROUNDS}"
        )
    if not 0 < min_time <= MOST_SECONDS:
        raise OptionError(f"min_time {min_time}: seconds above 0, such as 0.1, at most {MOST_SECONDS}")


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
    plan: Mapping[str, Entry],
    order: Sequence[tuple[int, str]],
    min_time: float,
    tell: Tell,
    keeping: Keeping,
) -> tuple[list[_Lap], bool]:
    """Run the schedule; return the samples of finished rounds, and False if the user interrupted."""
    laps: list[_Lap] = []
    done, finished, start = 0, 0, time.perf_counter()
    try:
        keeping.begin(plan)
        for number, lap_labels in _by_round(order):
            for label in lap_labels:
                entry = plan[label]
                left = (time.perf_counter() - start) / done * (len(order) - done) if done else None
                done += 1
                if entry.failure is not None:
                    continue
                rounds = order[-1][0] + 1
                tell(Progress(phase="measure", round=number, rounds=rounds, subject=label, eta=left))
                seconds = guarded(entry, functools.partial(sample, entry, min_time))
                if seconds is not None:
                    laps.append(_Lap(number, label, seconds))
                elif entry.failure is None:  # at half the batch now: samples so far are of another batch size
                    prepare(entry, min_time)
                    return _laps(plan, order, min_time, tell, keeping)
            working = {lap.label: lap.seconds for lap in laps if lap.round == number}
            with held_back():  # what is shown and what is kept are the same rounds
                finished = number + 1
                keeping.add_round(number, {k: v for k, v in working.items() if plan[k].failure is None})
    except KeyboardInterrupt:
        return [lap for lap in laps if lap.round < finished], False
    return laps, True


def _by_round(order: Sequence[tuple[int, str]]) -> list[tuple[int, list[str]]]:
    labels: dict[int, list[str]] = {}
    for number, label in order:
        labels.setdefault(number, []).append(label)
    return list(labels.items())


def _again(label: str) -> str:
    return f"{label} (again)"


def _twin(plan: Mapping[str, Entry], reference: Timing | None, laps: Sequence[_Lap]) -> Timing | None:
    """Return the A/A timing, unless there is none or what it repeats has failed since."""
    again = _again(reference.label) if reference else ""
    return _timing(plan[again], again, laps) if again in plan else None


def _timing(entry: Entry, label: str, laps: Sequence[_Lap]) -> Timing:
    samples = tuple(lap.seconds for lap in laps if lap.label == label and entry.failure is None)
    unfinished = None if samples else "interrupted before the first round was finished"
    return Timing(
        subject=entry.subject.name,
        label=label,
        conditions=entry.conditions,
        samples=samples,
        calls_per_sample=entry.warm.calls,
        warmup_s=entry.warm.seconds,
        notes=notes(entry) if samples else (),
        failure=entry.failure or unfinished,
    )
