"""A comparison as a table with one row per model: costs, times, ratio to the reference, accuracy."""

import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from saevit.comparing.accuracies import count_classes
from saevit.comparing.comparison import Candidate, Comparison
from saevit.report.accuracy_texts import ACCURACY, DIFFERENCE, describe_measurement
from saevit.report.columns import (
    Column,
    Table,
    View,
    attribute_columns,
    make_table,
    number_column,
    row_values,
    size_value,
    text_column,
    write_csv,
    write_json,
)
from saevit.report.latencies import (
    LATENCIES,
    MEDIAN,
    describe_conditions,
    describe_machine,
    describe_noise_floor,
    list_pass_columns,
    run_values,
    subject_values,
    tabulate_passes,
    write_ratio,
)
from saevit.report.messages import summarize_comparison
from saevit.report.metrics import COSTS, find_front, find_undecided, is_comparable, sort_candidates
from saevit.report.units import LONGEST, bare_names, find_common_classes, giga, scaled, size, write_pixels
from saevit.runs.advice import MOST_LINES, advice
from saevit.runs.run import Run
from saevit.runs.statistics import Ratio
from saevit.text import plural

LEAST_LIKELY = 0.05  # p-value below which two sets of weights differ
AXES = ("gmacs", "latency")  # axes of the Pareto fronts in the table, against top-1
ORDER = (  # of the columns in a table with published accuracies; other columns follow
    *("model", "ms/batch", "ratio", "GMACs", "top-1", "params", "Pareto-optimal by"),
    *("source", "at px", "images", "images/s", "peak act.", "family"),
)
MEASURED_ORDER = (  # of the columns in a table with measured accuracies
    *("model", "ratio", "difference", "top-1", "seeds", "ms/batch", "GMACs", "params", "Pareto-optimal by"),
    *("source", "at px", "epochs", "images", "images/s", "peak act.", "family"),
)
COUNTS: tuple[Column[Candidate], ...] = (
    number_column("params", "param_count", lambda c: c.params, scaled, 1e6),
    number_column("GMACs", "infer_gmacs", lambda c: c.macs, giga, 1e9),
    Column(key="infer_macts", value=lambda c: None if c.activations is None else c.activations / 1e6),
    number_column("peak act.", "peak_bytes", lambda c: c.peak_bytes, size),
)
RATIO: tuple[Column[Ratio], ...] = (
    Column("ratio", write_ratio, key="ratio", value=lambda ratio: ratio.median),
    *attribute_columns(ratio_low="low", ratio_high="high", verdict="verdict"),
)


def list_columns(
    comparison: Comparison, axes: Sequence[str] = COSTS, *, timed: bool = True
) -> list[Column[Candidate]]:
    """Return the columns of a comparison in the order of files; `timed` includes the columns of times.

    The table names the Pareto fronts of top-1 against `axes`, and files name the fronts of all costs.
    """
    fronts, all_fronts = find_fronts(comparison, axes), find_fronts(comparison, COSTS)
    undecided, all_undecided = (
        {axis: find_undecided(comparison.candidates, axis, front) for axis, front in those.items()}
        for those in (fronts, all_fronts)
    )
    speed: list[Column[Candidate]] = [column.via(lambda c: c.subject) for column in LATENCIES]
    median = speed[LATENCIES.index(MEDIAN)]
    speed[LATENCIES.index(MEDIAN)] = replace(
        median, text=lambda c: "failed" if c.reason and not c.samples else median.cell(c)
    )
    return [
        text_column("model", "model", lambda c: c.model),
        text_column("family", "family", lambda c: c.family),
        Column(key="infer_img_size", value=lambda c: size_value(comparison.img_size)),
        *COUNTS,
        *(column.via(lambda c: c.accuracy) for column in ACCURACY),
        *attribute_columns("counted_by"),
        Column(
            "Pareto-optimal by",
            lambda c: describe_fronts(c, fronts, undecided),
            key="pareto",
            value=lambda c: ",".join(axis for axis, best in all_fronts.items() if best.get(c.model)) or None,
        ),
        Column(
            key="pareto_not_resolved",
            value=lambda c: (
                ",".join(axis for axis, models in all_undecided.items() if c.model in models) or None
            ),
        ),
        Column(key="reference", value=lambda c: comparison.reference),
        *(column.via(comparison.ratio) for column in RATIO),
        *(column.via(comparison.difference) for column in DIFFERENCE),
        *(speed if timed else ()),
        *(column.via(lambda c: c.subject) for column in list_pass_columns(comparison.run)),
        *attribute_columns(failure="reason", same_network_as="same_as"),
    ]


def find_fronts(comparison: Comparison, axes: Sequence[str]) -> dict[str, dict[str, bool]]:
    """Return for each axis whether models are on the front of top-1 against it; skip axes without values."""
    found = {axis: find_front(comparison.candidates, axis, "top1") for axis in axes}
    return {axis: models for axis, models in found.items() if models}


