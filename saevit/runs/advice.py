"""Advice on how far a run can be trusted, and what to do about it. Never an exception."""

from dataclasses import dataclass
from typing import Literal

from saevit.runs.run import Run, Subject
from saevit.runs.statistics import quantile, rounds_needed, summarize

SPREAD_NOTE, SPREAD_WARNING = 0.10, 0.25  # interquartile range / median
DRIFT = 0.05  # change of the median from the first to the last third
FEWEST_FOR_DRIFT = 9  # rounds: three a third
MOST_LINES = 2  # on one matter


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What is doubtful and what to do."""

    subject: str | None  # label; None: the whole run
    level: Literal["note", "warning"]
    finding: str
    way_out: str
    severity: float = 0.0  # orders findings that have the same way out


def advise(run: Run) -> tuple[Advice, ...]:
    """Return what a reader of this run has to know before relying on it, the whole run first."""
    working = [subject for subject in run.timed if subject.samples]
    whole = [_unkept(run), _few_rounds(run), _load(run, working), _noise(run, working)] if working else []
    each = [
        advice
        for subject in working
        for advice in (_threads(run, subject), _spread(subject), _drift(subject))
    ]
    return tuple(advice for advice in (*whole, *each) if advice is not None)


def advice(run: Run) -> tuple[str, ...]:
    """Return the advice as lines; what is said of more than two subjects is one line that names the worst."""
    ways: dict[tuple[str, str], list[Advice]] = {}
    for one in advise(run):
        ways.setdefault((one.level, one.way_out), []).append(one)
    return tuple(line for (level, _), group in ways.items() for line in _lines(level, group))


def _lines(level: str, group: list[Advice]) -> list[str]:
    if len(group) <= MOST_LINES:
        return [f"{level}: {a.subject + ': ' if a.subject else ''}{a.finding}: {a.way_out}" for a in group]
    worst = max(group, key=lambda a: a.severity)
    others = f"so or less in {len(group) - 1} more"
    return [f"{level}: {worst.subject}: {worst.finding}, {others}: {worst.way_out}"]


def _unkept(run: Run) -> Advice | None:
    if run.unkept is None:
        return None
    return Advice(
        subject=None,
        level="warning",
        finding=f"samples are not kept from some round on ({run.unkept})",
        way_out="make room, or choose another folder by --store, and run again",
    )


def _few_rounds(run: Run) -> Advice | None:
    if run.rounds >= rounds_needed():
        return None
    cause = "interrupted after" if run.interrupted else "only"
    return Advice(
        subject=None,
        level="warning",
        finding=f"{cause} {run.rounds} rounds",
        way_out=f"no difference can be resolved; run {rounds_needed()} or more",
    )


def _load(run: Run, working: list[Subject]) -> Advice | None:
    """Warn when what ran before and what we start do not fit on the cores together."""
    wanted = max(subject.conditions.threads for subject in working)
    load, cores = run.load_before, run.environment.usable_cores
    if load is None or load < 0.5 or load + wanted <= cores:
        return None
    return Advice(
        subject=None,
        level="note",
        finding=f"load average {load:.1f} on {cores} cores before the run",
        way_out="close other programs, run again",
    )


def _noise(run: Run, working: list[Subject]) -> Advice | None:
    floor = run.noise_floor
    if floor is None or floor.verdict == "not resolved":
        return None
    return Advice(
        subject=None,
        level="warning",
        finding=f"{working[0].label} timed twice differs by {abs(floor.median - 1):.1%}",
        way_out="trust no difference of that size, and run more rounds",
    )


def _threads(run: Run, subject: Subject) -> Advice | None:
    threads, cores = subject.conditions.threads, run.environment.usable_cores
    if threads <= cores:
        return None
    return Advice(
        subject=subject.label,
        level="warning",
        finding=f"{threads} threads on {cores} usable cores",
        way_out=f"they wait for each other; use {cores} or fewer",
    )


def _spread(subject: Subject) -> Advice | None:
    spread = summarize(subject.samples).spread
    if spread <= SPREAD_NOTE:
        return None
    if spread <= SPREAD_WARNING:
        return Advice(
            subject=subject.label,
            level="note",
            finding=f"spread {spread:.0%} of the median",
            way_out="run more rounds, or a longer minimum time",
            severity=spread,
        )
    return Advice(
        subject=subject.label,
        level="warning",
        finding=f"spread {spread:.0%} of the median",
        way_out="rely on ratios only, or run again on a quiet machine",
        severity=spread,
    )


def _drift(subject: Subject) -> Advice | None:
    """Compare the first and last third, and stay silent while their middle halves overlap."""
    third = len(subject.samples) // 3
    if len(subject.samples) < FEWEST_FOR_DRIFT:
        return None
    first, last = subject.samples[:third], subject.samples[-third:]
    change = quantile(last, 0.5) / quantile(first, 0.5) - 1
    slower, faster = (
        quantile(last, 0.25) > quantile(first, 0.75),
        quantile(last, 0.75) < quantile(first, 0.25),
    )
    if abs(change) <= DRIFT or not (slower or faster):
        return None
    cause = (
        "it may be throttling: let the machine cool"
        if slower
        else "it was not warm, or others finished: run again"
    )
    return Advice(
        subject=subject.label,
        level="warning" if slower else "note",
        finding=f"{abs(change):.0%} {'slower' if slower else 'faster'} in the last third",
        way_out=cause,
        severity=abs(change),
    )
