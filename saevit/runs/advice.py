"""Advice on how far a run can be trusted, and what to do about it. Never an exception."""

from dataclasses import dataclass
from typing import Literal

from saevit.runs.profile import Latency, Timings
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


def advise(timings: Timings) -> tuple[Advice, ...]:
    """Return what a reader of this run has to know before relying on it, the whole run first."""
    working = [latency for latency in timings.latencies if latency.samples]
    whole = (
        [_unkept(timings), _few_rounds(timings), _load(timings, working), _noise(timings, working)]
        if working
        else []
    )
    each = [
        advice
        for latency in working
        for advice in (_threads(timings, latency), _spread(latency), _drift(latency))
    ]
    return tuple(advice for advice in (*whole, *each) if advice is not None)


def advice(timings: Timings) -> tuple[str, ...]:
    """Return the advice as lines; what is said of more than two subjects is one line that names the worst."""
    ways: dict[tuple[str, str], list[Advice]] = {}
    for one in advise(timings):
        ways.setdefault((one.level, one.way_out), []).append(one)
    return tuple(line for (level, _), group in ways.items() for line in _lines(level, group))


def _lines(level: str, group: list[Advice]) -> list[str]:
    if len(group) <= MOST_LINES:
        return [f"{level}: {a.subject + ': ' if a.subject else ''}{a.finding}: {a.way_out}" for a in group]
    worst = max(group, key=lambda a: a.severity)
    others = f"so or less in {len(group) - 1} more"
    return [f"{level}: {worst.subject}: {worst.finding}, {others}: {worst.way_out}"]


def _unkept(timings: Timings) -> Advice | None:
    if timings.unkept is None:
        return None
    return Advice(
        subject=None,
        level="warning",
        finding=f"samples are not kept from some round on ({timings.unkept})",
        way_out="make room, or choose another folder by --store, and run again",
    )


def _few_rounds(timings: Timings) -> Advice | None:
    if timings.rounds >= rounds_needed():
        return None
    cause = "interrupted after" if timings.interrupted else "only"
    return Advice(
        subject=None,
        level="warning",
        finding=f"{cause} {timings.rounds} rounds",
        way_out=f"no difference can be resolved; run {rounds_needed()} or more",
    )


def _load(timings: Timings, working: list[Latency]) -> Advice | None:
    """Warn when what ran before and what we start do not fit on the cores together."""
    wanted = max(latency.conditions.threads for latency in working)
    load, cores = timings.load_before, timings.environment.usable_cores
    if load is None or load < 0.5 or load + wanted <= cores:
        return None
    return Advice(
        subject=None,
        level="note",
        finding=f"load average {load:.1f} on {cores} cores before the run",
        way_out="close other programs, run again",
    )


def _noise(timings: Timings, working: list[Latency]) -> Advice | None:
    floor = timings.noise_floor
    if floor is None or floor.verdict == "not resolved":
        return None
    return Advice(
        subject=None,
        level="warning",
        finding=f"{working[0].label} timed twice differs by {abs(floor.median - 1):.1%}",
        way_out="trust no difference of that size, and run more rounds",
    )


def _threads(timings: Timings, latency: Latency) -> Advice | None:
    threads, cores = latency.conditions.threads, timings.environment.usable_cores
    if threads <= cores:
        return None
    return Advice(
        subject=latency.label,
        level="warning",
        finding=f"{threads} threads on {cores} usable cores",
        way_out=f"they wait for each other; use {cores} or fewer",
    )


def _spread(latency: Latency) -> Advice | None:
    spread = summarize(latency.samples).spread
    if spread <= SPREAD_NOTE:
        return None
    if spread <= SPREAD_WARNING:
        return Advice(
            subject=latency.label,
            level="note",
            finding=f"spread {spread:.0%} of the median",
            way_out="run more rounds, or a longer minimum time",
            severity=spread,
        )
    return Advice(
        subject=latency.label,
        level="warning",
        finding=f"spread {spread:.0%} of the median",
        way_out="rely on ratios only, or run again on a quiet machine",
        severity=spread,
    )


def _drift(latency: Latency) -> Advice | None:
    """Compare the first and last third, and stay silent while their middle halves overlap."""
    third = len(latency.samples) // 3
    if len(latency.samples) < FEWEST_FOR_DRIFT:
        return None
    first, last = latency.samples[:third], latency.samples[-third:]
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
        subject=latency.label,
        level="warning" if slower else "note",
        finding=f"{abs(change):.0%} {'slower' if slower else 'faster'} in the last third",
        way_out=cause,
        severity=abs(change),
    )
