"""What was found in the attention of one network: maps of one image, and numbers over all images.

These are only data, without torch. Stages, blocks and heads count from 1. Maps are numpy arrays in fp32; a
pixel of a map covers `stride` pixels of the input, down and across.
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
    """A block with attention: which one it is, the size of its map, and how it samples."""

    stage: int
    number: int  # in its stage; blocks without attention count too
    path: str  # of the attention module
    height: int  # H
    width: int  # W
    stride: tuple[float, float]
    rate: int  # r: each key is made from r x r pixels
    sampling: str  # adaptive, mix, average, stride, reduction; none: every pixel is a key
    groups: int  # of tokens that attend to one another; 1 in SAEViT
    queries: int  # of a group
    keys: int  # of a group: as many as a pixel attends to

    @property
    def name(self) -> str:
        """Name the block as figures do."""
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
        """Return the share of the dense N x N scores that is never computed; in SAA 1 - (n/N)^2."""
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
    """The numbers of one head: for each of `METRICS` one value per image, NaN where it does not apply."""

    block: AttentionBlock
    head: int
    samples: Mapping[str, tuple[float, ...]]

    def mean(self, name: str) -> float:
        """Return the mean over images."""
        return fmean(self.samples[name])


@dataclass(frozen=True, kw_only=True)
class Redundancy:
    """How similar the pixels of a stage's input are, and the sampling rate that this suggests."""

    stage: int
    rate: int
    similarity: Mapping[int, tuple[float, ...]]  # by r: mean cosine similarity in r x r windows, per image
    threshold: float
    suggested: int  # the largest rate up to which the mean over images is not below the threshold


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """A section of the N x N matrix of a block, its m pixels ordered window by window; means over heads.

    `sampled` is the effective attention and `dense` the attention of the same block without sampling, both
    (m, m) and as multiples of the uniform share 1/N.
    """

    pixels: "ndarray"  # (m,) positions in the map, which is counted row by row
    window_starts: tuple[int, ...]  # where in the order a window begins
    scores: "ndarray"  # (k, 2) of each computed score: row and column of the middle of its pixel pairs
    sampled: "ndarray"
    dense: "ndarray | None"  # None: the network is no SAEViT


@dataclass(frozen=True, kw_only=True)
class BlockMaps:
    """The maps of one block for the image that is drawn."""

    block: AttentionBlock
    heads: tuple[int, ...]
    weights: "ndarray"  # (H, W) share of each pixel in the token of its window
    received: "ndarray"  # (heads, H, W) mean effective attention to each pixel; sums to one
    rows: "ndarray"  # (queries, heads, H, W) effective attention of each query pixel; sums to one
    attention: "ndarray | None"  # (groups, heads, queries, keys), n x n in SAA; None: too large to keep
    pattern: Pattern | None = None


@dataclass(frozen=True, kw_only=True)
class RolloutMap:
    """Which pixels of the first map make up the map after a block: (1 + queries, H, W), each sums to one.

    The first entry is for the average pixel of the block's map, the others are for the query pixels.
    """

    block: AttentionBlock
    stride: tuple[float, float]  # of the first map
    mass: "ndarray"


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A class, and the probability that the network gives it on the first image."""

    name: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class ClassMap:
    """Grad-CAM of one class at the end of a stage, (H, W): sums to 1; all 0 if no pixel raises the score."""

    of: Prediction
    stage: int
    stride: tuple[float, float]
    mass: "ndarray"


@dataclass(frozen=True, kw_only=True)
class QueryPixel:
    """A query pixel, x and y: in the image file, and in the network's input."""

    image: tuple[int, int]
    input: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Photo:
    """An image as the network sees it."""

    name: str
    size: tuple[int, int]  # width, height of the whole image, upright
    crop: tuple[float, float, float, float]  # left, top, right, bottom of the part that the network sees
    pixels: "ndarray"  # (H, W, 3) uint8 of the input
    notes: tuple[str, ...]  # conversions made while it was read


@dataclass(frozen=True, kw_only=True)
class Attention:
    """The attention of one network on one or several images; all maps are of the first image."""

    model: str
    weights: str  # "random weights, seed 0" or "weights of FILE"
    is_random: bool
    preparation: str  # how images become inputs
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
        """Return the maps that a figure shows: those that the user chose, or as many as fit."""
        if self.blocks_chosen:
            return self.maps
        return tuple(self.maps[i] for i in pick_typical([maps.block.stage for maps in self.maps]))

    @property
    def suggested_rates(self) -> str | None:
        """Return the suggested rates as `--rates` takes them; None if a stage has no suggestion."""
        if [r.stage for r in self.redundancy] != [1, 2, 3, 4]:
            return None
        return ",".join(str(r.suggested) for r in self.redundancy)


def effective_share(values: "ndarray") -> float:
    """Return the share of a map's pixels that, with equal values, would have its entropy; 1 is uniform."""
    import numpy as np

    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()) / values.size)


def pick_typical(stages: Sequence[int]) -> list[int]:
    """Return positions of blocks that fit one figure: the last of each stage, or four of a single stage."""
    last = {stage: i for i, stage in enumerate(stages)}
    if len(last) > 1:
        return list(last.values())
    count = min(len(stages), 4)
    return [(i + 1) * len(stages) // count - 1 for i in range(count)]
