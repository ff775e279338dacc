"""What is known of a model before it is timed: counts of its network, published figures of its name."""

from collections.abc import Mapping
from dataclasses import replace

from saevit.baselines import published
from saevit.baselines.published import Published
from saevit.compare.comparison import Accuracy, Candidate
from saevit.count.model_costs import ModelCosts
from saevit.models import is_baseline
from saevit.runs.profile import BYTES
from saevit.runs.record import Dtype

OURS = "SAEViT"


def candidate_of(
    model: str, counted: ModelCosts | str | None, img_size: tuple[int, int], dtype: Dtype
) -> Candidate:
    """Return a model with its counts, or the reason why there are none; None has published figures alone."""
    row = published.find(model)
    if counted is None and row:
        return published_only(row, img_size)
    accuracy = accuracy_of(row, img_size) if row else None
    named = Candidate(model=model, family=family_of(model), accuracy=accuracy)
    if not isinstance(counted, ModelCosts):
        return replace(named, failure=counted)
    return replace(
        named,
        model=counted.name,
        params=sum(counted.params.values()),
        macs=sum(counted.macs.values()),
        counted_by=counted.counted_by,
        activations=sum(counted.activations.values()),
        peak_bytes=counted.peak_elements * BYTES[dtype],
    )


def of_training(
    network: Candidate, model: str, same: Mapping[str, str], img_size: tuple[int, int]
) -> Candidate:
    """Return the row of one training of a network: its costs are the network's, its accuracy its own."""
    if same[model] == model:
        return network
    row = published.find(model)
    return replace(
        network,
        model=model,
        same_as=network.model,
        family=family_of(model),
        accuracy=accuracy_of(row, img_size) if row else None,
    )


def family_of(model: str) -> str | None:
    """Return the published family of a model; None is one that nobody published here."""
    if row := published.find(model):
        return row.family
    return None if is_baseline(model) else OURS


def published_only(row: Published, img_size: tuple[int, int]) -> Candidate:
    """Return a model that nobody builds here; its MACs are left out where they are of another size."""
    params, gmacs, basis = row.plotted
    here = row.img_size in (None, *img_size) and img_size[0] == img_size[1]
    return Candidate(
        model=row.model_id,
        family=row.family,
        params=None if params is None else round(params * 1e6),
        macs=None if gmacs is None or not here else round(gmacs * 1e9),
        counted_by=row.counted_with or f"{basis}: {row.paper_source}",
        published_only=True,
        accuracy=accuracy_of(row, img_size),
    )


def accuracy_of(row: Published, img_size: tuple[int, int]) -> Accuracy | None:
    """Return a published top-1 with where it is from, to stand beside costs at (H, W)."""
    if row.top1 is None:
        return None
    claim = row.tier == "claim"
    return Accuracy(
        top1=row.top1,
        img_size=row.img_size,
        mark=row.mark,
        source=row.top1_source or "",
        claim=claim,
        plain=not claim
        and row.distilled != "yes"
        and not row.uses_extra_data
        and img_size == (row.img_size, row.img_size),
    )
