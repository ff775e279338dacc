"""The difference of two stored runs: the changed subjects, and the subjects that cannot be compared."""

import math
from collections.abc import Iterable
from dataclasses import asdict

from saevit.report.columns import (
    Column,
    Table,
    View,
    attribute_columns,
    make_table,
    row_values,
    size_value,
    write_csv,
    write_json,
)
from saevit.report.latencies import describe_shared, find_differing
from saevit.report.run_messages import summarize_diff
from saevit.report.units import fixed, interval, percent
from saevit.report.views.listing import shorten_ids
from saevit.runs.diff import Change, Diff, NotComparable
from saevit.runs.run import Run
from saevit.runs.statistics import rounds_needed
from saevit.text import plural

CONFIDENCE = 0.95
AGAIN = "latency_again"  # quantity of the control: the second timing of the reference in every round


CHANGES: tuple[Column[Change], ...] = (  # in the order of CSV files
    *attribute_columns(model="subject", quantity="quantity"),
    Column(key="img_size", value=lambda change: size_value(change.conditions.img_size)),
    *attribute_columns("conditions.batch_size", "conditions.dtype", "conditions.device"),
    *attribute_columns("conditions.runtime", "conditions.threads", "conditions.memory_format"),
    *attribute_columns("conditions.folded", first_run="before.median", second_run="after.median"),
    *attribute_columns("ratio", "low", "high", "confidence", "verdict"),
)


def view_diff(found: Diff, first: Run, second: Run) -> View:
    """Return the view of the changes from the first run to the second run."""
    stems = sorted({first.path.stem, second.path.stem})
    names = dict(zip(stems, shorten_ids(stems), strict=True))
    controls, warnings = describe_controls(found)
    warnings = [*dict.fromkeys((*first.warnings, *second.warnings)), *describe_rounds(found), *warnings]
    if not found.same_saevit:
        warnings.append("the runs are of different versions of saevit: variants of one name may differ")
    changes, left_out = tabulate_changes(found, controls), tabulate_left_out(found)
    notes = [
        f"change: second run over first run, each relative to {found.reference} in its own rounds; "
        "below 1 is faster",
        "two runs share no rounds: to be sure of a change, time both models in one run",
    ]
    return View(
        result=summarize_diff(found, names[first.path.stem], names[second.path.stem]),
        warnings=tuple(warnings),
        tables=tuple(table for table in (changes, left_out) if table.rows),
        notes=tuple(notes) if changes.rows else (),
    )


def tabulate_changes(found: Diff, controls: Iterable[str]) -> Table:
    """Return a table with one row per subject that both runs measured under equal conditions."""
    differing = find_differing(change.conditions for change in found.changes)
    columns: list[Column[Change]] = [
        Column("model", name_subject),
        *(column.via(lambda change: change.conditions) for column in differing),
        Column("change", lambda change: interval(change.ratio, change.low, change.high)),
        Column("second run is", lambda change: change.verdict),
        Column("first run", lambda change: fixed(change.before.median, 3), "right"),
        Column("second run", lambda change: fixed(change.after.median, 3), "right"),
    ]
    notes = [*describe_reference(found), *controls]
    notes += [f"differs between the runs: {difference}" for difference in found.environment]
    if not found.environment:
        notes.append("machine and software are the same")
    return make_table(f"Time relative to {found.reference}", columns, found.changes, notes)


def tabulate_left_out(found: Diff) -> Table:
    """Return a table with one row per subject that cannot be compared, except controls."""
    left_out = [one for one in found.not_comparable if one.quantity != AGAIN]
    columns: list[Column[NotComparable]] = [
        Column("model", lambda one: one.subject),
        *(c.via(lambda one: one.conditions) for c in find_differing(one.conditions for one in left_out)),
        Column("reason", lambda one: one.reason),
    ]
    shared = describe_shared(one.conditions for one in left_out)
    return make_table("Not compared", columns, left_out, [f"measured under: {shared}"] if shared else [])


def name_subject(change: Change) -> str:
    """Return the name of a subject; a control is marked with `(again)`."""
    return f"{change.subject} (again)" if change.quantity == AGAIN else change.subject


def describe_reference(found: Diff) -> list[str]:
    """Return the notes on the columns and on the confidence of the intervals."""
    if found.reference is None or found.reference_seconds_ratio is None or not found.changes:
        return []
    covered = min(change.confidence for change in found.changes)
    return [
        f"first and second run: time per batch relative to {found.reference} in the same rounds "
        f"({found.reference_conditions})",
        f"{found.reference} itself took {fixed(found.reference_seconds_ratio, 3)} times the seconds of the "
        "first run; this depends on the machine and its load, and is not a finding",
        f"the intervals have a confidence of {math.floor(covered * 100)} % or more",
    ]


def describe_rounds(found: Diff) -> list[str]:
    """Return a warning if there are too few rounds to resolve a change."""
    if not found.changes or min(change.confidence for change in found.changes) >= CONFIDENCE:
        return []
    fewest = min(min(change.before.rounds, change.after.rounds) for change in found.changes)
    needed = rounds_needed(math.sqrt(CONFIDENCE))
    return [f"only {plural(fewest, 'round')}: no difference can be resolved; use --rounds {needed} or more"]


def describe_controls(found: Diff) -> tuple[list[str], list[str]]:
    """Return notes and warnings on the controls, whose differences are always noise."""
    notes, warnings = [], []
    for control in (change for change in found.changes if change.quantity == AGAIN):
        name, by = f"{name_subject(control)}: control", percent(abs(control.ratio - 1))
        twice = f"{name}, the reference timed twice in every round"
        if (control.subject, control.conditions) != (found.reference, found.reference_conditions):
            notes.append(f"{name}, the same model timed twice in every round: should equal its other line")
        elif not control.resolved:
            notes.append(f"{twice}: not resolved, as it should be")
        else:
            warnings.append(f"{twice}, differs by {by}: differences of this size are noise")
    if found.reference and not (notes or warnings):
        return ["no control: the runs did not time the reference twice in every round"], []
    return notes, warnings


def write_diff_csv(found: Diff) -> str:
    """Return the changes as CSV with one row per change."""
    return write_csv(CHANGES, found.changes)


def write_diff_json(found: Diff) -> str:
    """Return the difference of two runs as JSON."""
    return write_json(asdict(found) | {"changes": [row_values(CHANGES, change) for change in found.changes]})
