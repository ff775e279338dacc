"""Compare models: built, counted, timed in one interleaved run, published accuracies beside them."""

from collections.abc import Sequence
from dataclasses import replace

from saevit.baselines import groups, published, timm_models
from saevit.baselines.published import Published
from saevit.count.subject import Counted
from saevit.errors import MemoryLimitError, OptionError, SaevitError, nearest
from saevit.measure.plan import Plan, Step, Tell, configurations, latency_of, timed_together, timings_of
from saevit.presets import PRESETS
from saevit.results.comparison import Accuracy, Candidate, Comparison
from saevit.results.profile import BYTES
from saevit.results.record import Conditions, Dtype
from saevit.subjects import check_img_size, counted_of, is_timm


def compare(
    models: Sequence[str],
    *,
    reference: str | None = None,
    img_size: tuple[int, int] = (224, 224),
    dtype: Dtype = "fp32",
    plan: Plan | None = None,
    on_step: Tell = lambda step: None,
) -> Comparison:
    """Count models and, with a plan of one batch size and one runtime, time them in interleaved rounds.

    A model that cannot be built or run becomes a candidate with its reason; the others finish.

    Args:
        models: variants' texts or `timm:NAME`, each once.
        reference: the model that ratios are to; None is the first.
        img_size: (H, W), the same for all.
        dtype: precision.
        plan: None times nothing.
        on_step: called before each step.

    Raises:
        OptionError: no models, a reference that is none of them, a device or precision that is not here.
    """
    check_img_size(img_size)
    first = chosen(models, reference)
    ordered = [first, *(model for model in dict.fromkeys(models) if model != first)]
    found = {model: counted_or_reason(model, img_size, on_step) for model in ordered}
    working = {model: counted for model, counted in found.items() if isinstance(counted, Counted)}
    candidates = {model: candidate_of(model, counted, img_size, dtype) for model, counted in found.items()}
    timings = None
    if plan and working:
        subjects, refused = conditioned(working, img_size, dtype, plan)
        for model, reason in refused.items():
            candidates[model] = replace(candidates[model], failure=reason)
        if subjects:
            run = timed_together([(working[model], c) for model, c in subjects.items()], plan, on_step)
            timings = timings_of(run, None)
            for model, timing in zip(subjects, run.timings, strict=True):
                candidates[model] = replace(candidates[model], latency=latency_of(timing))
    return Comparison(
        candidates=tuple(candidates[model] for model in dict.fromkeys(models)),
        reference=candidates[first].model,
        img_size=img_size,
        dtype=dtype,
        timings=timings,
    )


def resolved(texts: Sequence[str]) -> list[str]:
    """Return the models that arguments stand for: variants, published models, groups, timm globs."""
    return list(dict.fromkeys(model for text in texts for model in groups.resolve(text, PRESETS)))


def chosen(models: Sequence[str], reference: str | None) -> str:
    """Return the reference."""
    if not models:
        raise OptionError("no models: name at least one, such as saevit_tiny")
    if reference is not None and reference not in models:
        raise OptionError(f"reference {reference!r} is not compared: {nearest(reference, models)}")
    return reference or models[0]


def counted_or_reason(model: str, img_size: tuple[int, int], on_step: Tell) -> Counted | str | None:
    """Build and count one model, or say why that is not possible; None is one with published figures only."""
    if not is_timm(model) and published.find(model):
        return None
    on_step(Step(text=f"building and counting {model}"))
    try:
        return counted_of(model, img_size)[0]
    except SaevitError as error:
        return str(error)


def conditioned(
    working: dict[str, Counted], img_size: tuple[int, int], dtype: Dtype, plan: Plan
) -> tuple[dict[str, Conditions], dict[str, str]]:
    """Return each model's conditions, and the reasons of those that memory cannot hold."""
    subjects, refused = {}, {}
    for model, counted in working.items():
        try:
            (subjects[model],) = configurations(counted, img_size, dtype, plan)
        except MemoryLimitError as error:
            refused[model] = str(error)
    return subjects, refused


def candidate_of(
    model: str, counted: Counted | str | None, img_size: tuple[int, int], dtype: Dtype
) -> Candidate:
    """Return what is known of a model before it is timed; published figures stand for themselves."""
    row = published.find(model.removeprefix(timm_models.PREFIX))
    accuracy = accuracy_of(row) if row else None
    family = row.family if row else None if is_timm(model) else "SAEViT"
    if counted is None and row:
        return published_candidate(row, img_size)
    if not isinstance(counted, Counted):
        return Candidate(model=model, family=family, accuracy=accuracy, failure=counted)
    return Candidate(
        model=counted.name,
        family=family,
        params=sum(counted.params.values()),
        macs=sum(counted.macs.values()),
        counted_by=counted.counted_by,
        activations=sum(counted.activations.values()),
        peak_bytes=counted.peak_elements * BYTES[dtype],
        accuracy=accuracy,
    )


def published_candidate(row: Published, img_size: tuple[int, int]) -> Candidate:
    """Return a model of which there are only figures; its no MACs of another size."""
    params, gmacs, basis = row.plotted
    here = row.img_size in (None, *img_size) and img_size[0] == img_size[1]
    return Candidate(
        model=row.model_id,
        family=row.family,
        params=None if params is None else round(params * 1e6),
        macs=None if gmacs is None or not here else round(gmacs * 1e9),
        counted_by=row.counted_with or f"{basis}: {row.paper_source}",
        published_only=True,
        accuracy=accuracy_of(row),
    )


def accuracy_of(row: Published) -> Accuracy | None:
    """Return a published top-1 with where it is from."""
    if row.top1 is None:
        return None
    return Accuracy(
        top1=row.top1,
        img_size=row.img_size,
        mark=row.mark,
        source=row.top1_source or "",
        claim=row.tier == "claim",
        plain=row.tier != "claim" and row.distilled != "yes" and not row.uses_extra_data,
    )
