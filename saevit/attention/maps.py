"""Compute the maps of one image: of each block, of a section of the N x N matrix, and of attention rollout.

Attention rollout (Abnar and Zuidema, arXiv 2005.00928) is adapted to a pyramid, without N x N matrices. Each
block contributes the factor 0.5 I + 0.5 E: the residual connection, and the mean effective attention of its
heads. The product over blocks is the share of each pixel of the first map in a pixel of a later map. From a
coarse map to the finer map before it, the mass of a pixel is spread evenly over the area that it covers.
Convolutions and FFNs are ignored.
"""

import math
from collections.abc import Collection, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saevit.attention.effective import LIMIT, Layer
from saevit.attention.findings import BlockMaps, Pattern, QueryPixel, RolloutMap, pick_typical
from saevit.model.saa import SAA

SIDE = 16  # pixels of a section; a matrix of 256 x 256 numbers is still legible
LARGEST_WINDOW = 32
RESIDUAL = 0.5


def map_block(
    layer: Layer, module: nn.Module, queries: Sequence[QueryPixel], *, with_pattern: bool
) -> BlockMaps:
    """Return the maps of a layer as arrays.

    Args:
        layer: the attention of a block.
        module: the attention module of the block.
        queries: pixels whose attention to all pixels is returned.
        with_pattern: whether to compute a section of the N x N matrix, which is slow.
    """
    block, heads = layer.block, len(layer.heads)
    H, W = block.height, block.width
    rows = layer.rows(find_pixels(queries, layer))
    return BlockMaps(
        block=block,
        heads=layer.heads,
        weights=layer.weights.view(H, W).numpy(),
        received=layer.received().view(heads, H, W).numpy(),
        rows=rows.transpose(0, 1).reshape(-1, heads, H, W).numpy(),
        attention=layer.scores.softmax().numpy() if math.prod(layer.scores.shape) <= LIMIT else None,
        pattern=cut_pattern(layer, module) if with_pattern else None,
    )


