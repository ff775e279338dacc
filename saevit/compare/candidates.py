"""Models before they are timed: counts of their network, figures published for their name."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from saevit.baselines import published
from saevit.baselines.published import Published
from saevit.compare.accuracies import MeasuredOn
from saevit.compare.comparison import Accuracy, Candidate, Comparison
from saevit.count.model_costs import ModelCosts
from saevit.models import is_baseline
from saevit.runs.record import BYTES, COUNTS, Dtype, Record, Source, utc_now
from saevit.runs.run import Run

OURS = "SAEViT"


def is_published_only(model: str) -> bool:
    """Is this a published model of which there is no network to build?"""
    return not is_baseline(model) and published.find(model) is not None


def candidate_of(model: str, img_size: tuple[int, int]) -> Candidate:
    """Return a model with its published family and accuracy; a model without a network has its costs too."""
    row = published.find(model)
    if row is None:
        return Candidate(model=model, family=None if is_baseline(model) else OURS)
    candidate = Candidate(model=model, family=row.family, accuracy=accuracy_of(row, img_size))
    if is_baseline(model):
        return candidate
    params, gmacs, basis = row.plotted
    is_same_size = row.img_size in (None, *img_size) and img_size[0] == img_size[1]
    return replace(
        candidate,
        model=row.model_id,
        params=None if params is None else round(params * 1e6),
        macs=None if gmacs is None or not is_same_size else round(gmacs * 1e9),
        counted_by=row.counted_with or f"{basis}: {row.paper_source}",
        published_only=True,
    )


def accuracy_of(row: Published, img_size: tuple[int, int]) -> Accuracy | None:
    """Return the published top-1 of a row with its source, to show beside costs at (H, W)."""
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


def counts_of(counted: ModelCosts, dtype: Dtype) -> dict[str, Any]:
    """Return the counts of a network as fields of its candidate."""
    return {
        "params": sum(counted.params.values()),
        "macs": sum(counted.macs.values()),
        "activations": sum(counted.activations.values()),
        "peak_bytes": counted.peak_elements * BYTES[dtype],
        "counted_by": counted.counted_by,
    }


def records_of(candidates: Iterable[Candidate]) -> list[Record]:
    """Return counts and published accuracies as records."""
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
    """Return candidates with their times from a run, and with measured accuracies if those are given."""
    subjects = {subject.label: subject for subject in run.timed} if run else {}
    timed = [replace(c, subject=subjects.get(c.network, c.subject)) for c in candidates]
    return Comparison(
        candidates=tuple(measured.replace_accuracy(c, img_size) if measured else c for c in timed),
        reference=reference,
        img_size=img_size,
        dtype=dtype,
        run=run,
        top1_on=measured.name if measured else None,
        top1_left_out=measured.left_out_note if measured else None,
    )
