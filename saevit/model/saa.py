"""Sparsely Aggregated Attention.

B batch, C channels, H W the map, r the rate, h w = ceil(H/r) ceil(W/r), d = C/heads.

From the abstract of arXiv 2508.16884: adaptive sparse sampling, attention on the samples, recovery by
deconvolution. Our decision: the form of each (precedent: EdgeViT, arXiv 2205.03436, which samples uniformly).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saevit.model.layers import Attend
from saevit.model.unwatched import pointwise, recover


class SAA(nn.Module):
    """Attention over one token for each r x r window, then recovery to every pixel. (B, C, H, W) -> same.

    With rate=1 it is dense attention: neither score nor recovery exists.
    """

    def __init__(self, dim: int, num_heads: int, rate: int, sampling: str) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.BatchNorm2d(dim)
        self.sample = make_sampler(dim, rate, sampling)
        self.qkv = nn.Conv2d(dim, 3 * dim, 1)
        self.attend = Attend()
        self.proj = nn.Conv2d(dim, dim, 1)
        self.recover = (
            nn.Identity()
            if rate == 1
            else nn.ConvTranspose2d(dim, dim, rate, stride=rate, groups=dim, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        H, W = x.shape[2:]
        z = self.sample(self.norm(x))  # (B, C, h, w)
        # (B, n, 3C) -> (B, C, n). Fused attention wants each token's channels side by side; in channels_last
        # they are already.
        y = self.mix(pointwise(self.qkv, z).flatten(2).transpose(1, 2).contiguous())
        y = pointwise(self.proj, y.reshape(z.shape))
        return recover(self.recover, y)[:, :, :H, :W]

    def mix(self, tokens: Tensor) -> Tensor:
        """Let every token attend to all, head by head. (B, n, 3C) of queries, keys, values -> (B, C, n)."""
        B, n, C3 = tokens.shape
        q, k, v = tokens.reshape(B, n, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)  # (B, heads, n, d) each
        y = self.attend(q, k, v)
        return y.transpose(1, 2).reshape(B, n, C3 // 3).transpose(1, 2)


class AdaptiveSampler(nn.Module):
    """Content-weighted mean of each window: z = sum_i a_i x_i with a = softmax(w_s . x) over the window.

    A uniform, redundant window is averaged, a varied one is picked from. Padding never gets weight.
    (B, C, H, W) -> (B, C, h, w).
    """

    def __init__(self, dim: int, rate: int) -> None:
        super().__init__()
        self.rate = rate
        self.score = nn.Conv2d(dim, 1, 1, bias=False)  # a bias would cancel in the softmax

    def forward(self, x: Tensor) -> Tensor:
        H, W = x.shape[2:]
        weights = window_softmax(pointwise(self.score, x), self.rate)
        weights = weights.flatten(4).flatten(2, 3)[:, :, :H, :W]  # (B, 1, H, W)
        weighted = x * weights.to(x.dtype)
        return F.avg_pool2d(weighted, self.rate, ceil_mode=True, divisor_override=1)  # the sum of each window

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


class AverageSampler(nn.Module):
    """Mean of each window's real pixels, padding left out. (B, C, H, W) -> (B, C, h, w)."""

    def __init__(self, rate: int) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.rate, ceil_mode=True, count_include_pad=False)

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


class StrideSampler(nn.Module):
    """The upper left pixel of each window. (B, C, H, W) -> (B, C, h, w)."""

    def __init__(self, rate: int) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.rate, :: self.rate]

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


def make_sampler(dim: int, rate: int, sampling: str) -> nn.Module:
    """Return the module that turns each r x r window into one token."""
    if rate == 1:
        return nn.Identity()
    if sampling == "adaptive":
        return AdaptiveSampler(dim, rate)
    return AverageSampler(rate) if sampling == "average" else StrideSampler(rate)


def windows(x: Tensor, rate: int, fill: float) -> Tensor:
    """Cut a map into r x r windows, filled up at the right and bottom. (B, C, H, W) -> (B, C, h, r, w, r)."""
    B, C, H, W = x.shape
    if H % rate or W % rate:  # padding by nothing would still copy the map
        x = F.pad(x, (0, -W % rate, 0, -H % rate), value=fill)
    return x.reshape(B, C, -(-H // rate), rate, -(-W // rate), rate)


def window_softmax(score: Tensor, rate: int) -> Tensor:
    """Softmax over each r x r window, in fp32, maximum subtracted. (B, 1, H, W) -> (B, 1, h, r, w, r)."""
    cut = windows(score.float(), rate, -torch.inf)
    B, _, h, _, w, _ = cut.shape
    s = F.pixel_unshuffle(cut.reshape(B, 1, h * rate, w * rate), rate)  # (B, r r, h, w)
    return F.pixel_shuffle(s.softmax(1), rate).reshape(cut.shape)
