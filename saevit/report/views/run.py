"""A stored run as tables: latencies and ratios or an evaluation, counts, other samples, and the machine."""

from collections.abc import Sequence
from shlex import quote

from saevit.count import breakdown_lines
from saevit.report.columns import NONE, Column, Table, View, make_table, text_table
from saevit.report.latencies import (
    MEDIAN,
    QUARTILES,
    SPREAD,
    THROUGHPUT,
    describe_noise_floor,
    describe_ratio,
    describe_shared,
    find_differing,
    tabulate_passes,
)
from saevit.report.run_messages import summarize_run
from saevit.report.units import digits, list_fields, milliseconds, percent, scaled, size
from saevit.report.views.evaluation import describe_comparison, note_training, tabulate_stored_evaluation
from saevit.report.views.listing import CUT_OFF, ENDINGS
from saevit.runs.advice import advice
from saevit.runs.record import Environment, Record
from saevit.runs.run import PASS, Run, Subject
from saevit.runs.statistics import ratio, summarize
from saevit.text import plural

HEADS = {"macs": "MACs", "peak_bytes": "peak act.", "top1": "top-1"}  # heads that differ from the quantity
OWN = "own latency of "  # prefix of the quantities of modules
PASSES = {
    f"{OWN}what is elsewhere": "the rest of the network",
    "latency of the watched pass": "network with module timers",
    "latency of the unwatched pass": "whole network",
    "eval throughput": "network alone",
    "eval throughput with reading": "with reading",
}
MACHINE = ("cpu", "accelerator", "usable cores", "memory", "torch", "saevit", "settings")  # shown at once


def view_run(run: Run) -> View:
    """Return the view of a stored run."""
    notes = []
    if run.top1s:
        notes += note_training(run.top1s[0].training) if run.is_evaluation else []
        notes.append(describe_comparison(run.top1s[0].model, run.top1s[0].data))
    elif base := run.reference if len(run.timed) > 1 else None:
        name = name_line(run, base)
        notes.append(f"ratio: time per image relative to {name} in the same round; below 1 is faster")
    if not run.is_evaluation and len({subject.name for subject in run.timed}) > 1:
        notes.append(f"with accuracies: saevit compare --from-store {quote(str(run.path))}")
    warnings = [*run.warnings, *(f"{label}: {reason}" for label, reason in run.failures.items())]
    if run.ending == "lost":
        warnings.append(CUT_OFF)
    return View(
        result=summarize_run(run),
        warnings=(*warnings, *advice(run, "warning")),
        tables=tabulate_run(run),
        notes=tuple(notes),
    )


def tabulate_run(run: Run) -> tuple[Table, ...]:
    """Return the tables of a run: times or evaluation, counts, other samples, and the machine."""
    first = tabulate_stored_evaluation(run) if run.is_evaluation else tabulate_subjects(run)
    facts = () if run.is_evaluation else tabulate_facts(run)
    return (first, *tabulate_passes(run), *facts, *tabulate_samples(run), tabulate_machine(run.environment))


def tabulate_machine(
    environment: Environment, shown: Sequence[str] = MACHINE, more: Sequence[tuple[str, str]] = ()
) -> Table:
    """Return a table of the fields in `shown` and of `more` rows; a note has the other fields."""
    values = {name: text for name, text in list_fields(environment).items() if text != NONE}
    rest = ", ".join(f"{name} {text}" for name, text in values.items() if name not in shown)
    rows = [*((name, values[name]) for name in shown if name in values), *more]
    return text_table("Machine and software", ("", "~value"), rows, [rest] if rest else [])


def tabulate_subjects(run: Run) -> Table:
    """Return the table of latencies with their spread, and with their ratio to the reference."""
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
        Column("ratio", lambda row: ratio_to_base(row[1]) if row[1] else None),
        *(column.via(lambda row: row[1]) for column in (SPREAD, THROUGHPUT, QUARTILES)),
    ]
    devices = ", ".join(dict.fromkeys(subject.conditions.device for subject in run.subjects))
    only = f"{names[0]}, " if len(names) == 1 else ""
    rounds = plural(run.rounds, "interleaved round")
    table = make_table(
        f"{run.path.stem}: {only}{rounds} on {devices} ({run.hardware}), {ENDINGS[run.ending]}",
        columns,
        rows,
        describe_subjects(run),
    )
    return (table.without_column("model") if only else table).without_empty_columns()


