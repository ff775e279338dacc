"""The difference of two stored runs: which subjects changed, which cannot be compared, and why."""

import math
from dataclasses import replace

from saevit.report.columns import Column, Table, make_table
from saevit.report.latencies import describe_shared, find_differing
from saevit.report.units import fixed, interval, percent
from saevit.report.views.listing import shorten_ids
from saevit.runs.diff import Change, Diff, NotComparable
from saevit.runs.run import Run
from saevit.runs.statistics import rounds_needed

CONFIDENCE = 0.95
AGAIN = "latency_again"  # the reference timed a second time in every round: a control


def tabulate_diff(found: Diff, first: Run, second: Run) -> tuple[Table, ...]:
    """Return what changed from the first run to the second one, and what cannot be compared and why."""
    stems = sorted({first.path.stem, second.path.stem})
    names = dict(zip(stems, shorten_ids(stems), strict=True))
    changes, left_out = tabulate_changes(found), tabulate_left_out(found)
    title = f"{names[second.path.stem]} against {names[first.path.stem]}: {count_resolved(found)}"
    if not changes.rows:
        return (replace(left_out, title=title, notes=(*changes.notes, *left_out.notes)),)
    return (replace(changes, title=title), *([left_out] if left_out.rows else []))


def tabulate_changes(found: Diff) -> Table:
    """Return one row per subject that both runs measured under equal conditions, without the reference."""
    differing = find_differing(change.conditions for change in found.changes)
    columns: list[Column[Change]] = [
        Column("model", name_subject),
        *(column.via(lambda change: change.conditions) for column in differing),
        Column("first run", lambda change: fixed(change.before.median, 3), "right"),
        Column("second run", lambda change: fixed(change.after.median, 3), "right"),
        Column("change", lambda change: interval(change.ratio, change.low, change.high)),
        Column("second run is", lambda change: change.verdict),
    ]
    notes = [*describe_reference(found), *describe_controls(found)]
    notes += [f"differs between the runs: {difference}" for difference in found.environment]
    if not found.environment:
        notes.append("machine and software are the same")
    elif not found.same_saevit:
        notes.append("variants of the same name may be different networks in different versions of saevit")
    return make_table("Compared", columns, found.changes, notes)


def tabulate_left_out(found: Diff) -> Table:
    """Return one row per subject that cannot be compared, without the controls."""
    left_out = [one for one in found.not_comparable if one.quantity != AGAIN]
    columns: list[Column[NotComparable]] = [
        Column("model", lambda one: one.subject),
        *(c.via(lambda one: one.conditions) for c in find_differing(one.conditions for one in left_out)),
        Column("why", lambda one: one.reason),
    ]
    shared = describe_shared(one.conditions for one in left_out)
    return make_table("Not compared", columns, left_out, [f"measured under: {shared}"] if shared else [])


def count_resolved(found: Diff) -> str:
    """Return the number of differences that are resolved as text; controls are no differences."""
    changes = [change for change in found.changes if change.quantity != AGAIN]
    if not changes:
        return "nothing can be compared" if found.reference is None else "only the reference is in both"
    verdicts = [change.verdict for change in changes]
    resolved = sum(change.resolved for change in changes)
    kinds = ", ".join(f"{verdicts.count(v)} {v}" for v in ("faster", "slower") if v in verdicts)
    return f"{resolved} of {len(changes)} differences resolved" + (f" ({kinds})" if kinds else "")


def name_subject(change: Change) -> str:
    """Return the name of a subject; that of a control says so."""
    return f"{change.subject} (again)" if change.quantity == AGAIN else change.subject


def describe_reference(found: Diff) -> list[str]:
    """Return the notes that say what the columns are relative to, and how sure the changes are."""
    if found.reference is None or found.reference_seconds_ratio is None:
        return ["the runs share no two models under equal conditions, so there is no reference"]
    notes = [
        f"first and second run: time per batch relative to {found.reference} in the same rounds "
        f"({found.reference_conditions}); change: second run over first run, below 1 is faster",
        f"{found.reference} itself took {fixed(found.reference_seconds_ratio, 3)} times the seconds of the "
        "first run; this depends on the machine and its load and is no finding",
    ]
    if not found.changes:
        return notes
    covered = min(change.confidence for change in found.changes)
    notes.append(
        f"intervals of {math.floor(covered * 100)} % confidence or more; two runs share no rounds, which is "
        "weaker evidence than a ratio within one run: time both models in one run to be sure"
    )
    if covered < CONFIDENCE:
        fewest = min(min(change.before.rounds, change.after.rounds) for change in found.changes)
        needed = rounds_needed(math.sqrt(CONFIDENCE))
        notes.append(f"warning: only {fewest} rounds: no difference can be resolved; run {needed} or more")
    return notes


def describe_controls(found: Diff) -> list[str]:
    """Return what the controls show, whose differences can only be noise."""
    notes = []
    for control in (change for change in found.changes if change.quantity == AGAIN):
        name, by = f"{name_subject(control)}: control", percent(abs(control.ratio - 1))
        twice = f"{name}, the reference timed twice in every round"
        if (control.subject, control.conditions) != (found.reference, found.reference_conditions):
            notes.append(f"{name}, the same model timed twice in every round: should equal its other line")
        elif not control.resolved:
            notes.append(f"{twice}: not resolved, as it should be")
        else:
            notes.append(f"warning: {twice}, differs by {by}: do not trust differences of this size")
    if found.reference and not notes:
        return ["no control: the runs did not time the reference twice in every round"]
    return notes
