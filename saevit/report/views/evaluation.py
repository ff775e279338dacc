"""An evaluation of trained weights, new or stored: accuracy, calibration error and throughput."""

from collections.abc import Sequence
from dataclasses import asdict
from shlex import quote
from typing import Any

from saevit.provenance import Training
from saevit.report.accuracy_texts import describe_training
from saevit.report.columns import (
    NONE,
    Column,
    Table,
    View,
    attribute_columns,
    make_table,
    row_values,
    size_value,
    text_column,
    text_table,
    write_csv,
    write_json,
)
from saevit.report.run_messages import summarize_evaluation
from saevit.report.units import digits, fixed, percent, write_pixels, write_share_interval
from saevit.runs.advice import SPREAD_WARNING
from saevit.runs.evaluation import NOT_INTERLEAVED, ClassResult, Evaluation
from saevit.runs.record import Record
from saevit.runs.run import MeasuredTop1, Run
from saevit.runs.statistics import Share, summarize
from saevit.text import list_first, plural

MOST_CLASSES = 5
MOST_NAMED = 3  # images that could not be read
SHORT_HASH = 12
INTERVAL = "95 % interval"
HEADS = {"top1": "top-1", "top5": "top-5", "calibration_error": "calibration error", "loss": "mean loss"}
COMMON = ("data=", "fingerprint=", "split=", "images=", "unreadable=")  # prefixes of notes of all figures


def share_columns(key: str) -> tuple[Column[Share], ...]:
    """Return the columns of a share and its interval in per cent."""
    return (
        Column(key=key, value=lambda share: 100 * share.value),
        Column(key=f"{key}_low", value=lambda share: 100 * share.interval[0]),
        Column(key=f"{key}_high", value=lambda share: 100 * share.interval[1]),
    )


EVALUATION: tuple[Column[Evaluation], ...] = (
    *attribute_columns("model", "checkpoint", "sha256", "data", "split", "images"),
    Column(key="unreadable", value=lambda e: len(e.unreadable)),
    *attribute_columns("num_classes"),
    Column(key="img_size", value=lambda e: size_value(e.conditions.img_size)),
    *(column.via(lambda e: e.top1) for column in share_columns("top1")),
    *(column.via(lambda e: e.top5) for column in share_columns("top5")),
    *attribute_columns("calibration_error", "bins", "loss"),
    *attribute_columns(
        images_per_second="throughput", images_per_second_with_reading="throughput_with_reading"
    ),
    Column(key="worst_class", value=lambda e: e.worst[0].name),
    Column(key="worst_class_top1", value=lambda e: 100 * e.worst[0].share.value),
    *attribute_columns("conditions.batch_size", "conditions.device", "conditions.threads"),
    *attribute_columns("workers", "form", "started"),
)
CLASSES: tuple[Column[ClassResult], ...] = (
    text_column("class", "name", lambda one: one.name),
    Column("top-1", lambda one: f"{100 * one.share.value:.1f}", "right", unit="%"),
    Column(INTERVAL, lambda one: write_share_interval(one.share)),
    Column("right", lambda one: str(one.share.hits), "right", key="right", value=lambda one: one.share.hits),
    Column("of", lambda one: str(one.share.total), "right", key="images", value=lambda one: one.share.total),
    Column(key="top1", value=lambda one: 100 * one.share.value),
)


def view_evaluation(found: Evaluation) -> View:
    """Return the view of an evaluation, with the least accurate classes."""
    unreadable = found.unreadable
    missing = f"{plural(len(unreadable), 'unreadable image')} left out: "
    missing += list_first(unreadable, MOST_NAMED, "; ")
    return View(
        result=summarize_evaluation(found),
        warnings=(*([missing] if unreadable else []), *found.left_out, *warn_of_spread(found)),
        tables=(tabulate_accuracy(found), tabulate_worst(found)),
        notes=(*note_training(found.training), describe_comparison(found.model, found.data)),
    )


def note_training(training: Training | None) -> list[str]:
    """Return the note on the training of the weights; empty if it is not known."""
    return [f"trained with {describe_training(training)}"] if training else []


def warn_of_spread(found: Evaluation) -> list[str]:
    """Return a warning if the throughput varies much between batches."""
    spread = summarize(found.alone).spread
    if spread <= SPREAD_WARNING:
        return []
    return [f"images/s are not reliable: they spread {percent(spread, 0)} of the median between batches"]


