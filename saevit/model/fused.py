"""The layers of a fused network: what their reference layers compute in eval mode, in fewer operators.

B batch, C channels, D hidden channels, H W the map, N = B H W tokens, r the rate, h w = ceil(H/r) ceil(W/r).

A map (B, C, H, W) in channels_last and its tokens (N, C) are one memory: convolutions take the map `x`,
products the tokens `t`, and a branch adds to the tokens in place. A bias costs a pass over the map, so that
branches leave theirs out where the next 1x1 convolution can take it in: `owed` (C,) is what the map still
lacks, the same at every pixel, and the FFN adds it with its own bias. Matrices are stored (in, out).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saevit.model.ciffn import CIFFN, MLP
from saevit.model.fold import affine, bias_of, constant, matrix, norm_after, norm_before
from saevit.model.layers import DWSConv, Head, Stem
from saevit.model.saa import SAA, AdaptiveSampler

InPlace = Callable[[Tensor], Tensor]


def hardswish_(x: Tensor) -> Tensor:
    """Hard-swish in place."""
    return F.hardswish(x, inplace=True)


def silu_(x: Tensor) -> Tensor:
    """SiLU in place."""
    return F.silu(x, inplace=True)


def gelu_(x: Tensor) -> Tensor:
    """GELU in place; the functional form has no such switch."""
    return torch.ops.aten.gelu_(x)


IN_PLACE: dict[type[nn.Module], InPlace] = {
    nn.Hardswish: hardswish_,
    nn.GELU: gelu_,
    nn.ReLU: torch.relu_,
    nn.SiLU: silu_,
}


def tokens_of(x: Tensor) -> Tensor:
    """View a channels_last map (B, C, H, W) as tokens (N, C)."""
    return x.permute(0, 2, 3, 1).view(-1, x.shape[1])


def map_of(t: Tensor, B: int, H: int, W: int) -> Tensor:
    """View tokens (N, C) as a channels_last map (B, C, H, W)."""
    return t.view(B, H, W, -1).permute(0, 3, 1, 2)


def add_product(t: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """t += a b, in place. Written with `out`, because counters have no formula for the in-place form."""
    return torch.addmm(t, a, b, out=t)


class FusedConv(nn.Module):
    """A 3x3 convolution with the BN after it, if any. (B, C, H, W) -> (B, C', H', W'), channels_last."""

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d | None = None) -> None:
        super().__init__()
        weight, bias = norm_after(conv, norm) if norm else (conv.weight, bias_of(conv))
        self.weight = constant(weight)
        self.bias = constant(bias)
        self.stride = conv.stride
        self.groups = conv.groups

    def forward(self, x: Tensor) -> Tensor:
        y = F.conv2d(x, self.weight, self.bias, self.stride, padding=1, groups=self.groups)
        # Some kernels (float64's, for one) answer in another layout.
        return y.contiguous(memory_format=torch.channels_last)

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, stride={self.stride}, groups={self.groups}"


class FusedStem(nn.Module):
    """Two convolutions of stride 2. (B, in_chans, H, W) -> (B, C, ceil(H/4), ceil(W/4)) channels_last."""

    def __init__(self, stem: Stem) -> None:
        super().__init__()
        self.conv1 = FusedConv(stem.conv1, stem.norm1)
        self.act = IN_PLACE[type(stem.act)]
        self.conv2 = FusedConv(stem.conv2, stem.norm2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.act(self.conv1(x.contiguous(memory_format=torch.channels_last))))


class FusedDWSConv(nn.Module):
    """x += depth-wise 3x3, act, 1x1. The bias of the last BN is owed: (C,) = shift of `layer.norm2`."""

    def __init__(self, layer: DWSConv) -> None:
        super().__init__()
        self.dw = FusedConv(layer.dw, layer.norm1)
        self.act = IN_PLACE[type(layer.act)]
        self.pw = constant(norm_after(layer.pw, layer.norm2)[0][:, :, 0, 0].T)

    def forward(self, x: Tensor, t: Tensor) -> None:
        add_product(t, tokens_of(self.act(self.dw(x))), self.pw)


class FusedMix(nn.Module):
    """BN, queries, keys and values, attention among the n tokens of each image. (B n, C) -> same."""

    def __init__(self, layer: SAA, owed: Tensor) -> None:
        super().__init__()
        weight, bias = norm_before(layer.qkv, layer.norm, owed)
        self.weight = constant(weight.T)
        self.bias = constant(bias)
        self.num_heads = layer.num_heads
        self.head_dim = layer.qkv.in_channels // layer.num_heads

    def forward(self, t: Tensor, B: int) -> Tensor:
        qkv = torch.addmm(self.bias, t, self.weight).view(B, -1, 3, self.num_heads, self.head_dim)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind()  # (B, heads, n, d) each
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(t.shape)


class FusedDense(nn.Module):
    """x += attention at rate 1. The bias of the projection is owed as well."""

    def __init__(self, layer: SAA, owed: Tensor) -> None:
        super().__init__()
        self.mix = FusedMix(layer, owed)
        self.proj = constant(matrix(layer.proj).T)

    def forward(self, x: Tensor, t: Tensor) -> None:
        add_product(t, self.mix(t, x.shape[0]), self.proj)


