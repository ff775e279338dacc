"""The layers of a fused network: what their reference layers compute in eval mode, in fewer operators.

B batch, C channels, D hidden channels, H W the map, N = B H W tokens, r the rate, h w = ceil(H/r) ceil(W/r).

A map (B, C, H, W) in channels_last and its tokens (N, C) are one memory: convolutions take the map `x`,
products the tokens `t`. A branch takes the map and returns it with its own added, and may overwrite what it
took. Away from oneDNN a bias costs a pass over the map, so that branches leave theirs out where the next 1x1
convolution can take it in: `owed` (C,) is what the map still lacks, the same at every pixel, and the FFN adds
it with its own bias.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saevit.model import onednn
from saevit.model.ciffn import CIFFN, MLP
from saevit.model.fold import affine, bias_of, constant, matrix, norm_after, norm_before
from saevit.model.layers import DWSConv, Head, Stem
from saevit.model.saa import SAA, AdaptiveSampler

Act = type[nn.Module] | None


def hardswish_(x: Tensor) -> Tensor:
    """Hard-swish in place."""
    return F.hardswish(x, inplace=True)


def silu_(x: Tensor) -> Tensor:
    """SiLU in place."""
    return F.silu(x, inplace=True)


def gelu_(x: Tensor) -> Tensor:
    """GELU in place; the functional form has no such switch."""
    return torch.ops.aten.gelu_(x)


IN_PLACE: dict[Act, Callable[[Tensor], Tensor]] = {
    None: lambda x: x,
    nn.Hardswish: hardswish_,
    nn.GELU: gelu_,
    nn.ReLU: torch.relu_,
    nn.SiLU: silu_,
}


def tokens_of(x: Tensor) -> Tensor:
    """View a channels_last map (B, C, H, W) as tokens (N, C)."""
    return x.permute(0, 2, 3, 1).view(-1, x.shape[1])


def map_like(t: Tensor, x: Tensor) -> Tensor:
    """View tokens (N, C) as a channels_last map (B, C, H, W) of the size of x."""
    return t.view(x.shape[0], x.shape[2], x.shape[3], -1).permute(0, 3, 1, 2)


class Product(nn.Module):
    """act(t W + b). (N, C) -> (N, C')."""

    def __init__(self, weight: Tensor, bias: Tensor, act: Act = None) -> None:
        """Take the weight as a 1x1 convolution has it, (C', C)."""
        super().__init__()
        self.weight = constant(weight.T)  # (C, C'): as general products read it fastest
        self.bias = constant(bias)
        self.act = act
        self.packed = onednn.Packed()

    def forward(self, t: Tensor) -> Tensor:
        if onednn.usable(t):
            return onednn.linear(t, self.packed.get(self.weight, pack_product), self.bias, self.act)
        return IN_PLACE[self.act](torch.addmm(self.bias, t, self.weight))

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, act={self.act.__name__ if self.act else None}"


class AddedProduct(nn.Module):
    """to + t W, and + b if there is a bias; `to` may be overwritten. to: (N, C'), t: (N, C) -> (N, C')."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """Take the weight as a 1x1 convolution has it, (C', C)."""
        super().__init__()
        self.weight = constant(weight.T)
        self.bias = None if bias is None else constant(bias)
        self.packed = onednn.Packed()

    def forward(self, to: Tensor, t: Tensor) -> Tensor:
        if onednn.usable(t):
            return onednn.add_linear(to, t, self.packed.get(self.weight, pack_product), self.bias)
        # Written with `out`, because counters have no formula for the in-place form.
        added = torch.addmm(to, t, self.weight, out=to)
        return added if self.bias is None else added.add_(self.bias)

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, bias={self.bias is not None}"


def pack_product(weight: Tensor) -> Tensor:
    """Pack a weight (C, C')."""
    return onednn.pack_linear(weight.T)


class FusedConv(nn.Module):
    """act(3x3 convolution), a BN after it folded in. (B, C, H, W) -> (B, C', H', W'), channels_last."""

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d | None = None, act: Act = None) -> None:
        super().__init__()
        weight, bias = norm_after(conv, norm) if norm else (conv.weight, bias_of(conv))
        self.weight = constant(weight)
        self.bias = constant(bias)
        self.stride = conv.stride[0]
        self.groups = conv.groups
        self.act = act
        self.packed = onednn.Packed()
        # The image's few channels leave nothing to reorder: 3 -> 24 took twice as long packed.
        self.packs = conv.groups > 1 or conv.in_channels >= 16

    def forward(self, x: Tensor) -> Tensor:
        if self.packs and onednn.usable(x):
            weight = self.packed.get(self.weight, self.pack, *x.shape[2:])
            y = onednn.conv3x3(x, weight, self.bias, self.stride, self.groups, self.act)
        else:
            y = F.conv2d(x, self.weight, self.bias, self.stride, padding=1, groups=self.groups)
            y = IN_PLACE[self.act](y)
        # Some kernels (float64's, for one) answer in another layout.
        return y.contiguous(memory_format=torch.channels_last)

    def pack(self, weight: Tensor, H: int, W: int) -> Tensor:
        """Pack a weight (C', C/groups, 3, 3) for maps of H x W."""
        return onednn.pack_conv3x3(weight, self.stride, self.groups, H, W)

    def extra_repr(self) -> str:
        act = self.act.__name__ if self.act else None
        return f"{tuple(self.weight.shape)}, stride={self.stride}, groups={self.groups}, act={act}"


class FusedStem(nn.Module):
    """Two convolutions of stride 2. (B, in_chans, H, W) -> (B, C, ceil(H/4), ceil(W/4)) channels_last."""

    def __init__(self, stem: Stem) -> None:
        super().__init__()
        self.conv1 = FusedConv(stem.conv1, stem.norm1, type(stem.act))
        self.conv2 = FusedConv(stem.conv2, stem.norm2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x.contiguous(memory_format=torch.channels_last)))


