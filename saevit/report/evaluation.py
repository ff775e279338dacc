"""An evaluation as tables and for other programs."""

from dataclasses import asdict
from typing import Any

from saevit.report.columns import NONE, Table, text_columns, write_json
from saevit.report.machine import csv_text
from saevit.report.units import digits, fixed, plural
from saevit.runs.evaluation import NOT_INTERLEAVED, Evaluation
from saevit.runs.statistics import Share

MOST_CLASSES = 5
MOST_NAMED = 3  # images that could not be read
SHORT_HASH = 12


def evaluation_tables(found: Evaluation) -> tuple[Table, ...]:
    """Return what was reached, and the classes that are worst."""
    return (summary_table(found), worst_table(found))


def summary_table(found: Evaluation) -> Table:
    """Accuracy with its interval, calibration, speed."""
    height, width = found.conditions.img_size
    none = f"not shown: {plural(found.num_classes, 'class', 'classes')}, six or more are needed"
    rows = [
        ("top-1 (%)", f"{100 * found.top1.value:.2f}", interval_text(found.top1)),
        (
            "top-5 (%)",
            *((f"{100 * found.top5.value:.2f}", interval_text(found.top5)) if found.top5 else (NONE, none)),
        ),
        (
            "calibration error",
            fixed(found.calibration_error, 4),
            f"expected, {found.bins} bins of equal width, {found.images:,} images",
        ),
        ("mean loss", fixed(found.loss, 4), "cross-entropy, nat"),
        (
            "images/s",
            digits(found.throughput),
            f"network alone, median of {plural(len(found.alone), 'batch', 'batches')}",
        ),
        ("images/s", digits(found.throughput_with_reading), f"with reading ({reading(found)}), median"),
    ]
    return Table(
        title=f"{found.model}, weights of {found.checkpoint}, on {found.data} ({found.split}): "
        f"{found.images:,} images at {height} x {width} px",
        columns=text_columns("", ">value", "what it is"),
        rows=tuple(rows),
        notes=notes(found),
    )


def interval_text(share: Share) -> str:
    """Write counts and Wilson's interval."""
    low, high = (100 * end for end in share.interval)
    return f"{share.hits:,} of {share.total:,}, 95 % interval [{low:.2f}, {high:.2f}] (Wilson)"


def reading(found: Evaluation) -> str:
    """Say who read the images."""
    return plural(found.workers, "worker") if found.workers else "one after the other, in this process"


def notes(found: Evaluation) -> tuple[str, ...]:
    """What a reader has to know."""
    lines = [found.statement]
    if found.unreadable:
        first = "; ".join(found.unreadable[:MOST_NAMED])
        more = len(found.unreadable) - MOST_NAMED
        rest = f"; and {more} more" if more > 0 else ""
        lines.append(
            f"{plural(len(found.unreadable), 'image')} could not be read and count nowhere: {first}{rest}"
        )
    return (
        *lines,
        *found.left_out,
        f"{found.form}; {found.conditions}; images/s are {NOT_INTERLEAVED}",
        f"weights: {found.checkpoint}, SHA-256 {found.sha256[:SHORT_HASH]}",
    )


def worst_table(found: Evaluation) -> Table:
    """The classes with the lowest accuracy."""
    worst = found.worst[:MOST_CLASSES]
    return Table(
        title=f"Worst {len(worst)} of {len(found.classes)} classes with images",
        columns=text_columns("class", ">top-1 (%)", ">right", ">of", "95 % interval"),
        rows=tuple(
            (
                one.name,
                f"{100 * one.share.value:.1f}",
                str(one.share.hits),
                str(one.share.total),
                "[{:.1f}, {:.1f}]".format(*(100 * end for end in one.share.interval)),
            )
            for one in worst
        ),
        notes=("chosen as the worst: an interval here says less than that of a class named beforehand",),
    )


def evaluation_columns(found: Evaluation) -> dict[str, Any]:
    """Return the figures, unrounded, in per cent where timm's columns are."""
    low, high = found.top1.interval
    low5, high5 = found.top5.interval if found.top5 else (None, None)
    height, width = found.conditions.img_size
    return {
        "model": found.model,
        "checkpoint": found.checkpoint,
        "sha256": found.sha256,
        "data": found.data,
        "split": found.split,
        "images": found.images,
        "unreadable": len(found.unreadable),
        "num_classes": found.num_classes,
        "img_size": height if height == width else f"{height},{width}",
        "top1": 100 * found.top1.value,
        "top1_low": 100 * low,
        "top1_high": 100 * high,
        "top5": 100 * found.top5.value if found.top5 else None,
        "top5_low": None if low5 is None else 100 * low5,
        "top5_high": None if high5 is None else 100 * high5,
        "calibration_error": found.calibration_error,
        "bins": found.bins,
        "loss": found.loss,
        "images_per_second": found.throughput,
        "images_per_second_with_reading": found.throughput_with_reading,
        "worst_class": found.worst[0].name,
        "worst_class_top1": 100 * found.worst[0].share.value,
        "batch_size": found.conditions.batch_size,
        "device": found.conditions.device,
        "threads": found.conditions.threads,
        "workers": found.workers,
        "form": found.form,
        "started": found.started,
    }


def evaluation_json(found: Evaluation) -> str:
    """Write everything known, each class and batch included, as one JSON object."""
    classes = [
        {"name": c.name, "right": c.share.hits, "images": c.share.total, "top1": 100 * c.share.value}
        for c in found.classes
    ]
    data = asdict(found) | evaluation_columns(found)
    data |= {"unreadable": list(found.unreadable), "classes": classes}
    return write_json(data)


def evaluation_csv(found: Evaluation) -> str:
    """Write one row."""
    return csv_text([evaluation_columns(found)])
