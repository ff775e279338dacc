"""A comparison as a table and for other programs."""

import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from saevit.compare.comparison import Candidate, Comparison
from saevit.report.columns import NONE, Table, text_columns, write_json
from saevit.report.machine import csv_text, measured_columns, run_fields, subject_fields
from saevit.report.metrics import COSTS, find_front, is_comparable, sort_candidates
from saevit.report.tables import machine_name
from saevit.report.units import digits, giga, interval, milliseconds, percent, plural, scaled, size
from saevit.runs.advice import MOST_LINES, advice
from saevit.runs.statistics import median

AXES = ("gmacs", "latency")  # of the fronts that a table names: what papers plot, and what this machine says
FOLDED = (
    "SAEViT variants are timed in the folded form (--no-fold: as defined); baselines are re-parameterised "
    "where their family has that; counts are of the definition"
)
Fronts = dict[str, dict[str, bool]]  # axis: model: is it on the front of top-1 against that axis?


def comparison_table(comparison: Comparison, sort: str | None, axes: Sequence[str] = AXES) -> Table:
    """Return the table: cost, speed with its ratio to the reference and verdict, published accuracy.

    Raises:
        OptionError: an order or an axis that does not exist.
    """
    found = fronts(comparison, axes)
    height, width = comparison.img_size
    timings = comparison.run
    where = f", timed on {machine_name(timings)}" if timings and timings.timed else ""
    return (
        Table(
            title=f"{plural(len(comparison.candidates), 'model')} at {height} x {width} px, "
            f"{comparison.dtype}{where}",
            columns=text_columns(
                "model",
                "family",
                ">params",
                ">GMACs",
                ">peak act.",
                ">ms/batch",
                ">images/s",
                f"ratio to {comparison.reference}",
                ">top-1",
                "95 % interval",
                ">images",
                ">at px",
                "source",
                "Pareto-optimal by",
            ),
            rows=tuple(row(comparison, c, found) for c in sort_candidates(comparison.candidates, sort)),
            notes=notes(comparison),
        )
    ).without_empty_columns()


def fronts(comparison: Comparison, axes: Sequence[str]) -> Fronts:
    """Return the fronts of top-1 against each axis on which anything stands."""
    found = {axis: find_front(comparison.candidates, axis, "top1") for axis in axes}
    return {axis: models for axis, models in found.items() if models}


def pareto_text(c: Candidate, found: Fronts) -> str:
    """Name the axes on which no other model of the comparison beats this one."""
    if c.accuracy is None:
        return NONE
    if not is_comparable(c):
        return "apart"
    judged = {axis: models[c.model] for axis, models in found.items() if c.model in models}
    return ", ".join(axis for axis, best in judged.items() if best) or ("no" if judged else NONE)


def row(comparison: Comparison, c: Candidate, found: Fronts) -> tuple[str, ...]:
    """One model; a failed one shows its reason under the table."""
    seconds = median(c.samples) if c.samples else None
    batch = c.subject.conditions.batch_size if c.subject else 1
    seen = comparison.ratio(c)
    return (
        c.model,
        c.family or NONE,
        NONE if c.params is None else scaled(c.params),
        NONE if c.macs is None else giga(c.macs),
        NONE if c.peak_bytes is None else size(c.peak_bytes),
        ("failed" if c.reason else NONE) if seconds is None else milliseconds(seconds),
        NONE if seconds is None else digits(batch / seconds),
        NONE if seen is None else f"{interval(seen.median, seen.low, seen.high)} {seen.verdict}",
        NONE if c.accuracy is None else f"{c.accuracy.top1:.1f}",
        NONE
        if not c.accuracy or not c.accuracy.interval
        else "[{:.1f}, {:.1f}]".format(*c.accuracy.interval),
        NONE if not c.accuracy or not c.accuracy.images else f"{c.accuracy.images:,}",
        NONE if c.accuracy is None or c.accuracy.img_size is None else str(c.accuracy.img_size),
        NONE if c.accuracy is None else c.accuracy.mark,
        pareto_text(c, found),
    )


def notes(comparison: Comparison) -> tuple[str, ...]:
    """What a reader has to know: failures, what top-1 is, how far equal things differ."""
    found = [f"{c.model}: {c.reason}" for c in comparison.candidates if c.reason]
    found += [
        f"{c.model}: published figures only ({c.counted_by}), there is no network of it to build"
        for c in comparison.candidates
        if c.published_only
    ]
    found += [
        f"{c.model}: the network of {c.same_as}, built and timed once for both trainings"
        for c in comparison.candidates
        if c.same_as
    ]
    if comparison.top1_on:
        found += measured_notes(comparison)
    elif any(c.accuracy for c in comparison.candidates):
        found.append(
            "top-1 (ImageNet-1k, %) is published for weights of that training, at the size beside it; "
            "the networks timed here have random weights"
        )
        found.append(
            "Pareto-optimal: no plain model here is at least as accurate and as cheap, and better in one; "
            "apart: distilled, extra data, a claim, or of another size than the costs beside it"
        )
    found += [f"measured here too, by saevit eval: top-1 on {hint}" for hint in comparison.also_measured]
    if not comparison.top1_on and any(c.family == "SAEViT" for c in comparison.candidates):
        found.append(
            "SAEViT variants are our reconstruction and have no accuracy: the paper's claims are not theirs"
        )
    timings = comparison.run
    if timings:
        found += [FOLDED] if any(latency.conditions.folded for latency in timings.timed) else []
        conditions = replace(timings.timed[0].conditions, folded=False)
        found.append(
            f"{timings.rounds} interleaved rounds, begun {timings.started}: {conditions}; "
            "a ratio below 1 is faster than the reference"
        )
        found += timing_notes(comparison.candidates)
    floor = timings.noise_floor if timings else None
    if floor:
        found.append(
            f"noise floor: the reference against itself, {interval(floor.median, floor.low, floor.high)} "
            f"at {percent(floor.confidence, 0)} confidence"
        )
    return (*found, *(advice(timings) if timings else ()))


