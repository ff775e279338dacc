"""How far a network's confidence is from its accuracy."""

from bisect import bisect_left
from collections.abc import Sequence
from math import fsum

BINS = 15


def calibration_error(confidences: Sequence[float], hits: Sequence[bool], bins: int = BINS) -> float:
    """Return the expected calibration error, 0 to 1, over bins of equal width (Guo et al., arXiv 1706.04599).

    Bin m holds the confidences in ((m - 1) / bins, m / bins], the first one 0 too; the error is the mean over
    images of |accuracy - mean confidence| of their bin.

    Args:
        confidences: probability of the class that each image is given, 0 to 1.
        hits: whether that is its class.
        bins: how many.

    Raises:
        ValueError: no images, or a confidence that is no probability.
    """
    if not confidences or len(confidences) != len(hits):
        raise ValueError(f"{len(confidences)} confidences and {len(hits)} hits: one of each for every image")
    if not all(0 <= c <= 1 for c in confidences):
        raise ValueError("a confidence outside 0 to 1")
    edges = [m / bins for m in range(1, bins + 1)]
    gaps: list[list[float]] = [[] for _ in edges]
    for confidence, hit in zip(confidences, hits, strict=True):
        gaps[bisect_left(edges, confidence)].append(hit - confidence)
    return fsum(abs(fsum(inside)) for inside in gaps) / len(confidences)
