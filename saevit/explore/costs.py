"""Partials of whole arrays of variants, stage by stage, from the operations that also count one variant.

The cost of a network is a sum over its stages, and a stage depends on the stage before only through its
channels. So a table of (choice of the keys of the whole network, channels of the stage before, choice of the
stage) holds every cost, and a variant is the sum of four entries.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saevit.count.cost import add_up, find_peak
from saevit.count.ops import describe_stage
from saevit.errors import OptionError
from saevit.explore.capacity import count_layers, last_factor, sum_logs
from saevit.explore.latency_model import LatencyModel
from saevit.explore.question import Question
from saevit.explore.space import PER_STAGE, Axis, Space
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
Digits = Mapping[str, Ints]  # by key: the number of its choice

NUMBERS = ("key_dim", "kernel", "classes", "in_chans")
TEXTS = ("attention", "sampling", "ffn", "local", "act")
SETTINGS = (*NUMBERS, *TEXTS)  # keys that are evaluated one choice at a time
EXACT = 2**53  # up to here float64 holds every int64


class Evaluator:
    """Partials of the stages of a space at one image size; `latency` predicts the partial of that name."""

    def __init__(
        self,
        space: Space,
        img_size: tuple[int, int],
        partials: Iterable[str],
        latency: LatencyModel | None = None,
    ) -> None:
        self.space, self.img_size, self.partials, self.latency = space, img_size, tuple(partials), latency
        self.axes = {axis.key: axis for axis in space.axes}
        self.own = [[a for a in space.axes if a.stage == i] for i in range(NUM_STAGES)]
        self.whole = [a for a in space.axes if a.stage is None]

    def values(self, key: str, stage: int | None = None) -> tuple[Any, ...]:
        """Return the choices of a key of the whole network, or the choices of a stage."""
        if stage is not None and key == "heads" and self.space.follows(stage):
            return tuple(self.space.heads_for(stage, dim) for dim in self.values("dims", stage))
        if stage is not None and (own := self.axes.get(f"{key}{stage + 1}")):
            return own.values
        base = getattr(self.space.base, KEYS[key].field)
        values = self.axes[key].values if key in self.axes else (base,)
        return values if stage is None else tuple(value[stage] for value in values)

    def pick(self, key: str, digits: Digits, stage: int | None = None) -> Any:
        """Return the values of a key that digits stand for."""
        axis = "dims" if key == "heads" and stage is not None and self.space.follows(stage) else key
        if stage is not None and f"{axis}{stage + 1}" in self.axes:
            axis = f"{axis}{stage + 1}"
        values = np.array(self.values(key, stage))
        return values[digits[axis]] if axis in self.axes else values[0]

    def dim(self, stage: int, digits: Digits) -> Ints:
        """Return the channels of a stage."""
        dims, heads = self.pick("dims", digits, stage), self.pick("heads", digits, stage)
        return resolve_dim(dims, heads, self.pick("width", digits))

    def stage(self, i: int, digits: Digits, before: Digits) -> tuple[dict[str, Ints], Flags, Ints]:
        """Return partials, validity and channels of stage i, all of the shape to which the digits broadcast.

        Args:
            i: the stage; the first one includes the stem, the last one the head.
            digits: of the keys of the whole network, which vary along the first of three axes only, and of
                the keys of the stage.
            before: the same of the stage before; its channels matter.
        """
        shape = np.broadcast_shapes((1, 1, 1), *(d.shape for d in (*digits.values(), *before.values())))
        sums = {name: np.empty(shape, dtype=np.int64) for name in self.partials}
        valid, dim = np.empty(shape, dtype=np.bool_), np.empty(shape, dtype=np.int64)
        for rows, spec, stage, in_dim, is_valid in self.resolve(i, digits, before):
            valid[rows], dim[rows] = is_valid, stage.dim
            for name, values in self._count(i, spec, stage, in_dim).items():
                sums[name][rows] = values
        return sums, valid, dim

    def resolve(
        self, i: int, digits: Digits, before: Digits
    ) -> Iterator[tuple[Any, VariantSpec, Stage, Any, Any]]:
        """Yield rows, settings, sizes, channels before and validity for each combination of SETTINGS.

        Arguments as of `stage`; sizes, channels and validity are arrays.
        """
        for rows, spec in self._split_by_setting(digits):
            mine, theirs = (
                {key: each[rows] if len(each) > 1 else each for key, each in some.items()}
                for some in (digits, before)
            )
            stage, valid = self._resolve(i, mine, spec.attention)
            if i:
                in_dim = self.dim(i - 1, theirs)
            else:
                in_dim = resolve_dim(self.pick("stem", mine), 1, self.pick("width", mine))
            yield rows, spec, stage, in_dim, valid & ((i > 0) | (in_dim <= MAX_DIM))

    def _split_by_setting(self, digits: Digits) -> Iterator[tuple[Any, VariantSpec]]:
        """Yield the rows of each combination of SETTINGS, and the base variant with these choices."""
        axes = [axis for key in SETTINGS if (axis := self.axes.get(key))]
        code = np.zeros((), dtype=np.int64)
        for axis in axes:
            code = code * len(axis.values) + digits[axis.key]
        for value in np.unique(code).tolist():
            rows = np.flatnonzero(code == value) if axes else slice(None)
            changes = {}
            for axis in reversed(axes):
                value, digit = divmod(value, len(axis.values))
                changes[KEYS[axis.key].field] = axis.values[digit]
            yield rows, replace(self.space.base, **changes)

    def _resolve(self, i: int, digits: Digits, attention: str) -> tuple[Stage, Any]:
        """Return the sizes of a stage in arrays, and which of them are valid."""
        sizes = {KEYS[key].field: self.pick(key, digits, i) for key in PER_STAGE}
        width, depth = self.pick("width", digits), self.pick("depth", digits)
        stage = resolve_stage(sizes, width=width, depth=depth, attention=attention)
        divides = sizes["dims"] % stage.num_heads == 0
        return stage, divides & (stage.dim <= MAX_DIM) & (stage.depth <= MAX_DEPTH)

    def _count(self, i: int, spec: VariantSpec, stage: Stage, in_dim: Any) -> dict[str, Any]:
        """Return the partials of one stage; see `describe_stage`."""
        parts = describe_stage(spec, i, stage, in_dim, self.img_size)
        folds: dict[str, Any] = {"logs": sum_logs, "layers": count_layers, "peak": find_peak}
        counts: dict[str, Any] = {}
        name: Any
        for name in self.partials:
            if name == "traffic":
                folded = describe_stage(spec, i, stage, in_dim, self.img_size, "folded")
                counts[name] = add_up(folded, "traffic")
            elif name == "latency":
                assert self.latency is not None  # a question without it is refused
                counts[name] = self.latency.predict_stage(i, spec, stage, in_dim)
            else:
                counts[name] = folds[name](parts) if name in folds else add_up(parts, name)
        return counts


def check_exact(space: Space, img_size: tuple[int, int]) -> None:
    """Refuse a space whose largest variant has a partial, or an intermediate result, beyond 2^53.

    The bound is computed in Python's unlimited integers, from the largest sizes of every stage and each of
    its rates.

    Raises:
        OptionError: names the size of the largest partial.
    """
    values = Evaluator(space, img_size, ()).values
    largest = {KEYS[key].field: max(values(key)) for key in NUMBERS}
    spec = replace(space.base, **largest, sampling="adaptive", ffn="ciffn", local="dwsconv")
    width, deep = max(1.0, *values("width")), max(1.0, *values("depth"))
    total, in_dim = 0, int(max(values("stem")) * width) + 8
    for i in range(NUM_STAGES):
        heads = values("heads", i)
        dim = int(max(values("dims", i)) * width) + max(math.lcm(8, h) for h in heads)
        depth = int(max(values("depths", i)) * deep) + 1
        hidden_dim = int(dim * max(values("ratios", i))) + NUM_GROUPS
        bounds = []
        for rate in {*values("rates", i), *[1] * ("dense" in values("attention"))}:
            stage = Stage(
                dim=dim,
                hidden_dim=hidden_dim,
                num_heads=max(heads),
                rate=int(rate),
                depth=depth,
                attn_blocks=depth,
            )
            defined = describe_stage(spec, i, stage, in_dim, img_size)
            folded = describe_stage(spec, i, stage, in_dim, img_size, "folded")
            counts = [add_up(defined, name) for name in ("macs", "params", "activations", "elementwise")]
            bounds.append(int(4 * sum(counts, add_up(folded, "traffic"))))
        total, in_dim = total + max(bounds), dim
    if total >= EXACT:
        raise OptionError(
            f"the largest variant of the space costs about {total:.2g}: at most 2^53 ({EXACT:.2g}) "
            "stay exact here; take smaller dims, width, depths, ratios or img_size"
        )


WIDTH_KEYS = ("dims", "heads")  # keys of a stage that the cost of the next stage depends on
MOST_ENTRIES = 2**22  # of the table of a stage, for one choice of the keys of the whole network


def digits_of(axes: list[Axis], indices: Ints, shape: tuple[int, ...] = (-1,)) -> dict[str, Ints]:
    """Return the digit of each axis at indices in the order of their product, the last axis fastest."""
    digits = {}
    for axis in reversed(axes):
        indices, digit = np.divmod(indices, len(axis.values))
        digits[axis.key] = digit.reshape(shape)
    return digits


def width_axes(space: Space, stage: int) -> list[Axis]:
    """Return a stage's own axes that the cost of the next stage depends on; none before the first stage."""
    own = [axis for axis in space.axes if stage >= 0 and axis.stage == stage]
    return [axis for axis in own if axis.key.startswith(WIDTH_KEYS)]


