"""Memory traffic in closed form: elements that the operators of the folded form read and write, per image.

Every operator that computes reads its inputs and its weights once and writes its result once, as if no cache
held anything between two operators; an activation and a residual addition are taken in by the convolution
before them. Copies, padding, views and the indices of a maximum are left out. So this is a property of the
network and not of a machine: a runtime that fuses more moves less. Sizes may be ints or int64 arrays.
"""

import math

from saevit.count.cost import half, num_tokens, stem_size
from saevit.count.formulas import Cost, Size, conv, dw_conv, linear
from saevit.variant import NUM_GROUPS, Stage, VariantSpec


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
    return first + conv_norm(mid_dim, dim, 3, math.prod(stem_size(img_size)), in_hw=between)


def conv_norm(in_dim: Size, dim: Size, k: int, hw: Size, *, in_hw: Size) -> Size:
    """`layers.ConvNorm` as one convolution with bias, reading in_hw and writing hw pixels."""
    return layer(in_dim * in_hw, conv(in_dim, dim, k, hw, bias=True))


def blocks(spec: VariantSpec, stage: Stage, H: Size, W: Size) -> Size:
    """All blocks of a stage, as `analytic.blocks`."""
    return ffn(spec, stage, H * W) * stage.depth + saa(spec, stage, H, W) * stage.attn_blocks


def saa(spec: VariantSpec, stage: Stage, H: Size, W: Size) -> Size:
    """`fold.FoldedSAA`: q k^T, its softmax and the product with v each write what the next one reads."""
    dim, N, n = stage.dim, H * W, num_tokens(H, W, stage.rate)
    keys, scores = stage.num_heads * spec.key_dim, stage.num_heads * n * n
    products = (2 * keys * n + scores) + unary(scores) + (scores + 2 * dim * n)
    recover = layer(dim * N, dw_conv(dim, 3, N, bias=True))
    return (
        layer(dim * n, conv(dim, 2 * keys + dim, 1, n, bias=True))
        + products
        + layer(dim * n, conv(dim, dim, 1, n, bias=True))
        + dim * N  # what the block's result is added to
        + (sample(spec.sampling, dim, N, n, n * stage.rate * stage.rate) + recover) * (stage.rate > 1)
    )


def sample(sampling: str, dim: Size, N: Size, n: Size, filled: Size) -> Size:
    """`fold.FoldedSampler`: maps of whole windows have n r^2 pixels; a view moves nothing."""
    tokens, pooled = dim * n, dim * N + dim * n
    if sampling == "adaptive":  # score, softmax, product, mean
        return (
            layer(dim * N, conv(dim, 1, 1, N)) + unary(filled) + (2 * dim * N + N) + (dim * filled + tokens)
        )
    if sampling == "mix":  # mean and signed maximum, each times a number of its channel, and their sum
        return 2 * pooled + (unary(dim * N) + dim) + 2 * (unary(tokens) + dim) + 3 * tokens
    return pooled if sampling == "average" else 0


def ffn(spec: VariantSpec, stage: Stage, N: Size) -> Size:
    """`fold.FoldedFFN`: the aggregates are channels beside the hidden ones."""
    dim, wide = stage.dim, stage.hidden_dim + NUM_GROUPS * (spec.ffn == "ciffn")
    local = layer(dim * N, dw_conv(dim, spec.kernel, N, bias=True)) * (spec.local == "dwsconv")
    return local + conv_norm(dim, wide, 1, N, in_hw=N) + conv_norm(wide, dim, 1, N, in_hw=N) + dim * N


def head(dim: Size, num_classes: int, hw: Size) -> Size:
    """`layers.Head`: mean, classifier."""
    return dim * hw + dim + (layer(dim, linear(dim, num_classes)) if num_classes else 0)


def layer(reads: Size, cost: Cost) -> Size:
    """A layer with weights: its input, its weights, what it writes."""
    return reads + cost.params + cost.activations


def unary(count: Size) -> Size:
    """Reads a map and writes one."""
    return 2 * count
