"""Compare two stored runs, subject by subject, through a reference that both of them measured.

Two runs share no rounds, so nothing pairs their samples: the machine may have been another one, or busier.
What each run knows is how its subjects stand to its own reference, round by round. The ratio of those ratios
says how a subject changed against the reference; if the reference changed, that shows in every subject.
"""

import math
from dataclasses import dataclass, fields

from saevit.errors import OptionError, nearest
from saevit.runs.record import Conditions
from saevit.runs.run import StoredRun, StoredSubject
from saevit.runs.statistics import Ratio, Verdict, median, ratio


@dataclass(frozen=True, kw_only=True)
class Change:
    """One subject in two runs, under equal conditions; ratios below 1: the second run is the faster one."""

    subject: str
    quantity: str  # latency_again: the reference once more, which ought not to change
    conditions: Conditions
    before: Ratio  # first run: to the reference of the same rounds
    after: Ratio  # second run: the same
    ratio: float  # after over before, both as medians of per-round ratios
    low: float
    high: float
    confidence: float  # coverage that [low, high] guarantees
    verdict: Verdict  # of the second run against the first one
    seconds_ratio: float  # of the plain medians: moves with the machine and its load, hence without a verdict

    @property
    def resolved(self) -> bool:
        """Did the subject change against the reference, as far as these rounds can tell?"""
        return self.verdict != "not resolved"


@dataclass(frozen=True, kw_only=True)
class NotComparable:
    """A subject that only one run can speak of, or neither."""

    subject: str
    quantity: str
    conditions: Conditions
    reason: str


@dataclass(frozen=True, kw_only=True)
class Diff:
    """What two runs say of each other."""

    reference: str | None  # None: the runs share no two subjects
    reference_conditions: Conditions | None
    reference_seconds_ratio: float | None  # its plain medians, second run over first
    changes: tuple[Change, ...]  # in the order of the first run
    not_comparable: tuple[NotComparable, ...]
    environment: tuple[str, ...]  # what differs between the machines, such as "torch: 2.11.0 -> 2.15.0"
    same_saevit: bool  # else variants of the same name may be different networks


def diff(
    run_a: StoredRun, run_b: StoredRun, *, reference: str | None = None, confidence: float = 0.95
) -> Diff:
    """Return how every subject changed from the first run to the second one.

    The interval divides the ends of two intervals, one a run, that each cover their median at the root of the
    confidence: runs are independent, so both do at the confidence, whatever the noise of either machine looks
    like (`statistics.ratio` on the single interval). It is wider than need be, on purpose. Simulated at 7 to
    30 rounds it covered 99.4 % or more where 95 % was asked; the percentile bootstrap of the medians fell to
    90.7 % when one machine was noisier, and to 88 % when neighbouring rounds correlated by 0.3 (here: 99 %).
    What differs between processes and not between rounds, such as where memory lies, no round can show. With
    an offset a process of half the rounds' standard deviation, 15 rounds a run still covered 97 % (bootstrap:
    76 %); with one as large, 80 %: a resolved difference of two runs is weaker evidence than one of one run.
    From 7 rounds a run, a difference can be resolved at 95 %.

    Args:
        run_a: the run to start from.
        run_b: the run that is judged.
        reference: name of a subject in both runs; by default the first one of `run_a` that is.
        confidence: coverage asked for, between 0 and 1.

    Raises:
        OptionError: a reference that the runs do not share.
        ValueError: a confidence out of range.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence}: a share between 0 and 1, such as 0.95")
    keys = list(dict.fromkeys(_key(subject) for run in (run_a, run_b) for subject in run.header.subjects))
    reasons = {key: _reason(key, run_a, run_b) for key in keys}
    shared = [key for key in keys if reasons[key] is None]
    base = _reference(shared, reference)
    if base and len(shared) == 1:
        reasons[base], base = "the only subject that both runs measured: there is no reference for it", None
    return Diff(
        reference=base.subject if base else None,
        reference_conditions=base.conditions if base else None,
        reference_seconds_ratio=_seconds_ratio(base, run_a, run_b) if base else None,
        changes=tuple(_change(key, base, run_a, run_b, confidence) for key in shared if base and key != base),
        not_comparable=tuple(NotComparable(**vars(key), reason=why) for key, why in reasons.items() if why),
        environment=_differences(run_a, run_b),
        same_saevit=run_a.header.environment.saevit == run_b.header.environment.saevit,
    )


@dataclass(frozen=True)
class _Key:
    """What has to be equal before two timings may be compared."""

    subject: str
    quantity: str
    conditions: Conditions


def _key(subject: StoredSubject) -> _Key:
    return _Key(subject.name, subject.quantity, subject.conditions)


def _reason(key: _Key, run_a: StoredRun, run_b: StoredRun) -> str | None:
    """Return why a subject cannot be compared, or None if both runs have its samples."""
    for run, which in ((run_a, "first"), (run_b, "second")):
        labels = [subject.label for subject in run.header.subjects if _key(subject) == key]
        if not labels:
            return f"not in the {which} run{_elsewhere(key, run)}"
        if len(labels) > 1:
            return f"{len(labels)} times in the {which} run under equal conditions"
        if not run.samples(labels[0]):
            return f"{which} run: {run.failures.get(labels[0], 'no round was finished')}"
    return None


def _elsewhere(key: _Key, run: StoredRun) -> str:
    others = [other for other in map(_key, run.header.subjects) if other.subject == key.subject]
    others = [other for other in others if other.quantity == key.quantity]
    return f" under these conditions, but under {others[0].conditions}" if others else ""


def _reference(shared: list[_Key], name: str | None) -> _Key | None:
    if name is None:
        return shared[0] if shared else None
    for key in shared:
        if key.subject == name:
            return key
    ways = nearest(name, dict.fromkeys(key.subject for key in shared)) if shared else "they share no subject"
    raise OptionError(f"reference {name!r} was not measured by both runs under equal conditions: {ways}")


def _samples(key: _Key, run: StoredRun) -> tuple[float, ...]:
    return next(run.samples(subject.label) for subject in run.header.subjects if _key(subject) == key)


def _seconds_ratio(key: _Key, run_a: StoredRun, run_b: StoredRun) -> float:
    return median(_samples(key, run_b)) / median(_samples(key, run_a))


def _change(key: _Key, base: _Key, run_a: StoredRun, run_b: StoredRun, confidence: float) -> Change:
    single = math.sqrt(confidence)
    before, after = (
        ratio(_samples(key, run), _samples(base, run), confidence=single) for run in (run_a, run_b)
    )
    low, high, covered = (
        after.low / before.high,
        after.high / before.low,
        before.confidence * after.confidence,
    )
    return Change(
        **vars(key),
        before=before,
        after=after,
        ratio=after.median / before.median,
        low=low,
        high=high,
        confidence=covered,
        verdict=_verdict(low, high) if covered >= confidence else "not resolved",
        seconds_ratio=_seconds_ratio(key, run_a, run_b),
    )


def _verdict(low: float, high: float) -> Verdict:
    if high < 1:
        return "faster"
    return "slower" if low > 1 else "not resolved"


def _differences(run_a: StoredRun, run_b: StoredRun) -> tuple[str, ...]:
    a, b = run_a.header.environment, run_b.header.environment
    names = [one.name for one in fields(a) if getattr(a, one.name) != getattr(b, one.name)]
    return tuple(f"{name}: {getattr(a, name)} -> {getattr(b, name)}" for name in names)
