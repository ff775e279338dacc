"""Sparsely Aggregated Attention.

B batch, C channels, H W the map, r the rate, h w = ceil(H/r) ceil(W/r), n = h w tokens, e channels of a key,
d = C/heads channels of a value.

From the abstract of arXiv 2508.16884: adaptive sparse sampling, attention on the samples, recovery by
deconvolution. Our decision: the form of each (precedent: EdgeViT, arXiv 2205.03436, which samples uniformly).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saevit.model.layers import Attend


class SAA(nn.Module):
    """Attention over one token for each r x r window, then recovery to every pixel. (B, C, H, W) -> same.

    With rate=1 it is dense attention without sampling and recovery.
    """

    def __init__(self, dim: int, num_heads: int, key_dim: int, rate: int, sampling: str) -> None:
        super().__init__()
        self.num_heads, self.key_dim = num_heads, key_dim
        self.norm = nn.BatchNorm2d(dim)
        self.sample = nn.Identity() if rate == 1 else SAMPLERS[sampling](dim, rate)
        self.qkv = nn.Conv2d(dim, 2 * num_heads * key_dim + dim, 1)  # head by head: query, key, value
        self.attend = Attend()
        self.proj = nn.Conv2d(dim, dim, 1)
        self.recover = None if rate == 1 else Recover(dim, rate)

    def forward(self, x: Tensor) -> Tensor:
        z = self.sample(self.norm(x))  # (B, C, h, w)
        heads = self.qkv(z).flatten(2).unflatten(1, (self.num_heads, -1)).transpose(2, 3)
        q, k, v = heads.split((self.key_dim, self.key_dim, z.shape[1] // self.num_heads), 3)
        y = self.attend(q, k, v).transpose(2, 3)  # (B, heads, d, n)
        y = self.proj(y.reshape(z.shape))
        return y if self.recover is None else self.recover(y, x.shape[2:])


class Recover(nn.Module):
    """Copy each token to its window, then a depth-wise 3x3 convolution. (B, C, h, w) -> (B, C, H, W).

    Where r divides H and W, this is a depth-wise transposed convolution of stride r and padding 1, whose
    kernel of side r + 2 is a box of r x r convolved with the 3x3.
    """

    def __init__(self, dim: int, rate: int) -> None:
        super().__init__()
        self.rate = rate
        self.dw = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, y: Tensor, size: Sequence[int]) -> Tensor:
        return self.dw(spread(y, self.rate, size))


def spread(y: Tensor, rate: int, size: Sequence[int]) -> Tensor:
    """Copy each token to its r x r window. (B, C, h, w) -> (B, C, H, W) of the size (H, W)."""
    H, W = size
    wide = F.interpolate(y, scale_factor=float(rate), mode="nearest")
    return wide if H % rate == W % rate == 0 else wide[:, :, :H, :W]


class Sampler(nn.Module):
    """A way to turn each r x r window into one token. (B, C, H, W) -> (B, C, h, w)."""

    def __init__(self, dim: int, rate: int) -> None:
        super().__init__()
        self.rate = rate

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


class AdaptiveSampler(Sampler):
    """Content-weighted mean of each window: z = sum_i a_i x_i with a = softmax(w_s . x) over its pixels."""

    def __init__(self, dim: int, rate: int) -> None:
        super().__init__(dim, rate)
        self.score = nn.Conv2d(dim, 1, 1, bias=False)  # a bias would cancel in the softmax

    def forward(self, x: Tensor) -> Tensor:
        weights = window_softmax(self.score(x), self.rate)
        return F.avg_pool2d(x * weights, self.rate, ceil_mode=True, divisor_override=1)  # sums of windows


class MixSampler(Sampler):
    """Mean and maximum of each window, mixed by channel: alpha mean + beta max + bias."""

    def __init__(self, dim: int, rate: int) -> None:
        super().__init__(dim, rate)
        self.alpha = nn.Parameter(torch.ones(dim))
        self.beta = nn.Parameter(torch.zeros(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        alpha, beta, bias = (p[:, None, None] for p in (self.alpha, self.beta, self.bias))
        return alpha * window_mean(x, self.rate) + beta * window_max(x, self.rate) + bias


class AverageSampler(Sampler):
    """Mean of each window."""

    def forward(self, x: Tensor) -> Tensor:
        return window_mean(x, self.rate)


class StrideSampler(Sampler):
    """The upper left pixel of each window."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.rate, :: self.rate]


SAMPLERS: dict[str, type[Sampler]] = {
    "adaptive": AdaptiveSampler,
    "mix": MixSampler,
    "average": AverageSampler,
    "stride": StrideSampler,
}


def window_mean(x: Tensor, rate: int) -> Tensor:
    """Mean of each window, padding left out. (B, C, H, W) -> (B, C, h, w)."""
    sides = [min(rate, side) for side in x.shape[2:]]  # OpenVINO refuses a window larger than the map
    return F.avg_pool2d(x, sides, ceil_mode=True, count_include_pad=False)


def window_max(x: Tensor, rate: int) -> Tensor:
    """Maximum of each window. (B, C, H, W) -> (B, C, h, w)."""
    return F.max_pool2d(x, [min(rate, side) for side in x.shape[2:]], ceil_mode=True)


def window_softmax(score: Tensor, rate: int) -> Tensor:
    """Softmax over each r x r window, in fp32 or better, in the type of the scores. (B, 1, H, W) -> same."""
    H, W = score.shape[2:]
    s = score.to(torch.promote_types(score.dtype, torch.float32))
    if H % rate or W % rate:  # padding by nothing would still copy the map
        s = F.pad(s, (0, -W % rate, 0, -H % rate), value=-torch.inf)
    weights = F.pixel_unshuffle(s, rate).softmax(1)  # (B, r r, h, w); the maximum is subtracted
    return F.pixel_shuffle(weights.to(score.dtype), rate)[:, :, :H, :W]
