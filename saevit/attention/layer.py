"""What one block's attention does between pixels, kept in factors so that no N x N matrix is needed.

N = H W pixels of the block's map. Attention runs in G groups of tokens (1 in SAEViT), nq queries and nk keys
in each: a pixel p asks through the query row(p), and a pixel i is read through the key column(i), of which it
makes up the share a[i]. With P the softmax over the keys of a group, what reaches p from i in a head is

    E[p, i] = P[row(p), column(i)] a[i]   where both are of one group, else 0.

In SAA row(p) and column(p) are p's window and a its weights; the projections' channel mixing and the
recovery's 3x3 are left aside. `sampling=mix` weighs each channel apart, and a is a mean over channels
(`capture.pixel_weights`). Rows of E sum to one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

LIMIT = 2**24  # elements of P that are held at once


class Scores(Protocol):
    """Attention before its softmax."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(G, heads, nq, nk)."""

    def part(self, groups: slice, rows: slice | Tensor) -> Tensor:
        """Return the scores of some groups and rows, fp32."""

    def of_heads(self, heads: list[int]) -> "Scores":
        """Keep some heads."""


@dataclass(frozen=True, kw_only=True)
class Products:
    """Scores as q k^T * scale + bias. q: (G, heads, nq, d); k: (G, heads, nk, d); bias broadcasts to both."""

    q: Tensor
    k: Tensor
    scale: float
    bias: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return *self.q.shape[:3], self.k.shape[2]

    def part(self, groups: slice, rows: slice | Tensor) -> Tensor:
        scores = (self.q[groups, :, rows].float() * self.scale) @ self.k[groups].float().transpose(2, 3)
        return scores if self.bias is None else scores + self.bias.expand(self.shape)[groups, :, rows]

    def of_heads(self, heads: list[int]) -> "Products":
        bias = None if self.bias is None else self.bias.expand(self.shape)[:, heads]
        return replace(self, q=self.q[:, heads], k=self.k[:, heads], bias=bias)


@dataclass(frozen=True, kw_only=True)
class Given:
    """Scores that the model itself wrote down, (G, heads, nq, nk)."""

    scores: Tensor

    @property
    def shape(self) -> tuple[int, int, int, int]:
        G, heads, nq, nk = self.scores.shape
        return G, heads, nq, nk

    def part(self, groups: slice, rows: slice | Tensor) -> Tensor:
        return self.scores[groups, :, rows].float()

    def of_heads(self, heads: list[int]) -> "Given":
        return Given(scores=self.scores[:, heads])


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One block's attention on one image. Stage, block and heads count from 1, as the command line does.

    Args:
        path: of the attention module.
        heads: which heads are kept.
        height, width: H and W.
        stride: image pixels in a pixel of the map, down and across.
        rate: r; a key stands for r x r pixels.
        sampling: adaptive, mix, average or stride; none where every pixel is a key.
        row, column: (N,) the query and the key of each pixel, of G nq and of G nk.
        weights: (N,) a.
        elsewhere: share of the attention that goes to tokens which are no pixels, class tokens; not in P.
        normed: (C, H, W) what qkv would see of every pixel, if it was asked for.
    """

    stage: int
    block: int
    path: str
    heads: tuple[int, ...]
    height: int
    width: int
    stride: tuple[float, float]
    rate: int
    sampling: str
    scores: Scores
    row: Tensor
    column: Tensor
    weights: Tensor
    elsewhere: float = 0.0
    normed: Tensor | None = None

    @property
    def pixels(self) -> int:
        """N."""
        return self.height * self.width

    @property
    def tokens(self) -> int:
        """n: keys, of all groups."""
        return self.scores.shape[0] * self.scores.shape[3]

    @property
    def sparsity(self) -> float:
        """Share of the dense N x N scores that is never computed; in SAA 1 - (n/N)^2."""
        G, _, nq, nk = self.scores.shape
        return 1 - G * nq * nk / self.pixels**2

    def of_heads(self, heads: tuple[int, ...]) -> "Layer":
        """Keep some of the heads, by their numbers."""
        where = [self.heads.index(head) for head in heads]
        return replace(self, heads=heads, scores=self.scores.of_heads(where))

    @cached_property
    def row_sizes(self) -> Tensor:
        """Pixels that ask through each query, (G nq,)."""
        G, _, nq, _ = self.scores.shape
        return torch.bincount(self.row, minlength=G * nq).float()

    def parts(self) -> Iterator[tuple[slice, slice, Tensor]]:
        """Yield groups, rows and P of them, (groups, heads, rows, nk), as much at once as `LIMIT` allows."""
        G, heads, nq, nk = self.scores.shape
        rows = min(nq, max(1, LIMIT // (heads * nk)))
        groups = max(1, LIMIT // (heads * nk * rows)) if rows == nq else 1
        for g in range(0, G, groups):
            for r in range(0, nq, rows):
                where = slice(g, min(g + groups, G)), slice(r, min(r + rows, nq))
                yield *where, self.scores.part(*where).softmax(3)

    def attention(self) -> Tensor:
        """Return P of every group, (G, heads, nq, nk): n x n in SAA. Large where nothing is sampled."""
        return self.scores.part(slice(None), slice(None)).softmax(3)

    def token_rows(self, pixels: Tensor) -> Tensor:
        """Return the rows of P that speak for some pixels. (m,) -> (heads, m, nk)."""
        _, heads, nq, nk = self.scores.shape
        groups, rows = self.row[pixels] // nq, self.row[pixels] % nq
        found = torch.empty(heads, len(pixels), nk)
        for g in torch.unique(groups).tolist():
            here = groups == g
            found[:, here] = self.scores.part(slice(g, g + 1), rows[here])[0].softmax(2)
        return found

    def rows(self, pixels: Tensor) -> Tensor:
        """Return the rows of E of some pixels. (m,) -> (heads, m, N); each row sums to one."""
        _, _, nq, nk = self.scores.shape
        found = self.token_rows(pixels)[:, :, self.column % nk] * self.weights
        if self.scores.shape[0] > 1:
            found *= (self.row[pixels] // nq)[:, None] == self.column // nk
        return found

    def effective(self) -> Tensor:
        """Return the whole of E, (heads, N, N): N^2 numbers a head, for small maps only."""
        return self.rows(torch.arange(self.pixels))

    def received(self) -> Tensor:
        """Return the mean row of E, what each pixel gives to an average one: (heads, N), sums to one."""
        G, heads, nq, nk = self.scores.shape
        asked = (self.row_sizes / self.pixels).view(G, 1, 1, nq)
        by_token = torch.zeros(heads, G, nk)
        for groups, rows, P in self.parts():
            by_token[:, groups] += (asked[groups, :, :, rows] @ P).squeeze(2).transpose(0, 1)
        return by_token.flatten(1)[:, self.column] * self.weights

    def carried(self, mass: Tensor) -> Tensor:
        """Return mass E, E being the mean over heads: what the pixels pass on. (m, N) -> (m, N)."""
        G, _, nq, nk = self.scores.shape
        asked = (
            mass.new_zeros(len(mass), G * nq).index_add_(1, self.row, mass).view(-1, G, nq).transpose(0, 1)
        )
        by_token = mass.new_zeros(G, len(mass), nk)
        for groups, rows, P in self.parts():
            by_token[groups] += asked[groups, :, rows] @ P.mean(1)
        return by_token.transpose(0, 1).flatten(1)[:, self.column] * self.weights