def measured_notes(comparison: Comparison) -> list[str]:
    """Say what measured accuracies are of, model by model."""
    measured = [c for c in comparison.candidates if c.accuracy]
    found = [
        f"top-1 (%) was measured here by saevit eval on {comparison.top1_on}; published accuracies are "
        "of other data and left out; the networks timed here have random weights"
    ]
    found += [f"{c.model}: {c.accuracy.source}" for c in measured if c.accuracy]
    if any(not is_comparable(c) for c in measured):
        found.append(
            "apart: evaluated at another size than the costs beside it (--img-size), or on other images"
        )
    found.append(
        "Pareto-optimal: among models measured on the same data and split, none is at least as accurate "
        "and as cheap, and better in one; intervals are not considered"
    )
    if comparison.top1_left_out:
        found.append(comparison.top1_left_out)
    if without := [c.model for c in comparison.candidates if not c.accuracy]:
        found.append(f"not measured on {comparison.top1_on}: {', '.join(without)}")
    return found


def timing_notes(candidates: Sequence[Candidate]) -> list[str]:
    """Say what is odd about models' timings; what holds for more than two is one line."""
    alike: dict[str, list[str]] = {}
    for c in candidates:
        for note in c.subject.notes if c.subject else ():
            alike.setdefault(re.sub(r"[\d.]+", "", note), []).append(f"{c.model}: {note}")
    return [
        line
        for lines in alike.values()
        for line in (lines if len(lines) <= MOST_LINES else [f"{lines[0]}, and so {len(lines) - 1} more"])
    ]


def comparison_columns(comparison: Comparison, c: Candidate, found: Fronts) -> dict[str, Any]:
    """Return one model's figures, unrounded, with timm's column names where timm has one."""
    height, width = comparison.img_size
    seen = comparison.ratio(c)
    return {
        "model": c.model,
        "family": c.family,
        "infer_img_size": height if height == width else f"{height},{width}",
        "param_count": None if c.params is None else c.params / 1e6,
        "infer_gmacs": None if c.macs is None else c.macs / 1e9,
        "infer_macts": None if c.activations is None else c.activations / 1e6,
        "peak_bytes": c.peak_bytes,
        "top1": c.accuracy.top1 if c.accuracy else None,
        "top1_img_size": c.accuracy.img_size if c.accuracy else None,
        "top1_mark": c.accuracy.mark if c.accuracy else None,
        "top1_source": c.accuracy.source if c.accuracy else None,
        "top1_measured_on": c.accuracy.measured_on if c.accuracy else None,
        "top1_low": c.accuracy.interval[0] if c.accuracy and c.accuracy.interval else None,
        "top1_high": c.accuracy.interval[1] if c.accuracy and c.accuracy.interval else None,
        "top1_images": c.accuracy.images if c.accuracy else None,
        "counted_by": c.counted_by,
        "pareto": ",".join(axis for axis, models in found.items() if models.get(c.model)) or None,
        "reference": comparison.reference,
        "ratio": seen.median if seen else None,
        "ratio_low": seen.low if seen else None,
        "ratio_high": seen.high if seen else None,
        "verdict": seen.verdict if seen else None,
        **(measured_columns(c.subject) if c.subject else {}),
        "same_network_as": c.same_as,
        "failure": c.reason,
    }


def comparison_json(comparison: Comparison) -> str:
    """Write everything known, raw samples included, as one JSON object."""
    found = fronts(comparison, COSTS)
    run = comparison.run
    timings = run_fields(run) | {"advice": list(advice(run))} if run else None
    plain = asdict(replace(comparison, candidates=(), run=None))
    data = {"timings" if name == "run" else name: value for name, value in plain.items()}
    data["candidates"] = [
        candidate_fields(c) | comparison_columns(comparison, c, found) for c in comparison.candidates
    ]
    return write_json(data | {"timings": timings})


def candidate_fields(c: Candidate) -> dict[str, Any]:
    """Return everything known of one model, raw samples included."""
    plain = asdict(replace(c, subject=None))
    data = {"latency" if name == "subject" else name: value for name, value in plain.items()}
    return data | {"latency": subject_fields(c.subject) if c.subject else None}


def comparison_csv(comparison: Comparison) -> str:
    """Write one row a model."""
    found = fronts(comparison, COSTS)
    rows = [comparison_columns(comparison, c, found) for c in comparison.candidates]
    return csv_text(rows)
