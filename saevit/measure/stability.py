"""Advice on how far a run can be trusted, and what to do about it. Never an exception."""

from dataclasses import dataclass
from typing import Literal

from saevit.measure.interleave import Run, Timing
from saevit.results.statistics import quantile, rounds_needed, summarize

SPREAD_NOTE, SPREAD_WARNING = 0.10, 0.25  # interquartile range / median
DRIFT = 0.05  # change of the median from the first to the last third
FEWEST_FOR_DRIFT = 9  # rounds: three a third


@dataclass(frozen=True, kw_only=True)
class Advice:
    """One line on what is doubtful and what to do."""

    subject: str | None  # label; None: the whole run
    level: Literal["note", "warning"]
    message: str


def advise(run: Run) -> tuple[Advice, ...]:
    """Return what a reader of this run has to know before relying on it, the whole run first."""
    working = [timing for timing in run.timings if timing.failure is None]
    whole = [_few_rounds(run), _load(run, working), _noise(run)] if working else []
    each = [
        advice for timing in working for advice in (_threads(run, timing), _spread(timing), _drift(timing))
    ]
    return tuple(advice for advice in (*whole, *each) if advice is not None)


def _few_rounds(run: Run) -> Advice | None:
    if run.rounds >= rounds_needed():
        return None
    cause = "interrupted after" if run.interrupted else "only"
    return Advice(
        subject=None,
        level="warning",
        message=f"{cause} {run.rounds} rounds: no difference can be resolved; run {rounds_needed()} or more",
    )


def _load(run: Run, working: list[Timing]) -> Advice | None:
    """Warn when what ran before and what we start do not fit on the cores together."""
    wanted = max(timing.conditions.threads for timing in working)
    load, cores = run.load_before, run.environment.usable_cores
    if load is None or load < 0.5 or load + wanted <= cores:
        return None
    return Advice(
        subject=None,
        level="note",
        message=f"load average {load:.1f} on {cores} cores before the run: close other programs, run again",
    )


def _noise(run: Run) -> Advice | None:
    floor = run.noise_floor
    if floor is None or floor.verdict == "not resolved":
        return None
    return Advice(
        subject=None,
        level="warning",
        message=f"{run.reference} timed twice differs by {abs(floor.median - 1):.1%}: "
        "trust no difference of that size, and run more rounds",
    )


def _threads(run: Run, timing: Timing) -> Advice | None:
    threads, cores = timing.conditions.threads, run.environment.usable_cores
    if threads <= cores:
        return None
    return Advice(
        subject=timing.label,
        level="warning",
        message=f"{threads} threads on {cores} usable cores: they wait for each other; use {cores} or fewer",
    )


def _spread(timing: Timing) -> Advice | None:
    spread = summarize(timing.samples).spread
    if spread <= SPREAD_NOTE:
        return None
    if spread <= SPREAD_WARNING:
        return Advice(
            subject=timing.label,
            level="note",
            message=f"spread {spread:.0%} of the median: run more rounds, or a longer minimum time",
        )
    return Advice(
        subject=timing.label,
        level="warning",
        message=f"spread {spread:.0%} of the median: rely on ratios only, or run again on a quiet machine",
    )


def _drift(timing: Timing) -> Advice | None:
    """Compare the first and last third, and stay silent while their middle halves overlap."""
    third = len(timing.samples) // 3
    if len(timing.samples) < FEWEST_FOR_DRIFT:
        return None
    first, last = timing.samples[:third], timing.samples[-third:]
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
        subject=timing.label,
        level="warning" if slower else "note",
        message=f"{abs(change):.0%} {'slower' if slower else 'faster'} in the last third: {cause}",
    )
