"""The two limits of a machine that a roofline shows: the rate of a matrix product, and of memory.

Both calls take about a millisecond, so that other programs leave the fastest of them alone.
"""

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch

SIDE = 512  # of the square matrices
ARRAYS, ARRAY_BYTES = 3, 2**26  # of the triad a = b + 3 c
PIECES = 16  # of the arrays; each call computes the next one, which no cache near a core holds


@dataclass(frozen=True, kw_only=True)
class Roofs:
    """What a machine computes and moves at best, as measured."""

    macs: float  # per second, of the matrix product
    bandwidth: float  # bytes per second, read and written by the triad

    @property
    def ridge(self) -> float:
        """The MACs per byte from which the matrix rate is the lower limit."""
        return self.macs / self.bandwidth

    def limit(self, intensity: float) -> float:
        """Return the highest rate in MACs per second for some MACs per byte."""
        return min(self.macs, self.bandwidth * intensity)


def make_product() -> Callable[[], object]:
    """Return a call that multiplies two square matrices."""
    a, b, out = (torch.rand(SIDE, SIDE) for _ in range(3))
    return functools.partial(torch.mm, a, b, out=out)


def make_triad() -> Callable[[], object]:
    """Return a call that computes the next piece of a = b + 3 c, as STREAM does for whole arrays."""
    arrays = [torch.ones(ARRAY_BYTES // 4).chunk(PIECES) for _ in range(ARRAYS)]
    pieces = itertools.cycle(zip(*arrays, strict=True))

    def compute() -> object:
        a, b, c = next(pieces)
        return torch.add(b, c, alpha=3.0, out=a)

    return compute


def find_roofs(product_seconds: float, triad_seconds: float) -> Roofs:
    """Return the limits from the times of a product and of a piece of the triad."""
    return Roofs(
        macs=SIDE**3 / product_seconds,
        bandwidth=ARRAYS * ARRAY_BYTES / PIECES / triad_seconds,
    )
