"""The folded form: the same function for inference as a list of convolutions, products and attention.

B batch, C channels, D hidden channels, G groups, H W the map, r the rate, h w = ceil(H/r) ceil(W/r),
n = h w tokens, e channels of a key, d channels of a value.

A BN in eval mode is a scale and a shift of each channel, which the neighbouring convolution takes in. One
convolution gives u and a of CIFFN together, and the last one takes in the redistribution:
W2 v = W2 (1 + gamma) u - (sum over each group of W2 gamma) a. Modules keep the paths of the defined form.
"""

import copy
from collections import OrderedDict
from collections.abc import Iterable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saevit.errors import OptionError
from saevit.model.ciffn import CIFFN, MLP
from saevit.model.layers import ConvNorm, Head, Stem
from saevit.model.packed_conv import Act, PackedConv
from saevit.model.pyramid import Block, PyramidStage, SAEViT
from saevit.model.saa import SAA, AdaptiveSampler, MixSampler, spread, window_max, window_mean, window_softmax
from saevit.variant import NUM_GROUPS


def affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return scale and shift, (C,) each, with BN(x) = scale x + shift in eval mode."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return scale, norm.bias - norm.running_mean * scale


def norm_after(layer: ConvNorm) -> tuple[Tensor, Tensor]:
    """Return weight and bias of BN(conv(x)) as one convolution."""
    scale, shift = affine(layer.norm)
    return layer.conv.weight * scale[:, None, None, None], shift


