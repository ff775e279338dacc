"""A training-free score of how much a network can express: the entropy of DeepMAD (arXiv 2303.02165).

For a network of L layers that ends in a map of r^2 pixels and c channels,

    H = log(r^2 c) * sum_i log(c_i k_i^2 / g_i)            (natural logarithms)
    rho = L / (prod_i c_i k_i^2 / g_i)^(1 / L)

with c_i input channels, k_i kernel size and g_i groups of layer i. H is the entropy of its output under
Gaussian weights and linear layers, and grows with depth and width. rho is depth over mean width: beyond some
rho, information passes badly, and larger H no longer means a better network.

For the blocks of SAEViT, the layers are those on the main path of the signal: both convolutions of the stem,
each downsampling, and in each block the qkv and projection of SAA (if it has attention) and the convolutions
of the FFN (depth-wise, 1x1, 1x1; without the first for `local=none`). Side paths (window score, aggregates),
the recovery (which copies tokens to pixels and mixes at most four of them) and the classifier do not count.

Limits. The score is not an accuracy, and comparable only within one kind of block and input size. It ignores
the sampling rate and mode, heads and their keys, activation, normalisation, residuals and training, and
counts the two products of attention as nothing. So it cannot show whether sparser attention costs accuracy,
and rates should not be chosen by it. It rewards depth more than experiments do: keep rho at or below that of
a network known to train.

Logarithms are kept as whole numbers of 10^-9, so that sums are exact in any order.
"""

import math
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saevit.count.ops import Part, Size, describe_network, map_sizes
from saevit.variant import MIN_IMG_SIZE, VariantSpec

UNIT = 1e-9  # of a logarithm
Ints = NDArray[np.int64]


def log(fan_in: Size) -> Any:
    """Return log(fan_in) in units of 10^-9, rounded."""
    return np.rint(np.log(np.asarray(fan_in, dtype=np.float64)) / UNIT).astype(np.int64)


def sum_logs(parts: Iterable[Part]) -> Any:
    """Return the sum of logarithms over the layers of some parts, in units of 10^-9."""
    return sum(part.times * sum(log(op.fan_in) for op in part.ops if op.is_main) for part in parts)


def count_layers(parts: Iterable[Part]) -> Any:
    """Return the number of layers of some parts."""
    return sum(part.times * sum(op.is_main for op in part.ops) for part in parts)


def sum_layers(spec: VariantSpec) -> tuple[int, int]:
    """Return a variant's sum of logarithms, in units of 10^-9, and its number of layers."""
    parts = describe_network(spec, (MIN_IMG_SIZE, MIN_IMG_SIZE))  # the layers do not depend on the size
    return int(sum_logs(parts)), count_layers(parts)


def last_factor(dim: Size, img_size: tuple[int, int]) -> Any:
    """Return log(r^2 c) of the last map."""
    H, W = map_sizes(img_size)[-1]
    return np.log(np.asarray(dim, dtype=np.float64) * H * W)


def entropy(logs: Size, factor: Any) -> Any:
    """Return H of the sum of logarithms and log(r^2 c)."""
    return factor * (logs * UNIT)


def effectiveness(logs: Size, layers: Size) -> Any:
    """Return rho of the sum of logarithms and the number of layers."""
    return layers / np.exp(logs * UNIT / layers)


@cache  # a table of 2^17 numbers for the limits of a search
def least_logs(most_layers: int, rho: float) -> Ints:
    """Return the smallest sum of logarithms with an effectiveness of at most rho, by number of layers."""
    return np.array(
        [0] + [max(0, math.ceil(n * math.log(n / rho) / UNIT)) for n in range(1, most_layers + 1)],
        dtype=np.int64,
    )
