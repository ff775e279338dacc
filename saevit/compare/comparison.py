"""Several models side by side, timed in one interleaved run. Only data; statistics follow from samples."""

from dataclasses import dataclass

from saevit.runs.profile import Latency, Timings
from saevit.runs.record import Dtype
from saevit.runs.statistics import Ratio, median, ratio


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """A published ImageNet-1k top-1, never one of a model that was built here; or one measured here."""

    top1: float  # per cent
    img_size: int | None  # evaluated at, pixels
    mark: str  # published or paper claim, distilled, extra data; measured here
    claim: bool = False  # of SAEViT's paper, for a network that nobody can build
    source: str
    plain: bool  # neither distilled, nor from extra data, nor of another size than the costs beside it
    measured_on: str | None = None  # data and split, where `saevit eval` measured it here
    interval: tuple[float, float] | None = None  # Wilson's at 95 %, per cent
    images: int | None = None  # that it is the share of


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One model: its costs for one image, its timing, its published accuracy; or why there is none."""

    model: str
    family: str | None = None
    params: int | None = None
    macs: int | None = None
    counted_by: str | None = None  # what params and macs are from
    published_only: bool = False  # params and macs too: there is no network of it to build
    activations: int | None = None
    peak_bytes: int | None = None
    latency: Latency | None = None
    accuracy: Accuracy | None = None
    same_as: str | None = None  # the model whose network it is, built and timed once for both
    failure: str | None = None

    @property
    def network(self) -> str:
        """The model that was built and timed for it."""
        return self.same_as or self.model

    @property
    def samples(self) -> tuple[float, ...]:
        """Seconds a batch, one value a round; empty if it was not timed."""
        return self.latency.samples if self.latency else ()

    @property
    def seconds(self) -> float | None:
        """Median time of one image, as part of its batch."""
        if not self.latency or not self.samples:
            return None
        return median(self.samples) / self.latency.conditions.batch_size

    @property
    def reason(self) -> str | None:
        """Why there is no figure."""
        return self.failure or (self.latency.failure if self.latency else None)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What one run says of several models."""

    candidates: tuple[Candidate, ...]
    reference: str
    img_size: tuple[int, int]
    dtype: Dtype
    timings: Timings | None  # of the run: environment, noise floor, advice
    top1_on: str | None = None  # data of which all accuracies were measured here; None: published ones
    top1_left_out: str | None = None  # which evaluations do not count, and why
    also_measured: tuple[str, ...] = ()  # data of further evaluations, and the option to see them

    @property
    def failed(self) -> bool:
        """Did any model fail?"""
        return any(candidate.reason for candidate in self.candidates)

    def ratio(self, candidate: Candidate) -> Ratio | None:
        """Time of an image over the reference's, round by round; None if either has no time."""
        base = next((c for c in self.candidates if c.model == self.reference), None)
        if base is None or not base.samples or not candidate.samples or candidate.network == base.network:
            return None
        return ratio(per_image(candidate), per_image(base))


def per_image(candidate: Candidate) -> tuple[float, ...]:
    """Return seconds an image: batches may differ where memory ran out."""
    assert candidate.latency is not None
    return tuple(s / candidate.latency.conditions.batch_size for s in candidate.samples)
