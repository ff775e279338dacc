"""Accuracies of trained models and their differences, with intervals over seeds and images.

Two things vary: training again with another seed gives another network, and other images give other hits.
The variance of a mean is estimated as the sum of both, which counts changes of single images from seed to
seed twice and so is never too small. The degrees of freedom are Satterthwaite's (Biometrics Bulletin 2,
1946): a variance from two seeds has one. The seed variance is of each model alone: a variance pooled over
models resolved up to 12 % of differences that are none where the pooled ones vary half as much.
`benchmarks/accuracy_intervals.py` measures the coverage.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import TYPE_CHECKING, Literal

from saevit.runs.statistics import wilson

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

DifferenceVerdict = Literal["higher", "lower", "not resolved"]
Hits = Sequence[Sequence[bool]]  # one row a seed, one column an image
CONFIDENCE = 0.95
FEWEST_SEEDS = 2  # of each model, from which on a difference can be resolved


@dataclass(frozen=True, kw_only=True)
class AccuracyEstimate:
    """The accuracy of a model, a share from 0 to 1, with its interval at 95 %."""

    value: float
    low: float
    high: float
    seeds: int
    images: int


@dataclass(frozen=True, kw_only=True)
class AccuracyDifference:
    """The accuracy of one model minus that of another, from -1 to 1, with its interval at 95 %."""

    value: float
    low: float
    high: float
    verdict: DifferenceVerdict  # on the models; never resolved if one of them has a single seed
    seeds: tuple[int, int]
    images: tuple[int, int]
    is_paired: bool  # image by image
    weights_p: float | None = None  # of the exact McNemar test of the two weights, if each has one seed

    @property
    def is_resolved(self) -> bool:
        """Tell whether the interval over seeds and images excludes 0."""
        return self.verdict != "not resolved"

    @property
    def has_seeds(self) -> bool:
        """Tell whether the interval is over seeds and images, not over images only."""
        return min(self.seeds) >= FEWEST_SEEDS


@dataclass(frozen=True, kw_only=True)
class GroupDifference:
    """The mean accuracy of some models minus that of their partners, from -1 to 1; interval at 95 %."""

    value: float
    low: float
    high: float
    verdict: DifferenceVerdict  # never resolved with a single pair
    pairs: int


@dataclass(frozen=True, kw_only=True)
class VariancePart:
    """A part of a variance, and the degrees of freedom of its estimate."""

    variance: float
    freedom: int


def estimate_accuracy(hits: Hits) -> AccuracyEstimate:
    """Return the mean accuracy over seeds, with its interval over seeds and images.

    With one seed it is Wilson's interval, over images only. Otherwise two hits and two misses are added to
    the images, as in Agresti and Coull's interval (The American Statistician 52, 1998), so that an interval
    has a width where all images are hits.

    Raises:
        ValueError: no seeds or images, or seeds with different numbers of images.
    """
    table = read_hits(hits)
    seeds, images = table.shape
    value = float(table.mean())
    if seeds < FEWEST_SEEDS:
        low, high = wilson(int(table.sum()), images, confidence=CONFIDENCE)
    else:
        centre, part = add_images(table.mean(axis=0), {1: 2, 0: 2})
        half = half_width([part, measure_seeds(table)])
        low, high = max(0.0, centre - half), min(1.0, centre + half)
    return AccuracyEstimate(value=value, low=low, high=high, seeds=seeds, images=images)


def compare_hits(ours: Hits, theirs: Hits, *, paired: bool = True) -> AccuracyDifference:
    """Return how much more accurate one model is than another, with its interval over seeds and images.

    With a single seed of either model the interval is over images only, and the difference is not resolved:
    it may be one of the two weights. Seeds of the two models are independent, also where their numbers are
    equal. The images get half a hit or miss more for each of the four outcomes of a pair, as in Agresti and
    Min's interval (Statistics in Medicine 24, 2005), or one hit and one miss for each model if not paired.

    Args:
        ours: hits of each seed, image by image.
        theirs: the same of the other model.
        paired: both have the same images in the same order.

    Raises:
        ValueError: no seeds or images, or numbers of images that differ where images are paired.
    """
    first, second = read_hits(ours), read_hits(theirs)
    seeds, images = (len(first), len(second)), (first.shape[1], second.shape[1])
    if paired and images[0] != images[1]:
        raise ValueError(f"{images[0]} and {images[1]} images: only results on the same images are paired")
    means = first.mean(axis=0), second.mean(axis=0)
    if paired:
        centre, part = add_images(means[0] - means[1], {1: 0.5, -1: 0.5, 0: 1})
        parts = [part]
    else:
        (one, part_one), (two, part_two) = (add_images(mean, {1: 1, 0: 1}) for mean in means)
        centre, parts = one - two, [part_one, part_two]
    has_seeds = min(seeds) >= FEWEST_SEEDS
    parts += [measure_seeds(table) for table in (first, second)] if has_seeds else []
    half = half_width(parts)
    low, high = max(-1.0, centre - half), min(1.0, centre + half)
    return AccuracyDifference(
        value=float(means[0].mean() - means[1].mean()),
        low=low,
        high=high,
        verdict=judge_difference(low, high) if has_seeds else "not resolved",
        seeds=seeds,
        images=images,
        is_paired=paired,
        weights_p=compare_weights(first[0], second[0]) if paired and seeds == (1, 1) else None,
    )


def compare_groups(pairs: Sequence[tuple[Hits, Hits]]) -> GroupDifference:
    """Return how much more accurate models are than their partners on the same images, on average.

    Pairs count as a sample: the interval is about the mean difference of all such pairs, and adds the
    variance between pairs and that of the images. The former contains the variance of seeds, so a single seed
    will do; with several seeds it is at least what these explain.

    Raises:
        ValueError: no pairs, no seeds or images, or numbers of images that differ.
    """
    tables = [(read_hits(ours), read_hits(theirs)) for ours, theirs in pairs]
    if len({table.shape[1] for pair in tables for table in pair}) != 1:
        raise ValueError("pairs: one or more, on the same images")
    by_image = [ours.mean(axis=0) - theirs.mean(axis=0) for ours, theirs in tables]
    count, seeds = len(tables), min(len(table) for pair in tables for table in pair)
    centre, of_images = add_images(sum(by_image) / count, {1: 0.5, -1: 0.5, 0: 1})
    means, parts = [float(each.mean()) for each in by_image], [of_images]
    if count > 1:
        between, of_seeds = variance(means), 0.0
        if seeds >= FEWEST_SEEDS:
            of_seeds = sum(measure_seeds(table).variance for pair in tables for table in pair) / count
        parts.append(VariancePart(variance=max(between, of_seeds) / count, freedom=count - 1))
    half = half_width(parts)
    low, high = max(-1.0, centre - half), min(1.0, centre + half)
    return GroupDifference(
        value=fmean(means),
        low=low,
        high=high,
        verdict=judge_difference(low, high) if count > 1 else "not resolved",
        pairs=count,
    )


def judge_difference(low: float, high: float) -> DifferenceVerdict:
    """Return what an interval of differences says: resolved only if it does not contain 0."""
    if low > 0:
        return "higher"
    return "lower" if high < 0 else "not resolved"


def compare_weights(ours: "Array", theirs: "Array") -> float:
    """Return the p-value of the exact McNemar test: do two weights differ on images such as these?"""
    from scipy.stats import binomtest

    gained, lost = int((ours > theirs).sum()), int((ours < theirs).sum())
    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def read_hits(hits: Hits) -> "Array":
    """Return hits as an array of 0 and 1, seeds x images; refuse an empty or uneven table."""
    import numpy as np

    counts = {len(row) for row in hits}
    if len(counts) != 1 or counts == {0}:
        raise ValueError("hits: one row or more, with one image or more, and the same images in each row")
    return np.asarray(hits, dtype=np.float64)


def add_images(values: "Array", added: Mapping[float, float]) -> tuple[float, VariancePart]:
    """Return the mean over images, and its variance, with further images: their value and their number."""
    count = len(values) + sum(added.values())
    mean = (float(values.sum()) + sum(value * number for value, number in added.items())) / count
    squares = float((values**2).sum()) + sum(value**2 * number for value, number in added.items())
    return mean, VariancePart(variance=(squares / count - mean**2) / count, freedom=max(1, len(values) - 1))


def measure_seeds(table: "Array") -> VariancePart:
    """Return the variance of the mean that comes from the seeds.

    It is at least what the changes of single images from seed to seed explain, which is known well.
    """
    seeds, images = table.shape
    changes = float(table.var(axis=0, ddof=1).mean()) / images
    found = float(table.mean(axis=1).var(ddof=1))
    return VariancePart(variance=max(found, changes) / seeds, freedom=seeds - 1)


def half_width(parts: Sequence[VariancePart]) -> float:
    """Return half the width of a t-interval, with Satterthwaite's degrees of freedom."""
    from scipy.special import stdtrit

    variance = sum(part.variance for part in parts)
    weights = sum(part.variance**2 / part.freedom for part in parts)
    if not variance:
        return 0.0
    return float(stdtrit(variance**2 / weights, (1 + CONFIDENCE) / 2)) * variance**0.5