def find_pixels(queries: Sequence[QueryPixel], layer: Layer) -> Tensor:
    """Return the indices of the pixels of a layer's map that contain the query pixels. (queries,)."""
    block, pixels = layer.block, []
    for query in queries:
        x, y = (int(at // stride) for at, stride in zip(query.input, block.stride[::-1], strict=True))
        pixels.append(min(y, block.height - 1) * block.width + min(x, block.width - 1))
    return torch.tensor(pixels, dtype=torch.long)


def cut_pattern(layer: Layer, module: nn.Module) -> Pattern:
    """Return the section of the N x N matrix for whole windows in the middle of a map.

    Dense attention is computed for SAA only, and needs the layer's `features`.
    """
    pixels, N = cut_section(layer), layer.block.pixels
    dense = compute_dense_rows(layer, module, pixels) if isinstance(module, SAA) else None
    return Pattern(
        pixels=pixels.numpy(),
        window_starts=tuple(find_starts(layer.column[pixels]).tolist()),
        scores=locate_scores(layer, pixels).numpy(),
        sampled=(layer.rows(pixels)[:, :, pixels].mean(0) * N).numpy(),
        dense=None if dense is None else (dense * N).numpy(),
    )


def cut_section(layer: Layer) -> Tensor:
    """Return the indices of the pixels of a square in the middle of the map, sorted by window."""
    rate, width = layer.block.rate, layer.block.width
    side = rate if SIDE < rate <= LARGEST_WINDOW else SIDE
    ranges = []
    for length in (layer.block.height, width):
        start = max(0, (length - side) // 2) // rate * rate
        ranges.append(torch.arange(start, min(length, start + side)))
    pixels = (ranges[0][:, None] * width + ranges[1]).flatten()
    return pixels[layer.column[pixels].argsort(stable=True)]


def find_starts(tokens: Tensor) -> Tensor:
    """Return the positions where a new token begins, in the sorted tokens of pixels."""
    return torch.cat([torch.zeros(1, dtype=torch.long), torch.diff(tokens).nonzero().flatten() + 1])


def locate_scores(layer: Layer, pixels: Tensor) -> Tensor:
    """Return the row and the column of each computed score: the centre of its pixel pairs. (k, 2)."""
    middles, groups = [], []
    for tokens, size in ((layer.row[pixels], layer.block.queries), (layer.column[pixels], layer.block.keys)):
        starts = find_starts(tokens)
        ends = torch.cat([starts[1:], torch.tensor([len(tokens)])])
        middles.append((starts + ends) / 2)
        groups.append(tokens[starts] // size)
    rows, columns = (groups[0][:, None] == groups[1]).nonzero().T
    return torch.stack([middles[0][rows], middles[1][columns]], 1)


def compute_dense_rows(layer: Layer, attention: SAA, pixels: Tensor) -> Tensor | None:
    """Return the dense attention (each pixel is a token) between some pixels: mean over heads, (m, m)."""
    if layer.features is None:
        return None
    assert attention.qkv.bias is not None
    heads, e = attention.num_heads, attention.key_dim
    weight, bias = (  # of queries and keys
        parameter.detach().view(heads, -1, *parameter.shape[1:])[:, : 2 * e].flatten(0, 1)
        for parameter in (attention.qkv.weight, attention.qkv.bias)
    )
    qk = F.conv2d(layer.features[None], weight, bias).view(heads, 2, e, -1).transpose(2, 3)
    total = torch.zeros(len(pixels), len(pixels))
    for head in layer.heads:
        q, k = qk[head - 1]  # (N, e) each
        total += (q[pixels] @ k.T * e**-0.5).softmax(1)[:, pixels]
    return total / len(layer.heads)


def map_rollouts(
    layers: list[Layer], stages: Collection[int] | None, queries: Sequence[QueryPixel]
) -> tuple[RolloutMap, ...]:
    """Return the rollout of the last block of each chosen stage, or of several blocks of a single stage."""
    chosen = [i for i, layer in enumerate(layers) if stages is None or layer.block.stage in stages]
    first, maps = layers[0].block, []
    for i in (chosen[j] for j in pick_typical([layers[i].block.stage for i in chosen])):
        block = layers[i].block
        average = torch.full((1, block.pixels), 1 / block.pixels)
        mass = torch.cat([average, F.one_hot(find_pixels(queries, layers[i]), block.pixels).float()])
        traced = roll_out(layers[: i + 1], mass).view(-1, first.height, first.width)
        maps.append(RolloutMap(block=block, stride=first.stride, mass=traced.numpy()))
    return tuple(maps)


def roll_out(layers: Sequence[Layer], mass: Tensor) -> Tensor:
    """Propagate mass from the map of the last layer back to the map of the first layer.

    Args:
        layers: all blocks with attention up to the last layer, in the order of execution.
        mass: (m, N of the last map), rows that sum to one.

    Returns:
        (m, N of the first map).
    """
    for i in reversed(range(len(layers))):
        mass = RESIDUAL * mass + (1 - RESIDUAL) * layers[i].carry(mass)
        coarse, fine = layers[i].block, layers[max(i - 1, 0)].block
        if (coarse.height, coarse.width) != (fine.height, fine.width):
            down = cover_intervals(coarse.height, coarse.stride[0], fine.height, fine.stride[0])
            across = cover_intervals(coarse.width, coarse.stride[1], fine.width, fine.stride[1])
            mass = (down.T @ mass.view(-1, coarse.height, coarse.width) @ across).flatten(1)
    return mass


def cover_intervals(count: int, stride: float, fine_count: int, fine_stride: float) -> Tensor:
    """Return the share of each interval of length `stride` in each finer interval; rows sum to one."""
    start = torch.arange(count)[:, None] * stride
    fine_start = torch.arange(fine_count) * fine_stride
    end = torch.minimum(start + stride, fine_start + fine_stride)
    shared = (end - torch.maximum(start, fine_start)).clamp(min=0)
    return shared / shared.sum(1, keepdim=True)