class FusedSAA(nn.Module):
    """x += sample, attend, recover.

    Weights in a window sum to 1, so that BN and what is owed commute with sampling. Recovery with kernel =
    stride is a multiply-add that broadcasts each token over its window.
    """

    def __init__(self, layer: SAA, owed: Tensor) -> None:
        super().__init__()
        assert isinstance(layer.recover, nn.ConvTranspose2d)
        adaptive = isinstance(layer.sample, AdaptiveSampler)
        self.sample = FusedSampler(layer) if adaptive else layer.sample  # the others have no weights
        self.mix = FusedMix(layer, owed)
        self.proj = constant(matrix(layer.proj).T)
        self.bias = constant(bias_of(layer.proj))
        self.rate = layer.recover.kernel_size[0]
        self.kernel = constant(layer.recover.weight[:, 0].permute(1, 2, 0)[None, None, :, None])

    def forward(self, x: Tensor, t: Tensor) -> None:
        z = self.sample(x).contiguous(memory_format=torch.channels_last)
        y = torch.addmm(self.bias, self.mix(tokens_of(z), x.shape[0]), self.proj)
        self.recover(x, y.view(x.shape[0], z.shape[2], 1, z.shape[3], 1, -1))

    def recover(self, x: Tensor, y: Tensor) -> None:
        """x[h r + i, w r + j] += y[h, w] kernel[i, j]. x: (B, C, H, W); y: (B, h, 1, w, 1, C)."""
        r, (B, h, _, w, _, C) = self.rate, y.shape
        pixels = x.permute(0, 2, 3, 1)
        if pixels.shape[1:3] == (h * r, w * r):
            pixels.view(B, h, r, w, r, C).addcmul_(y, self.kernel)
        else:
            windows = (y * self.kernel).reshape(B, h * r, w * r, C)
            pixels.add_(windows[:, : pixels.shape[1], : pixels.shape[2]])


class FusedSampler(nn.Module):
    """Content-weighted mean of each window; the bias of the score cancels in the softmax. -> (B, C, h, w)."""

    def __init__(self, layer: SAA) -> None:
        super().__init__()
        assert isinstance(layer.sample, AdaptiveSampler)
        self.score = constant((matrix(layer.sample.score) * affine(layer.norm)[0]).T)
        self.rate = layer.sample.rate

    def forward(self, x: Tensor) -> Tensor:
        r, (B, _, H, W) = self.rate, x.shape
        score = torch.mm(tokens_of(x), self.score).view(B, 1, H, W)
        if H % r or W % r:
            score = F.pad(score, (0, -W % r, 0, -H % r), value=-torch.inf)
        weights = F.pixel_unshuffle(score, r).softmax(1, dtype=torch.float32)  # (B, r r, h, w)
        weights = F.pixel_shuffle(weights.to(x.dtype), r)[:, :, :H, :W]
        return F.avg_pool2d(x * weights, r, ceil_mode=True, divisor_override=1)  # sums over each window


class FusedCIFFN(nn.Module):
    """x += CIFFN(x). The redistribution goes into the second product, all but a rank-1 correction.

    W2 v + b2 with v = u + gamma (u - g) and g = act(w_d . u + b_d) is W2 (1 + gamma) u - (W2 gamma) g + b2.
    """

    def __init__(self, layer: CIFFN, owed: Tensor) -> None:
        super().__init__()
        weight, bias = norm_before(layer.fc1, layer.norm, owed)
        decompose, gamma = layer.redistribute.decompose, layer.redistribute.gamma[:, 0, 0]
        self.fc1, self.fc1_bias = constant(weight.T), constant(bias)
        self.dw = FusedConv(layer.dw)
        self.decompose, self.decompose_bias = constant(matrix(decompose).T), constant(bias_of(decompose))
        self.fc2 = constant((matrix(layer.fc2) * (1 + gamma)).T)
        self.correction = constant(-matrix(layer.fc2) @ gamma)
        self.fc2_bias = constant(bias_of(layer.fc2) + owed)

    def forward(self, x: Tensor, t: Tensor) -> None:
        B, _, H, W = x.shape
        u = tokens_of(gelu_(self.dw(map_of(torch.addmm(self.fc1_bias, t, self.fc1), B, H, W))))
        g = gelu_(torch.addmm(self.decompose_bias, u, self.decompose))  # (N, 1)
        add_product(t, u, self.fc2).addcmul_(g, self.correction).add_(self.fc2_bias)


class FusedMLP(nn.Module):
    """x += MLP(x)."""

    def __init__(self, layer: MLP, owed: Tensor) -> None:
        super().__init__()
        weight, bias = norm_before(layer.fc1, layer.norm, owed)
        self.fc1, self.fc1_bias = constant(weight.T), constant(bias)
        self.fc2, self.fc2_bias = constant(matrix(layer.fc2).T), constant(bias_of(layer.fc2) + owed)

    def forward(self, x: Tensor, t: Tensor) -> None:
        add_product(t, gelu_(torch.addmm(self.fc1_bias, t, self.fc1)), self.fc2).add_(self.fc2_bias)


class FusedHead(nn.Module):
    """Average pool, then BN and classifier in one product. (B, C, H, W) -> (B, num_classes)."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        assert isinstance(head.fc, nn.Linear)
        scale, shift = affine(head.norm)
        self.weight = constant((head.fc.weight * scale).T)
        self.bias = constant(head.fc.bias + head.fc.weight @ shift)

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x.mean((2, 3)), self.weight)


class FusedPool(nn.Module):
    """The head without classes: average pool, BN on its result. (B, C, H, W) -> (B, C)."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        scale, shift = affine(head.norm)
        self.scale, self.shift = constant(scale), constant(shift)

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.shift, x.mean((2, 3)), self.scale)
