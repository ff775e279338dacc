"""Columns and texts of latencies and their conditions, for several views."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar

from saevit.report.columns import Column, Table, attribute_columns, make_table, number_column
from saevit.report.units import bounds, digits, interval, milliseconds, percent
from saevit.runs.record import Conditions
from saevit.runs.run import Run, Subject
from saevit.runs.statistics import (
    BEYOND,
    PERCENTILES,
    Percentile,
    Ratio,
    Summary,
    list_percentiles,
    median,
    summarize,
)
from saevit.text import plural

T = TypeVar("T")


def from_samples(read: Callable[[Summary], T]) -> Callable[[Subject], T | None]:
    """Return a function of a subject that applies `read` to its statistics; None without samples."""
    return lambda subject: read(summarize(subject.samples)) if subject.samples else None


THROUGHPUT: Column[Subject] = number_column(
    "images/s",
    "infer_samples_per_sec",
    lambda s: s.conditions.batch_size / median(s.samples) if s.samples else None,
    digits,
)
MEDIAN: Column[Subject] = Column(
    "ms/batch",
    lambda one: milliseconds(median(one.samples)) if one.samples else "failed" if one.failure else None,
    "right",
    key="infer_step_time",
    value=from_samples(lambda seen: seen.median * 1e3),
)
QUARTILES: Column[Subject] = Column(
    "quartiles", from_samples(lambda seen: f"{milliseconds(seen.q1)} .. {milliseconds(seen.q3)}"), "right"
)
SPREAD: Column[Subject] = Column("spread", from_samples(lambda seen: percent(seen.spread)), "right")
LATENCIES: tuple[Column[Subject], ...] = (  # in the order of CSV files
    *attribute_columns(infer_batch_size="conditions.batch_size"),
    THROUGHPUT,
    MEDIAN,
    Column(key="infer_step_time_q1", value=from_samples(lambda seen: seen.q1 * 1e3)),
    Column(key="infer_step_time_q3", value=from_samples(lambda seen: seen.q3 * 1e3)),
    Column(key="spread", value=from_samples(lambda seen: seen.spread)),
    Column(key="rounds", value=lambda subject: len(subject.samples)),
    *attribute_columns("conditions.runtime", "conditions.device", "conditions.dtype"),
    *attribute_columns("conditions.threads", "conditions.memory_format", "conditions.folded"),
)

CONDITIONS: tuple[Column[Conditions], ...] = (
    Column("px", lambda c: "x".join(map(str, c.img_size)), "right"),
    Column("batch", lambda c: str(c.batch_size), "right"),
    Column("dtype", lambda c: c.dtype, "right"),
    Column("device", lambda c: c.device, "right"),
    Column("runtime", lambda c: c.runtime, "right"),
    Column("threads", lambda c: str(c.threads), "right"),
    Column("layout", lambda c: c.memory_format, "right"),
    Column("form", lambda c: "folded" if c.folded else "as defined", "right"),
)


def find_differing(conditions: Iterable[Conditions]) -> list[Column[Conditions]]:
    """Return the columns of the conditions that differ between measurements."""
    known = list(conditions)
    return [column for column in CONDITIONS if len({column.cell(c) for c in known}) > 1]


def describe_shared(conditions: Iterable[Conditions]) -> str:
    """Write the conditions that are equal in all measurements."""
    known = list(conditions)
    differing = find_differing(known)
    if known and not differing:
        return str(known[0])
    equal = [(c.head, c.cell(known[0])) for c in CONDITIONS if known and c not in differing]
    return ", ".join(f"{name} {text}" if text.isdecimal() else text for name, text in equal)


def tabulate_passes(run: Run) -> tuple[Table, ...]:
    """Return a table of percentiles of single passes, one row per subject; empty if none were timed."""
    rows = [subject for subject in run.timed if run.passes_of(subject)]
    if not rows:
        return ()
    columns: list[Column[Subject]] = [Column("model", lambda one: one.name)] * (
        len({s.name for s in rows}) > 1
    )
    columns += [
        column.via(lambda one: one.conditions) for column in find_differing(s.conditions for s in rows)
    ]
    columns += [Column("passes", lambda one: f"{len(run.passes_of(one)):,}", "right")]
    columns += [
        Column(f"p{100 * share:g}", partial(write_percentile, run, share), "right") for share in PERCENTILES
    ]
    notes = [
        "each pass is timed by itself, with a wait for the device before and after it; the passes are spread "
        "over the rounds",
        "intervals at 95 % are between two order statistics, as if passes were independent of each other; a "
        f"percentile with fewer than {BEYOND} passes beyond it is not shown",
    ]
    return (make_table("Single passes, ms per batch", columns, rows, notes),)


def find_percentile(run: Run, share: float, subject: Subject) -> Percentile | None:
    """Return a percentile of the single passes of a subject; None if there are too few passes."""
    return next((one for one in list_percentiles(run.passes_of(subject)) if one.share == share), None)


def write_percentile(run: Run, share: float, subject: Subject) -> str | None:
    """Write a percentile of the single passes of a subject with its interval."""
    one = find_percentile(run, share, subject)
    if one is None:
        return None
    return f"{milliseconds(one.value)} [{milliseconds(one.low)}, {milliseconds(one.high)}]"


def list_pass_columns(run: Run | None) -> list[Column[Subject]]:
    """Return the columns for files with the percentiles of single passes; empty if none were timed."""
    if run is None or not any(map(run.passes_of, run.timed)):
        return []

    def find_value(share: float, name: str, subject: Subject) -> float | None:
        one = find_percentile(run, share, subject)
        return None if one is None else 1e3 * getattr(one, name)

    names = {"value": "", "low": "_low", "high": "_high"}
    columns: list[Column[Subject]] = [Column(key="passes", value=lambda one: len(run.passes_of(one)))]
    return columns + [
        Column(key=f"pass_time_p{100 * share:g}{end}", value=partial(find_value, share, name))
        for share in PERCENTILES
        for name, end in names.items()
    ]


def write_ratio(ratio: Ratio) -> str:
    """Write a ratio with its interval; a ratio whose interval contains 1 reads `not resolved`."""
    if ratio.verdict == "not resolved":
        return f"not resolved {bounds(ratio.low, ratio.high)}"
    return interval(ratio.median, ratio.low, ratio.high)


def describe_ratio(ratio: Ratio) -> str:
    """Write a ratio with its interval and its verdict."""
    return f"{interval(ratio.median, ratio.low, ratio.high)} {ratio.verdict}"


def describe_noise_floor(reference: str, floor: Ratio) -> str:
    """Write the note on the noise floor: the ratio of two timings of the reference in every round."""
    return (
        f"noise floor: {reference} against itself, {interval(floor.median, floor.low, floor.high)} "
        f"at {percent(floor.confidence, 0)} confidence"
    )


def describe_conditions(run: Run) -> str:
    """Write the precisions, batch sizes, runtimes and threads of a run, each value once."""
    every = [
        (one.dtype, f"batch {one.batch_size}", one.runtime, plural(one.threads, "thread"))
        for one in (subject.conditions for subject in run.timed)
    ]
    return ", ".join(", ".join(dict.fromkeys(texts)) for texts in zip(*every, strict=True))


def describe_machine(run: Run) -> str:
    """Write the device with the name of the accelerator or processor."""
    environment, device = run.environment, run.timed[0].conditions.device
    return f"{device} ({environment.cpu if device == 'cpu' else environment.accelerator})"


def run_values(run: Run) -> dict[str, Any]:
    """Return the settings and the samples of a run for JSON."""
    return {
        "latencies": [subject_values(subject) | pass_values(run, subject) for subject in run.timed],
        **{name: getattr(run, name) for name in ("twin", "rounds", "min_time", "seed")},
        "environment": asdict(run.environment),
        **{name: getattr(run, name) for name in ("started", "load_before", "interrupted", "unkept")},
        "breakdown": None,
        "breakdown_total": (),
        "breakdown_plain": (),
    }


def pass_values(run: Run, subject: Subject) -> dict[str, Any]:
    """Return the single passes of a subject for JSON; empty if none were timed."""
    passes = run.passes_of(subject)
    return {"passes": passes, "percentiles": list(map(asdict, list_percentiles(passes)))} if passes else {}


def subject_values(subject: Subject) -> dict[str, Any]:
    """Return the samples and the conditions of one subject for JSON."""
    names = ("label", "samples", "notes", "failure")
    return {"conditions": asdict(subject.conditions)} | {name: getattr(subject, name) for name in names}
