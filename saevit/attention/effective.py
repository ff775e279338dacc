"""Effective attention between the pixels of a block's map, stored as factors instead of an N x N matrix.

A map has N = H W pixels. Attention runs in G groups of tokens (1 in SAEViT), of nq queries and nk keys each.
Pixel p has the query row(p). Pixel i belongs to the key column(i) with the weight a[i]; the weights of a key
sum to one. With P the softmax over the keys of a group, the attention of p to i in one head is

    E[p, i] = P[row(p), column(i)] a[i]   if both are in one group, else 0.

Rows of E sum to one. In SAA row(p) and column(p) are the window of p, and a holds the window weights. The
mixing of channels by the projections and the 3x3 kernel of the recovery are left out. `sampling=mix` weighs
each channel separately; there a is a mean over channels (`tokens.compute_window_weights`).
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from saevit.attention.findings import AttentionBlock

LIMIT = 2**24  # maximum number of elements of P in memory
ALL = slice(None)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Attention before its softmax: q k^T * scale + bias.

    q is (G, heads, nq, d), k is (G, heads, nk, d), and bias broadcasts to (G, heads, nq, nk). Scores that a
    module computes itself are stored as bias, with d = 0 channels in q and k.
    """

    q: Tensor
    k: Tensor
    scale: float = 1.0
    bias: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Return (G, heads, nq, nk)."""
        return *self.q.shape[:3], self.k.shape[2]

    def softmax(self, groups: slice = ALL, rows: slice | Tensor = ALL) -> Tensor:
        """Return P of some groups and rows in fp32, (groups, heads, rows, nk)."""
        scores = (self.q[groups, :, rows].float() * self.scale) @ self.k[groups].float().transpose(2, 3)
        if self.bias is not None:
            scores = scores + self.bias.expand(self.shape)[groups, :, rows]
        return scores.softmax(3)

    def select(self, heads: list[int] | slice = ALL, first_token: int = 0) -> "Scores":
        """Return the scores of some heads, without the queries and keys before `first_token`."""
        tokens = slice(first_token, None)
        bias = None if self.bias is None else self.bias.expand(self.shape)[:, heads, tokens, tokens]
        return replace(self, q=self.q[:, heads, tokens], k=self.k[:, heads, tokens], bias=bias)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """The attention of one block on one image.

    Args:
        block: the block and its map.
        heads: numbers of the heads, from 1.
        scores: the scores of these heads.
        row, column: (N,) the query and the key of each pixel, counted over all groups.
        weights: (N,) the weight a of each pixel in its key.
        outside: share of the attention to class tokens, which P does not include.
        features: (C, H, W) the input of the projection to q, k and v without sampling, if recorded.
    """

    block: AttentionBlock
    heads: tuple[int, ...]
    scores: Scores
    row: Tensor
    column: Tensor
    weights: Tensor
    outside: float = 0.0
    features: Tensor | None = None

    def select_heads(self, heads: Collection[int]) -> "Layer":
        """Return the layer with only the heads of these numbers."""
        kept = [i for i, head in enumerate(self.heads) if head in heads]
        return replace(self, heads=tuple(self.heads[i] for i in kept), scores=self.scores.select(kept))

    @cached_property
    def row_sizes(self) -> Tensor:
        """Return the number of pixels of each query, (G nq,)."""
        return torch.bincount(self.row, minlength=self.block.groups * self.block.queries).float()

    def parts(self) -> Iterator[tuple[slice, slice, Tensor]]:
        """Yield groups, rows and their P (groups, heads, rows, nk), in parts of at most `LIMIT` elements."""
        G, heads, nq, nk = self.scores.shape
        rows = min(nq, max(1, LIMIT // (heads * nk)))
        groups = max(1, LIMIT // (heads * nk * rows)) if rows == nq else 1
        for g in range(0, G, groups):
            for r in range(0, nq, rows):
                where = slice(g, min(g + groups, G)), slice(r, min(r + rows, nq))
                yield *where, self.scores.softmax(*where)

    def token_rows(self, pixels: Tensor) -> Tensor:
        """Return the rows of P for the queries of some pixels. (m,) -> (heads, m, nk)."""
        _, heads, nq, nk = self.scores.shape
        groups, rows = self.row[pixels] // nq, self.row[pixels] % nq
        P = torch.empty(heads, len(pixels), nk)
        for g in torch.unique(groups).tolist():
            here = groups == g
            P[:, here] = self.scores.softmax(slice(g, g + 1), rows[here])[0]
        return P

    def rows(self, pixels: Tensor) -> Tensor:
        """Return the rows of E for some pixels. (m,) -> (heads, m, N); each row sums to one."""
        _, _, nq, nk = self.scores.shape
        E = self.token_rows(pixels)[:, :, self.column % nk] * self.weights
        if self.block.groups > 1:
            E *= (self.row[pixels] // nq)[:, None] == self.column // nk
        return E

    def received(self) -> Tensor:
        """Return the mean row of E, the attention that each pixel receives: (heads, N), with the sum 1."""
        G, heads, nq, nk = self.scores.shape
        query_shares = (self.row_sizes / self.block.pixels).view(G, 1, 1, nq)
        by_token = torch.zeros(heads, G, nk)
        for groups, rows, P in self.parts():
            by_token[:, groups] += (query_shares[groups, :, :, rows] @ P).squeeze(2).transpose(0, 1)
        return by_token.flatten(1)[:, self.column] * self.weights

    def carry(self, mass: Tensor) -> Tensor:
        """Return mass @ E, where E is the mean over heads. (m, N) -> (m, N)."""
        G, _, nq, nk = self.scores.shape
        by_query = mass.new_zeros(len(mass), G * nq).index_add_(1, self.row, mass)
        query_shares = by_query.view(-1, G, nq).transpose(0, 1)
        by_token = mass.new_zeros(G, len(mass), nk)
        for groups, rows, P in self.parts():
            by_token[groups] += query_shares[groups, :, rows] @ P.mean(1)
        return by_token.transpose(0, 1).flatten(1)[:, self.column] * self.weights
