"""A section of the N x N matrix that can be drawn: which scores exist, sampled and dense attention."""

import torch
import torch.nn.functional as F
from torch import Tensor

from saevit.attention.facts import Pattern
from saevit.attention.layer import Layer
from saevit.model.saa import SAA

SIDE = 16  # pixels; 256 x 256 numbers can still be seen
LARGEST_WINDOW = 32


def pattern(layer: Layer, attention: SAA | None) -> Pattern:
    """Cut the middle out of a layer's map, whole windows of it, and compare it with dense attention.

    Args:
        layer: with `normed` where dense attention is wanted.
        attention: the module that the layer is of, which gives every pixel query and key; None: no dense.
    """
    pixels = section(layer)
    dense = None if attention is None or layer.normed is None else dense_rows(layer, attention, pixels)
    return Pattern(
        pixels=pixels.numpy(),
        window_starts=tuple(starts(layer.column[pixels])),
        scores=scores(layer, pixels).numpy(),
        sampled=(layer.rows(pixels)[:, :, pixels].mean(0) * layer.pixels).numpy(),
        dense=None if dense is None else (dense * layer.pixels).numpy(),
    )


def section(layer: Layer) -> Tensor:
    """Return the pixels of a square in the middle of the map, window by window."""
    side = layer.rate if SIDE < layer.rate <= LARGEST_WINDOW else SIDE
    rows, columns = middle(layer.height, side, layer.rate), middle(layer.width, side, layer.rate)
    pixels = (rows[:, None] * layer.width + columns).flatten()
    return pixels[layer.column[pixels].argsort(stable=True)]


def middle(length: int, side: int, rate: int) -> Tensor:
    """Return so many positions in the middle of a line, beginning with a window."""
    start = max(0, (length - side) // 2) // rate * rate
    return torch.arange(start, min(length, start + side))


def starts(tokens: Tensor) -> list[int]:
    """Return where, in an order by windows, a window begins."""
    return [0, *(torch.diff(tokens).nonzero().flatten() + 1).tolist()]


def scores(layer: Layer, pixels: Tensor) -> Tensor:
    """Return the scores that exist, each at the middle of the block of pixel pairs that it stands for.

    (k, 2) of row and column in the section; a query or key has all its pixels in a row there.
    """
    _, _, nq, nk = layer.scores.shape
    middles, groups = [], []
    for tokens, size in ((layer.row[pixels], nq), (layer.column[pixels], nk)):
        begin = torch.tensor(starts(tokens))
        end = torch.cat([begin[1:], torch.tensor([len(tokens)])])
        middles.append((begin + end) / 2)
        groups.append(tokens[begin] // size)
    rows, columns = (groups[0][:, None] == groups[1]).nonzero().T
    return torch.stack([middles[0][rows], middles[1][columns]], 1)


def dense_rows(layer: Layer, attention: SAA, pixels: Tensor) -> Tensor:
    """Return dense attention between some pixels, as if every pixel were a token: mean over heads, (m, m)."""
    assert layer.normed is not None
    assert attention.qkv.bias is not None
    heads, e = attention.num_heads, attention.key_dim
    weight, bias = (  # of queries and keys
        parameter.detach().view(heads, -1, *parameter.shape[1:])[:, : 2 * e].flatten(0, 1)
        for parameter in (attention.qkv.weight, attention.qkv.bias)
    )
    qk = F.conv2d(layer.normed[None], weight, bias).view(heads, 2, e, -1).transpose(2, 3)
    total = torch.zeros(len(pixels), len(pixels))
    for head in layer.heads:
        q, k = qk[head - 1]  # (N, e) each
        total += (q[pixels] @ k.T * e**-0.5).softmax(1)[:, pixels]
    return total / len(layer.heads)
