"""Candidates of a comparison before timing: counts of the network, and published figures of the model."""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from saevit.baselines import published
from saevit.baselines.adapters import map_same_networks
from saevit.baselines.published import Published
from saevit.comparing.accuracies import MeasuredOn
from saevit.comparing.comparison import OURS, Accuracy, Candidate, Comparison
from saevit.count.model_costs import ModelCosts
from saevit.errors import SaevitError
from saevit.models import is_baseline
from saevit.runs.record import BYTES, COUNTS, Dtype, Record, Source, utc_now
from saevit.runs.run import Run
from saevit.variant import PRESETS, parse


def normalize(model: str) -> str:
    """Return the canonical text of a variant or published model."""
    if model.partition(":")[0].strip() in PRESETS:
        with contextlib.suppress(SaevitError):  # the row of the model shows the error
            return str(parse(model))
    row = published.find_row(model)
    return row.model_id if row and not is_baseline(model) else model


def list_candidates(models: Sequence[str], reference: str, img_size: tuple[int, int]) -> list[Candidate]:
    """Return one candidate per model, with its published figures.

    If several models are trainings of one network, `same_as` of the later ones names the first one (or the
    reference).
    """
    same = map_same_networks([reference, *models])
    return [
        replace(candidate_of(model, img_size), same_as=None if same[model] == model else same[model])
        for model in dict.fromkeys(models)
    ]


def candidate_of(model: str, img_size: tuple[int, int]) -> Candidate:
    """Return a model with its published family and accuracy; without a network, with published costs too."""
    row = published.find_row(model)
    if row is None:
        return Candidate(model=model, family=None if is_baseline(model) else OURS)
    candidate = Candidate(model=model, family=row.family, accuracy=accuracy_of(row, img_size))
    if is_baseline(model):
        return candidate
    params, gmacs, basis = row.plotted
    is_same_size = row.img_size in (None, *img_size) and img_size[0] == img_size[1]
    return replace(
        candidate,
        params=None if params is None else round(params * 1e6),
        macs=None if gmacs is None or not is_same_size else round(gmacs * 1e9),
        counted_by=row.counted_with or f"{basis}: {row.paper_source}",
        published_only=True,
    )


def accuracy_of(row: Published, img_size: tuple[int, int]) -> Accuracy | None:
    """Return the published top-1 of a row with its source; `img_size` is the (H, W) of the costs."""
    if row.top1 is None:
        return None
    claim = row.tier == "claim"
    is_plain = not claim and row.distilled != "yes" and not row.uses_extra_data
    return Accuracy(
        top1=row.top1,
        img_size=row.img_size,
        mark=row.mark,
        source=row.top1_source or "",
        claim=claim,
        plain=is_plain and img_size == (row.img_size, row.img_size),
    )


def add_counts(candidate: Candidate, counted: ModelCosts | str | None, dtype: Dtype) -> Candidate:
    """Return a model with the counts of its network, or with the reason why it has no counts."""
    if not isinstance(counted, ModelCosts):
        return replace(candidate, failure=counted)
    return replace(
        candidate,
        params=sum(counted.params.values()),
        macs=sum(counted.macs.values()),
        activations=sum(counted.activations.values()),
        peak_bytes=counted.peak_elements * BYTES[dtype],
        counted_by=counted.counted_by,
    )


def record_figures(candidates: Iterable[Candidate]) -> list[Record]:
    """Return the counts and the published accuracies of models as records."""
    records = []
    for c in candidates:
        source: Source = "analytic" if c.counted_by == "analytic" else "counted"
        for name, unit in COUNTS.items() if not c.published_only else ():
            value = getattr(c, name)
            if value is not None:
                records.append(_record(c, name, unit, value, source, c.counted_by or ""))
        if c.accuracy:
            note = f"{c.accuracy.mark}, {c.accuracy.source}"
            records.append(_record(c, "top1", "%", c.accuracy.top1, "published", note))
    return records


def _record(c: Candidate, quantity: str, unit: str, value: float, source: Source, note: str) -> Record:
    return Record(
        subject=c.model,
        quantity=quantity,
        unit=unit,
        value=value,
        source=source,
        time=utc_now(),
        notes=(note,),
    )


def join_run(
    candidates: Sequence[Candidate],
    run: Run | None,
    reference: str,
    img_size: tuple[int, int],
    dtype: Dtype,
    measured: MeasuredOn | None,
) -> Comparison:
    """Return the comparison of candidates with the times of a run, and with measured accuracies if given."""
    subjects = {subject.label: subject for subject in run.timed} if run else {}
    timed = [replace(c, subject=subjects.get(c.network, c.subject)) for c in candidates]
    rated = [measured.replace_accuracy(c, img_size) if measured else c for c in timed]
    return Comparison(
        candidates=tuple(replace(c, accuracy=None) if c.is_quantized else c for c in rated),
        reference=reference,
        img_size=img_size,
        dtype=dtype,
        run=run,
        top1_on=measured.name if measured else None,
        top1_left_out=measured.left_out_note if measured else None,
    )
