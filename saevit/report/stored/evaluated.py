"""The stored run of an evaluation, as a table: what a trained network reached on which data."""

from saevit.report.columns import Table, text_columns
from saevit.report.evaluation import SHORT_HASH, interval_text
from saevit.report.stored.endings import CUT_OFF, ENDINGS
from saevit.report.units import digits
from saevit.runs.evaluation import MeasuredTop1, read_top1s
from saevit.runs.record import Record
from saevit.runs.run import Run

NAMES = {"top1": "top-1", "top5": "top-5", "calibration_error": "calibration error", "loss": "mean loss"}


def evaluation_table(run: Run) -> Table:
    """Return one line a figure, and of which data, weights and conditions they are."""
    tops = read_top1s(run.facts)
    (subject,) = run.subjects
    where = f", on {tops[0].data} ({tops[0].split})" if tops else ""
    return Table(
        title=f"{run.path.stem}: {subject.name}{where}, {ENDINGS[run.ending]}",
        columns=text_columns("", ">value", "unit", "notes"),
        rows=tuple(row(fact, tops) for fact in run.facts if fact.value is not None),
        notes=notes(run, tops),
    )


def row(fact: Record, tops: list[MeasuredTop1]) -> tuple[str, ...]:
    """One figure; its first notes, the rest is the same for all."""
    assert fact.value is not None
    of = next((top for top in tops if top.record is fact), None)
    said = interval_text(of.share) if of else ", ".join(note for note in fact.notes[:3] if is_own(note))
    text = f"{fact.value:.2f}" if fact.unit == "%" else digits(fact.value)
    return NAMES.get(fact.quantity, fact.quantity), text, fact.unit, said


def is_own(note: str) -> bool:
    """Is it said of one figure, and not of data and weights?"""
    return not note.startswith(("data=", "fingerprint=", "split=", "images=", "unreadable="))


def notes(run: Run, tops: list[MeasuredTop1]) -> tuple[str, ...]:
    """Say of what the figures are, and how to set them beside others."""
    lines = [*run.warnings, *([CUT_OFF] if run.ending == "lost" else [])]
    lines.append(f"begun {run.started} on {run.hardware}: {run.subjects[0].conditions}")
    for top in tops:
        lines.append(
            f"{top.share.total:,} images, {top.unreadable:,} could not be read; "
            f"weights of {top.checkpoint}, SHA-256 {top.sha256[:SHORT_HASH]}"
        )
        lines.append(f"beside others: saevit compare {top.model} --top1 {top.data}")
    return tuple(lines)
