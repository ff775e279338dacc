"""A fused network in operators that torch.compile turns into the fewest and fastest loops.

B batch, C channels, D hidden channels, H W the map, r the rate, h w = ceil(H/r) ceil(W/r).

The compiler makes one loop of neighbouring sums, products and broadcasts, and none of a pooling over more
than 25 pixels, a transposed convolution or a convolution to one channel: each of these is a call, and
oneDNN's take 25 us before any work. The plain form has them, as they are what exchange formats know.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saevit.model.fold import constant
from saevit.model.fuse import FusedSAEViT
from saevit.model.fused import FusedCIFFN, FusedSAA, FusedSampler
from saevit.model.plain import BRANCHES, PlainMix, PlainSAEViT, conv3x3, product


def compilable(model: nn.Module) -> nn.Module:
    """Return the form of a network to compile: what `fuse` returns anew, any other as it is."""
    return PlainSAEViT(model, WRITTEN_OUT).eval() if isinstance(model, FusedSAEViT) else model


class SampledSums(nn.Module):
    """Content-weighted mean of each window, in two sums. (B, C, H, W) -> (B, C, h, w)."""

    def __init__(self, layer: FusedSampler) -> None:
        super().__init__()
        self.score = constant(layer.score[:, 0])  # (C,)
        self.rate = layer.rate

    def forward(self, x: Tensor) -> Tensor:
        r, (B, C, H, W) = self.rate, x.shape
        pixels = x.permute(0, 2, 3, 1)
        score = (pixels * self.score).sum(-1).float()  # (B, H, W)
        if H % r or W % r:
            score = F.pad(score, (0, -W % r, 0, -H % r), value=-torch.inf)
            pixels = F.pad(pixels, (0, 0, 0, -W % r, 0, -H % r))
        h, w = score.shape[1] // r, score.shape[2] // r
        score = score.reshape(B, h, r, w, r, 1)
        weights = (score - score.amax((2, 4), keepdim=True)).exp()
        total = weights.sum((2, 4))
        z = (pixels.reshape(B, h, r, w, r, C) * weights.to(x.dtype)).sum((2, 4)) / total.to(x.dtype)
        return z.permute(0, 3, 1, 2)


class BroadcastSAA(nn.Module):
    """x + sample, attend, recover; recovery multiplies each token into its window."""

    def __init__(self, layer: FusedSAA) -> None:
        super().__init__()
        self.rate = layer.rate
        self.sample = SampledSums(layer.sample) if isinstance(layer.sample, FusedSampler) else layer.sample
        self.mix = PlainMix(layer.mix, scale=1)
        self.proj = product(layer.proj)
        self.kernel = constant(layer.kernel)  # (1, 1, r, 1, r, C)

    def forward(self, x: Tensor) -> Tensor:
        r, (H, W) = self.rate, x.shape[2:]
        y = self.proj(self.mix(self.sample(x))).permute(0, 2, 3, 1)
        B, h, w, C = y.shape
        windows = (y.reshape(B, h, 1, w, 1, C) * self.kernel).reshape(B, h * r, w * r, C)
        return x + windows[:, :H, :W].permute(0, 3, 1, 2)


class SummedCIFFN(nn.Module):
    """x + CIFFN(x), what is redistributed a sum over the hidden channels."""

    def __init__(self, layer: FusedCIFFN) -> None:
        super().__init__()
        self.fc1, self.dw, self.fc2 = product(layer.fc1), conv3x3(layer.dw), product(layer.fc2)
        self.decompose = constant(layer.decompose[None, :, :, None])  # (1, D, 1, 1)
        self.decompose_bias = constant(layer.decompose_bias)
        self.correction = constant(layer.correction[None, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        u = self.dw(self.fc1(x))  # (B, D, H, W)
        g = F.gelu((u * self.decompose).sum(1, keepdim=True) + self.decompose_bias)
        return (x + g * self.correction) + self.fc2(u)  # the product adds to the sum in place


WRITTEN_OUT = {**BRANCHES, FusedSAA: BroadcastSAA, FusedCIFFN: SummedCIFFN}
