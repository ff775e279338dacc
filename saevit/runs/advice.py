"""Advice on how reliable a run is, and what to do about it. Never an exception."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from saevit.runs.run import Run, Subject
from saevit.runs.statistics import quantile, rounds_needed, summarize

SPREAD_NOTE, SPREAD_WARNING = 0.10, 0.25  # interquartile range / median
DRIFT = 0.05  # change of the median from the first to the last third
CROWDED = 4  # waiting programs for each core: several threads then give other ratios (docs/log.md)
FEWEST_FOR_DRIFT = 9  # rounds: three per third
MOST_LINES = 2  # on one matter
MOST_PERCENT = 10  # a larger spread is written as a multiple of the median

Level = Literal["note", "warning"]


@dataclass(frozen=True)
class Advice:
    """A finding that limits what a run shows, and what to do about it."""

    level: Level
    subject: str | None  # a short label; None: the whole run
    finding: str
    way_out: str
    severity: float = 0.0  # orders findings that have the same way out


def advise(run: Run) -> tuple[Advice, ...]:
    """Return what to know before relying on this run, first on the whole run, then on single subjects."""
    working = [subject for subject in run.timed if subject.samples]
    if not working:
        return ()
    each = [
        advice
        for subject in (replace(one, label=_shorten_label(one, working)) for one in working)
        for advice in (*_check_threads(run, subject), *_check_spread(subject), *_check_drift(subject))
    ]
    return (*_check_run(run, working), *each)


def _shorten_label(subject: Subject, others: Sequence[Subject]) -> str:
    """Return the name of a subject with the conditions in which subjects of this name differ."""
    same = [asdict(one.conditions) for one in others if one.name == subject.name]
    differing = [name for name in same[0] if any(one[name] != same[0][name] for one in same)]
    texts = [
        f"batch {value}" if name == "batch_size" else str(value)
        for name, value in asdict(subject.conditions).items()
        if name in differing
    ]
    return f"{subject.name} ({', '.join(texts)})" if texts else subject.name


def advice(run: Run, level: Level | None = None) -> tuple[str, ...]:
    """Return the advice as lines; one line on the worst replaces those of more than two subjects.

    Each line begins with its level. With `level`, only lines of that level are returned, without it.
    """
    groups: dict[tuple[str, str], list[Advice]] = {}
    for one in advise(run):
        groups.setdefault((one.level, one.way_out), []).append(one)
    chosen = [group for (one, _), group in groups.items() if level in (None, one)]
    return tuple(
        line if level else f"{group[0].level}: {line}" for group in chosen for line in _write_lines(group)
    )


def _write_lines(group: list[Advice]) -> list[str]:
    if len(group) <= MOST_LINES:
        return [f"{a.subject + ': ' if a.subject else ''}{a.finding}: {a.way_out}" for a in group]
    worst = max(group, key=lambda a: a.severity)
    others = f"({len(group) - 1} others: at most that)"
    return [f"{worst.subject}: {worst.finding} {others}: {worst.way_out}"]


def _check_run(run: Run, working: Sequence[Subject]) -> Iterator[Advice]:
    """Check what was stored, the number of rounds, the load before the run and the noise floor."""
    if run.unkept is not None:
        finding = f"some samples could not be stored ({run.unkept})"
        yield Advice("warning", None, finding, "free disk space or choose another --store, and run again")
    if run.rounds < rounds_needed():
        finding = f"{'interrupted after' if run.interrupted else 'only'} {run.rounds} rounds"
        yield Advice(
            "warning", None, finding, f"no difference can be resolved; use --rounds {rounds_needed()} or more"
        )
    threads = max(subject.conditions.threads for subject in working)
    load, cores = run.load_before, run.environment.usable_cores
    if load is not None and load >= 0.5 and load + threads > cores:
        finding = f"load average {load:.1f} on {cores} cores before the run"
        if threads > 1 and load >= CROWDED * cores:
            yield Advice(
                "warning", None, finding, "threads wait for each other, ratios are wrong too; use --threads 1"
            )
        else:
            yield Advice("note", None, finding, "close other programs and run again")
    floor = run.noise_floor
    if floor and floor.verdict != "not resolved":
        by = 100 * abs(floor.median - 1)
        finding = f"two timings of {working[0].name} in the same rounds differ by {by:.3g} %"
        yield Advice("warning", None, finding, "differences of this size are noise; use more --rounds")


def _check_threads(run: Run, subject: Subject) -> Iterator[Advice]:
    threads, cores = subject.conditions.threads, run.environment.usable_cores
    if threads > cores:
        finding = f"{threads} threads on {cores} usable cores"
        yield Advice("warning", subject.label, finding, f"use --threads {cores} or fewer")


def _check_spread(subject: Subject) -> Iterator[Advice]:
    spread = summarize(subject.samples).spread
    size = f"{100 * spread:.0f} % of" if spread < MOST_PERCENT else f"{spread:.3g} times"
    finding = f"timings spread {size} the median"
    if spread > SPREAD_WARNING:
        way_out = "absolute times are not reliable, compare ratios or run again on a quiet machine"
        yield Advice("warning", subject.label, finding, way_out, spread)
    elif spread > SPREAD_NOTE:
        yield Advice("note", subject.label, finding, "use more --rounds or a longer --min-time", spread)


def _check_drift(subject: Subject) -> Iterator[Advice]:
    """Compare the first and last third; no advice if their interquartile ranges overlap."""
    if len(subject.samples) < FEWEST_FOR_DRIFT:
        return
    third = len(subject.samples) // 3
    first, last = subject.samples[:third], subject.samples[-third:]
    change = quantile(last, 0.5) / quantile(first, 0.5)
    finding = f"the last third of the rounds took {change:.3g} times as long as the first"
    if change > 1 + DRIFT and quantile(last, 0.25) > quantile(first, 0.75):
        way_out = "throttling or other load, let the machine cool and run again"
        yield Advice("warning", subject.label, finding, way_out, change)
    elif change < 1 - DRIFT and quantile(last, 0.75) < quantile(first, 0.25):
        way_out = "the machine was cold or other programs ended, run again"
        yield Advice("note", subject.label, finding, way_out, -change)
