"""An evaluation of trained weights: accuracy, calibration and speed, as measured or as stored."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from saevit.report.columns import (
    NONE,
    Column,
    Table,
    attribute_columns,
    make_table,
    row_values,
    size_value,
    text_table,
    write_csv,
    write_json,
)
from saevit.report.units import digits, fixed
from saevit.report.views.listing import CUT_OFF, ENDINGS
from saevit.runs.evaluation import NOT_INTERLEAVED, ClassResult, Evaluation
from saevit.runs.record import Record
from saevit.runs.run import MeasuredTop1, Run
from saevit.runs.statistics import Share
from saevit.text import plural

MOST_CLASSES = 5
MOST_NAMED = 3  # images that could not be read
SHORT_HASH = 12
HEADS = {"top1": "top-1", "top5": "top-5", "calibration_error": "calibration error", "loss": "mean loss"}
COMMON = ("data=", "fingerprint=", "split=", "images=", "unreadable=")  # starts of notes of all figures


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
    Column("class", lambda one: one.name, key="name", value=lambda one: one.name),
    Column("top-1", lambda one: f"{100 * one.share.value:.1f}", "right", unit="%"),
    Column("right", lambda one: str(one.share.hits), "right", key="right", value=lambda one: one.share.hits),
    Column("of", lambda one: str(one.share.total), "right", key="images", value=lambda one: one.share.total),
    Column(
        "95 % interval", lambda one: "[{:.1f}, {:.1f}]".format(*(100 * end for end in one.share.interval))
    ),
    Column(key="top1", value=lambda one: 100 * one.share.value),
)


def tabulate_evaluation(found: Evaluation) -> tuple[Table, ...]:
    """Return the table of accuracy and speed, and the table of the worst classes."""
    worst = make_table(
        f"Worst {min(MOST_CLASSES, len(found.classes))} of {len(found.classes)} classes with images",
        CLASSES,
        found.worst[:MOST_CLASSES],
        ["these classes were chosen by their accuracy, which makes their intervals less reliable"],
    )
    return tabulate_accuracy(found), worst


def tabulate_accuracy(found: Evaluation) -> Table:
    """Return accuracy with its interval, calibration and speed."""
    height, width = found.conditions.img_size
    too_few = f"not shown: {plural(found.num_classes, 'class', 'classes')}, six or more are needed"
    top5 = (f"{100 * found.top5.value:.2f}", describe_share(found.top5)) if found.top5 else (NONE, too_few)
    unreadable, more = found.unreadable, len(found.unreadable) - MOST_NAMED
    missing = f"{plural(len(unreadable), 'image')} could not be read and count in no figure: "
    missing += "; ".join(unreadable[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
    bins = f"expected, {found.bins} bins of equal width, {found.images:,} images"
    alone = f"network alone, median of {plural(len(found.alone), 'batch', 'batches')}"
    readers = plural(found.workers, "worker") if found.workers else "one after the other, in this process"
    return text_table(
        f"{found.model}, weights of {found.checkpoint}, on {found.data} ({found.split}): "
        f"{found.images:,} images at {height} x {width} px",
        ("", ">value", "what it is"),
        [
            ("top-1 (%)", f"{100 * found.top1.value:.2f}", describe_share(found.top1)),
            ("top-5 (%)", *top5),
            ("calibration error", fixed(found.calibration_error, 4), bins),
            ("mean loss", fixed(found.loss, 4), "cross-entropy, nat"),
            ("images/s", digits(found.throughput), alone),
            ("images/s", digits(found.throughput_with_reading), f"with reading ({readers}), median"),
        ],
        [
            found.statement,
            *([missing] if unreadable else []),
            *found.left_out,
            f"{found.form}; {found.conditions}; images/s are {NOT_INTERLEAVED}",
            f"weights: {found.checkpoint}, SHA-256 {found.sha256[:SHORT_HASH]}",
        ],
    )


def describe_share(share: Share) -> str:
    """Return the counts of a share and Wilson's interval as text."""
    low, high = (100 * end for end in share.interval)
    return f"{share.hits:,} of {share.total:,}, 95 % interval [{low:.2f}, {high:.2f}] (Wilson)"


def write_evaluation_json(found: Evaluation) -> str:
    """Return all that is known, each class and batch included, as JSON."""
    data: dict[str, Any] = asdict(found) | row_values(EVALUATION, found)
    data |= {"unreadable": list(found.unreadable), "classes": [row_values(CLASSES, c) for c in found.classes]}
    return write_json(data)


def write_evaluation_csv(found: Evaluation) -> str:
    """Return one row as CSV."""
    return write_csv(EVALUATION, [found])


def tabulate_stored_evaluation(run: Run) -> Table:
    """Return one row per stored figure; the notes name data, weights and conditions."""
    tops = run.top1s
    where = f", on {tops[0].data} ({tops[0].split})" if tops else ""
    notes = [*run.warnings, *([CUT_OFF] if run.ending == "lost" else [])]
    notes.append(f"started {run.started} on {run.hardware}: {run.subjects[0].conditions}")
    for top in tops:
        notes.append(
            f"{top.share.total:,} images, {top.unreadable:,} could not be read; "
            f"weights of {top.checkpoint}, SHA-256 {top.sha256[:SHORT_HASH]}"
        )
        notes.append(f"to compare with other models: saevit compare {top.model} --top1 {top.data}")
    return text_table(
        f"{run.path.stem}: {run.subjects[0].name}{where}, {ENDINGS[run.ending]}",
        ("", ">value", "unit", "notes"),
        (describe_figure(fact, tops) for fact in run.facts if fact.value is not None),
        notes,
    )


def describe_figure(fact: Record, tops: Sequence[MeasuredTop1]) -> tuple[str, ...]:
    """Return the cells of one stored figure, with those of its first notes that are about this figure."""
    assert fact.value is not None
    share = next((top.share for top in tops if top.record is fact), None)
    notes = ", ".join(note for note in fact.notes[:3] if not note.startswith(COMMON))
    text = f"{fact.value:.2f}" if fact.unit == "%" else digits(fact.value)
    about = describe_share(share) if share else notes
    return HEADS.get(fact.quantity, fact.quantity), text, fact.unit, about