def describe_fronts(
    c: Candidate, fronts: dict[str, dict[str, bool]], undecided: dict[str, set[str]]
) -> str | None:
    """Write the axes on whose fronts a model is, or `not resolved` if it may be on a front."""
    if c.accuracy is None:
        return None
    if not is_comparable(c):
        return "not ranked"
    judged = {axis: models[c.model] for axis, models in fronts.items() if c.model in models}
    off = "not resolved" if any(c.model in models for models in undecided.values()) else "no"
    return ", ".join(axis for axis, best in judged.items() if best) or (off if judged else None)


def view_comparison(comparison: Comparison, sort: str | None, axes: Sequence[str] = AXES) -> View:
    """Return the view of a comparison."""
    rated = [c.accuracy for c in comparison.candidates if c.accuracy]
    run, notes = comparison.run, [*comparison.training_notes]
    if rated:
        what = "accuracy (%) of trained weights, published for ImageNet-1k"
        if comparison.top1_on:
            what = f"mean accuracy (%) of trainings, measured here on {describe_measurement(comparison)}"
        timed = "; the timed networks have random weights" if run and run.timed else ""
        notes.append(f"top-1: {what}{timed}")
    if not all(accuracy.plain for accuracy in rated):
        others = "trained otherwise, evaluated at another size or on other images"
        if not comparison.top1_on:
            others = "distilled, trained with extra data, evaluated at another size, or a claim of the paper"
        notes.append(f"top-1 with *: {others}; on no Pareto front")
    if not comparison.top1_on and any(c.family == "SAEViT" for c in comparison.candidates):
        notes.append(
            "SAEViT variants are a reconstruction from the paper's abstract: the accuracies claimed in the "
            "paper do not apply to them"
        )
    failures = [f"{c.model}: {c.reason}" for c in comparison.candidates if c.reason]
    return View(
        result=summarize_comparison(comparison),
        warnings=(*failures, *(advice(run, "warning") if run else ())),
        tables=(tabulate_comparison(comparison, sort, axes), *(tabulate_passes(run) if run else ())),
        notes=tuple(notes),
    )


def tabulate_comparison(comparison: Comparison, sort: str | None, axes: Sequence[str] = AXES) -> Table:
    """Return the table of a comparison with notes on its columns and on missing figures."""
    run = comparison.run
    names = bare_names(c.model for c in comparison.candidates)
    classes = find_common_classes(names)
    reference = names.get(comparison.reference, comparison.reference)
    reference = reference if len(reference) <= LONGEST else "the reference"
    order = MEASURED_ORDER if comparison.top1_on else ORDER
    heads = {"ratio": f"time relative to {reference}", "difference": f"points relative to {reference}"}
    texts = {"model": lambda c: names[c.model]}
    columns = [
        replace(c, head=heads.get(c.head, c.head), text=texts.get(c.head, c.text))
        for c in sorted(list_columns(comparison, axes), key=lambda c: (*order, c.head).index(c.head))
    ]
    conditions = (
        f"{describe_conditions(run)}, {plural(run.rounds, 'round')} on {describe_machine(run)}"
        if run and run.timed
        else str(comparison.dtype)
    )
    notes = [*describe_models(comparison), *describe_accuracies(comparison)]
    models = {c.subject.name if c.subject else c.model for c in comparison.candidates}
    is_crossed = run is not None and len(run.timed) > len({subject.name for subject in run.timed})
    rows = f" in {len(comparison.candidates)} configurations" if is_crossed else ""
    return make_table(
        f"{plural(len(models), 'model')}{rows}, {f'{classes} classes, ' if classes else ''}"
        f"{write_pixels(comparison.img_size)}, {conditions}",
        columns,
        sort_candidates(comparison.candidates, sort),
        [*notes, *(describe_timings(comparison, run) if run else ())],
    ).without_empty_columns()


def describe_models(comparison: Comparison) -> list[str]:
    """Return the notes on models without a network, and on models that share a network."""
    models = comparison.candidates
    return [
        *(
            f"{c.model}: published figures only ({c.counted_by}), because its network cannot be built here"
            for c in models
            if c.published_only
        ),
        *(
            [
                "int8: no top-1, because known accuracies are of the weights before quantisation; "
                "saevit export --dtype int8 --data SOURCE measures it"
            ]
            if any(c.is_quantized for c in models)
            else []
        ),
        *(f"{c.model}: the same network as {c.same_as}, built and timed once" for c in models if c.same_as),
    ]


