"""The result of a comparison: models with costs, times, and published or measured accuracies."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from saevit.notebook import NotebookResult
from saevit.runs.accuracy_statistics import AccuracyDifference, GroupDifference, compare_groups, compare_hits
from saevit.runs.record import Dtype
from saevit.runs.run import Run, Subject
from saevit.runs.statistics import Ratio, median, ratio

OURS = "SAEViT"  # the family of the variants


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """A top-1 accuracy: published for ImageNet-1k (of pretrained weights), or measured by `saevit eval`."""

    top1: float  # per cent
    img_size: int | None  # side of the square input in the evaluation, pixels
    mark: str  # published, paper claim, distilled, extra data, or measured here
    claim: bool = False  # a claim of SAEViT's paper, whose network is not available
    source: str
    plain: bool  # comparable: not distilled, no extra data, same input size as the costs
    measured_on: str | None = None  # data and split of the evaluation; None if published
    interval: tuple[float, float] | None = None  # at 95 %, per cent; of one seed: over images only
    images: int | None = None  # number of evaluated images
    seeds: int | None = None  # number of trainings in the mean
    terms: str | None = None  # hash of the recipe of all trainings; None if unknown or not the chosen one
    epochs: int | None = None  # of each training
    trained_images: int | None = None  # epochs x training images, of each training
    fingerprint: str = ""  # of the evaluated images; differences need the same images
    num_classes: int | None = None  # of the trained networks
    unreadable: int = 0  # images that could not be read
    hits: tuple[tuple[bool, ...], ...] = field(default=(), repr=False, compare=False)  # one row per seed


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One model with its costs per image, its timing and its accuracy, or with the reason of a failure."""

    model: str
    family: str | None = None
    params: int | None = None
    macs: int | None = None
    counted_by: str | None = None  # the source of params and macs
    published_only: bool = False  # params and macs are published figures; the network cannot be built
    activations: int | None = None
    peak_bytes: int | None = None
    subject: Subject | None = None  # the timing
    accuracy: Accuracy | None = None
    same_as: str | None = None  # an earlier model with the same network, whose timing this model shares
    failure: str | None = None

    @property
    def network(self) -> str:
        """Return the model whose network was built and timed."""
        return self.same_as or self.model

    @property
    def is_variant(self) -> bool:
        """Tell whether the model is a SAEViT variant (not a claim of the paper)."""
        return self.family == OURS and not self.published_only

    @property
    def has_network(self) -> bool:
        """Tell whether the network is built and counted for this row."""
        return not self.same_as and not self.published_only

    @property
    def is_quantized(self) -> bool:
        """Tell whether it was timed in int8; its accuracy differs from that of the fp32 weights."""
        return bool(self.subject and self.subject.conditions.dtype == "int8")

    @property
    def samples(self) -> tuple[float, ...]:
        """Return the seconds per batch of each round; empty without timing."""
        return self.subject.samples if self.subject else ()

    @property
    def seconds_per_image(self) -> tuple[float, ...]:
        """Return the seconds per image of each round; models may have different batch sizes."""
        return self.subject.seconds_per_image if self.subject else ()

    @property
    def seconds(self) -> float | None:
        """Return the median of the seconds per image; None without timing."""
        return median(self.seconds_per_image) if self.samples else None

    @property
    def reason(self) -> str | None:
        """Return the reason of a failure; None without one."""
        return self.failure or (self.subject.failure if self.subject else None)


@dataclass(frozen=True, kw_only=True)
class Comparison(NotebookResult):
    """Several models with costs, accuracies, and the times of one run."""

    candidates: tuple[Candidate, ...]
    reference: str
    img_size: tuple[int, int]
    dtype: Dtype
    run: Run | None
    top1_on: str | None = None  # data of the measured accuracies; None for published accuracies
    top1_left_out: str | None = None  # note on evaluations that are left out
    training_notes: tuple[str, ...] = ()  # on choices that were made by accuracies, one line each
    also_measured: tuple[str, ...] = ()  # other data with evaluations, each with the option that shows them

    @property
    def failed(self) -> bool:
        """Tell whether a model failed."""
        return any(candidate.reason for candidate in self.candidates)

    @property
    def base(self) -> Candidate | None:
        """Return the reference; None if it is not shown."""
        return next((c for c in self.candidates if c.model == self.reference), None)

    def difference(self, candidate: Candidate) -> AccuracyDifference | None:
        """Return accuracy minus accuracy of the reference; None unless both are of the same images."""
        base = self.base
        if base is None or candidate.model == base.model or not candidate.accuracy or not base.accuracy:
            return None
        return subtract_accuracies(candidate.accuracy, base.accuracy)

    def ratio(self, candidate: Candidate) -> Ratio | None:
        """Return the time per image relative to the reference, paired by rounds; None without both times."""
        base = self.base
        if base is None or not base.samples or not candidate.samples or candidate.network == base.network:
            return None
        return ratio(candidate.seconds_per_image, base.seconds_per_image)


@lru_cache(maxsize=4096)
def subtract_accuracies(ours: Accuracy, theirs: Accuracy) -> AccuracyDifference | None:
    """Return the difference of two accuracies; None unless they are of the same images and input size.

    Images are paired if all could be read. For accuracies by different recipes only one seed is used, so
    that their difference is never resolved.
    """
    shared = "measured_on", "fingerprint", "img_size"
    if any(getattr(ours, name) != getattr(theirs, name) for name in shared) or ours.source == theirs.source:
        return None
    if not (ours.hits and theirs.hits):
        return None
    tables = [one.hits if one.terms else one.hits[-1:] for one in (ours, theirs)]
    return compare_hits(*tables, paired=not ours.unreadable and not theirs.unreadable)


def subtract_groups(pairs: Sequence[tuple[Accuracy, Accuracy]]) -> GroupDifference | None:
    """Return the mean difference over pairs of accuracies.

    Returns None without pairs, and unless all accuracies are of the same images and the same recipe.
    """
    of = {(one.measured_on, one.fingerprint, one.img_size, one.terms) for pair in pairs for one in pair}
    whole = all(one.terms and one.hits and not one.unreadable for pair in pairs for one in pair)
    if len(of) != 1 or not whole:
        return None
    return compare_groups([(ours.hits, theirs.hits) for ours, theirs in pairs])
