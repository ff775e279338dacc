"""A comparison as data: models with their costs and times, and accuracies, published or measured here."""

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
    """A top-1: published for ImageNet-1k, never for a network that was built here; or measured here."""

    top1: float  # per cent
    img_size: int | None  # evaluated at, pixels
    mark: str  # published or paper claim, distilled, extra data; measured here
    claim: bool = False  # of SAEViT's paper, whose network is not available
    source: str
    plain: bool  # neither distilled, nor from extra data, nor of another size than the costs beside it
    measured_on: str | None = None  # data and split, if `saevit eval` measured it here
    interval: tuple[float, float] | None = None  # at 95 %, per cent; over images only if there is one seed
    images: int | None = None  # evaluated
    seeds: int | None = None  # trainings that it is the mean of
    terms: str | None = None  # digest of the recipe that all of them followed; None: not known, or another
    epochs: int | None = None  # of each training
    trained_images: int | None = None  # of each training, each as often as it was used
    fingerprint: str = ""  # of the images; only accuracies of the same ones have a difference
    num_classes: int | None = None  # of the networks that were trained
    unreadable: int = 0  # images of the data that were left out
    hits: tuple[tuple[bool, ...], ...] = field(
        default=(), repr=False, compare=False
    )  # of images, a row a seed


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One model: its costs for one image, its timing, its accuracy; or the reason why they are missing."""

    model: str
    family: str | None = None
    params: int | None = None
    macs: int | None = None
    counted_by: str | None = None  # the source of params and macs
    published_only: bool = False  # params and macs too: there is no network of it to build
    activations: int | None = None
    peak_bytes: int | None = None
    subject: Subject | None = None  # its timing
    accuracy: Accuracy | None = None
    same_as: str | None = None  # the model with the same network, built and timed once for both
    failure: str | None = None

    @property
    def network(self) -> str:
        """The model that was built and timed for it."""
        return self.same_as or self.model

    @property
    def is_variant(self) -> bool:
        """Is it a SAEViT variant, for which no accuracy is published?"""
        return self.family == OURS and not self.published_only

    @property
    def has_network(self) -> bool:
        """Is its network built and counted for this row?"""
        return not self.same_as and not self.published_only

    @property
    def samples(self) -> tuple[float, ...]:
        """Seconds per batch, one value a round; empty if it was not timed."""
        return self.subject.samples if self.subject else ()

    @property
    def seconds_per_image(self) -> tuple[float, ...]:
        """Samples divided by the batch size, because batches may differ if memory ran out."""
        return self.subject.seconds_per_image if self.subject else ()

    @property
    def seconds(self) -> float | None:
        """Median time of one image, as part of its batch."""
        return median(self.seconds_per_image) if self.samples else None

    @property
    def reason(self) -> str | None:
        """The reason why figures are missing."""
        return self.failure or (self.subject.failure if self.subject else None)


@dataclass(frozen=True, kw_only=True)
class Comparison(NotebookResult):
    """Several models with their costs, accuracies and the times of one run."""

    candidates: tuple[Candidate, ...]
    reference: str
    img_size: tuple[int, int]
    dtype: Dtype
    run: Run | None
    top1_on: str | None = None  # data on which all accuracies were measured here; None: published ones
    top1_left_out: str | None = None  # which evaluations do not count, and why
    training_notes: tuple[str, ...] = ()  # on what was chosen by the accuracies, a line each
    also_measured: tuple[str, ...] = ()  # data of further evaluations, and the option that shows them

    @property
    def failed(self) -> bool:
        """Did any model fail?"""
        return any(candidate.reason for candidate in self.candidates)

    @property
    def base(self) -> Candidate | None:
        """The reference."""
        return next((c for c in self.candidates if c.model == self.reference), None)

    def difference(self, candidate: Candidate) -> AccuracyDifference | None:
        """Accuracy minus that of the reference; None if it is not known for the same images."""
        base = self.base
        if base is None or candidate.model == base.model or not candidate.accuracy or not base.accuracy:
            return None
        return subtract_accuracies(candidate.accuracy, base.accuracy)

    def ratio(self, candidate: Candidate) -> Ratio | None:
        """Time per image relative to the reference, round by round; None if either has no time."""
        base = self.base
        if base is None or not base.samples or not candidate.samples or candidate.network == base.network:
            return None
        return ratio(candidate.seconds_per_image, base.seconds_per_image)


@lru_cache(maxsize=4096)
def subtract_accuracies(ours: Accuracy, theirs: Accuracy) -> AccuracyDifference | None:
    """Return how much higher one accuracy is than another; None if they are not of the same images and size.

    Images are paired unless some of them could not be read. Weights that were trained on other terms count as
    one seed, so that their difference is never resolved.
    """
    shared = "measured_on", "fingerprint", "img_size"
    if any(getattr(ours, name) != getattr(theirs, name) for name in shared) or ours.source == theirs.source:
        return None
    if not (ours.hits and theirs.hits):
        return None
    tables = [one.hits if one.terms else one.hits[-1:] for one in (ours, theirs)]
    return compare_hits(*tables, paired=not ours.unreadable and not theirs.unreadable)


def subtract_groups(pairs: Sequence[tuple[Accuracy, Accuracy]]) -> GroupDifference | None:
    """Return how much higher accuracies are than those of their partners, on average.

    None if there are no pairs, or if they are not all on the same images by the same terms.
    """
    of = {(one.measured_on, one.fingerprint, one.img_size, one.terms) for pair in pairs for one in pair}
    whole = all(one.terms and one.hits and not one.unreadable for pair in pairs for one in pair)
    if len(of) != 1 or not whole:
        return None
    return compare_groups([(ours.hits, theirs.hits) for ours, theirs in pairs])
