"""How alike neighbouring pixels are, and how coarsely a stage could therefore be sampled."""

import torch
import torch.nn.functional as F
from torch import Tensor

RATES = (2, 3, 4, 6, 8, 12, 16, 32)


def similarity(x: Tensor, rate: int) -> float:
    """Return the mean cosine similarity of two pixels of one r x r window. x: (C, H, W).

    The mean is over the pairs of a window, then over windows; windows of a single real pixel have no pair.
    All pairs at once: |sum of unit vectors|^2 = m + sum over pairs.
    """
    return of_units(F.normalize(x.float(), dim=0), rate)


def of_units(unit: Tensor, rate: int) -> float:
    """Return the similarity of pixels that are unit vectors. (C, H, W)."""

    def summed(values: Tensor) -> Tensor:
        return F.avg_pool2d(values, rate, ceil_mode=True, divisor_override=1).flatten(1)

    real = summed(torch.ones_like(unit[:1]))[0]  # (windows,)
    pairs = real * (real - 1)
    found = (summed(unit).square().sum(0) - real)[pairs > 0] / pairs[pairs > 0]
    return float(found.mean()) if len(found) else 1.0


def similarities(x: Tensor, rate: int) -> dict[int, float]:
    """Return the similarity at the stage's own rate and at those that could replace it. x: (C, H, W)."""
    side = max(x.shape[1:])
    rates = sorted({r for r in RATES if r <= side} | ({rate} - {1}))
    unit = F.normalize(x.float(), dim=0)
    return {r: of_units(unit, r) for r in rates}


def suggested_rate(found: dict[int, float], threshold: float) -> int:
    """Return the largest rate up to which all windows' mean similarity stays at the threshold or above.

    1 where not even 2 x 2 windows reach it: this stage should not be sampled.
    """
    best = 1
    for rate, value in sorted(found.items()):
        if value < threshold:
            break
        best = rate
    return best