def count_widths(space: Space, stage: int) -> int:
    """Return the number of combinations of those axes."""
    return math.prod(len(axis.values) for axis in width_axes(space, stage))


def most_entries(space: Space) -> int:
    """Return the entries of the largest table of a space. Raises OptionError if a table is too large."""
    entries = 1
    for i, count in enumerate(space.shape[1:]):
        before = count_widths(space, i - 1)
        if count * before > MOST_ENTRIES:
            raise OptionError(
                f"stage {i + 1} has {count:,} choices after {before:,} widths of the one before: at most "
                f"{MOST_ENTRIES:,} together, take longer steps"
            )
        entries = max(entries, count * before)
    return entries


class Tables:
    """Partials of every stage for the choices [first, first + count) of the keys of the whole network.

    `sums[i][name]` and `rises[i]` are (count, widths of stage i - 1, choices of stage i), `valid[i]` and
    `factor` (count, choices), `kinds[i]` the width of each choice among those of its stage.
    """

    def __init__(self, question: Question, evaluator: Evaluator, first: int, count: int) -> None:
        self.first, self.count, space = first, count, question.space
        whole: Digits = digits_of(evaluator.whole, np.arange(first, first + count), (-1, 1, 1))
        self.sums: list[dict[str, Ints]] = []
        self.valid: list[Flags] = []
        self.rises: list[Flags] = []
        self.kinds: list[Ints] = []
        in_dim: Any = 0
        for i, size in enumerate(space.shape[1:]):
            own = digits_of(evaluator.own[i], np.arange(size), (1, 1, -1))
            widths = np.arange(count_widths(space, i - 1))
            before = {**whole, **digits_of(width_axes(space, i - 1), widths, (1, -1, 1))}
            sums, valid, dim = evaluator.stage(i, {**whole, **own}, before)
            if i and question.rising:
                in_dim = evaluator.dim(i - 1, before)
            self.sums.append(sums)
            self.valid.append(valid[:, 0])
            self.rises.append(in_dim <= dim)
            kind = np.zeros(size, dtype=np.int64)
            for axis in width_axes(space, i):
                kind = kind * len(axis.values) + own[axis.key].ravel()
            self.kinds.append(kind)
        self.factor: Any = last_factor(dim[:, 0], question.img_size)
