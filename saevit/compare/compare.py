"""Compare models: built, counted, timed in one interleaved run, published accuracies beside them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from saevit.baselines import groups, published
from saevit.baselines.adapters import map_same_networks
from saevit.compare.candidates import candidate_of, of_training
from saevit.compare.comparison import Candidate, Comparison
from saevit.compare.measured import MeasuredOn, left_out_note
from saevit.compare.stored import WithFacts, facts, shown
from saevit.count.model_costs import ModelCosts
from saevit.errors import MemoryLimitError, OptionError, SaevitError, nearest
from saevit.measure.plan import Plan, Step, Tell, configurations, latency_of, timed_together, timings_of
from saevit.models import check_img_size, count_model, is_baseline
from saevit.runs.profile import Latency, Timings
from saevit.runs.record import Conditions, Dtype
from saevit.runs.store import Writer
from saevit.variant import PRESETS, parse


def compare(
    models: Sequence[str],
    *,
    reference: str | None = None,
    img_size: tuple[int, int] = (224, 224),
    dtype: Dtype = "fp32",
    plan: Plan | None = None,
    on_step: Tell = lambda step: None,
    writer: Writer | None = None,
    measured: MeasuredOn | None = None,
) -> Comparison:
    """Count models and, with a plan of one batch size and one runtime, time them in interleaved rounds.

    A model that cannot be built or run becomes a candidate with its reason; the others finish.

    Args:
        models: variants' texts, `timm:NAME`, `birder:NAME`; several trainings of one network share its times.
        reference: the model that ratios are to; None is the first.
        img_size: (H, W), the same for all.
        dtype: precision.
        plan: None times nothing.
        on_step: called before each step.
        writer: keeps what is measured, every round as soon as it is finished.
        measured: accuracies that `saevit eval` measured here, in place of published ones.

    Raises:
        OptionError: no models, a reference that is none of them, a device or precision that is not here.
    """
    check_img_size(img_size)
    first = chosen(models, reference)
    same = map_same_networks([first, *models])
    found = {model: counted_or_reason(model, img_size, on_step) for model in dict.fromkeys(same.values())}
    networks = {model: candidate_of(model, counted, img_size, dtype) for model, counted in found.items()}
    working = {model: counted for model, counted in found.items() if isinstance(counted, ModelCosts)}
    rows = {
        model: of_training(networks[same[model]], model, same, img_size) for model in dict.fromkeys(models)
    }
    timings = None
    if plan and working:
        subjects, refused = conditioned(working, img_size, dtype, plan)
        networks |= {model: replace(networks[model], failure=why) for model, why in refused.items()}
        if subjects:
            known = facts(rows.values())
            known += measured.records(c.model for c in rows.values()) if measured else []
            keeper = WithFacts(writer, known) if writer else None
            pairs = [(working[model], conditions) for model, conditions in subjects.items()]
            run = timed_together(pairs, plan, on_step, keeper)
            timings = timings_of(run, None)
            for model, timing in zip(subjects, run.timings, strict=True):
                networks[model] = replace(networks[model], latency=latency_of(timing))
            if writer:
                timings = ended(writer, timings, networks.values())
    return Comparison(
        candidates=tuple(
            shown(of_training(networks[same[model]], model, same, img_size), measured, img_size)
            for model in rows
        ),
        reference=networks[first].model,
        img_size=img_size,
        dtype=dtype,
        timings=timings,
        top1_on=measured.name if measured else None,
        top1_left_out=left_out_note(measured) if measured and measured.left_out else None,
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
    rows = []
    for model in models:
        is_built = is_baseline(model) or not published.find(model)
        row = candidate_of(model, "" if is_built else None, img_size, "fp32")
        if is_built:
            latency = Latency(label=model, conditions=conditions, samples=(1.0,)) if is_timed else None
            row = replace(row, params=1, macs=1, activations=1, peak_bytes=1, latency=latency)
        rows.append(shown(row, measured, img_size))
    return Comparison(
        candidates=tuple(rows),
        reference=models[0],
        img_size=img_size,
        dtype="fp32",
        timings=None,
        top1_on=measured.name if measured else None,
    )


def resolved(texts: Sequence[str]) -> list[str]:
    """Return the models that arguments stand for, each once: variants, published models, groups, globs."""
    return list(dict.fromkeys(named(model) for text in texts for model in groups.resolve(text, PRESETS)))


def named(model: str) -> str:
    """Return the one text of a variant, so that two ways to write it meet; others as they are."""
    if model.partition(":")[0].strip() not in PRESETS:
        return model
    try:
        return str(parse(model))
    except SaevitError:  # its row will say why
        return model


def chosen(models: Sequence[str], reference: str | None) -> str:
    """Return the reference."""
    if not models:
        raise OptionError("no models: name at least one, such as saevit_tiny")
    if reference is not None and reference not in models:
        raise OptionError(f"reference {reference!r} is not compared: {nearest(reference, models)}")
    return reference or models[0]


def counted_or_reason(model: str, img_size: tuple[int, int], on_step: Tell) -> ModelCosts | str | None:
    """Build and count one model, or say why that is not possible; None is one with published figures only."""
    if not is_baseline(model) and published.find(model):
        return None
    on_step(Step(text=f"building and counting {model}"))
    try:
        return count_model(model, img_size)[0]
    except SaevitError as error:
        return str(error)


def ended(writer: Writer, timings: Timings, candidates: Iterable[Candidate]) -> Timings:
    """End the stored run with the reasons of those that have no samples."""
    if timings.unkept:
        return timings
    try:
        reasons = {c.model: c.reason for c in candidates if c.reason}
        writer.end(interrupted=timings.interrupted, failures=reasons)
    except OptionError as error:  # the figures are worth showing all the same
        return replace(timings, unkept=str(error))
    return timings


def conditioned(
    working: dict[str, ModelCosts], img_size: tuple[int, int], dtype: Dtype, plan: Plan
) -> tuple[dict[str, Conditions], dict[str, str]]:
    """Return each model's conditions, and the reasons of those that memory cannot hold."""
    subjects, refused = {}, {}
    for model, counted in working.items():
        try:
            (subjects[model],) = configurations(counted, img_size, dtype, plan)
        except MemoryLimitError as error:
            refused[model] = str(error)
    return subjects, refused
