"""Memory traffic in closed form: elements that the operators of the definition read and write, per image.

Every operator that computes reads its inputs and its weights once and writes its result once, as if no cache
held anything between two operators. Copies, padding and views are left out, as in `formulas`. So this is a
property of the network and not of a machine: an upper bound of what a fused or cached execution moves.
Sizes may be ints or int64 arrays.
"""

import math

from saevit.count.analytic import half, num_tokens, stem_size
from saevit.count.formulas import Cost, Size, conv, dw_conv, linear
from saevit.spec import NUM_GROUPS, Stage, VariantSpec


def elements(spec: VariantSpec, img_size: tuple[int, int]) -> int:
    """Return the elements read and written for one image of H x W, weights included."""
    H, W = stem_size(img_size)
    moved = stem(spec.in_chans, spec.stem_dim, spec.stages[0].dim, img_size)
    for i, stage in enumerate(spec.stages):
        if i:
            in_hw, H, W = H * W, half(H), half(W)
            moved += conv_norm(spec.stages[i - 1].dim, stage.dim, 3, H * W, in_hw=in_hw)
        moved += blocks(spec, stage, H, W)
    return moved + head(spec.stages[-1].dim, spec.num_classes, H * W)


def stem(in_chans: Size, mid_dim: Size, dim: Size, img_size: tuple[int, int]) -> Size:
    """`layers.Stem`."""
    between = half(img_size[0]) * half(img_size[1])
    first = conv_norm(in_chans, mid_dim, 3, between, in_hw=img_size[0] * img_size[1])
    second = conv_norm(mid_dim, dim, 3, math.prod(stem_size(img_size)), in_hw=between)
    return first + unary(mid_dim * between) + second


def conv_norm(in_dim: Size, dim: Size, k: int, hw: Size, *, in_hw: Size, groups: Size = 1) -> Size:
    """`layers.ConvNorm`, reading in_hw and writing hw pixels."""
    return layer(in_dim * in_hw, conv(in_dim, dim, k, hw, groups=groups)) + norm(dim, hw)


def blocks(spec: VariantSpec, stage: Stage, H: Size, W: Size) -> Size:
    """All blocks of a stage, as `analytic.blocks`."""
    N, dim = H * W, stage.dim
    attention = saa(spec, stage, H, W) + addition(dim * N)
    return (ffn(spec, stage, N) + addition(dim * N)) * stage.depth + attention * stage.attn_blocks


def saa(spec: VariantSpec, stage: Stage, H: Size, W: Size) -> Size:
    """`saa.SAA`; attention reads queries, keys and values and writes their mix."""
    dim, N, n = stage.dim, H * W, num_tokens(H, W, stage.rate)
    qkv = 2 * stage.num_heads * spec.key_dim + dim
    recover = layer(dim * N, dw_conv(dim, 3, N, bias=True))
    return (
        norm(dim, N)
        + layer(dim * n, conv(dim, qkv, 1, n, bias=True))
        + (qkv + dim) * n
        + layer(dim * n, conv(dim, dim, 1, n, bias=True))
        + (sample(spec.sampling, dim, N, n, n * stage.rate * stage.rate) + recover) * (stage.rate > 1)
    )


def sample(sampling: str, dim: Size, N: Size, n: Size, filled: Size) -> Size:
    """`saa.AdaptiveSampler` (score, softmax, product, sum) and its ablations; a view moves nothing."""
    pooled = dim * N + dim * n
    if sampling == "adaptive":
        return layer(dim * N, conv(dim, 1, 1, N)) + unary(filled) + (2 * dim * N + N) + pooled
    if sampling == "mix":  # mean and maximum, each times a number of its channel; their sum, plus another one
        tokens = dim * n
        return 2 * pooled + 2 * (unary(tokens) + dim) + addition(tokens) + (unary(tokens) + dim)
    return pooled if sampling == "average" else 0


def ffn(spec: VariantSpec, stage: Stage, N: Size) -> Size:
    """`ciffn.CIFFN`, and `ciffn.MLP` without its aggregates."""
    dim, hidden_dim = stage.dim, stage.hidden_dim
    is_local = spec.local == "dwsconv"
    moved = conv_norm(dim, dim, spec.kernel, N, in_hw=N, groups=dim) if is_local else norm(dim, N)
    moved = moved + activated(dim, hidden_dim, N) + conv_norm(hidden_dim, dim, 1, N, in_hw=N)
    return moved if spec.ffn == "mlp" else moved + activated(dim, NUM_GROUPS, N) + redistribute(hidden_dim, N)


def activated(dim: Size, out_dim: Size, N: Size) -> Size:
    """A 1x1 `layers.ConvNorm` and its activation."""
    return conv_norm(dim, out_dim, 1, N, in_hw=N) + unary(out_dim * N)


def redistribute(hidden_dim: Size, N: Size) -> Size:
    """`ciffn.Redistribute`: the difference u - a, then u plus gamma times that."""
    wide = hidden_dim * N
    return (unary(wide) + NUM_GROUPS * N) + (addition(wide) + hidden_dim)


def head(dim: Size, num_classes: int, hw: Size) -> Size:
    """`layers.Head`: mean, classifier."""
    return dim * hw + dim + (layer(dim, linear(dim, num_classes)) if num_classes else 0)


def layer(reads: Size, cost: Cost) -> Size:
    """A layer with weights: its input, its weights, what it writes."""
    return reads + cost.params + cost.activations


def norm(dim: Size, hw: Size) -> Size:
    """BatchNorm: a map in and out; scale, shift, mean and variance."""
    return 2 * dim * hw + 4 * dim


def unary(count: Size) -> Size:
    """Reads a map and writes one."""
    return 2 * count


def addition(count: Size) -> Size:
    """Reads two maps and writes one."""
    return 3 * count
