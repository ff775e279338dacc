"""Everything of one stored run, as tables."""

from collections.abc import Sequence
from shlex import quote

from saevit.report.columns import NONE, Table, text_columns
from saevit.report.stored.conditions import TEXTS, shared, varying
from saevit.report.stored.endings import CUT_OFF, ENDINGS
from saevit.report.stored.evaluated import evaluation_table
from saevit.report.stored.facts import facts_tables, samples_tables
from saevit.report.units import digits, interval, list_fields, milliseconds, percent, plural
from saevit.runs.advice import advice
from saevit.runs.profile import Latency, Timings
from saevit.runs.replay import timings_of
from saevit.runs.run import StoredRun
from saevit.runs.statistics import Ratio, ratio, summarize


def run_tables(run: StoredRun) -> tuple[Table, ...]:
    """Return everything of one run: its subjects or what it evaluated, what was found once, the machine."""
    environment = Table(
        title="Machine and software",
        columns=text_columns("", "value"),
        rows=tuple(list_fields(run.header.environment).items()),
    )
    first = evaluation_table(run) if run.is_evaluation else subjects_table(run)
    facts = () if run.is_evaluation else facts_tables(run)
    return (first, *facts, *samples_tables(run), environment)


def subjects_table(run: StoredRun) -> Table:
    """Latencies with their spread, and their ratio to the first one that worked."""
    timings = timings_of(run)
    subjects = [s for s in run.header.subjects if s.quantity == "latency"]
    labels = {subject.label for subject in run.header.subjects}
    never = [label for label in run.failures if label not in labels]  # not even begun
    names = dict.fromkeys([*(subject.name for subject in subjects), *never])
    apart = varying(subject.conditions for subject in subjects)
    base = reference(timings)
    rows = [
        (
            subject.name,
            *(TEXTS[name](subject.conditions) for name in apart),
            *figures(latency, base, failed=subject.label in run.failures),
        )
        for subject, latency in zip(subjects, timings.latencies, strict=True)
    ]
    rows += [(label, *(NONE for _ in apart), "failed", *([NONE] * 4)) for label in never]
    heads = (">ms/batch", ">quartiles", ">spread", ">images/s", "ratio")
    table = (
        Table(
            title=title(run, next(iter(names)) if len(names) == 1 else None),
            columns=text_columns("model", *(f">{name}" for name in apart), *heads),
            rows=tuple(rows),
            notes=notes(run, timings, apart if len(names) == 1 else None),
        )
    ).without_empty_columns()
    return table if len(names) > 1 else table.without_column("model")


def title(run: StoredRun, only: str | None) -> str:
    """Say which run, of what, where, and how it ended."""
    header = run.header
    devices = ", ".join(dict.fromkeys(subject.conditions.device for subject in header.subjects))
    what = f"{only}, " if only else ""
    rounds = plural(len(run.rounds), "interleaved round")
    return f"{run.path.stem}: {what}{rounds} on {devices} ({header.hardware}), {ENDINGS[run.ending]}"


def figures(latency: Latency, base: Latency | None, *, failed: bool) -> tuple[str, ...]:
    """Statistics of one subject."""
    if not latency.samples:
        return "failed" if failed else NONE, NONE, NONE, NONE, NONE
    seen = summarize(latency.samples)
    return (
        milliseconds(seen.median),
        f"{milliseconds(seen.q1)} .. {milliseconds(seen.q3)}",
        percent(seen.spread),
        digits(latency.conditions.batch_size / seen.median),
        NONE if base is None or base is latency else ratio_text(per_image(latency, base)),
    )


def reference(timings: Timings) -> Latency | None:
    """Return the first subject that has samples."""
    return next((latency for latency in timings.latencies if latency.samples), None)


def per_image(latency: Latency, base: Latency) -> Ratio:
    """Compare seconds an image: batches may differ."""
    times, bases = (tuple(s / one.conditions.batch_size for s in one.samples) for one in (latency, base))
    return ratio(times, bases)


def ratio_text(seen: Ratio) -> str:
    """Write a ratio with its interval and what it says."""
    return f"{interval(seen.median, seen.low, seen.high)} {seen.verdict}"


def notes(run: StoredRun, timings: Timings, apart: Sequence[str] | None) -> tuple[str, ...]:
    """What a reader has to know: what is missing, how it was measured, how far equal things differ.

    Args:
        run: all of it.
        timings: its statistics.
        apart: in what the lines of a single model differ; None where models do.
    """
    header, base, floor = run.header, reference(timings), timings.noise_floor
    found = [*run.warnings, *(f"{label}: {reason}" for label, reason in run.failures.items())]
    if run.ending == "lost":
        found.append(CUT_OFF)
    if not run.rounds:
        found.append("no round was finished")
    found.append(
        f"begun {header.started}: {shared(subject.conditions for subject in header.subjects)}; "
        f"a sample lasts {header.min_time:g} s or more; seed {header.seed}"
    )
    if base and len(timings.latencies) > 1:
        found.append(
            f"ratio: time of an image over that of {told(base, apart)}, round by round; below 1 is faster"
        )
    found += [f"{told(one, apart)}: {note}" for one in timings.latencies for note in one.notes]
    if base and floor:
        found.append(
            f"noise floor: {told(base, apart)} against itself, {ratio_text(floor)} "
            f"at {percent(floor.confidence, 0)} confidence"
        )
    if apart is None:
        found.append(f"with accuracies: saevit compare --from-store {quote(str(run.path))}")
    return (*found, *advice(timings))


def told(latency: Latency, apart: Sequence[str] | None) -> str:
    """Name a line: its label, or what sets it apart from the other lines of its model."""
    if apart is None:
        return latency.label
    return ", ".join(f"{name} {TEXTS[name](latency.conditions)}" for name in apart) or "the model"
