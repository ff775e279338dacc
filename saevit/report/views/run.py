"""A stored run: latencies and ratios or an evaluation, single facts, other samples, and the machine."""

from collections.abc import Sequence
from shlex import quote

from saevit.report.columns import NONE, Column, Table, make_table, text_columns
from saevit.report.html.environment import machine_fields
from saevit.report.latencies import (
    MEDIAN,
    QUARTILES,
    SPREAD,
    THROUGHPUT,
    describe_noise_floor,
    describe_ratio,
    describe_shared,
    find_differing,
)
from saevit.report.units import digits, milliseconds, percent, plural, scaled, size
from saevit.report.views.evaluation import tabulate_stored_evaluation
from saevit.report.views.listing import CUT_OFF, ENDINGS
from saevit.runs.advice import advice
from saevit.runs.profile import Latency, Timings
from saevit.runs.record import Conditions, Record
from saevit.runs.replay import timings_of
from saevit.runs.run import StoredRun
from saevit.runs.statistics import ratio, summarize

HEADS = {"macs": "MACs", "peak_bytes": "peak act.", "top1": "top-1"}  # of quantities, where others differ


def tabulate_run(run: StoredRun) -> tuple[Table, ...]:
    """Return the tables of a run: subjects or evaluation, facts, other samples, and the machine."""
    environment = Table(
        title="Machine and software",
        columns=text_columns("", "value"),
        rows=tuple(machine_fields(run.header.environment).items()),
    )
    first = (tabulate_stored_evaluation(run),) if run.is_evaluation else (tabulate_subjects(run),)
    facts = () if run.is_evaluation else tabulate_facts(run)
    return (*first, *facts, *tabulate_samples(run), environment)


def tabulate_subjects(run: StoredRun) -> Table:
    """Return latencies with their spread, and their ratio to the first subject that worked."""
    timings = timings_of(run)
    subjects = [subject for subject in run.header.subjects if subject.quantity == "latency"]
    rows: list[tuple[str, Latency | None]] = [
        (subject.name, latency) for subject, latency in zip(subjects, timings.latencies, strict=True)
    ]
    labels = {subject.label for subject in run.header.subjects}
    rows += [(label, None) for label in run.failures if label not in labels]  # it was never built
    names = list(dict.fromkeys(name for name, _ in rows))
    differing = find_differing(subject.conditions for subject in subjects)
    base = next((latency for latency in timings.latencies if latency.samples), None)

    def ratio_to_base(latency: Latency) -> str | None:
        if base is None or latency is base or not latency.samples:
            return None
        times = [[s / one.conditions.batch_size for s in one.samples] for one in (latency, base)]
        return describe_ratio(ratio(*times))

    columns: list[Column[tuple[str, Latency | None]]] = [
        Column("model", lambda row: row[0]),
        *(column.via(lambda row: row[1] and row[1].conditions) for column in differing),
        Column("ms/batch", lambda row: MEDIAN.cell(row[1]) if row[1] else "failed", "right"),
        *(column.via(lambda row: row[1]) for column in (QUARTILES, SPREAD, THROUGHPUT)),
        Column("ratio", lambda row: ratio_to_base(row[1]) if row[1] else None),
    ]
    header = run.header
    devices = ", ".join(dict.fromkeys(subject.conditions.device for subject in header.subjects))
    only = f"{names[0]}, " if len(names) == 1 else ""
    rounds = plural(len(run.rounds), "interleaved round")
    table = make_table(
        f"{run.path.stem}: {only}{rounds} on {devices} ({header.hardware}), {ENDINGS[run.ending]}",
        columns,
        rows,
        describe_subjects(run, timings, base, differing if only else None),
    )
    return (table.without_column("model") if only else table).without_empty_columns()


