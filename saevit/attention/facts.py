"""What was seen of one network's attention: maps of one image, numbers over all images.

Only data. Stages, blocks and heads count from 1. Maps are numpy arrays, fp32; a map's pixel covers `stride`
pixels of the input, down and across.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import ndarray

METRICS = {  # name: unit
    "attention_entropy": "nat",
    "window_entropy": "nat",
    "distance": "px",
    "top_1": "share",
    "top_5": "share",
    "top_10": "share",
    "support": "pixels",
    "overlap": "share",
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """A block with attention: where it is and how it samples."""

    stage: int
    block: int
    path: str
    height: int
    width: int
    stride: tuple[float, float]
    rate: int  # r
    sampling: str  # adaptive, mix, average, stride; none: every pixel is a key
    tokens: int  # n, of all groups
    keys: int  # that a pixel attends to: n, or the tokens of its group
    sparsity: float  # share of the dense N x N scores that is never computed

    @property
    def pixels(self) -> int:
        """N."""
        return self.height * self.width


@dataclass(frozen=True, kw_only=True)
class HeadNumbers:
    """One head in numbers; each of `METRICS` has one value an image, nan where it does not apply."""

    place: Place
    head: int
    samples: Mapping[str, tuple[float, ...]]

    def mean(self, name: str) -> float:
        """Return the mean over images."""
        return fmean(self.samples[name])


@dataclass(frozen=True, kw_only=True)
class Redundancy:
    """How alike the pixels of a stage's input are.

    `similarity` is, for each rate, the mean cosine similarity of two pixels of one r x r window, a value an
    image.
    """

    stage: int
    rate: int
    similarity: Mapping[int, tuple[float, ...]]
    threshold: float
    suggested: int  # the largest rate up to which the mean over images stays at the threshold or above


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """A section of the N x N matrix, its pixels ordered window by window: (m, m) arrays.

    `scores` are those that exist, (k, 2): row and column of the middle of the pixel pairs that each stands
    for; `sampled` and `dense` are the effective attention and the attention of the same block without
    sampling, mean over heads, as multiples of the uniform share 1/N.
    """

    pixels: "ndarray"  # (m,) of the map, row by row
    window_starts: tuple[int, ...]  # where in the order a window begins
    scores: "ndarray"
    sampled: "ndarray"
    dense: "ndarray | None"  # None: there is no other


@dataclass(frozen=True, kw_only=True)
class BlockMaps:
    """One block's attention on the image that is drawn."""

    place: Place
    heads: tuple[int, ...]
    weights: "ndarray"  # (H, W) share of each pixel in its window's token
    received: "ndarray"  # (heads, H, W) mean effective attention on each pixel, sums to one
    rows: "ndarray"  # (queries, heads, H, W) effective attention of the pixel asked for, sums to one
    attention: "ndarray | None"  # (groups, heads, queries, keys), n x n in SAA; None: too large to keep
    pattern: Pattern | None = None


@dataclass(frozen=True, kw_only=True)
class RolloutMap:
    """What the map after a block is made of, in pixels of the first map: (starts, H, W), each sums to one.

    The first start is the average pixel of the block's map; the others are the queries.
    """

    place: Place  # up to this block
    stride: tuple[float, float]  # of the first map
    mass: "ndarray"


@dataclass(frozen=True, kw_only=True)
class Query:
    """A pixel that was asked for, in the image as given and in the network's input."""

    image: tuple[int, int]  # x, y
    input: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Photo:
    """The image that is drawn, as the network saw it."""

    name: str
    size: tuple[int, int]  # width, height as given, upright
    crop: tuple[float, float, float, float]  # left, top, right, bottom of what the network saw
    pixels: "ndarray"  # (H, W, 3) uint8 of the input
    notes: tuple[str, ...]  # what was done to read it


@dataclass(frozen=True, kw_only=True)
class Attention:
    """One network on one or several images."""

    model: str
    weights: str  # where the weights are from: "random weights, seed 0" or a file's name
    is_random: bool
    preparation: str  # how images become inputs
    img_size: tuple[int, int]
    images: tuple[str, ...]
    photo: Photo  # the first image
    queries: tuple[Query, ...]
    blocks: tuple[BlockMaps, ...]  # of the first image
    rollout: tuple[RolloutMap, ...]
    numbers: tuple[HeadNumbers, ...]
    redundancy: tuple[Redundancy, ...]
    blocks_chosen: bool = False  # by the user
    heads_chosen: bool = False
    failures: tuple[str, ...] = ()  # images that could not be read, and why
    notes: tuple[str, ...] = ()

    @property
    def suggested_sparsity(self) -> str | None:
        """Return the rates that the redundancy suggests, as `--sparsity` takes them; None: stages lack."""
        if [r.stage for r in self.redundancy] != [1, 2, 3, 4]:
            return None
        return ",".join(str(r.suggested) for r in self.redundancy)


def typical(stages: Sequence[int], most: int = 4) -> list[int]:
    """Return which of some blocks fit one figure: each stage's last; of a single stage, some evenly apart.

    Args:
        stages: the stage of each block, in order.
        most: blocks of a single stage.
    """
    last = {stage: i for i, stage in enumerate(stages)}
    if len(last) > 1 or len(stages) <= most:
        return list(last.values()) if len(last) > 1 else list(range(len(stages)))
    return [(i + 1) * len(stages) // most - 1 for i in range(most)]