def name_line(run: Run, subject: Subject) -> str:
    """Return the name of a subject: its label, or in a run of one model the conditions that differ."""
    if len({one.name for one in run.timed} | run.not_built.keys()) > 1:
        return subject.label
    differing = find_differing(one.conditions for one in run.timed)
    return ", ".join(f"{c.head} {c.cell(subject.conditions)}" for c in differing) or "the model"


def describe_subjects(run: Run) -> list[str]:
    """Return the notes on a run: its conditions, the noise floor, and advice."""
    notes = [
        f"started {run.started}: {describe_shared(subject.conditions for subject in run.subjects)}; "
        f"a sample lasts {run.min_time:g} s or more; seed {run.seed}"
    ]
    notes += [f"{name_line(run, one)}: {note}" for one in run.timed for note in one.notes]
    if run.reference and run.noise_floor:
        notes.append(describe_noise_floor(name_line(run, run.reference), run.noise_floor))
    return [*notes, *advice(run, "note")]


def tabulate_facts(run: Run) -> tuple[Table, ...]:
    """Return a table with the counts and published figures of each subject; empty without figures."""
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
        "Counts and published figures",
        ("model", *(f">{head}" for head in heads), "conditions"),
        (
            (name, *(values.get(head, NONE) for head in heads), where)
            for (name, where), values in rows.items()
        ),
        (f"{', '.join(quantities)}: {source}" for source, quantities in sources.items()),
    )
    return (table.without_empty_columns(),) if facts else ()


def name_quantity(fact: Record) -> str:
    """Return the head of a quantity in tables."""
    return HEADS.get(fact.quantity, fact.quantity.replace("_", " "))


def describe_value(fact: Record) -> str:
    """Write a value in its unit."""
    assert fact.value is not None
    if fact.unit == "bytes":
        return size(fact.value)
    return f"{fact.value:.1f}" if fact.unit == "%" else scaled(fact.value)


def tabulate_samples(run: Run) -> tuple[Table, ...]:
    """Return the samples outside the rounds, such as times of modules, in one table per subject."""
    groups: dict[str, list[Record]] = {}
    for fact in run.facts:
        if fact.samples and fact.quantity != PASS:
            where = fact.subject if fact.conditions is None else f"{fact.subject}, {fact.conditions}"
            groups.setdefault(where, []).append(fact)
    return tuple(
        text_table(
            "Throughput, batch by batch" if run.is_evaluation else "Sampled outside the rounds",
            ("", ">median", "unit", ">spread", ">quartiles", ">samples"),
            map(describe_samples, name_parts(facts), facts),
            [where],
        )
        for where, facts in groups.items()
    )


def name_parts(facts: Sequence[Record]) -> list[str]:
    """Return the names of sampled quantities: stages and blocks (from 1), or paths of modules."""
    names = [name_quantity(fact) for fact in facts]
    paths = [name.removeprefix(OWN) for name in names if name.startswith(OWN) and name not in PASSES]
    is_by_module = any("." in path and breakdown_lines.name_line(path, "block") == path for path in paths)
    by: breakdown_lines.By = "module" if is_by_module else "block"
    return [
        PASSES.get(name) or (breakdown_lines.name_line(name.removeprefix(OWN), by) if OWN in name else name)
        for name in names
    ]


def describe_samples(name: str, fact: Record) -> tuple[str, ...]:
    """Return the cells of one sampled quantity; seconds are converted to milliseconds."""
    text, unit = (milliseconds, "ms") if fact.unit == "s" else (digits, fact.unit)
    seen = summarize(fact.samples)
    quartiles = f"{text(seen.q1)} .. {text(seen.q3)}"
    spread = percent(seen.spread) if seen.median else NONE
    return name, text(seen.median), unit, spread, quartiles, str(seen.count)