def describe_subjects(
    run: StoredRun, timings: Timings, base: Latency | None, differing: Sequence[Column[Conditions]] | None
) -> list[str]:
    """Return the notes of a run: what is missing, how it was measured, the noise floor, and advice.

    Args:
        run: the stored run.
        timings: its latencies.
        base: what ratios are relative to.
        differing: conditions that tell the lines of a single model apart; None if there are several models.
    """

    def name_line(latency: Latency) -> str:
        if differing is None:
            return latency.label
        return ", ".join(f"{c.head} {c.cell(latency.conditions)}" for c in differing) or "the model"

    header = run.header
    notes = [*run.warnings, *(f"{label}: {reason}" for label, reason in run.failures.items())]
    if run.ending == "lost":
        notes.append(CUT_OFF)
    if not run.rounds:
        notes.append("no round was finished")
    notes.append(
        f"started {header.started}: {describe_shared(subject.conditions for subject in header.subjects)}; "
        f"a sample lasts {header.min_time:g} s or more; seed {header.seed}"
    )
    if base and len(timings.latencies) > 1:
        notes.append(
            f"ratio: time per image relative to {name_line(base)}, round by round; below 1 is faster"
        )
    notes += [f"{name_line(one)}: {note}" for one in timings.latencies for note in one.notes]
    if base and timings.noise_floor:
        notes.append(describe_noise_floor(name_line(base), timings.noise_floor))
    if differing is None:
        notes.append(f"to see accuracies: saevit compare --from-store {quote(str(run.path))}")
    return [*notes, *advice(timings)]


def tabulate_facts(run: StoredRun) -> tuple[Table, ...]:
    """Return one row per subject with its values, such as counts; no table if the run has no values."""
    facts = [fact for fact in run.facts if fact.value is not None]
    heads = list(dict.fromkeys(map(name_quantity, facts)))
    rows: dict[tuple[str, str], dict[str, str]] = {}
    sources: dict[str, dict[str, None]] = {}
    for fact in facts:
        where = NONE if fact.conditions is None else str(fact.conditions)
        rows.setdefault((fact.subject, where), {})[name_quantity(fact)] = describe_value(fact)
        sources.setdefault(describe_source(fact), {})[name_quantity(fact)] = None
    table = Table(
        title="Facts",
        columns=text_columns("model", "conditions", *(f">{head}" for head in heads)),
        rows=tuple((*key, *(values.get(head, NONE) for head in heads)) for key, values in rows.items()),
        notes=tuple(f"{', '.join(quantities)}: {source}" for source, quantities in sources.items()),
    )
    return (table.without_empty_columns(),) if facts else ()


def name_quantity(fact: Record) -> str:
    """Return the name of a quantity as tables show it."""
    return HEADS.get(fact.quantity, fact.quantity.replace("_", " "))


def describe_value(fact: Record) -> str:
    """Return a value in its unit as text."""
    assert fact.value is not None
    if fact.unit == "bytes":
        return size(fact.value)
    return f"{fact.value:.1f}" if fact.unit == "%" else scaled(fact.value)


def describe_source(fact: Record) -> str:
    """Return where a value comes from as text."""
    notes = ", ".join(fact.notes)
    return notes if notes.startswith(fact.source) else f"{fact.source} ({notes})" if notes else fact.source


def tabulate_samples(run: StoredRun) -> tuple[Table, ...]:
    """Return the samples that were taken outside the rounds, such as those of modules: a table a subject."""
    groups: dict[str, list[Record]] = {}
    for fact in run.facts:
        if fact.samples:
            where = fact.subject if fact.conditions is None else f"{fact.subject}, {fact.conditions}"
            groups.setdefault(where, []).append(fact)
    return tuple(
        Table(
            title=f"Sampled outside the rounds: {where}",
            columns=text_columns("", ">median", ">quartiles", "unit", ">spread", ">samples"),
            rows=tuple(map(describe_samples, facts)),
        )
        for where, facts in groups.items()
    )


def describe_samples(fact: Record) -> tuple[str, ...]:
    """Return the cells of one sampled quantity; seconds are shown as milliseconds."""
    text, unit = (milliseconds, "ms") if fact.unit == "s" else (digits, fact.unit)
    seen = summarize(fact.samples)
    quartiles = f"{text(seen.q1)} .. {text(seen.q3)}"
    spread = percent(seen.spread) if seen.median else NONE
    return name_quantity(fact), text(seen.median), quartiles, unit, spread, str(seen.count)
