"""The results on the attention of one network as dataclasses: maps of one image, and metrics of all images.

This module does not import torch. Stages, blocks and heads count from 1. Maps are NumPy arrays in fp32. A
pixel of a map covers `stride` (vertical, horizontal) pixels of the input.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from numpy import ndarray

MapView = Literal["overview", "query", "class", "pattern", "rollout"]
NumbersBy = Literal["stage", "block", "head"]  # rows of a table
METRICS = {  # name: unit
    "attention_entropy": "nat",
    "window_entropy": "nat",
    "distance": "px",
    "top_1": "share",
    "top_5": "share",
    "top_10": "share",
    "support": "pixels",
    "overlap": "share",
    "drawn": "x uniform",
}


@dataclass(frozen=True, kw_only=True)
class AttentionBlock:
    """A block with attention: its position in the network, the size of its map, and its sampling."""

    stage: int
    number: int  # in its stage, including blocks without attention
    path: str  # of the attention module
    height: int  # H
    width: int  # W
    stride: tuple[float, float]
    rate: int  # r: each key is made from r x r pixels
    sampling: str  # adaptive, mix, average, stride, reduction; none: every pixel is a key
    groups: int  # groups of tokens with separate attention; 1 in SAEViT
    queries: int  # per group
    keys: int  # per group

    @property
    def name(self) -> str:
        """Return the name of the block in figures."""
        return f"stage {self.stage}, block {self.number}"

    @property
    def pixels(self) -> int:
        """Return N, the number of pixels of the map."""
        return self.height * self.width

    @property
    def tokens(self) -> int:
        """Return n, the number of keys in all groups."""
        return self.groups * self.keys

    @property
    def sparsity(self) -> float:
        """Return the share of the dense N x N scores that is not computed; in SAA 1 - (n/N)^2."""
        return 1 - self.groups * self.queries * self.keys / self.pixels**2

    @property
    def uniform_distance(self) -> float:
        """Return the mean distance between two pixels of the map, in pixels of the input."""
        import numpy as np

        y, x = np.arange(self.height), np.arange(self.width)
        pairs = np.multiply.outer(self.height - y, self.width - x) * np.multiply.outer(
            1 + (y > 0), 1 + (x > 0)
        )
        distances = np.hypot.outer(y * self.stride[0], x * self.stride[1])
        return float((pairs * distances).sum() / self.pixels**2)


@dataclass(frozen=True, kw_only=True)
class HeadNumbers:
    """The metrics of one head: for each of `METRICS` one value per image; NaN if undefined."""

    block: AttentionBlock
    head: int
    samples: Mapping[str, tuple[float, ...]]

    def mean(self, name: str) -> float:
        """Return the mean over images."""
        return fmean(self.samples[name])


@dataclass(frozen=True, kw_only=True)
class Redundancy:
    """The similarity of neighbouring pixels in a stage's input, and the sampling rate that it suggests."""

    stage: int
    rate: int
    similarity: Mapping[int, tuple[float, ...]]  # by r: mean cosine similarity in r x r windows, per image
    threshold: float
    suggested: int  # largest rate up to which the mean similarity over images reaches the threshold


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """A section of the N x N attention matrix of a block: m pixels sorted by window, mean over heads.

    `sampled` is the effective attention, and `dense` is the attention of the same block without sampling.
    Both are (m, m) and multiples of the uniform share 1/N.
    """

    pixels: "ndarray"  # (m,) indices of pixels in the flattened map
    window_starts: tuple[int, ...]  # positions in `pixels` where a window begins
    scores: "ndarray"  # (k, 2) row and column of each computed score: the centre of its pixel pairs
    sampled: "ndarray"
    dense: "ndarray | None"  # None if the network is not a SAEViT


@dataclass(frozen=True, kw_only=True)
class BlockMaps:
    """The maps of one block for the first image."""

    block: AttentionBlock
    heads: tuple[int, ...]
    weights: "ndarray"  # (H, W) share of each pixel in the token of its window
    received: "ndarray"  # (heads, H, W) mean effective attention to each pixel; sums to one
    rows: "ndarray"  # (queries, heads, H, W) effective attention of each query pixel; sums to one
    attention: "ndarray | None"  # (groups, heads, queries, keys), n x n in SAA; None if too large
    pattern: Pattern | None = None


@dataclass(frozen=True, kw_only=True)
class RolloutMap:
    """The share of each pixel of the first map in the map after a block: (1 + queries, H, W), with sums of 1.

    The first entry is for the mean over all pixels of the block's map, the others are for the query pixels.
    """

    block: AttentionBlock
    stride: tuple[float, float]  # of the first map
    mass: "ndarray"


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A class with its predicted probability on the first image."""

    name: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class ClassMap:
    """Grad-CAM of one class at the end of a stage: (H, W) with the sum 1, or 0 if no value is positive."""

    of: Prediction
    stage: int
    stride: tuple[float, float]
    mass: "ndarray"


@dataclass(frozen=True, kw_only=True)
class QueryPixel:
    """The coordinates (x, y) of a query pixel in the image file and in the network's input."""

    image: tuple[int, int]
    input: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Photo:
    """An image and the part of it that is the input of the network."""

    name: str
    size: tuple[int, int]  # width, height of the upright image
    crop: tuple[float, float, float, float]  # left, top, right, bottom of the input in the image
    pixels: "ndarray"  # the input, (H, W, 3) uint8
    notes: tuple[str, ...]  # conversions during reading


@dataclass(frozen=True, kw_only=True)
class Attention:
    """The attention of one network on one or several images; all maps are of the first image."""

    model: str
    weights: str  # "random weights, seed 0" or "weights of FILE"
    is_random: bool
    preparation: str  # the preprocessing in words
    img_size: tuple[int, int]
    photo: Photo
    queries: tuple[QueryPixel, ...]
    maps: tuple[BlockMaps, ...]
    rollout: tuple[RolloutMap, ...]
    predictions: tuple[Prediction, ...] = ()  # the most probable classes of the first image
    class_maps: tuple[ClassMap, ...] = ()
    images: tuple[str, ...] = ()
    numbers: tuple[HeadNumbers, ...] = ()
    redundancy: tuple[Redundancy, ...] = ()
    blocks_chosen: bool = False  # by the user
    heads_chosen: bool = False
    failures: tuple[str, ...] = ()  # images that could not be read, with the reason
    left_out: tuple[str, ...] = ()  # blocks that cannot be shown, with the reason
    notes: tuple[str, ...] = ()

    @property
    def shown_maps(self) -> tuple[BlockMaps, ...]:
        """Return the maps for a figure: of the chosen blocks, or of typical blocks (`pick_typical`)."""
        if self.blocks_chosen:
            return self.maps
        return tuple(self.maps[i] for i in pick_typical([maps.block.stage for maps in self.maps]))

    @property
    def suggested_rates(self) -> str | None:
        """Return the suggested rates in the form of `--rates`; None if a stage has no suggestion."""
        if [r.stage for r in self.redundancy] != [1, 2, 3, 4]:
            return None
        return ",".join(str(r.suggested) for r in self.redundancy)


def effective_share(values: "ndarray") -> float:
    """Return exp(entropy) of a map divided by its number of pixels; 1 is uniform."""
    import numpy as np

    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()) / values.size)


def pick_typical(stages: Sequence[int]) -> list[int]:
    """Return the indices of blocks for a figure: the last of each stage, or four of a single stage."""
    last = {stage: i for i, stage in enumerate(stages)}
    if len(last) > 1:
        return list(last.values())
    count = min(len(stages), 4)
    return [(i + 1) * len(stages) // count - 1 for i in range(count)]
