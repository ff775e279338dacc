"""Partials of stages for whole arrays of choices, by the same formulas that count one variant (`count`).

A network's cost is a sum over stages, and a stage depends on the one before only through its channels. So a
table of (choice of the whole network's keys, channels of the stage before, choice of the stage) holds all.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saevit.count import analytic, memory, traffic
from saevit.count.analytic import half, stem_size
from saevit.errors import OptionError
from saevit.explore import capacity
from saevit.explore.choices import PER_STAGE
from saevit.explore.space import Axis, Space
from saevit.parse import KEYS
from saevit.spec import MAX_DEPTH, MAX_DIM, NUM_STAGES, Stage, VariantSpec

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Digits = Mapping[str, Ints]  # by key: which of its choices

SWITCHES = ("attention", "sampling", "ffn", "local", "classes", "in_chans")  # evaluated one setting at a time
EXACT = 2**53  # up to here int64 and float64 say the same
BUDGET = 2**19  # entries of one table that are held at a time
MOST_ENTRIES = 2**22


def rounded(values: Any, multiple: Any) -> Ints:
    """`spec.rounded` for arrays: the nearest positive multiple, halves up."""
    return np.maximum(multiple, (values / multiple + 0.5).astype(np.int64) * multiple)


def picked(axis: Axis, digits: Ints, stage: int | None = None) -> Any:
    """Return the choices that digits stand for; of a key with four values, those of a stage."""
    values = [
        value[stage] if isinstance(value, tuple) and stage is not None else value for value in axis.values
    ]
    return np.array(values)[digits]


@dataclass(frozen=True, kw_only=True)
class Fields:
    """One stage of many variants, every multiplier applied. Arrays that broadcast."""

    dim: Ints
    hidden_dim: Ints
    rate: Ints
    depth: Ints
    attending: Ints
    first: Ints  # 1 where the first block carries attention
    valid: Flags

    @property
    def stage(self) -> Stage:
        """The sizes as the formulas take them; they do not look at what has no cost."""
        sizes: dict[str, Any] = {"dim": self.dim, "hidden_dim": self.hidden_dim, "rate": self.rate}
        return Stage(num_heads=1, attends=(), **sizes)


class Evaluator:
    """Partials of a space's stages at one image size."""

    def __init__(self, space: Space, img_size: tuple[int, int], partials: Iterable[str]) -> None:
        self.space, self.img_size, self.partials = space, img_size, tuple(partials)
        self.axes = {axis.key: axis for axis in space.axes}
        self.own = [[a for a in space.axes if a.stage == i] for i in range(NUM_STAGES)]
        self.whole = [a for a in space.axes if a.stage is None]
        H, W = stem_size(img_size)
        self.sizes = [(H, W)]
        for _ in range(NUM_STAGES - 1):
            H, W = half(H), half(W)
            self.sizes.append((H, W))

    def raw(self, key: str, stage: int, digits: Digits) -> Any:
        """Return a stage's value of a key that has one for each stage, before multipliers."""
        for name in (f"{key}{stage + 1}", key):
            if name in self.axes:
                return picked(self.axes[name], digits[name], stage)
        return np.array(getattr(self.space.base, KEYS[key].field)[stage])

    def scalar(self, key: str, digits: Digits) -> Any:
        """Return the value of a key of the whole network."""
        if key in self.axes:
            return picked(self.axes[key], digits[key])
        return np.array(getattr(self.space.base, KEYS[key].field))

    def heads(self, stage: int, digits: Digits) -> Any:
        """Return the heads of a stage, given or following its channels."""
        if not self.space.follows(stage):
            return self.raw("heads", stage, digits)
        name = f"dims{stage + 1}" if f"dims{stage + 1}" in self.axes else "dims"
        dims = [v[stage] if isinstance(v, tuple) else v for v in self.axes[name].values]
        return np.array([self.space.heads_for(stage, dim) for dim in dims])[digits[name]]

    def dim(self, stage: int, digits: Digits) -> Ints:
        """Return a stage's channels, `width` applied as `VariantSpec` does."""
        dims, width = self.raw("dims", stage, digits), self.scalar("width", digits)
        multiple = np.lcm(8, self.heads(stage, digits))
        return np.where(width == 1, dims, rounded(dims * width, multiple))

    def fields(self, stage: int, digits: Digits, switches: VariantSpec) -> Fields:
        """Return one stage of all variants that digits stand for."""
        dim = self.dim(stage, digits)
        raw_dims, raw_depths = self.raw("dims", stage, digits), self.raw("depths", stage, digits)
        depth = rounded(raw_depths * self.scalar("depth", digits), 1)
        every = self.scalar("attn_every", digits)
        has_attention = switches.attention != "none"
        rate = self.raw("rates", stage, digits)
        valid = (raw_dims % self.heads(stage, digits) == 0) & (dim <= MAX_DIM) & (depth <= MAX_DEPTH)
        return Fields(
            dim=dim,
            hidden_dim=rounded(dim * self.raw("ratios", stage, digits), 8),
            rate=rate * 0 + 1 if switches.attention == "dense" else rate,
            depth=depth,
            attending=-(-depth // every) * has_attention,
            first=((depth - 1) % every == 0) * has_attention,
            valid=valid,
        )

    def switched(self, setting: tuple[Any, ...]) -> VariantSpec:
        """Return the base variant with one setting of the switches."""
        return replace(self.space.base, **{KEYS[k].field: v for k, v in zip(SWITCHES, setting, strict=True)})

    def stage(self, i: int, digits: Digits, before: Digits) -> tuple[dict[str, Ints], Flags, Ints]:
        """Return partials, validity and channels of stage i.

        All digits broadcast to one shape, of which only the first axis varies with the whole network's keys.

        Args:
            i: the stage; the first one includes the stem, the last one the head.
            digits: of the whole network's keys and the stage's own.
            before: the same of the stage before; its channels matter.
        """
        settings = [axis for key in SWITCHES if (axis := self.axes.get(key))]
        if not settings:
            base = tuple(getattr(self.space.base, KEYS[key].field) for key in SWITCHES)
            return self.stage_of(i, digits, before, self.switched(base))
        return self.stage_by_setting(i, digits, before, settings)

    def stage_by_setting(
        self, i: int, digits: Digits, before: Digits, axes: list[Axis]
    ) -> tuple[dict[str, Ints], Flags, Ints]:
        """Evaluate one setting of the switches after the other, and put the parts together."""
        code = np.zeros((), dtype=np.int64)
        for axis in axes:
            code = code * len(axis.values) + digits[axis.key]
        code = code.reshape(len(code), -1)[:, 0]
        parts = []
        for value in (found := np.unique(code)).tolist():
            rows = np.flatnonzero(code == value)
            mine, theirs = (
                {k: d[rows] if len(d) == len(code) > 1 else d for k, d in each.items()}
                for each in (digits, before)
            )
            setting = tuple(
                self.axes[key].values[int(digits[key].reshape(-1)[rows[0]])]
                if key in self.axes
                else getattr(self.space.base, KEYS[key].field)
                for key in SWITCHES
            )
            parts.append((rows, self.stage_of(i, mine, theirs, self.switched(setting))))
        if len(found) == 1:
            return parts[0][1]
        shape = np.broadcast_shapes(*(d.shape for d in (*digits.values(), *before.values())))
        return merged(parts, shape)

    def stage_of(
        self, i: int, digits: Digits, before: Digits, spec: VariantSpec
    ) -> tuple[dict[str, Ints], Flags, Ints]:
        """Evaluate the formulas on one setting of the switches."""
        fields = self.fields(i, digits, spec)
        in_dim = self.dim(i - 1, before) if i else None
        sums = self.partials_of(i, spec, fields, in_dim)
        shape = np.broadcast_shapes(
            *(d.shape for d in (*digits.values(), *before.values(), np.zeros((1, 1, 1))))
        )
        found = {name: np.broadcast_to(np.asarray(value, np.int64), shape) for name, value in sums.items()}
        return found, np.broadcast_to(fields.valid, shape), np.broadcast_to(fields.dim, shape)

    def partials_of(self, i: int, spec: VariantSpec, f: Fields, in_dim: Any) -> dict[str, Any]:
        """Return the partials of one stage; in_dim is None for the first. Sizes may be ints."""
        H, W = self.sizes[i]
        stage, number = f.stage, {"depth": f.depth, "attending": f.attending}
        is_last = i == NUM_STAGES - 1
        mid_dim = np.maximum(1, f.dim // 2)
        found: dict[str, Any] = {}
        if {"macs", "params", "activations"} & set(self.partials):
            cost = analytic.blocks(spec, stage, H, W, **number)
            if in_dim is None:
                cost += analytic.add_up(analytic.stem(spec.in_chans, mid_dim, f.dim, self.img_size))
            else:
                cost += analytic.add_up(analytic.downsample(in_dim, f.dim, H * W))
            if is_last:
                cost += analytic.add_up(analytic.head(f.dim, spec.num_classes, H * W))
            found |= {"macs": cost.macs, "params": cost.params, "activations": cost.activations}
        if "traffic" in self.partials:
            moved = traffic.blocks(spec, stage, H, W, **number)
            if in_dim is None:
                moved = moved + traffic.stem(spec.in_chans, mid_dim, f.dim, self.img_size)
            else:
                moved = moved + traffic.downsample(in_dim, f.dim, math.prod(self.sizes[i - 1]), H * W)
            found["traffic"] = moved + (traffic.head(f.dim, spec.num_classes, H * W) if is_last else 0)
        if "logs" in self.partials:
            before = capacity.stem(spec.in_chans, mid_dim) if in_dim is None else capacity.downsample(in_dim)
            found["logs"] = capacity.blocks(spec, stage, **number) + before
        if "layers" in self.partials:
            extra = capacity.STEM_LAYERS if in_dim is None else capacity.DOWNSAMPLE_LAYERS
            found["layers"] = capacity.block_layers(spec, **number) + extra
        if "peak" in self.partials:
            found["peak"] = self.peak_of(i, spec, f, in_dim)
        return {name: found[name] for name in self.partials}

    def peak_of(self, i: int, spec: VariantSpec, f: Fields, in_dim: Any) -> Any:
        """Return the most elements alive while one stage runs, and before or after it at the ends."""
        H, W = self.sizes[i]
        image = spec.in_chans * math.prod(self.img_size)
        inside = memory.stage_peak(
            spec, f.stage, H, W, downsamples=i > 0, depth=f.depth, attending=f.attending, first=f.first
        )
        held = f.dim * H * W if in_dim is None else in_dim * math.prod(self.sizes[i - 1])
        peaks = [image + held + inside]
        if in_dim is None:
            peaks.append(image + memory.stem_peak(np.maximum(1, f.dim // 2), f.dim, self.img_size))
        if i == NUM_STAGES - 1:
            peaks.append(image + memory.head_peak(f.dim, spec.num_classes, H * W))
        return memory.largest(*peaks)

    def check_exact(self) -> None:
        """Refuse a space whose largest variant has a partial, or a step on the way, beyond 2^53.

        Bounded in Python's unlimited integers: every stage with its largest sizes, each of its rates.

        Raises:
            OptionError: names the size of the largest partial.
        """
        settings = {key: values_of(self, key) for key in ("attention", "sampling", "ffn", "local")}
        spec = replace(
            self.space.base,
            num_classes=max(values_of(self, "classes")),
            in_chans=max(values_of(self, "in_chans")),
            sampling="adaptive",
            ffn="ciffn",
            local="dwsconv",
        )
        total, in_dim = 0, None
        for i in range(NUM_STAGES):
            dims, ratios, depths = (stage_values(self, key, i) for key in ("dims", "ratios", "depths"))
            heads = max(stage_values(self, "heads", i)) if not self.space.follows(i) else 1
            top = math.lcm(8, heads) if heads <= MAX_DIM else 8
            dim = int(max(dims) * max(1.0, *values_of(self, "width"))) + top
            depth = int(max(depths) * max(1.0, *values_of(self, "depth"))) + 1
            rates = {*stage_values(self, "rates", i), *([1] if "dense" in settings["attention"] else [])}
            hidden = int(dim * max(ratios)) + 8
            total += max(self.bound(i, spec, dim, hidden, int(rate), depth, in_dim) for rate in rates)
            in_dim = dim
        if total >= EXACT:
            raise OptionError(
                f"the largest variant of the space costs about {total:.2g}: at most 2^53 ({EXACT:.2g}) "
                "stay exact here; take smaller dims, width, depths, ratios or img_size"
            )

    def bound(
        self, i: int, spec: VariantSpec, dim: int, hidden: int, rate: int, depth: int, in_dim: int | None
    ) -> int:
        """Return a number that no partial of a stage exceeds, nor any step on the way to it."""
        H, W = self.sizes[i]
        stage = Stage(dim=dim, hidden_dim=hidden, num_heads=1, rate=rate, attends=())
        cost = analytic.blocks(spec, stage, H, W, depth=depth, attending=depth)
        ends = analytic.add_up(analytic.stem(spec.in_chans, dim, dim, self.img_size))
        ends += analytic.add_up(analytic.downsample(in_dim or dim, dim, H * W))
        ends += analytic.add_up(analytic.head(dim, spec.num_classes, H * W))
        both = cost + ends
        moved = traffic.blocks(spec, stage, H, W, depth=depth, attending=depth) + traffic.stem(
            spec.in_chans, dim, dim, self.img_size
        )
        return int(4 * (both.macs + both.params + both.activations + both.elementwise + moved))


def values_of(evaluator: Evaluator, key: str) -> tuple[Any, ...]:
    """Return all values that a key of the whole network takes in a space."""
    if key in evaluator.axes:
        return evaluator.axes[key].values
    return (getattr(evaluator.space.base, KEYS[key].field),)


def stage_values(evaluator: Evaluator, key: str, stage: int) -> tuple[Any, ...]:
    """Return all values that a stage takes of a key with one for each."""
    assert key in PER_STAGE
    if f"{key}{stage + 1}" in evaluator.axes:
        return evaluator.axes[f"{key}{stage + 1}"].values
    return tuple(value[stage] for value in values_of(evaluator, key))


def merged(
    parts: list[tuple[Any, tuple[dict[str, Ints], Flags, Ints]]], shape: tuple[int, ...]
) -> tuple[dict[str, Ints], Flags, Ints]:
    """Put parts of the first axis together."""
    sums = {name: np.empty(shape, dtype=np.int64) for name in parts[0][1][0]}
    valid, dim = np.empty(shape, dtype=np.bool_), np.empty(shape, dtype=np.int64)
    for rows, (part, part_valid, part_dim) in parts:
        for name, values in part.items():
            sums[name][rows] = values
        valid[rows], dim[rows] = part_valid, part_dim
    return sums, valid, dim
