"""Compare models: built, counted, timed in one interleaved run; or read back from a stored run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from saevit.baselines import groups
from saevit.baselines.adapters import map_same_networks
from saevit.compare.accuracies import MeasuredOn
from saevit.compare.candidates import candidate_of, counts_of, is_published_only, join_run, records_of
from saevit.compare.comparison import Candidate, Comparison
from saevit.count.model_costs import ModelCosts
from saevit.errors import MemoryLimitError, OptionError, SaevitError, nearest
from saevit.measure.timing import Progress, Tell, TimingOptions, list_conditions, time_models
from saevit.models import check_img_size, count_model
from saevit.runs.evaluation import read_top1
from saevit.runs.record import COUNTS, Conditions, Dtype
from saevit.runs.run import Run, Subject
from saevit.runs.store import Writer, keep
from saevit.variant import PRESETS, parse

NO_ROUND = "no round was finished"


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
    """Count models and, with options for one batch size and one runtime, time them in interleaved rounds.

    A model that cannot be built or run becomes a candidate with its reason; the others finish.

    Args:
        models: variants' texts, `timm:NAME`, `birder:NAME`; several trainings of one network share its times.
        reference: the model that ratios are relative to; None is the first.
        img_size: (H, W), the same for all.
        dtype: precision.
        timing: None times nothing.
        on_progress: called before each step.
        writer: stores what is measured, every round when it is finished.
        measured: accuracies that `saevit eval` measured here, in place of published ones.

    Raises:
        OptionError: no models, a reference that is not among them, a device or precision that is not here.
    """
    check_img_size(img_size)
    if not models:
        raise OptionError("no models: name at least one, such as saevit_tiny")
    if reference is not None and reference not in models:
        raise OptionError(f"reference {reference!r} is not compared: {nearest(reference, models)}")
    first = reference or models[0]
    same = map_same_networks([first, *models])
    counted, failures = _count_networks(dict.fromkeys(same.values()), img_size, on_progress)
    pairs = []
    for model in counted:
        if timing is None:
            break
        try:
            (conditions,) = list_conditions(counted[model], img_size, dtype, timing)
            pairs.append((counted[model], conditions))
        except MemoryLimitError as error:
            failures[model] = str(error)
    rows = {}
    for model in dict.fromkeys(models):
        network = same[model]
        row = replace(candidate_of(model, img_size), failure=failures.get(network))
        if known := counted.get(network):
            row = replace(row, model=known.name if model == network else model, **counts_of(known, dtype))
        rows[model] = replace(row, same_as=None if model == network else known.name if known else network)
    candidates, run = list(rows.values()), None
    if pairs and timing:
        facts = records_of(candidates)
        facts += measured.records(c.model for c in candidates) if measured else []
        run = time_models(pairs, timing, on_progress, writer, facts)
        not_built = {c.model: c.failure for c in candidates if c.failure and not c.same_as}
        ended = replace(run, not_built=not_built)
        run = keep(writer, ended, lambda w: w.end(interrupted=ended.interrupted, failures=ended.failures))
    return join_run(candidates, run, rows[first].model, img_size, dtype, measured)


def _count_networks(
    models: Iterable[str], img_size: tuple[int, int], on_progress: Tell
) -> tuple[dict[str, ModelCosts], dict[str, str]]:
    """Build and count every model that has a network; return counts, and the reasons of failures."""
    counted, failures = {}, {}
    for model in models:
        if is_published_only(model):
            continue
        on_progress(Progress(text=f"building and counting {model}"))
        try:
            counted[model] = count_model(model, img_size)[0]
        except SaevitError as error:
            failures[model] = str(error)
    return counted, failures


def comparison_of(
    run: Run,
    models: Sequence[str] = (),
    reference: str | None = None,
    measured: MeasuredOn | None = None,
) -> Comparison:
    """Return a stored run as a comparison, with the accuracies that are published today.

    Args:
        run: of models under one configuration each, or of one model under several, which are separate rows.
        models: those to show; none is all.
        reference: what ratios are relative to; None is the run's own reference.
        measured: accuracies that were measured here, to show in place of the published ones.

    Raises:
        OptionError: a model or reference that the run does not have, or a run of `saevit eval`.
    """
    if run.is_evaluation:
        raise OptionError(
            f"run {run.path.stem} is an evaluation and has no times: saevit results show {run.path.stem}, "
            "or name a run of compare"
        )
    subjects = {subject.label: subject for subject in run.timed}
    names = {subject.name for subject in run.subjects}
    counted = [fact.subject for fact in run.facts if not read_top1(fact)]
    labels = [
        label
        for label in dict.fromkeys([*counted, *subjects, *run.failures])
        if label in subjects or label not in names
    ]
    for name in [*models, *([reference] if reference else [])]:
        if name not in labels:
            raise OptionError(f"{name!r} is not in the run {run.path.stem}: {nearest(name, labels)}")
    same = map_same_networks([*subjects, *labels]) | {label: label for label in subjects}
    conditions = run.timed[0].conditions
    candidates = [
        _read_candidate(run, label, same[label], subjects, conditions.img_size)
        for label in labels
        if not models or label in models or label == reference
    ]
    base = reference or (models[0] if models else run.timed[0].label)
    return join_run(candidates, run, base, conditions.img_size, conditions.dtype, measured)


def _read_candidate(
    run: Run, label: str, network: str, subjects: Mapping[str, Subject], img_size: tuple[int, int]
) -> Candidate:
    """Return a model of a stored run, with the counts of its network and its published figures."""
    subject = subjects.get(network)
    name = subject.name if subject else network
    facts = [fact for fact in run.facts if fact.subject == name and fact.quantity in COUNTS]
    counts: dict[str, Any] = {fact.quantity: fact.value for fact in facts}
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


def expected(
    models: Sequence[str], img_size: tuple[int, int], measured: MeasuredOn | None, *, is_timed: bool
) -> Comparison:
    """Return which figures a comparison will have, with made-up values: nothing is built."""
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


def resolve_models(texts: Sequence[str]) -> list[str]:
    """Return the models that arguments stand for, each once: variants, published models, groups, globs."""
    return list(dict.fromkeys(_normalize(model) for text in texts for model in groups.resolve(text, PRESETS)))


def _normalize(model: str) -> str:
    """Return the one text of a variant, so that two ways to write it become equal; others unchanged."""
    if model.partition(":")[0].strip() not in PRESETS:
        return model
    try:
        return str(parse(model))
    except SaevitError:  # its row will show the reason
        return model
