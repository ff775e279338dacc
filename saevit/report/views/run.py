"""A stored run: latencies and ratios or an evaluation, single facts, other samples, and the machine."""

from collections.abc import Sequence
from shlex import quote

from saevit.report.columns import NONE, Column, Table, make_table, text_table
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
from saevit.report.units import digits, list_fields, milliseconds, percent, scaled, size
from saevit.report.views.evaluation import tabulate_stored_evaluation
from saevit.report.views.listing import CUT_OFF, ENDINGS
from saevit.runs.advice import advice
from saevit.runs.record import Conditions, Record
from saevit.runs.run import Run, Subject
from saevit.runs.statistics import ratio, summarize
from saevit.text import plural

HEADS = {"macs": "MACs", "peak_bytes": "peak act.", "top1": "top-1"}  # of quantities, where others differ


def tabulate_run(run: Run) -> tuple[Table, ...]:
    """Return the tables of a run: subjects or evaluation, facts, other samples, and the machine."""
    environment = text_table("Machine and software", ("", "value"), list_fields(run.environment).items())
    first = tabulate_stored_evaluation(run) if run.is_evaluation else tabulate_subjects(run)
    facts = () if run.is_evaluation else tabulate_facts(run)
    return (first, *facts, *tabulate_samples(run), environment)


def tabulate_subjects(run: Run) -> Table:
    """Return latencies with their spread, and their ratio to the first subject that worked."""
    rows: list[tuple[str, Subject | None]] = [(subject.name, subject) for subject in run.timed]
    rows += [(name, None) for name in run.not_built]
    names = list(dict.fromkeys(name for name, _ in rows))
    differing = find_differing(subject.conditions for subject in run.timed)
    base = run.reference

    def ratio_to_base(subject: Subject) -> str | None:
        if base is None or subject is base or not subject.samples:
            return None
        return describe_ratio(ratio(subject.seconds_per_image, base.seconds_per_image))

    columns: list[Column[tuple[str, Subject | None]]] = [
        Column("model", lambda row: row[0]),
        *(column.via(lambda row: row[1] and row[1].conditions) for column in differing),
        Column("ms/batch", lambda row: MEDIAN.cell(row[1]) if row[1] else "failed", "right"),
        *(column.via(lambda row: row[1]) for column in (QUARTILES, SPREAD, THROUGHPUT)),
        Column("ratio", lambda row: ratio_to_base(row[1]) if row[1] else None),
    ]
    devices = ", ".join(dict.fromkeys(subject.conditions.device for subject in run.subjects))
    only = f"{names[0]}, " if len(names) == 1 else ""
    rounds = plural(run.rounds, "interleaved round")
    table = make_table(
        f"{run.path.stem}: {only}{rounds} on {devices} ({run.hardware}), {ENDINGS[run.ending]}",
        columns,
        rows,
        describe_subjects(run, differing if only else None),
    )
    return (table.without_column("model") if only else table).without_empty_columns()


def describe_subjects(run: Run, differing: Sequence[Column[Conditions]] | None) -> list[str]:
    """Return the notes of a run: what is missing, how it was measured, the noise floor, and advice.

    `differing` has the conditions that tell the lines of a single model apart; None for several models.
    """

    def name_line(subject: Subject) -> str:
        if differing is None:
            return subject.label
        return ", ".join(f"{c.head} {c.cell(subject.conditions)}" for c in differing) or "the model"

    base = run.reference
    notes = [*run.warnings, *(f"{label}: {reason}" for label, reason in run.failures.items())]
    if run.ending == "lost":
        notes.append(CUT_OFF)
    if not run.rounds:
        notes.append("no round was finished")
    notes.append(
        f"started {run.started}: {describe_shared(subject.conditions for subject in run.subjects)}; "
        f"a sample lasts {run.min_time:g} s or more; seed {run.seed}"
    )
    if base and len(run.timed) > 1:
        notes.append(
            f"ratio: time per image relative to {name_line(base)}, round by round; below 1 is faster"
        )
    notes += [f"{name_line(one)}: {note}" for one in run.timed for note in one.notes]
    if base and run.noise_floor:
        notes.append(describe_noise_floor(name_line(base), run.noise_floor))
    if differing is None:
        notes.append(f"to see accuracies: saevit compare --from-store {quote(str(run.path))}")
    return [*notes, *advice(run)]


def tabulate_facts(run: Run) -> tuple[Table, ...]:
    """Return one row per subject with its values, such as counts; no table if the run has no values."""
    facts = [fact for fact in run.facts if fact.value is not None]
    heads = list(dict.fromkeys(map(name_quantity, facts)))
    rows: dict[tuple[str, str], dict[str, str]] = {}
    sources: dict[str, dict[str, None]] = {}
    for fact in facts:
        where = NONE if fact.conditions is None else str(fact.conditions)
        rows.setdefault((fact.subject, where), {})[name_quantity(fact)] = describe_value(fact)
        source = ", ".join(fact.notes)
        if not source.startswith(fact.source):
            source = f"{fact.source} ({source})" if source else fact.source
        sources.setdefault(source, {})[name_quantity(fact)] = None
    table = text_table(
        "Facts",
        ("model", "conditions", *(f">{head}" for head in heads)),
        ((*key, *(values.get(head, NONE) for head in heads)) for key, values in rows.items()),
        (f"{', '.join(quantities)}: {source}" for source, quantities in sources.items()),
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


def tabulate_samples(run: Run) -> tuple[Table, ...]:
    """Return the samples that were taken outside the rounds, such as those of modules: a table a subject."""
    groups: dict[str, list[Record]] = {}
    for fact in run.facts:
        if fact.samples:
            where = fact.subject if fact.conditions is None else f"{fact.subject}, {fact.conditions}"
            groups.setdefault(where, []).append(fact)
    return tuple(
        text_table(
            f"Sampled outside the rounds: {where}",
            ("", ">median", ">quartiles", "unit", ">spread", ">samples"),
            map(describe_samples, facts),
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
