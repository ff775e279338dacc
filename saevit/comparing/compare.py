"""Compare models: build, count and time them in one interleaved run, or read a stored run."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from saevit.baselines import groups
from saevit.baselines.adapters import map_same_networks, name_network
from saevit.comparing.accuracies import MeasuredOn
from saevit.comparing.candidates import (
    add_counts,
    candidate_of,
    join_run,
    list_candidates,
    normalize,
    record_figures,
)
from saevit.comparing.comparison import Candidate, Comparison
from saevit.count.model_costs import ModelCosts
from saevit.errors import MemoryLimitError, OptionError, SaevitError, nearest
from saevit.measure.progress import NextStep, Tell
from saevit.measure.timing import TimingOptions, list_conditions, time_models
from saevit.models import check_img_size, count_model
from saevit.runs.record import BYTES, COUNTS, Conditions, Dtype
from saevit.runs.run import Run, Subject
from saevit.runs.store import Writer, keep
from saevit.variant import PRESETS

NO_ROUND = "no round was finished"

# The presets and well-known models of similar sizes. A comparison takes about three minutes on two cores.
DEFAULT_MODELS = (
    "saevit_tiny",
    "saevit_pico",
    "saevit_nano",
    "saevit_small",
    "saevit_base",
    "mobilenetv3_large_100",
    "mobilenetv4_conv_small.e2400_r224_in1k",
    "mobilenetv4_conv_medium.e500_r256_in1k",
    "efficientnet_b0",
    "repvit_m0_9",
    "repvit_m1_1",
    "fastvit_t8.apple_in1k",
    "efficientvit_b1",
    "mobilevitv2_100",
    "edgenext_small",
    "efficientformer_l1",
    "starnet_s4",
    "saevit_claim_0.8g",
    "saevit_claim_1.3g",
)


def compare(
    models: Sequence[str],
    *,
    reference: str | None = None,
    img_size: tuple[int, int] = (224, 224),
    dtype: Dtype = "fp32",
    timing: TimingOptions | None = None,
    on_progress: Tell = lambda progress: None,
    writer: Writer | None = None,
    measured: MeasuredOn | None = None,
) -> Comparison:
    """Count models and, with timing options, time all configurations in the same interleaved rounds.

    With several runtimes, precisions or batch sizes, there is one row per model and configuration. A model
    that cannot be built or run gets a row with the reason. Trainings of one network share its times.

    Args:
        models: variants, timm models, `birder:NAME`, groups and patterns, as in the command.
        reference: the model that ratios are relative to; None is the first model.
        img_size: input size (H, W) of all models.
        dtype: precision of all models (without `timing.dtypes`).
        timing: the configurations to time; None counts only.
        on_progress: called before each model and each round.
        writer: stores every round when it is finished.
        measured: accuracies measured by `saevit eval`, in place of published ones.

    Raises:
        OptionError: there are no models, the reference is not one of them, or the device or the precision is
            not available.
    """
    check_img_size(img_size)
    if not models:
        raise OptionError("no models: name at least one, such as saevit_tiny")
    texts = [text for model in models for text in _expand(model)]
    first = _expand(reference)[0] if reference else texts[0]
    if first not in texts:
        raise OptionError(f"reference {reference!r} is not compared: {nearest(first, texts)}")
    candidates = list_candidates(texts, first, img_size)
    networks = sorted((c.model for c in candidates if c.has_network), key=lambda model: model != first)
    start, counted = time.monotonic(), dict[str, ModelCosts | str]()
    for number, model in enumerate(networks):
        left = (time.monotonic() - start) * (len(networks) - number) / number if number else None
        text = f"counting {number + 1} of {len(networks)}: {model}"
        on_progress(NextStep(text=text, done=number / len(networks), eta=left))
        counted[model] = _count(model, img_size)
    candidates = [add_counts(c, counted.get(c.network), dtype) for c in candidates]
    run = None
    if timing:
        pairs, reasons = _choose_conditions(counted, img_size, dtype, timing)
        candidates = [replace(c, failure=reasons.get(c.network, c.failure)) for c in candidates]
        run = _time(pairs, candidates, timing, on_progress, writer, measured) if pairs else None
        if run and len(pairs) > len({costs.name for costs, _ in pairs}):
            return comparison_of(run, reference=first, measured=measured)
    return join_run(candidates, run, first, img_size, dtype, measured)


def _expand(model: str) -> list[str]:
    """Return the models that a text names; an invalid text is returned, and its row shows the error."""
    try:
        return resolve_models([model])
    except SaevitError:
        return [model]


def _count(model: str, img_size: tuple[int, int]) -> ModelCosts | str:
    """Build and count one model; if this fails, return the reason."""
    try:
        return count_model(model, img_size)[0]
    except SaevitError as error:
        return str(error)


def _choose_conditions(
    counted: Mapping[str, ModelCosts | str], img_size: tuple[int, int], dtype: Dtype, timing: TimingOptions
) -> tuple[list[tuple[ModelCosts, Conditions]], dict[str, str]]:
    """Return the networks with their conditions, and the reasons why others do not fit in memory."""
    pairs, reasons = [], {}
    for model, costs in counted.items():
        if isinstance(costs, str):
            continue
        try:
            pairs += [(costs, each) for each in list_conditions(costs, img_size, dtype, timing)]
        except MemoryLimitError as error:
            reasons[model] = str(error)
    return pairs, reasons


def _time(
    pairs: Sequence[tuple[ModelCosts, Conditions]],
    candidates: Sequence[Candidate],
    timing: TimingOptions,
    on_progress: Tell,
    writer: Writer | None,
    measured: MeasuredOn | None,
) -> Run:
    """Time the networks in one run, and store it with the counts and accuracies of all candidates."""
    facts = record_figures(candidates)
    facts += measured.records(c.model for c in candidates) if measured else []
    timed = time_models(pairs, timing, on_progress, writer, facts)
    reasons = {c.model: c.failure for c in candidates if c.failure and not c.same_as}
    run = replace(timed, not_built=reasons)
    return keep(writer, run, lambda w: w.end(interrupted=run.interrupted, failures=run.failures))


def comparison_of(
    run: Run, models: Sequence[str] = (), reference: str | None = None, measured: MeasuredOn | None = None
) -> Comparison:
    """Return a stored run as a comparison, with the published accuracies of this version of saevit.

    Args:
        run: a run of several models, or of one model under several conditions (one row each).
        models: the models to show; empty is all.
        reference: the model that ratios are relative to; None is the reference of the run.
        measured: measured accuracies, in place of published ones.

    Raises:
        OptionError: the run lacks a model or the reference, or it is a run of `saevit eval`.
    """
    if run.is_evaluation:
        raise OptionError(
            f"run {run.path.stem} is an evaluation and has no times: saevit results show {run.path.stem}, "
            "or name a run of compare"
        )
    subjects = {subject.label: subject for subject in run.timed}
    names = {subject.name for subject in run.subjects}
    evaluations = [top1.record for top1 in run.top1s]
    counted = [fact.subject for fact in run.facts if fact not in evaluations]
    labels = [
        label
        for label in dict.fromkeys([*counted, *subjects, *run.failures])
        if label in subjects or label not in names
    ]
    models = [label for name in models for label in _find_labels(run, name, labels)]
    reference = reference and _find_labels(run, reference, labels)[0]
    same = map_same_networks([*subjects, *labels]) | {label: label for label in subjects}
    conditions = run.timed[0].conditions
    candidates = [
        _read_candidate(run, label, same[label], subjects, conditions.img_size)
        for label in labels
        if not models or label in models or label == reference
    ]
    base = reference or (models[0] if models else run.timed[0].label)
    return join_run(candidates, run, base, conditions.img_size, conditions.dtype, measured)


def _find_labels(run: Run, name: str, labels: Sequence[str]) -> list[str]:
    """Return the labels of a model in a stored run, by its text or, if unique, by its network."""
    if name in labels:
        return [name]
    names = {subject.label: subject.name for subject in run.timed}
    same = [label for label in labels if name_network(names.get(label, label)) == name_network(name)]
    if len({names.get(label, label) for label in same}) != 1:
        raise OptionError(f"{name!r} is not in the run {run.path.stem}: {nearest(name, labels)}")
    return same


def _read_candidate(
    run: Run, label: str, network: str, subjects: Mapping[str, Subject], img_size: tuple[int, int]
) -> Candidate:
    """Return a model of a stored run with the counts of its network and its published figures."""
    subject = subjects.get(network)
    name = subject.name if subject else network
    facts = [fact for fact in run.facts if fact.subject == name and fact.quantity in COUNTS]
    counts: dict[str, Any] = {fact.quantity: fact.value for fact in facts}
    if subject and "peak_bytes" in counts:  # counted for the first precision
        first = run.timed[0].conditions.dtype
        counts["peak_bytes"] = counts["peak_bytes"] * BYTES[subject.conditions.dtype] // BYTES[first]
    if facts:
        counts["counted_by"] = next((note for fact in facts for note in fact.notes), None)
    failure = run.failures.get(network)
    if subject and not subject.samples and not failure:
        failure = NO_ROUND
    return replace(
        candidate_of(subject.name if subject and label == network else label, img_size),
        model=label,
        same_as=None if label == network else network,
        failure=failure,
        **counts,
    )


def make_expected(
    models: Sequence[str], img_size: tuple[int, int], measured: MeasuredOn | None, *, is_timed: bool
) -> Comparison:
    """Return a comparison with placeholder values, to check before the measurement which figures it has."""
    conditions = Conditions(
        img_size=img_size,
        batch_size=1,
        dtype="fp32",
        device="cpu",
        runtime="eager",
        threads=1,
        memory_format="contiguous",
    )
    candidates = []
    for model in models:
        candidate = candidate_of(model, img_size)
        if not candidate.published_only:
            subject = Subject(label=model, name=model, conditions=conditions, samples=(1.0,))
            counts: dict[str, Any] = dict.fromkeys(COUNTS, 1)
            candidate = replace(candidate, **counts, subject=subject if is_timed else None)
        candidates.append(candidate)
    return join_run(candidates, None, models[0], img_size, "fp32", measured)


def resolve_models(texts: Sequence[str], *, most: int | None = None) -> list[str]:
    """Return the models that texts name, each once. Texts are variants, models, groups or patterns.

    Raises:
        OptionError: a text names no model, or a pattern matches more than `most` models.
    """
    models: dict[str, None] = {}
    for text in texts:
        found = groups.expand_model(text, PRESETS)
        if most is not None and len(found) > most and text not in groups.GROUPS:
            raise OptionError(
                f"{text!r} matches {len(found)} models, more than {most}: narrow the pattern, or add --all"
            )
        models |= dict.fromkeys(map(normalize, found))
    return list(models)
