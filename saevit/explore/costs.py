"""Partials of stages for whole arrays of choices, by the same formulas that count one variant (`count`).

A network's cost is a sum over stages, and a stage depends on the one before only through its channels. So a
table of (choice of the whole network's keys, channels of the stage before, choice of the stage) holds all.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saevit.count.cost import add_up, find_peak
from saevit.count.ops import describe_stage
from saevit.errors import OptionError
from saevit.explore import capacity
from saevit.explore.choices import PER_STAGE
from saevit.explore.space import Axis, Space
from saevit.variant import (
    KEYS,
    MAX_DEPTH,
    MAX_DIM,
    NUM_GROUPS,
    NUM_STAGES,
    Stage,
    VariantSpec,
    resolve_dim,
    resolve_stage,
)

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Digits = Mapping[str, Ints]  # by key: which of its choices

# Evaluated one setting at a time.
NUMBERS = ("key_dim", "kernel", "classes", "in_chans")
SWITCHES = (*NUMBERS, "attention", "sampling", "ffn", "local")
EXACT = 2**53  # up to here int64 and float64 say the same
BUDGET = 2**19  # entries of one table that are held at a time
MOST_ENTRIES = 2**22


def picked(axis: Axis, digits: Ints, stage: int | None = None) -> Any:
    """Return the choices that digits stand for; of a key with four values, those of a stage."""
    values = [
        value[stage] if isinstance(value, tuple) and stage is not None else value for value in axis.values
    ]
    return np.array(values)[digits]


class Evaluator:
    """Partials of a space's stages at one image size."""

    def __init__(self, space: Space, img_size: tuple[int, int], partials: Iterable[str]) -> None:
        self.space, self.img_size, self.partials = space, img_size, tuple(partials)
        self.axes = {axis.key: axis for axis in space.axes}
        self.own = [[a for a in space.axes if a.stage == i] for i in range(NUM_STAGES)]
        self.whole = [a for a in space.axes if a.stage is None]

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
        return resolve_dim(
            self.raw("dims", stage, digits), self.heads(stage, digits), self.scalar("width", digits)
        )

    def stem_dim(self, digits: Digits) -> Ints:
        """Return the channels inside the stem, `width` applied as `VariantSpec` does."""
        return resolve_dim(self.scalar("stem", digits), 1, self.scalar("width", digits))

    def sizes(self, stage: int, digits: Digits, switches: VariantSpec) -> tuple[Stage, Flags]:
        """Return one stage of all variants that digits stand for, in arrays, and which are networks."""
        sizes = {KEYS[key].field: self.raw(key, stage, digits) for key in PER_STAGE}
        sizes["num_heads"] = self.heads(stage, digits)
        width, depth = self.scalar("width", digits), self.scalar("depth", digits)
        found = resolve_stage(sizes, width=width, depth=depth, attention=switches.attention)
        divides = sizes["dims"] % found.num_heads == 0
        return found, divides & (found.dim <= MAX_DIM) & (found.depth <= MAX_DEPTH)

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
        stage, valid = self.sizes(i, digits, spec)
        in_dim = self.dim(i - 1, before) if i else self.stem_dim(digits)
        valid = valid & ((i > 0) | (in_dim <= MAX_DIM))
        sums = self.partials_of(i, spec, stage, in_dim)
        shape = np.broadcast_shapes(
            *(d.shape for d in (*digits.values(), *before.values(), np.zeros((1, 1, 1))))
        )
        found = {name: np.broadcast_to(np.asarray(value, np.int64), shape) for name, value in sums.items()}
        return found, np.broadcast_to(valid, shape), np.broadcast_to(stage.dim, shape)

    def partials_of(self, i: int, spec: VariantSpec, stage: Stage, in_dim: Any) -> dict[str, Any]:
        """Return the partials of one stage. Sizes may be ints.

        Args:
            i: the stage.
            spec: has the switches.
            stage: its sizes.
            in_dim: channels of the stage before; for the first stage, those inside the stem.
        """
        parts = describe_stage(spec, i, stage, in_dim, self.img_size)
        found: dict[str, Any] = {}
        name: Any
        for name in self.partials:
            if name == "traffic":
                folded = describe_stage(spec, i, stage, in_dim, self.img_size, "folded")
                found[name] = add_up(folded, "traffic")
            elif name == "logs":
                found[name] = capacity.sum_logs(parts)
            elif name == "layers":
                found[name] = capacity.count_layers(parts)
            elif name == "peak":
                found[name] = find_peak(parts)
            else:
                found[name] = add_up(parts, name)
        return found

    def check_exact(self) -> None:
        """Refuse a space whose largest variant has a partial, or a step on the way, beyond 2^53.

        Bounded in Python's unlimited integers: every stage with its largest sizes, each of its rates.

        Raises:
            OptionError: names the size of the largest partial.
        """
        largest = {KEYS[k].field: max(values_of(self, k)) for k in NUMBERS}
        spec = replace(self.space.base, **largest, sampling="adaptive", ffn="ciffn", local="dwsconv")
        width = max(1.0, *values_of(self, "width"))
        total, in_dim = 0, int(max(values_of(self, "stem")) * width) + 8
        for i in range(NUM_STAGES):
            dims, ratios, depths = (stage_values(self, key, i) for key in ("dims", "ratios", "depths"))
            follow = self.space.follows(i)
            heads = [self.space.heads_for(i, d) for d in dims] if follow else stage_values(self, "heads", i)
            rates = {*stage_values(self, "rates", i), *[1] * ("dense" in values_of(self, "attention"))}
            dim = int(max(dims) * width) + max(math.lcm(8, h) for h in heads)
            depth = int(max(depths) * max(1.0, *values_of(self, "depth"))) + 1
            sizes = {"dim": dim, "hidden_dim": int(dim * max(ratios)) + NUM_GROUPS, "num_heads": max(heads)}
            total += max(
                self.bound(i, spec, Stage(**sizes, rate=int(r), depth=depth, attn_blocks=depth), in_dim)
                for r in rates
            )
            in_dim = dim
        if total >= EXACT:
            raise OptionError(
                f"the largest variant of the space costs about {total:.2g}: at most 2^53 ({EXACT:.2g}) "
                "stay exact here; take smaller dims, width, depths, ratios or img_size"
            )

    def bound(self, i: int, spec: VariantSpec, stage: Stage, in_dim: int) -> int:
        """Return a number that no partial of a stage exceeds, nor any step on the way to it."""
        defined = describe_stage(spec, i, stage, in_dim, self.img_size)
        folded = describe_stage(spec, i, stage, in_dim, self.img_size, "folded")
        counts = [add_up(defined, name) for name in ("macs", "params", "activations", "elementwise")]
        return int(4 * sum(counts, add_up(folded, "traffic")))


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


def check_exact(space: Space, img_size: tuple[int, int]) -> None:
    """Refuse a space whose largest variant has a partial beyond 2^53."""
    Evaluator(space, img_size, ()).check_exact()