def tabulate_accuracy(found: Evaluation) -> Table:
    """Return the table of accuracy with interval, calibration error and throughput."""
    rows = [("top-1", *describe_share(found.top1))]
    rows += [("top-5", *describe_share(found.top5))] if found.top5 else []
    rows += [
        ("calibration error", fixed(found.calibration_error, 4), NONE),
        ("mean loss", fixed(found.loss, 4), NONE),
        ("images/s", digits(found.throughput), NONE),
        ("images/s with reading", digits(found.throughput_with_reading), NONE),
    ]
    readers = plural(found.workers, "worker") if found.workers else "one process"
    return text_table(
        f"{found.checkpoint} at {write_pixels(found.conditions.img_size)}",
        ("", ">value", INTERVAL),
        rows,
        [
            f"data: {found.statement}",
            f"top-1: {found.top1.hits:,} of {found.top1.total:,} images; Wilson's intervals",
            *([] if found.top5 else ["top-5 is shown for six or more classes"]),
            f"calibration error: expected, {found.bins} bins of equal width; mean loss: cross-entropy, nat",
            f"images/s: median of {plural(len(found.alone), 'batch', 'batches')} of the network alone, and "
            f"with reading by {readers}; {NOT_INTERLEAVED}",
            f"{found.form}; {found.conditions}",
            f"weights: {found.checkpoint}, SHA-256 {found.sha256[:SHORT_HASH]}",
        ],
    )


def tabulate_worst(found: Evaluation) -> Table:
    """Return the table of the least accurate classes."""
    count = min(MOST_CLASSES, len(found.classes))
    return make_table(
        f"The {count} least accurate of {plural(len(found.classes), 'class', 'classes')}",
        CLASSES,
        found.worst[:MOST_CLASSES],
        ["these classes are selected by their low accuracy, so their true accuracies are probably higher"],
    )


def describe_share(share: Share) -> tuple[str, str]:
    """Write a share in per cent, and its interval."""
    return f"{100 * share.value:.2f} %", write_share_interval(share, 2)


def describe_comparison(model: str, data: str) -> str:
    """Return the note with the command that compares a stored top-1 with that of other models."""
    return f"beside other models: saevit compare {quote(model)} --top1 {quote(data)}"


def write_evaluation_json(found: Evaluation) -> str:
    """Return an evaluation as JSON, with all classes and batches."""
    data: dict[str, Any] = asdict(found) | row_values(EVALUATION, found)
    data |= {"unreadable": list(found.unreadable), "classes": [row_values(CLASSES, c) for c in found.classes]}
    return write_json(data)


def write_evaluation_csv(found: Evaluation) -> str:
    """Return an evaluation as CSV with one row."""
    return write_csv(EVALUATION, [found])


def tabulate_stored_evaluation(run: Run) -> Table:
    """Return a table with one row per stored figure; its notes name data, weights and conditions."""
    tops = run.top1s
    notes = [f"started {run.started} on {run.hardware}: {run.subjects[0].conditions}"]
    notes += [
        f"{top.share.total:,} images, {top.unreadable:,} could not be read; "
        f"weights of {top.checkpoint}, SHA-256 {top.sha256[:SHORT_HASH]}"
        for top in tops
    ]
    facts = [fact for fact in run.facts if fact.value is not None]
    notes += [f"{HEADS.get(fact.quantity, fact.quantity)}: {describe_notes(fact)}" for fact in facts]
    return text_table(
        f"{run.path.stem}: evaluation of {run.subjects[0].name}",
        ("", ">value", INTERVAL),
        (describe_figure(fact, tops) for fact in facts),
        notes,
    )


def describe_figure(fact: Record, tops: Sequence[MeasuredTop1]) -> tuple[str, str, str]:
    """Return the cells of one stored figure: name, value, and interval (if known)."""
    assert fact.value is not None
    name = HEADS.get(fact.quantity, fact.quantity)
    if share := next((top.share for top in tops if top.record is fact), None):
        return name, *describe_share(share)
    return name, f"{fact.value:.2f} %" if fact.unit == "%" else digits(fact.value), NONE


def describe_notes(fact: Record) -> str:
    """Write the notes of a stored figure that other figures do not have."""
    return ", ".join(note for note in fact.notes[:3] if not note.startswith(COMMON))