def affine_before(weight: Tensor, bias: Tensor | None, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight (C', C, 1, 1) and bias (C',) of a 1x1 convolution of scale x + shift."""
    moved = weight[:, :, 0, 0] @ shift
    return weight * scale[:, None, None], moved if bias is None else bias + moved


def folded_conv(layer: ConvNorm, act: Act = None) -> PackedConv:
    """Return act(BN(conv(x)))."""
    return PackedConv(*norm_after(layer), stride=layer.conv.stride[0], groups=layer.conv.groups, act=act)


class FoldedSampler(nn.Module):
    """Windows to tokens z; those of the defined form are scale z + shift. (B, C, H, W) -> (B, C, h, w)."""

    def __init__(self, layer: SAA) -> None:
        super().__init__()
        self.sampler = layer.sample
        self.scale, self.shift = affine(layer.norm)
        if isinstance(layer.sample, AdaptiveSampler):
            rate = layer.sample.rate
            self.score = PackedConv(layer.sample.score.weight * self.scale[:, None, None], None)
            self.scale = self.scale * rate**2  # the pooling in `forward` divides
            del layer.sample.score
        elif isinstance(layer.sample, MixSampler):
            mix = layer.sample
            self.alpha = nn.Parameter((mix.alpha * self.scale)[:, None, None])
            self.beta = nn.Parameter((mix.beta * self.scale.abs())[:, None, None])
            self.sign = nn.Parameter(torch.where(self.scale < 0, -1.0, 1.0).to(self.scale)[:, None, None])
            self.shift = (mix.alpha + mix.beta) * self.shift + mix.bias
            self.scale = torch.ones_like(self.scale)
            del mix.alpha, mix.beta, mix.bias

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.sampler, AdaptiveSampler):
            return weighted_mean(x, self.score(x), self.sampler.rate)
        if isinstance(self.sampler, MixSampler):
            r = self.sampler.rate
            return self.alpha * window_mean(x, r) + self.beta * window_max(x * self.sign, r)
        return self.sampler(x)


def weighted_mean(x: Tensor, score: Tensor, rate: int) -> Tensor:
    """Return the sum of softmax(score) x over each window, divided by r^2. -> (B, C, h, w)."""
    weighted, (H, W) = x * window_softmax(score, rate), x.shape[2:]
    if H % rate or W % rate:
        # torch.compile cannot evaluate -W % rate where the size varies.
        weighted = F.pad(weighted, (0, (rate - W % rate) % rate, 0, (rate - H % rate) % rate))
    return F.avg_pool2d(weighted, rate)


class FoldedSAA(nn.Module):
    """x + SAA(x). (B, C, H, W) -> same."""

    def __init__(self, layer: SAA) -> None:
        super().__init__()
        self.key_dim, self.head_dim = layer.key_dim, layer.proj.in_channels // layer.num_heads
        self.sample = FoldedSampler(layer)
        weight, bias = affine_before(layer.qkv.weight, layer.qkv.bias, self.sample.scale, self.sample.shift)
        scale = torch.ones_like(bias).view(layer.num_heads, -1)
        scale[:, : self.key_dim] = self.key_dim**-0.5  # of the queries
        self.qkv = PackedConv(weight * scale.view(-1, 1, 1, 1), bias * scale.flatten())
        del self.sample.scale, self.sample.shift
        self.proj = PackedConv(layer.proj.weight, layer.proj.bias)
        self.recover = None
        if layer.recover is not None:
            self.rate, dw = layer.recover.rate, layer.recover.dw
            self.recover = PackedConv(dw.weight, dw.bias, groups=dw.groups)

    def forward(self, x: Tensor) -> Tensor:
        z = self.sample(x)
        C, h, w = z.shape[1:]
        qkv = self.qkv(z).reshape(-1, 2 * self.key_dim + self.head_dim, h * w)  # (B heads, 2 e + d, n)
        q, k, v = qkv.split((self.key_dim, self.key_dim, self.head_dim), 1)
        weights = torch.bmm(q.transpose(1, 2), k).softmax(2)  # (B heads, n, n), one row for each query
        y = torch.bmm(v, weights.transpose(1, 2)).reshape(-1, C, h, w)
        if self.recover is None:
            return self.proj(y, x)
        return self.recover(spread(self.proj(y), self.rate, x.shape[2:]), x)


class FoldedFFN(nn.Module):
    """x + CIFFN(x), or x + MLP(x). (B, C, H, W) -> same."""

    def __init__(self, layer: MLP) -> None:
        super().__init__()
        expand, project = norm_after(layer.fc1), norm_after(layer.fc2)
        if isinstance(layer, CIFFN):
            aggregate = norm_after(layer.aggregate)
            expand = torch.cat((expand[0], aggregate[0])), torch.cat((expand[1], aggregate[1]))
            gamma = layer.redistribute.gamma[:, None, None]
            moved = (project[0] * gamma).view(len(project[0]), NUM_GROUPS, -1, 1, 1).sum(2)
            project = torch.cat((project[0] * (1 + gamma), -moved), 1), project[1]
        self.local: nn.Module = nn.Identity()
        if isinstance(layer.local, ConvNorm):
            self.local = folded_conv(layer.local)
        else:
            expand = affine_before(*expand, *affine(layer.local))
        self.fc1 = PackedConv(*expand, act=type(layer.act))  # (B, D + G, H, W): u and a
        self.fc2 = PackedConv(*project)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.fc1(self.local(x)), x)


def folded_stem(stem: Stem) -> nn.Sequential:
    """Return two convolutions. (B, in_chans, H, W) -> (B, C, ceil(H/4), ceil(W/4))."""
    conv1 = folded_conv(stem.conv1, type(stem.act))
    return nn.Sequential(OrderedDict(conv1=conv1, conv2=folded_conv(stem.conv2)))


def folded_stage(stage: PyramidStage) -> nn.Sequential:
    """Return downsampling (from the second stage on), then blocks. (B, C, H, W) -> (B, C', H', W')."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if stage.downsample is not None:
        layers["downsample"] = folded_conv(stage.downsample)
    blocks = cast(Iterable[Block], stage.blocks)
    layers["blocks"] = nn.Sequential(*(folded_block(block) for block in blocks))
    return nn.Sequential(layers)


def folded_block(block: Block) -> nn.Sequential:
    """Return attention, if the block carries it, then the FFN. (B, C, H, W) -> same."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if block.attn is not None:
        layers["attn"] = FoldedSAA(block.attn)
    layers["ffn"] = FoldedFFN(block.ffn)
    return nn.Sequential(layers)


class FoldedSAEViT(nn.Module):
    """A SAEViT variant for inference, its maps in channels_last. (B, in_chans, H, W) -> (B, num_classes)."""

    def __init__(self, network: SAEViT) -> None:
        super().__init__()
        self.spec = network.spec
        self.stem = folded_stem(network.stem)
        stages = cast(Iterable[PyramidStage], network.stages)
        self.stages = nn.Sequential(*(folded_stage(stage) for stage in stages))
        self.head: Head = network.head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(x)))


def fold(network: SAEViT) -> FoldedSAEViT:
    """Return the folded form of a network, computed in float64; the network is not touched.

    Raises:
        OptionError: the network is in training mode, cut short, or none of ours.
    """
    if not isinstance(network, SAEViT):
        raise OptionError(f"fold cannot take a {type(network).__name__}: give it a SAEViT from build")
    if not network.head.pools or len(network.stages) != len(network.spec.stages):
        raise OptionError("fold cannot take a part of a network: give it all stages and a head that pools")
    if any(module.training for module in network.modules()):
        raise OptionError("fold cannot take a network in training mode: call network.eval() first")
    weight = next(network.parameters())
    device = "cpu" if weight.device.type == "mps" else weight.device  # mps has no float64
    with torch.inference_mode(False), torch.no_grad():
        exact = copy.deepcopy(network).to(device, torch.float64)
        folded = FoldedSAEViT(exact).to(weight.device, weight.dtype).to(memory_format=torch.channels_last)
        return folded.requires_grad_(False).eval()
