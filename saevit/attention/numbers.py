"""Metrics of the attention of one block, and the similarity of neighbouring pixels in a stage.

Each metric is of one head and one image, and is a mean over pixels.

| name | unit | meaning |
| --- | --- | --- |
| attention_entropy | nat | entropy of a pixel's attention over the n keys; at most ln n |
| window_entropy | nat | entropy of the window weights; at most ln of the window's pixels |
| distance | px | mean distance from a pixel to the pixels that it attends to, in pixels of the input |
| top_1, top_5, top_10 | share | effective attention to the strongest 1, 5, 10 % of the pixels |
| support | pixels | exp(entropy) of the effective attention |
| overlap | share | sum of the minimum of two heads' attention, mean over the other heads |
| drawn | x uniform | attention to a drawing on plain ground, relative to its share of the area |

`distance` and `top_*` need whole rows of E. On maps with more than `MOST_QUERIES` pixels, they use the rows
of an even grid of pixels.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from saevit.attention.effective import Layer
from saevit.attention.maps import cover_intervals

TOPS = {"top_1": 0.01, "top_5": 0.05, "top_10": 0.10}
MOST_QUERIES = 2**10
MOST_PRODUCTS = 2**25  # maximum of query pixels times pixels
CHUNK = 2**22  # elements of a block of rows
RATES = (2, 3, 4, 6, 8, 12, 16, 32)  # tried window sizes


def compute_numbers(layer: Layer, drawing: Tensor | None = None) -> Mapping[str, Tensor]:
    """Return all metrics of the table above, (heads,) each.

    Args:
        layer: the attention of a block.
        drawing: (H, W) weight of each input pixel in the drawing; None for a photograph.
    """
    queries = pick_queries(layer)
    return {
        **compute_entropies(layer),
        "distance": compute_distance(layer, queries),
        **compute_top_masses(layer, queries),
        "overlap": compute_overlap(layer),
        "drawn": compute_drawn(layer, drawing),
    }


def pick_queries(layer: Layer) -> Tensor:
    """Return the indices of the pixels whose rows are used. (m,)."""
    block, step = layer.block, 1
    most = min(MOST_QUERIES, MOST_PRODUCTS // block.pixels)
    while -(-block.height // step) * -(-block.width // step) > most:
        step += 1
    rows, columns = (
        torch.arange((min(step, side) - 1) // 2, side, step) for side in (block.height, block.width)
    )
    return (rows[:, None] * block.width + columns).flatten()


def compute_entropies(layer: Layer) -> dict[str, Tensor]:
    """Return the entropies and the support, by H(E_p) = H(P_p) + sum_w P[p, w] H(a_w)."""
    G, heads, nq, nk = layer.scores.shape
    of_keys = torch.zeros(G * nk).index_add_(0, layer.column, torch.special.entr(layer.weights))
    inside = of_keys.view(G, 1, nk, 1)
    query_shares = (layer.row_sizes / layer.block.pixels).view(G, 1, nq)
    attention, support = torch.zeros(heads), torch.zeros(heads)
    for groups, rows, P in layer.parts():
        entropy = torch.special.entr(P).sum(3)  # (groups, heads, rows)
        share = query_shares[groups, :, rows]
        attention += (entropy * share).sum((0, 2))
        support += ((entropy + (P @ inside[groups]).squeeze(3)).exp() * share).sum((0, 2))
    return {"attention_entropy": attention, "window_entropy": inside.mean().expand(heads), "support": support}


def compute_distance(layer: Layer, queries: Tensor) -> Tensor:
    """Return the mean distance in input pixels between a pixel and its attended pixels. (heads,)."""
    block, (G, heads, nq, nk) = layer.block, layer.scores.shape
    y = torch.arange(block.height).repeat_interleave(block.width) * block.stride[0]
    x = torch.arange(block.width).repeat(block.height) * block.stride[1]
    positions = torch.stack([y, x], 1)  # (N, 2)
    rows, which = torch.unique(layer.row[queries], return_inverse=True)
    distances = torch.zeros(G * nk, len(rows))  # sum over the pixels of a key and the query pixels of a row
    for part in torch.split(torch.arange(len(queries)), max(1, CHUNK // block.pixels)):
        weighted = torch.cdist(positions, positions[queries[part]]) * layer.weights[:, None]  # (N, m)
        by_key = torch.zeros(G * nk, len(part)).index_add_(0, layer.column, weighted)
        distances.index_add_(1, which[part], by_key)
    total = torch.zeros(heads)
    for part, chosen in split_rows(rows, heads * nk):
        P = layer.token_rows(pick_pixels(layer)[chosen])  # (heads, m, nk)
        total += (P * distances.view(G, nk, len(rows))[chosen // nq, :, part]).sum((1, 2))
    return total / len(queries)


def compute_top_masses(layer: Layer, queries: Tensor) -> dict[str, Tensor]:
    """Return the sums of the largest 1, 5 and 10 % of the values of a row of E. (heads,) each."""
    heads, N = len(layer.heads), layer.block.pixels
    rows, counts = torch.unique(layer.row[queries], return_counts=True)
    wanted = {name: max(1, round(share * N)) for name, share in TOPS.items()}
    totals = {name: torch.zeros(heads) for name in wanted}
    for part, chosen in split_rows(rows, heads * N):
        E = layer.rows(pick_pixels(layer)[chosen])  # (heads, m, N)
        strongest = E.topk(max(wanted.values()), dim=2).values.cumsum(2)
        for name, count in wanted.items():
            totals[name] += strongest[:, :, count - 1] @ counts[part].float()
    return {name: total / len(queries) for name, total in totals.items()}


def compute_overlap(layer: Layer) -> Tensor:
    """Return the mean overlap of each head with the other heads: 1 is the same map, 0 is disjoint. (heads,).

    Heads of one block have the same weights a, so the overlap of rows of E is the overlap of rows of P. A
    single head has NaN.
    """
    G, heads, nq, _ = layer.scores.shape
    if heads == 1:
        return torch.full((1,), torch.nan)
    query_shares = (layer.row_sizes / layer.block.pixels).view(G, 1, nq)
    common = torch.zeros(heads, heads)
    for groups, rows, P in layer.parts():
        share = query_shares[groups, 0, rows]
        for i in range(heads):
            both = torch.minimum(P[:, i : i + 1], P).sum(3)  # (groups, heads, rows)
            common[i] += (both * share[:, None]).sum((0, 2))
    return (common.sum(1) - common.diagonal()) / (heads - 1)


def compute_drawn(layer: Layer, drawing: Tensor | None) -> Tensor:
    """Return the attention to a drawing (H, W), divided by its share of the area. (heads,)."""
    if drawing is None:
        return torch.full((len(layer.heads),), torch.nan)
    block = layer.block
    down, across = (
        cover_intervals(side, stride, length, 1.0)
        for side, stride, length in zip((block.height, block.width), block.stride, drawing.shape, strict=True)
    )
    covered = (down @ drawing @ across.T).flatten()
    return layer.received() @ covered / covered.mean()


def pick_pixels(layer: Layer) -> Tensor:
    """Return one pixel of each query. (G nq,)."""
    pixels = torch.zeros(len(layer.row_sizes), dtype=torch.long)
    pixels[layer.row] = torch.arange(layer.block.pixels)
    return pixels


def split_rows(rows: Tensor, width: int) -> list[tuple[Tensor, Tensor]]:
    """Split rows of `width` elements into parts of at most `CHUNK` elements: (positions, rows)."""
    parts = torch.split(torch.arange(len(rows)), max(1, CHUNK // width))
    return [(part, rows[part]) for part in parts]


def compute_similarities(x: Tensor, rate: int) -> dict[int, float]:
    """Return the mean cosine similarity of two pixels in an r x r window, by r.

    The mean is over the pairs of a window, then over windows with more than one pixel. The sum over pairs
    follows from |sum of unit vectors|^2 = m + sum over pairs.

    Args:
        x: (C, H, W) the input of a stage.
        rate: the sampling rate of the stage, which is added to `RATES`.
    """
    side = max(x.shape[1:])
    unit = F.normalize(x.float(), dim=0)
    similarities = {}
    for r in sorted({r for r in RATES if r <= side} | ({rate} - {1})):
        size, sums = (
            F.avg_pool2d(values, r, ceil_mode=True, divisor_override=1).flatten(1)
            for values in (torch.ones_like(unit[:1]), unit)
        )
        pairs = (size * (size - 1))[0]  # (windows,)
        means = (sums.square().sum(0) - size[0])[pairs > 0] / pairs[pairs > 0]
        similarities[r] = float(means.mean()) if len(means) else 1.0
    return similarities


def suggest_rate(similarities: Mapping[int, float], threshold: float) -> int:
    """Return the largest rate up to which all similarities reach the threshold; 1 is no sampling."""
    best = 1
    for rate, value in sorted(similarities.items()):
        if value < threshold:
            break
        best = rate
    return best
