"""A fused network in operators that every exchange format has.

B batch, C channels, D hidden channels, H W the map, r the rate, h w = ceil(H/r) ceil(W/r), n = h w tokens.

The fused network works on views and in place, for torch's sake. Written down as it is, saevit_tiny is 1262
ONNX operators, 794 of them a Reshape, and its outputs are off by 8 %: torch traces it rightly, but its ONNX
translation of attention with views and updates in place is wrong (torch 2.15). Here the same weights stand
in 1x1 convolutions on maps: 298 operators.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saevit.model.fold import constant
from saevit.model.fuse import FusedBlock, FusedSAEViT, FusedStage
from saevit.model.fused import (
    AddedProduct,
    FusedCIFFN,
    FusedConv,
    FusedDense,
    FusedDWSConv,
    FusedHead,
    FusedMix,
    FusedMLP,
    FusedSAA,
    FusedSampler,
    Product,
)

Act = type[nn.Module] | None

ACTS: dict[Act, Callable[[Tensor], Tensor]] = {
    None: lambda x: x,
    nn.Hardswish: F.hardswish,
    nn.GELU: F.gelu,
    nn.ReLU: F.relu,
    nn.SiLU: F.silu,
}


def plain(model: nn.Module) -> nn.Module:
    """Return the form of a network to export: what `fuse` returns anew, any other as it is."""
    return PlainSAEViT(model).eval() if isinstance(model, FusedSAEViT) else model


class Conv(nn.Module):
    """act(convolution), as wide as it was. (B, C, H, W) -> (B, C', ceil(H/stride), ceil(W/stride))."""

    def __init__(
        self, weight: Tensor, bias: Tensor | None, stride: int = 1, groups: int = 1, act: Act = None
    ) -> None:
        super().__init__()
        self.weight = constant(weight)
        self.bias = None if bias is None else constant(bias)
        self.stride, self.groups, self.act = stride, groups, act

    def forward(self, x: Tensor) -> Tensor:
        padding = self.weight.shape[-1] // 2
        return ACTS[self.act](F.conv2d(x, self.weight, self.bias, self.stride, padding, 1, self.groups))


def conv3x3(conv: FusedConv) -> Conv:
    """Return a 3x3 convolution."""
    return Conv(conv.weight, conv.bias, conv.stride, conv.groups, conv.act)


def conv1x1(weight: Tensor, bias: Tensor | None, act: Act = None) -> Conv:
    """Return a product of tokens with a weight (C, C') as a convolution of the map."""
    return Conv(weight.T[:, :, None, None], bias, act=act)


def product(layer: Product | AddedProduct) -> Conv:
    """Return a product, without what it is added to."""
    return conv1x1(layer.weight, layer.bias, layer.act if isinstance(layer, Product) else None)


class PlainDWSConv(nn.Module):
    """x + depth-wise 3x3, act, 1x1."""

    def __init__(self, layer: FusedDWSConv) -> None:
        super().__init__()
        self.dw, self.pw = conv3x3(layer.dw), product(layer.pw)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pw(self.dw(x))


class PlainMix(nn.Module):
    """Attention among the tokens of each image, in steps that any runtime has. (B, C, h, w) -> same.

    Channels come before tokens throughout, so that q, k and v are parts of one map. 1 / sqrt(d) is part of
    q's weights, and `scale` of all.
    """

    def __init__(self, layer: FusedMix, scale: float) -> None:
        super().__init__()
        self.num_heads, self.head_dim = layer.num_heads, layer.head_dim
        dim = layer.num_heads * layer.head_dim
        of_q = layer.qkv.bias.new_ones(3 * dim)
        of_q[:dim] = self.head_dim**-0.5
        self.qkv = conv1x1(layer.qkv.weight * of_q * scale, layer.qkv.bias * of_q)

    def forward(self, z: Tensor) -> Tensor:
        C, h, w = z.shape[1:]
        qkv = self.qkv(z).reshape(-1, 3 * self.num_heads, self.head_dim, h * w)
        q, k, v = qkv.split(self.num_heads, 1)  # (B, heads, d, n) each
        weights = (k.transpose(2, 3) @ q).softmax(2)  # (B, heads, n, n): a column for each query
        return (v @ weights).reshape(-1, C, h, w)


class PlainDense(nn.Module):
    """x + attention at rate 1."""

    def __init__(self, layer: FusedDense) -> None:
        super().__init__()
        self.mix, self.proj = PlainMix(layer.mix, scale=1), product(layer.proj)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.proj(self.mix(x))


class PlainSampler(nn.Module):
    """Content-weighted mean of each window over r r: what is left to do is a factor of the next product."""

    def __init__(self, layer: FusedSampler) -> None:
        super().__init__()
        self.score = conv1x1(layer.score, None)
        self.rate = layer.rate

    def forward(self, x: Tensor) -> Tensor:
        r, (H, W) = self.rate, x.shape[2:]
        score, missing = self.score(x), (0, -W % self.rate, 0, -H % self.rate)
        if any(missing):
            score, x = F.pad(score, missing, value=-torch.inf), F.pad(x, missing)
        weights = F.pixel_shuffle(F.pixel_unshuffle(score, r).softmax(1), r)
        return F.avg_pool2d(x * weights, r)


class PlainSAA(nn.Module):
    """x + sample, attend, recover; recovery is the transposed convolution that it is by definition."""

    def __init__(self, layer: FusedSAA) -> None:
        super().__init__()
        self.rate = layer.rate
        is_adaptive = isinstance(layer.sample, FusedSampler)
        self.sample = PlainSampler(layer.sample) if isinstance(layer.sample, FusedSampler) else layer.sample
        self.mix = PlainMix(layer.mix, scale=self.rate**2 if is_adaptive else 1)
        self.proj = product(layer.proj)
        self.kernel = constant(layer.kernel[0, 0, :, 0].permute(2, 0, 1)[:, None])  # (C, 1, r, r)

    def forward(self, x: Tensor) -> Tensor:
        y = self.proj(self.mix(self.sample(x)))
        y = F.conv_transpose2d(y, self.kernel, stride=self.rate, groups=len(self.kernel))
        return x + y[:, :, : x.shape[2], : x.shape[3]]


class PlainCIFFN(nn.Module):
    """x + CIFFN(x), the redistribution a correction of rank 1.

    Two sums of a map and a convolution: runtimes let a convolution add to the map that is there.
    """

    def __init__(self, layer: FusedCIFFN) -> None:
        super().__init__()
        self.fc1, self.dw, self.fc2 = product(layer.fc1), conv3x3(layer.dw), product(layer.fc2)
        self.decompose = conv1x1(layer.decompose, layer.decompose_bias, act=nn.GELU)
        self.correct = conv1x1(layer.correction[None], None)

    def forward(self, x: Tensor) -> Tensor:
        u = self.dw(self.fc1(x))  # (B, D, H, W)
        return self.fc2(u) + (x + self.correct(self.decompose(u)))


class PlainMLP(nn.Module):
    """x + MLP(x)."""

    def __init__(self, layer: FusedMLP) -> None:
        super().__init__()
        self.fc1, self.fc2 = product(layer.fc1), product(layer.fc2)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fc2(self.fc1(x))


class PlainHead(nn.Module):
    """Average pool and classifier. (B, C, H, W) -> (B, num_classes)."""

    def __init__(self, layer: FusedHead) -> None:
        super().__init__()
        self.weight, self.bias = constant(layer.fc.weight.T), constant(layer.fc.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.mean((2, 3)), self.weight, self.bias)


Branches = Mapping[type[nn.Module], Callable[..., nn.Module]]
"""By the class of a fused branch, what makes its other form."""

BRANCHES: Branches = {
    FusedDWSConv: PlainDWSConv,
    FusedDense: PlainDense,
    FusedSAA: PlainSAA,
    FusedCIFFN: PlainCIFFN,
    FusedMLP: PlainMLP,
}


def plain_stage(stage: FusedStage, branches_of: Branches) -> nn.Sequential:
    """Return one stage; the names are those of the variant's own layers."""
    layers = nn.Sequential()
    if isinstance(stage.downsample, FusedConv):
        layers.add_module("downsample", conv3x3(stage.downsample))
    for i, block in enumerate(cast(Iterable[FusedBlock], stage.blocks)):
        branches = nn.Sequential()
        for name, branch in block.branches.items():
            branches.add_module(name, branches_of[type(branch)](branch))
        layers.add_module(f"blocks_{i}", branches)
    return layers


class PlainSAEViT(nn.Module):
    """What a fused network computes, without views and updates in place. (B, in_chans, H, W) -> (B, C)."""

    def __init__(self, fused: FusedSAEViT, branches_of: Branches = BRANCHES) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv3x3(fused.stem.conv1), conv3x3(fused.stem.conv2))
        stages = cast(Iterable[FusedStage], fused.stages)
        self.stages = nn.Sequential(*(plain_stage(stage, branches_of) for stage in stages))
        self.head = PlainHead(fused.head) if isinstance(fused.head, FusedHead) else fused.head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(x)))
