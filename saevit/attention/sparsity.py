"""What one block's attention does, in numbers. Every number is of one head and one image.

| name | unit | meaning |
| --- | --- | --- |
| attention_entropy | nat | of a pixel's attention over the n keys; at most ln n |
| window_entropy | nat | of the window weights; at most ln of the window's pixels |
| distance | px | from a pixel to what it attends to, in pixels of the input |
| top_1, top_5, top_10 | share | of the effective attention that its strongest 1, 5, 10 % of the pixels hold |
| support | pixels | exp(entropy) of the effective attention: as many equally attended pixels |
| overlap | share | that two heads have in common, sum of the smaller of both, mean over the other heads |

Means are over pixels. `distance` and `top_*` need whole rows of E: over all pixels up to `MOST_QUERIES`, over
an even grid of them on larger maps.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from saevit.attention.layer import Layer

TOPS = {"top_1": 0.01, "top_5": 0.05, "top_10": 0.10}
MOST_QUERIES = 2**10
MOST_PRODUCTS = 2**25  # query pixels times pixels
CHUNK = 2**22  # elements of a row block


def statistics(layer: Layer) -> Mapping[str, Tensor]:
    """Return every number of the table above as (heads,)."""
    queries = query_grid(layer)
    return {
        **entropies(layer),
        "distance": distance(layer, queries),
        **top_masses(layer, queries),
        "overlap": overlap(layer),
    }


def query_grid(layer: Layer) -> Tensor:
    """Return the pixels over which row statistics are taken. (m,)."""
    most = min(MOST_QUERIES, MOST_PRODUCTS // layer.pixels)
    step = 1
    while -(-layer.height // step) * -(-layer.width // step) > most:
        step += 1
    rows = torch.arange((min(step, layer.height) - 1) // 2, layer.height, step)
    columns = torch.arange((min(step, layer.width) - 1) // 2, layer.width, step)
    return (rows[:, None] * layer.width + columns).flatten()


def entropies(layer: Layer) -> dict[str, Tensor]:
    """Return entropies and support. H(E_p) = H(P_p) + sum_w P[p, w] H(a_w): a splits each key's share."""
    G, heads, nq, nk = layer.scores.shape
    inside = (
        torch.zeros(G * nk).index_add_(0, layer.column, torch.special.entr(layer.weights)).view(G, 1, nk, 1)
    )
    asked = (layer.row_sizes / layer.pixels).view(G, 1, nq)
    attention, support = torch.zeros(heads), torch.zeros(heads)
    for groups, rows, P in layer.parts():
        own = torch.special.entr(P).sum(3)  # (groups, heads, rows)
        share = asked[groups, :, rows]
        attention += (own * share).sum((0, 2))
        support += ((own + (P @ inside[groups]).squeeze(3)).exp() * share).sum((0, 2))
    return {
        "attention_entropy": attention,
        "window_entropy": inside.mean().expand(heads),
        "support": support,
    }


def distance(layer: Layer, queries: Tensor) -> Tensor:
    """Return the mean distance in image pixels between a pixel and what it attends to. (heads,)."""
    down, across = layer.stride
    y = torch.arange(layer.height).repeat_interleave(layer.width) * down
    x = torch.arange(layer.width).repeat(layer.height) * across
    places = torch.stack([y, x], 1)  # (N, 2)
    G, heads, nq, nk = layer.scores.shape
    rows, which = torch.unique(layer.row[queries], return_inverse=True)
    apart = torch.zeros(G * nk, len(rows))  # summed over the pixels of a key and over those that ask by a row
    for part in torch.split(torch.arange(len(queries)), max(1, CHUNK // layer.pixels)):
        found = torch.cdist(places, places[queries[part]]) * layer.weights[:, None]  # (N, m)
        by_key = torch.zeros(G * nk, len(part)).index_add_(0, layer.column, found)
        apart.index_add_(1, which[part], by_key)
    total = torch.zeros(heads)
    for part, chosen in chunks(rows, heads * nk):
        P = layer.token_rows(any_pixel(layer)[chosen])  # (heads, m, nk)
        own = apart.view(G, nk, len(rows))[chosen // nq, :, part]  # (m, nk)
        total += (P * own).sum((1, 2))
    return total / len(queries)


def top_masses(layer: Layer, queries: Tensor) -> dict[str, Tensor]:
    """Return what the strongest pixels hold of a row of E. (heads,) each."""
    heads = layer.scores.shape[1]
    rows, counts = torch.unique(layer.row[queries], return_counts=True)
    wanted = {name: max(1, round(share * layer.pixels)) for name, share in TOPS.items()}
    totals = {name: torch.zeros(heads) for name in wanted}
    for part, chosen in chunks(rows, heads * layer.pixels):
        E = layer.rows(any_pixel(layer)[chosen])  # (heads, m, N)
        strongest = E.topk(max(wanted.values()), dim=2).values.cumsum(2)
        for name, count in wanted.items():
            totals[name] += strongest[:, :, count - 1] @ counts[part].float()
    return {name: total / len(queries) for name, total in totals.items()}


def overlap(layer: Layer) -> Tensor:
    """Return what each head's map has in common with the others': 1 is the same map, 0 disjoint. (heads,).

    Heads of one block share a, so the smaller of two rows of E sums to the smaller of two rows of P. NaN
    where there is one head.
    """
    G, heads, nq, _ = layer.scores.shape
    if heads == 1:
        return torch.full((1,), torch.nan)
    asked = (layer.row_sizes / layer.pixels).view(G, 1, nq)
    common = torch.zeros(heads, heads)
    for groups, rows, P in layer.parts():
        share = asked[groups, 0, rows]
        for i in range(heads):
            both = torch.minimum(P[:, i : i + 1], P).sum(3)  # (groups, heads, rows)
            common[i] += (both * share[:, None]).sum((0, 2))
    return (common.sum(1) - common.diagonal()) / (heads - 1)


def any_pixel(layer: Layer) -> Tensor:
    """Return one pixel that asks through each row. (G nq,)."""
    found = torch.zeros(len(layer.row_sizes), dtype=torch.long)
    found[layer.row] = torch.arange(layer.pixels)
    return found


def chunks(rows: Tensor, width: int) -> list[tuple[Tensor, Tensor]]:
    """Split rows so that each part times a width stays small: positions and rows."""
    parts = torch.split(torch.arange(len(rows)), max(1, CHUNK // width))
    return [(part, rows[part]) for part in parts]
