"""Folding arithmetic: BatchNorm in eval mode is a scale and a shift a channel, and products can take them in.

Everything is computed in the type of the weights; `fuse` hands over float64.
"""

import torch
from torch import Tensor, nn


def affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return scale and shift, (C,) each, with BN(x) = scale x + shift in eval mode."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return scale, norm.bias - norm.running_mean * scale


def bias_of(conv: nn.Conv2d) -> Tensor:
    """Return the bias (C',) of a convolution, zeros where it has none."""
    return conv.weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias


def matrix(conv: nn.Conv2d) -> Tensor:
    """Return the weights of a 1x1 convolution as a matrix (C', C)."""
    return conv.weight[:, :, 0, 0]


def norm_after(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return weight and bias of BN(conv(x)) as one convolution."""
    scale, shift = affine(norm)
    return conv.weight * scale[:, None, None, None], bias_of(conv) * scale + shift


def norm_before(conv: nn.Conv2d, norm: nn.BatchNorm2d, owed: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight (C', C) and bias (C',) of conv(BN(x + owed)) for a 1x1 convolution; owed is (C,)."""
    scale, shift = affine(norm)
    weight = matrix(conv)
    return weight * scale, bias_of(conv) + weight @ (scale * owed + shift)


def constant(value: Tensor) -> nn.Parameter:
    """Return a parameter that is not trained, laid out as products and convolutions read it."""
    layout = torch.channels_last if value.ndim == 4 else torch.contiguous_format
    return nn.Parameter(value.detach().contiguous(memory_format=layout), requires_grad=False)