def describe_accuracies(comparison: Comparison) -> list[str]:
    """Return the notes on top-1: its source, its data, and the Pareto fronts."""
    rated = [c for c in comparison.candidates if c.accuracy]
    if comparison.top1_on:
        return describe_measured(comparison, rated)
    notes = []
    if rated:
        notes.append(
            "Pareto-optimal by: no comparable model of this table is at least as accurate and as cheap, and "
            "better in one of the two"
        )
    return notes + [f"saevit eval measured top-1 on {hint}" for hint in comparison.also_measured]


def describe_measured(comparison: Comparison, rated: Sequence[Candidate]) -> list[str]:
    """Return the notes on measured accuracies."""
    notes = [f"{c.model}: {c.accuracy.source}" for c in rated if c.accuracy]
    notes.append(
        "Pareto-optimal by: no model measured on the same images is at least as accurate and as cheap, and "
        "better in one of the two; not resolved: the differences are within the intervals"
    )
    notes += [
        "points: top-1 minus that of the reference, paired image by image, and its interval at 95 %; not "
        "resolved: the interval contains 0, or a model has one seed and the interval is over images only"
    ]
    notes += describe_weights(comparison)
    if other := describe_other_classes(rated):
        notes.append(other)
    if comparison.top1_left_out:
        notes.append(comparison.top1_left_out)
    if missing := [c.model for c in comparison.candidates if not c.accuracy]:
        notes.append(f"not measured on {comparison.top1_on}: {', '.join(missing)}")
    return notes


def describe_weights(comparison: Comparison) -> list[str]:
    """Return the notes on models with one seed whose weights are significantly better or worse."""
    notes = []
    for c in comparison.candidates:
        found = comparison.difference(c)
        if found and found.weights_p is not None and found.weights_p < LEAST_LIKELY:
            notes.append(
                f"{c.model}: these weights differ in accuracy from the reference's (exact McNemar test, "
                f"p = {found.weights_p:.2g}); with one seed each, other trainings may differ otherwise"
            )
    return notes


def describe_other_classes(rated: Sequence[Candidate]) -> str:
    """Return the note on models whose costs and accuracy have different numbers of classes."""
    others = [
        c
        for c in rated
        if c.accuracy and not c.published_only and count_classes(c.model) != c.accuracy.num_classes
    ]
    if not others:
        return ""
    classes = sorted({c.accuracy.num_classes or 0 for c in others if c.accuracy})
    return (
        f"{', '.join(c.model for c in others)}: the accuracy is of a network with "
        f"{' or '.join(map(str, classes))} classes, the costs are not"
    )


def describe_timings(comparison: Comparison, run: Run) -> list[str]:
    """Return the notes on the conditions and the reliability of the times."""
    notes = [
        f"times: {run.rounds} interleaved rounds, started {run.started}; memory format "
        f"{run.timed[0].conditions.memory_format}",
        "relative time: median of the ratios of each round, and its interval; below 1 is faster",
        "not resolved: the interval contains 1, or there are too few rounds",
    ]
    if any(subject.conditions.folded for subject in run.timed):
        notes.append(
            "SAEViT variants are timed in the folded form (--no-fold: as defined), and baselines "
            "re-parameterised where their family supports it; counts are of the networks as defined"
        )
    similar: dict[str, list[str]] = {}  # notes that differ in their numbers only
    for c in comparison.candidates:
        for note in c.subject.notes if c.subject else ():
            similar.setdefault(re.sub(r"[\d.]+", "", note), []).append(f"{c.model}: {note}")
    for lines in similar.values():
        notes += lines if len(lines) <= MOST_LINES else [f"{lines[0]}, and {len(lines) - 1} more models"]
    if run.noise_floor:
        notes.append(describe_noise_floor("the reference", run.noise_floor))
    return [*notes, *advice(run, "note")]


def write_comparison_json(comparison: Comparison) -> str:
    """Return a comparison with its raw samples as JSON."""
    run = comparison.run
    plain = asdict(replace(comparison, candidates=(), run=None))
    data = {"timings" if name == "run" else name: value for name, value in plain.items()}
    timed, counted = list_columns(comparison), list_columns(comparison, timed=False)
    data["candidates"] = [
        candidate_values(c) | row_values(timed if c.subject else counted, c) for c in comparison.candidates
    ]
    return write_json(data | {"timings": run_values(run) | {"advice": list(advice(run))} if run else None})


def candidate_values(c: Candidate) -> dict[str, Any]:
    """Return the results of one model with its raw samples."""
    accuracy = replace(c.accuracy, hits=()) if c.accuracy else None  # hits are in the store
    plain = asdict(replace(c, subject=None, accuracy=accuracy))
    data = {"latency" if name == "subject" else name: value for name, value in plain.items()}
    return data | {"latency": subject_values(c.subject) if c.subject else None}


def write_comparison_csv(comparison: Comparison) -> str:
    """Return a comparison as CSV with one row per model."""
    timed = any(c.subject for c in comparison.candidates)
    return write_csv(list_columns(comparison, timed=timed), comparison.candidates)
