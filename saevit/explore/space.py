"""The space: a variant, and choices for some keys of the grammar. Every combination is one variant.

The variants of a space stand in one order: the first key varies slowest, keys of the whole network come
before keys of single stages, and the last stage varies fastest. A place in this order is a plain int, so a
space of 10^12 variants has its exact size and any of its variants at no cost.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from saevit.errors import OptionError, SpecError
from saevit.explore.choices import PER_STAGE, STAGE_KEYS, Values, read_choices
from saevit.text import abbreviated
from saevit.variant import KEYS, NUM_STAGES, VariantSpec

ORDER = (*KEYS, *STAGE_KEYS)  # width first, the last stage last


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A key and its choices."""

    key: str
    values: Values

    @property
    def stage(self) -> int | None:
        """The stage whose key it is; None is a key of the whole network."""
        return STAGE_KEYS[self.key][1] if self.key in STAGE_KEYS else None


@dataclass(frozen=True, kw_only=True)
class Space:
    """A variant and the axes along which it varies.

    Where channels vary and heads do not, the heads of a stage follow: the number that divides the channels
    and comes nearest to the width of a head in `base`.
    """

    base: VariantSpec
    axes: tuple[Axis, ...]  # in the order of ORDER

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Choices of the whole network's keys together, then those of each stage."""
        own = [
            math.prod(len(a.values) for a in self.axes if a.stage == stage)
            for stage in (None, *range(NUM_STAGES))
        ]
        return tuple(own)

    @property
    def size(self) -> int:
        """Number of combinations, those that no network can have included."""
        return math.prod(self.shape)

    def follows(self, stage: int) -> bool:
        """Do the heads of a stage follow its channels?"""
        keys = {axis.key for axis in self.axes}
        given = keys & {"heads", f"heads{stage + 1}"}
        return not given and bool(keys & {"dims", f"dims{stage + 1}"})

    def heads_for(self, stage: int, dim: int) -> int:
        """Return the heads of a stage that has so many channels (before `width`) where heads follow."""
        wanted = self.base.dims[stage] / self.base.num_heads[stage]
        return min(divisors(dim), key=lambda heads: (abs(dim / heads - wanted), -heads))

    def spec_at(self, index: int) -> VariantSpec:
        """Return the variant at a place.

        Raises:
            SpecError: the combination is no network (heads that do not divide the channels).
            IndexError: there is no such place.
        """
        return self.spec_of(self.choices_at(index))

    def choices_at(self, index: int) -> dict[str, Any]:
        """Return each key's choice at a place."""
        if not 0 <= index < self.size:
            raise IndexError(f"place {index} of {self.size}")
        chosen = {}
        for axis in reversed(self.axes):
            index, digit = divmod(index, len(axis.values))
            chosen[axis.key] = axis.values[digit]
        return chosen

    def index_of(self, digits: Iterable[int]) -> int:
        """Return the index of a choice of the whole network's keys and one of each stage."""
        index = 0
        for digit, count in zip(digits, self.shape, strict=True):
            index = index * count + int(digit)
        return index

    def spec_of(self, chosen: Mapping[str, Any]) -> VariantSpec:
        """Return the variant with these choices."""
        changes = {KEYS[key].field: value for key, value in chosen.items() if key in KEYS}
        for key in PER_STAGE:
            field = KEYS[key].field
            stages = list(changes.get(field, getattr(self.base, field)))
            for stage in range(NUM_STAGES):
                stages[stage] = chosen.get(f"{key}{stage + 1}", stages[stage])
            changes[field] = tuple(stages)
        changes["num_heads"] = tuple(
            self.heads_for(stage, dim) if self.follows(stage) else changes["num_heads"][stage]
            for stage, dim in enumerate(changes["dims"])
        )
        return replace(self.base, **changes)


def divisors(value: int) -> list[int]:
    """Return what divides a number, the smallest first."""
    small = [d for d in range(1, math.isqrt(value) + 1) if value % d == 0]
    return sorted({*small, *(value // d for d in small)})


def make_space(base: VariantSpec, choices: Mapping[str, Values]) -> Space:
    """Return the space of a variant and the choices of some keys.

    Raises:
        OptionError: a key that two axes set, a choice that no variant takes.
    """
    for key, (whole, _) in STAGE_KEYS.items():
        if key in choices and whole in choices:
            raise OptionError(f"{key} and {whole} both set the {whole} of a stage: keep one of them")
    axes = tuple(Axis(key=key, values=tuple(choices[key])) for key in ORDER if key in choices)
    space = Space(base=base, axes=axes)
    for axis in axes:
        for value in axis.values:
            check(base, axis, value)
    return space


def check(base: VariantSpec, axis: Axis, value: Any) -> None:
    """Refuse a choice that no variant can have, whatever its other keys."""
    whole = KEYS[STAGE_KEYS[axis.key][0] if axis.stage is not None else axis.key].field
    fields = {whole: value}
    if axis.stage is not None:
        stages = list(getattr(base, whole))
        stages[axis.stage] = value
        fields[whole] = tuple(stages)
    if whole == "dims":
        fields["num_heads"] = (1,) * NUM_STAGES
    if whole == "num_heads":
        heads = fields["num_heads"]
        if isinstance(heads, tuple) and all(isinstance(h, int) and h > 0 for h in heads):
            fields["dims"] = heads
    try:
        replace(base, **fields)
    except SpecError as error:
        raise OptionError(f"{axis.key}: {error}") from error


def read_space(base: VariantSpec, texts: Mapping[str, str]) -> Space:
    """Return the space of a variant and the text of the choices of some keys.

    Raises:
        OptionError: as `read_choices` and `make_space`.
    """
    return make_space(base, {key: read_choices(key, text) for key, text in texts.items()})


def read_table(table: Mapping[str, Any]) -> dict[str, str]:
    """Return a TOML table's choices as text: strings are as on the command line, lists are choices.

    Raises:
        OptionError: a value that is neither text, a number nor a list of those (or of lists of four).
    """
    return {key: toml_text(key, value) for key, value in table.items()}


def toml_text(key: str, value: Any) -> str:
    """Write one value as the command line would have it."""
    rows = [
        item if isinstance(item, list) else [item] for item in (value if isinstance(value, list) else [value])
    ]
    if not rows or any(type(one) not in (str, int, float) for row in rows for one in row):
        raise OptionError(
            f"{key} = {abbreviated(repr(value))}: give text such as '24:64:8', a number, or a list of them"
        )
    return ",".join("-".join(map(str, row)) for row in rows)


def around(base: VariantSpec) -> dict[str, Values]:
    """Return choices around a variant, for those who name none: widths, depths and ratios of each stage."""
    found: dict[str, Values] = {}
    for i in range(NUM_STAGES):
        step = 8 * max(1, round(base.dims[i] / 96))
        steps = range(-3, 4) if i else range(-2, 3)
        found[f"dims{i + 1}"] = tuple(d for j in steps if (d := base.dims[i] // 8 * 8 + j * step) >= 8)
        deeper = 2 if base.depths[i] > 3 else 1
        low = max(1, base.depths[i] - deeper)
        found[f"depths{i + 1}"] = tuple(range(low, base.depths[i] + deeper + 1))
        found[f"ratios{i + 1}"] = (2.0, 3.0, 4.0)
    return found
