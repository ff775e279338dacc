"""What two stored runs say of each other, as tables."""

import math
from dataclasses import replace

from saevit.report.columns import Table, text_columns
from saevit.report.stored.conditions import TEXTS, shared, varying
from saevit.report.stored.listing import short_ids
from saevit.report.units import fixed, interval, percent
from saevit.runs.diff import Change, Diff
from saevit.runs.run import Run
from saevit.runs.statistics import rounds_needed

ASKED = 0.95
AGAIN = "latency_again"


def diff_tables(found: Diff, first: Run, second: Run) -> tuple[Table, ...]:
    """Return what changed from the first run to the second one, and what cannot be compared and why."""
    stems = sorted({first.path.stem, second.path.stem})
    names = dict(zip(stems, short_ids(stems), strict=True))
    changes, left_out = changes_table(found), not_comparable_table(found)
    title = f"{names[second.path.stem]} against {names[first.path.stem]}: {resolved_text(found)}"
    if not changes.rows:
        return (replace(left_out, title=title, notes=(*changes.notes, *left_out.notes)),)
    return (replace(changes, title=title), *([left_out] if left_out.rows else []))


def changes_table(found: Diff) -> Table:
    """One line a subject that both runs measured under equal conditions; the reference is in the notes."""
    apart = varying(change.conditions for change in found.changes)
    return Table(
        title="Compared",
        columns=text_columns(
            "model", *(f">{name}" for name in apart), ">first run", ">second run", "change", "second run is"
        ),
        rows=tuple(
            (
                name_of(change.subject, change.quantity),
                *(TEXTS[name](change.conditions) for name in apart),
                fixed(change.before.median, 3),
                fixed(change.after.median, 3),
                interval(change.ratio, change.low, change.high),
                change.verdict,
            )
            for change in found.changes
        ),
        notes=(*change_notes(found), *control_notes(found), *environment_notes(found)),
    )


def resolved_text(found: Diff) -> str:
    """Count the differences that the rounds can tell from noise; the control is none."""
    changes = [change for change in found.changes if change.quantity != AGAIN]
    if not changes:
        return "nothing can be compared" if found.reference is None else "only the reference is in both"
    verdicts = [change.verdict for change in changes]
    resolved = [change for change in changes if change.resolved]
    kinds = ", ".join(f"{verdicts.count(v)} {v}" for v in ("faster", "slower") if v in verdicts)
    return f"{len(resolved)} of {len(changes)} differences resolved" + (f" ({kinds})" if kinds else "")


def name_of(subject: str, quantity: str) -> str:
    """Mark the second reading of a subject."""
    return f"{subject} (again)" if quantity == AGAIN else subject


def change_notes(found: Diff) -> list[str]:
    """How the figures are to be read."""
    if found.reference is None or found.reference_seconds_ratio is None:
        return ["the runs share no two models under equal conditions, so there is no reference"]
    notes = [
        f"first and second run: time of a batch over that of {found.reference} in the same rounds "
        f"({found.reference_conditions}); change: second over first, below 1 is faster",
        f"{found.reference} itself took {fixed(found.reference_seconds_ratio, 3)} times the seconds of the "
        "first run; that moves with the machine and its load: no finding",
    ]
    if not found.changes:
        return notes
    covered = min(change.confidence for change in found.changes)
    notes.append(
        f"intervals of {math.floor(covered * 100)} % confidence or more; two runs share no rounds, which is "
        "weaker evidence than a ratio inside one run: time both in one to be sure"
    )
    if covered < ASKED:
        rounds, least = min(map(fewest_rounds, found.changes)), rounds_needed(math.sqrt(ASKED))
        notes.append(f"warning: only {rounds} rounds: no difference can be resolved; run {least} or more")
    return notes


def fewest_rounds(change: Change) -> int:
    """Return the rounds of the shorter run."""
    return min(change.before.rounds, change.after.rounds)


def control_notes(found: Diff) -> list[str]:
    """What the second reading of a model says, where nothing differs but the noise."""
    controls = [change for change in found.changes if change.quantity == AGAIN]
    if found.reference and not controls:
        return ["no control: the runs did not time the same model twice a round"]
    return [control_note(found, control) for control in controls]


def control_note(found: Diff, control: Change) -> str:
    """Say what one control shows."""
    name = f"{name_of(control.subject, control.quantity)}: control"
    if (control.subject, control.conditions) != (found.reference, found.reference_conditions):
        return f"{name}, the same model once more in every round: ought to read as its other line"
    if not control.resolved:
        return f"{name}, the reference once more in every round: not resolved, as it should be"
    by = percent(abs(control.ratio - 1))
    return (
        f"warning: {name}, the reference once more in every round, differs by {by}: trust no such difference"
    )


def environment_notes(found: Diff) -> list[str]:
    """How the machines and their software differ."""
    if not found.environment:
        return ["machine and software are the same"]
    notes = [f"differs between the runs: {difference}" for difference in found.environment]
    if not found.same_saevit:
        notes.append("variants of the same name may be different networks in different versions of saevit")
    return notes


def not_comparable_table(found: Diff) -> Table:
    """One line a model that only one run can speak of, or neither; controls go without saying."""
    left_out = [one for one in found.not_comparable if one.quantity != AGAIN]
    apart = varying(one.conditions for one in left_out)
    equal = shared(one.conditions for one in left_out)
    return Table(
        title="Not compared",
        columns=text_columns("model", *(f">{name}" for name in apart), "why"),
        rows=tuple(
            (one.subject, *(TEXTS[name](one.conditions) for name in apart), one.reason) for one in left_out
        ),
        notes=(f"measured under: {equal}",) if equal else (),
    )
