"""Predicted latency: a fit over the times of the parts that a variant is built of.

    latency = a + b x (sum over the parts of their times) + c x (number of parts)

with a, b and c of 0 or more. Between two timed sizes, the time of a part is interpolated as a power of the
size. Parts whose channels are all multiples of 16 and other parts are interpolated separately. The sum is
computed stage by stage in whole nanoseconds, so that a search adds it up like MACs.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from saevit.explore.space import BLOCK
from saevit.variant import NUM_STAGES, Stage, VariantSpec

Floats = NDArray[np.float64]

NANO = 1e9
SHORTEST = 1e-8  # seconds of a part, after the time of an empty pass is subtracted
FIRST = {"stem": "stem", "downsample": "before"}  # first size of these kinds; of all others `channels`
SECOND = {"ffn": "hidden", "attention": "heads", "head": "classes"}  # and the second one
CHANNELS = ("stem", "before", "channels", "hidden")  # sizes that count channels
HEADS_SLACK = 2  # beyond the measured heads: they jump with the channels, and matter little
SETTINGS = {
    "stem": ("in_chans", "act"),
    "ffn": ("kernel", "act", "ffn", "local"),
    "attention": ("rate", "key_dim", "sampling"),
}


class PartGroup(NamedTuple):
    """Parts that differ only in two sizes: channels read, and channels written, hidden channels or heads."""

    kind: str
    stage: int  # from 0
    settings: tuple[tuple[str, Any], ...] = ()

    @property
    def sizes(self) -> tuple[str, str]:
        """Names of the two sizes."""
        return FIRST.get(self.kind, "channels"), SECOND.get(self.kind, "channels")


class LatencyPart(NamedTuple):
    """One part of a network, which is timed by itself."""

    group: PartGroup
    first: int
    second: int


class UsedPart(NamedTuple):
    """Parts of one stage with their sizes and their number; each may be an array, for many variants."""

    group: PartGroup
    first: Any
    second: Any
    times: Any = 1


def list_stage_parts(i: int, spec: VariantSpec, stage: Stage, in_dim: Any) -> list[UsedPart]:
    """Return the parts that a stage runs; arguments as of `count.ops.describe_stage`."""
    values = {name: getattr(spec, name) for name in ("act", "kernel", "ffn", "local", "key_dim", "sampling")}
    values["in_chans"] = spec.in_chans

    def list_parts(kind: str, first: Any, second: Any, times: Any = 1, **more: Any) -> Iterator[UsedPart]:
        chosen = {**values, **more}
        settings = tuple((name, chosen[name]) for name in SETTINGS.get(kind, ()))
        sizes = zip(PartGroup(kind, i).sizes, (first, second), strict=True)
        remainders = [np.asarray(size) % BLOCK for name, size in sizes if name in CHANNELS]
        is_whole = sum(remainders) == 0
        for multiple, has in ((BLOCK, is_whole), (1, ~is_whole)):
            if np.any(used := times * has):
                yield UsedPart(PartGroup(kind, i, (*settings, ("multiple", multiple))), first, second, used)

    parts = [*list_parts("downsample" if i else "stem", in_dim, stage.dim)]
    parts += list_parts("ffn", stage.dim, stage.hidden_dim, stage.depth)
    for rate in np.unique(stage.rate).tolist():
        times = stage.attn_blocks * (np.asarray(stage.rate) == rate)
        parts += list_parts("attention", stage.dim, stage.num_heads, times, rate=rate)
    if i == NUM_STAGES - 1:
        parts += list_parts("head", stage.dim, spec.num_classes)
    return parts


def list_variant_parts(spec: VariantSpec) -> list[UsedPart]:
    """Return the parts that a variant runs."""
    before = (spec.stem_dim, *(stage.dim for stage in spec.stages))
    return [
        part for i, stage in enumerate(spec.stages) for part in list_stage_parts(i, spec, stage, before[i])
    ]


Points = tuple[tuple[int, float], ...]  # second size, seconds of one part
Grid = tuple[tuple[int, Points], ...]  # first size, and what was measured with it


def make_grids(times: Mapping[LatencyPart, float]) -> tuple[tuple[PartGroup, Grid], ...]:
    """Sort the times of parts by group and sizes."""
    found: dict[PartGroup, dict[int, dict[int, float]]] = {}
    for part, seconds in times.items():
        found.setdefault(part.group, {}).setdefault(part.first, {})[part.second] = seconds
    return tuple(
        (group, tuple((first, tuple(sorted(points.items()))) for first, points in sorted(rows.items())))
        for group, rows in found.items()
    )


def interpolate(grid: Grid, first: Any, second: Any) -> Floats:
    """Return the time between measured sizes: a power of each size, continued beyond the ends."""
    x, y = np.broadcast_arrays(log_sizes(first), log_sizes(second))
    rows = [along([s for s, _ in points], [math.log(t) for _, t in points], y) for _, points in grid]
    return np.maximum(np.exp(along([size for size, _ in grid], rows, x)), SHORTEST)


def log_sizes(sizes: Any) -> Floats:
    """Return the logarithms of sizes, finite for 0 classes too."""
    return np.log(np.maximum(np.asarray(sizes, np.float64), 0.5))


def along(sizes: Sequence[int], ys: Sequence[Any], x: Floats) -> Floats:
    """Return the piecewise linear function through (log size, y) at x; each y is a number or like x."""
    if len(sizes) == 1:
        return np.broadcast_to(np.asarray(ys[0], np.float64), x.shape)
    xs = log_sizes(sizes)
    below = np.clip(np.searchsorted(xs, x, side="right") - 1, 0, len(xs) - 2)
    found = np.empty(x.shape)
    for k, (low, high) in enumerate(pairwise(xs)):
        here = below == k
        a, b = (y[here] if np.ndim(y) else y for y in (ys[k], ys[k + 1]))
        found[here] = a + (b - a) * (x[here] - low) / (high - low)
    return found


@dataclass(frozen=True)
class LatencyModel:
    """Times of parts and the coefficients of the fit, in seconds."""

    grids: tuple[tuple[PartGroup, Grid], ...]
    coefficients: tuple[float, ...]  # a, b, c

    @cached_property
    def grid_of(self) -> dict[PartGroup, Grid]:
        """The grid of each group."""
        return dict(self.grids)

    def predict_stage(self, i: int, spec: VariantSpec, stage: Stage, in_dim: Any) -> Any:
        """Return whole nanoseconds of a stage; 0 for sizes of a group without times (`check_covers`)."""
        used = [part for part in list_stage_parts(i, spec, stage, in_dim) if part.group in self.grid_of]
        a, b, c = self.coefficients
        seconds = b * sum_times(self.grid_of, used) + c * sum(part.times for part in used)
        return np.rint(NANO * (seconds + (a if i == 0 else 0))).astype(np.int64)

    def predict(self, spec: VariantSpec) -> float | None:
        """Return the latency of a variant in seconds; None if a part of it was not measured."""
        if not self.covers(list_variant_parts(spec)):
            return None
        before = (spec.stem_dim, *(stage.dim for stage in spec.stages))
        stages = enumerate(zip(spec.stages, before, strict=False))
        return float(sum(self.predict_stage(i, spec, stage, dim) for i, (stage, dim) in stages) / NANO)

    def covers(self, parts: Iterable[UsedPart]) -> bool:
        """Return whether the sizes of these parts are within those that were measured."""
        return not any(find_gap(self.grid_of, part) for part in parts)


def sum_times(grid_of: Mapping[PartGroup, Grid], used: Iterable[UsedPart]) -> Any:
    """Return the sum of the times of parts, in seconds."""
    return sum(p.times * interpolate(grid_of[p.group], p.first, p.second) for p in used)


def find_gap(grid_of: Mapping[PartGroup, Grid], part: UsedPart) -> str:
    """Return which size of a part lies outside of the measured ones, in words; empty if none does."""
    group, grid = part.group, grid_of.get(part.group)
    where = f"stage {group.stage + 1}, {group.kind}"
    if grid is None:
        given = ", ".join(f"{name}={value}" for name, value in group.settings)
        return f"{where}: nothing with {given}" if given else f"{where}: nothing"
    second = [x for _, points in grid for x, _ in points]
    for name, values, known in zip(
        group.sizes, (part.first, part.second), ([x for x, _ in grid], second), strict=True
    ):
        slack = HEADS_SLACK if name == "heads" else 1
        low, high = min(known) / slack, max(known) * slack
        if np.min(values) < low or np.max(values) > high:
            return f"{where}: {name} {np.min(values)} to {np.max(values)}, measured {low:g} to {high:g}"
    return ""


def fit_coefficients(
    grid_of: Mapping[PartGroup, Grid], specs: Sequence[VariantSpec], seconds: Floats
) -> tuple[float, ...]:
    """Return a, b, c of 0 or more with the least sum of squared relative errors."""
    from scipy.optimize import nnls

    found, _ = nnls(list_features(grid_of, specs) / seconds[:, None], np.ones(len(seconds)))
    return tuple(found.tolist())


def list_features(grid_of: Mapping[PartGroup, Grid], specs: Sequence[VariantSpec]) -> Floats:
    """Return 1, the sum of the times of the parts and their number, a row for each variant."""
    used = [list_variant_parts(spec) for spec in specs]
    return np.array([(1.0, float(sum_times(grid_of, u)), float(sum(p.times for p in u))) for u in used])