class FusedDWSConv(nn.Module):
    """x += depth-wise 3x3, act, 1x1. The bias of the last BN is owed: (C,) = shift of `layer.norm2`."""

    def __init__(self, layer: DWSConv) -> None:
        super().__init__()
        self.dw = FusedConv(layer.dw, layer.norm1, type(layer.act))
        self.pw = AddedProduct(norm_after(layer.pw, layer.norm2)[0][:, :, 0, 0])

    def forward(self, x: Tensor) -> Tensor:
        return map_like(self.pw(tokens_of(x), tokens_of(self.dw(x))), x)


class FusedMix(nn.Module):
    """BN, queries, keys and values, attention among the n tokens of each image. (B n, C) -> same."""

    def __init__(self, layer: SAA, owed: Tensor) -> None:
        super().__init__()
        self.qkv = Product(*norm_before(layer.qkv, layer.norm, owed))
        self.num_heads = layer.num_heads
        self.head_dim = layer.qkv.in_channels // layer.num_heads

    def forward(self, t: Tensor, B: int) -> Tensor:
        qkv = self.qkv(t).view(B, -1, 3, self.num_heads, self.head_dim)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind()  # (B, heads, n, d) each
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(t.shape)


class FusedDense(nn.Module):
    """x += attention at rate 1. The bias of the projection is owed as well."""

    def __init__(self, layer: SAA, owed: Tensor) -> None:
        super().__init__()
        self.mix = FusedMix(layer, owed)
        self.proj = AddedProduct(matrix(layer.proj))

    def forward(self, x: Tensor) -> Tensor:
        t = tokens_of(x)
        return map_like(self.proj(t, self.mix(t, x.shape[0])), x)


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
        self.proj = Product(matrix(layer.proj), bias_of(layer.proj))
        self.rate = layer.recover.kernel_size[0]
        self.kernel = constant(layer.recover.weight[:, 0].permute(1, 2, 0)[None, None, :, None])

    def forward(self, x: Tensor) -> Tensor:
        z = self.sample(x).contiguous(memory_format=torch.channels_last)
        y = self.proj(self.mix(tokens_of(z), x.shape[0]))
        self.recover(x, y.view(x.shape[0], z.shape[2], 1, z.shape[3], 1, -1))
        return x

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
        self.fc1 = Product(*norm_before(layer.fc1, layer.norm, owed))
        decompose, gamma = layer.redistribute.decompose, layer.redistribute.gamma[:, 0, 0]
        self.dw = FusedConv(layer.dw, act=nn.GELU)
        self.decompose, self.decompose_bias = constant(matrix(decompose).T), constant(bias_of(decompose))
        self.fc2 = AddedProduct(matrix(layer.fc2) * (1 + gamma), bias_of(layer.fc2) + owed)
        self.correction = constant(-matrix(layer.fc2) @ gamma)

    def forward(self, x: Tensor) -> Tensor:
        t = tokens_of(x)
        u = tokens_of(self.dw(map_like(self.fc1(t), x)))
        g = gelu_(torch.addmm(self.decompose_bias, u, self.decompose))  # (N, 1)
        return map_like(self.fc2(t, u).addcmul_(g, self.correction), x)


class FusedMLP(nn.Module):
    """x += MLP(x)."""

    def __init__(self, layer: MLP, owed: Tensor) -> None:
        super().__init__()
        self.fc1 = Product(*norm_before(layer.fc1, layer.norm, owed), act=nn.GELU)
        self.fc2 = AddedProduct(matrix(layer.fc2), bias_of(layer.fc2) + owed)

    def forward(self, x: Tensor) -> Tensor:
        t = tokens_of(x)
        return map_like(self.fc2(t, self.fc1(t)), x)


class FusedHead(nn.Module):
    """Average pool, then BN and classifier in one product. (B, C, H, W) -> (B, num_classes)."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        assert isinstance(head.fc, nn.Linear)
        scale, shift = affine(head.norm)
        self.fc = Product(head.fc.weight * scale, head.fc.bias + head.fc.weight @ shift)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.mean((2, 3)))


class FusedPool(nn.Module):
    """The head without classes: average pool, BN on its result. (B, C, H, W) -> (B, C)."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        scale, shift = affine(head.norm)
        self.scale, self.shift = constant(scale), constant(shift)

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.shift, x.mean((2, 3)), self.scale)
