"""Attention rollout (Abnar and Zuidema, arXiv 2005.00928) through a pyramid, without N x N matrices.

Each block with attention passes on half of what a pixel holds through its residual connection and half
through the mean of its heads, 0.5 I + 0.5 E; the product over blocks says which pixels of the first map a
pixel of a later one is made of. From a coarser map to the finer one before it, a pixel's mass is spread
evenly over the image area that it covers. Convolutions and FFNs are left aside: rollout follows attention
alone.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from saevit.attention.layer import Layer

RESIDUAL = 0.5


def rollout(layers: Sequence[Layer], mass: Tensor) -> Tensor:
    """Follow mass from the map of the last layer back to the map of the first. (m, N) -> (m, N of the first).

    Args:
        layers: every block with attention up to the map where the mass is, in the order in which they run.
        mass: rows that sum to one: 1/N everywhere for the average pixel, or 1 at one pixel.
    """
    for i in reversed(range(len(layers))):
        mass = RESIDUAL * mass + (1 - RESIDUAL) * layers[i].carried(mass)
        if i:
            mass = spread(mass, layers[i], layers[i - 1])
    return mass


def spread(mass: Tensor, coarse: Layer, fine: Layer) -> Tensor:
    """Spread each pixel's mass evenly over the image area that it covers. (m, N) -> (m, N of `fine`)."""
    if (coarse.height, coarse.width) == (fine.height, fine.width):
        return mass
    down = cover(coarse.height, coarse.stride[0], fine.height, fine.stride[0])
    across = cover(coarse.width, coarse.stride[1], fine.width, fine.stride[1])
    maps = mass.view(-1, coarse.height, coarse.width)
    return (down.T @ maps @ across).flatten(1)


def cover(count: int, stride: float, fine_count: int, fine_stride: float) -> Tensor:
    """Return the share of each interval of length `stride` that lies in each finer one; rows sum to one."""
    start = torch.arange(count)[:, None] * stride
    fine_start = torch.arange(fine_count) * fine_stride
    end = torch.minimum(start + stride, fine_start + fine_stride)
    shared = (end - torch.maximum(start, fine_start)).clamp(min=0)
    return shared / shared.sum(1, keepdim=True)
