"""Memory traffic in closed form: elements that the operators of the definition read and write, per image.

Every operator that computes reads its inputs and its weights once and writes its result once, as if no cache
held anything between two operators. Copies, padding and views are left out, as in `formulas`. So this is a
property of the network and not of a machine: an upper bound of what a fused or cached execution moves.
Sizes may be ints or int64 arrays.
"""

from saevit.count.analytic import half, num_tokens, stem_size
from saevit.count.formulas import Cost, Size, conv, dw_conv, dw_transposed_conv, linear
from saevit.spec import Stage, VariantSpec


def elements(spec: VariantSpec, img_size: tuple[int, int]) -> int:
    """Return the elements read and written for one image of H x W, weights included."""
    H, W = stem_size(img_size)
    moved = stem(spec.in_chans, spec.stem_dim, spec.stages[0].dim, img_size)
    for i, stage in enumerate(spec.stages):
        if i:
            moved += downsample(spec.stages[i - 1].dim, stage.dim, H * W, half(H) * half(W))
            H, W = half(H), half(W)
        moved += blocks(spec, stage, H, W, depth=stage.depth, attending=sum(stage.attends))
    return moved + head(spec.stages[-1].dim, spec.num_classes, H * W)


def stem(in_chans: Size, mid_dim: Size, dim: Size, img_size: tuple[int, int]) -> Size:
    """`layers.Stem`."""
    H, W = stem_size(img_size)
    pixels, between, hw = img_size[0] * img_size[1], half(img_size[0]) * half(img_size[1]), H * W
    return (
        layer(in_chans * pixels, conv(in_chans, mid_dim, 3, between))
        + norm(mid_dim, between)
        + unary(mid_dim * between)
        + layer(mid_dim * between, conv(mid_dim, dim, 3, hw))
        + norm(dim, hw)
    )


def downsample(in_dim: Size, dim: Size, in_hw: Size, hw: Size) -> Size:
    """`layers.Downsample`, reading in_hw and writing hw pixels."""
    return layer(in_dim * in_hw, conv(in_dim, dim, 3, hw)) + norm(dim, hw)


def blocks(spec: VariantSpec, stage: Stage, H: Size, W: Size, *, depth: Size, attending: Size) -> Size:
    """All blocks of a stage, as `analytic.blocks`."""
    N, dim = H * W, stage.dim
    has_local = spec.local == "dwsconv"
    ffn = ciffn(dim, stage.hidden_dim, N) if spec.ffn == "ciffn" else mlp(dim, stage.hidden_dim, N)
    each = ffn + addition(dim * N) + has_local * (dws_conv(dim, N) + addition(dim * N))
    return each * depth + (saa(dim, stage.rate, H, W, spec.sampling) + addition(dim * N)) * attending


def dws_conv(dim: Size, N: Size) -> Size:
    """`layers.DWSConv`."""
    depth_wise, point_wise = layer(dim * N, dw_conv(dim, 3, N)), layer(dim * N, conv(dim, dim, 1, N))
    return depth_wise + point_wise + unary(dim * N) + 2 * norm(dim, N)


def saa(dim: Size, rate: Size, H: Size, W: Size, sampling: str) -> Size:
    """`saa.SAA`; attention reads queries, keys and values and writes their mix."""
    N, n = H * W, num_tokens(H, W, rate)
    sparse = (rate > 1) * 1
    recover = layer(dim * n, dw_transposed_conv(dim, rate, n))
    return (
        norm(dim, N)
        + layer(dim * n, conv(dim, 3 * dim, 1, n, bias=True))
        + 4 * dim * n
        + layer(dim * n, conv(dim, dim, 1, n, bias=True))
        + (sample(dim, N, n, n * rate * rate, sampling) + recover) * sparse
    )


def sample(dim: Size, N: Size, n: Size, filled: Size, sampling: str) -> Size:
    """`saa.AdaptiveSampler` (score, softmax, product, sum) and its ablations; a view moves nothing."""
    if sampling == "adaptive":
        product, total = 2 * dim * N + N, dim * N + dim * n
        return layer(dim * N, conv(dim, 1, 1, N)) + unary(filled) + product + total
    return dim * N + dim * n if sampling == "average" else 0


def ciffn(dim: Size, hidden_dim: Size, N: Size) -> Size:
    """`ciffn.CIFFN`; redistribution is u - a, gamma times that, u plus that."""
    wide = hidden_dim * N
    redistribute = (2 * wide + N) + (2 * wide + hidden_dim) + addition(wide)
    aggregate = layer(wide, conv(hidden_dim, 1, 1, N, bias=True)) + unary(N)
    depth_wise = layer(wide, dw_conv(hidden_dim, 3, N, bias=True))
    return mlp(dim, hidden_dim, N) + depth_wise + aggregate + redistribute


def mlp(dim: Size, hidden_dim: Size, N: Size) -> Size:
    """`ciffn.MLP`."""
    expand = layer(dim * N, conv(dim, hidden_dim, 1, N, bias=True))
    project = layer(hidden_dim * N, conv(hidden_dim, dim, 1, N, bias=True))
    return norm(dim, N) + expand + unary(hidden_dim * N) + project


def head(dim: Size, num_classes: int, hw: Size) -> Size:
    """`layers.Head`: norm, mean, classifier."""
    classifier = layer(dim, linear(dim, num_classes)) if num_classes else 0
    return norm(dim, hw) + dim * hw + dim + classifier


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
