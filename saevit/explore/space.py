"""A space of variants: a base variant, and choices for some keys of the grammar, in every combination.

The variants of a space have one order: the first key varies slowest, keys of the whole network come before
keys of single stages, and the last stage varies fastest. An index in this order is an int, so the size and
any variant of a space of 10^12 variants are known without listing them.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import Any

from saevit.errors import OptionError, SpecError, nearest
from saevit.text import abbreviated, read_number
from saevit.variant import KEYS, NUM_STAGES, VariantSpec

PER_STAGE = ("dims", "depths", "heads", "ratios", "rates", "attn_blocks")  # keys with a value for each stage
STAGE_KEYS = {f"{key}{i + 1}": (key, i) for i in range(NUM_STAGES) for key in PER_STAGE}
MOST_CHOICES = 100_000  # of one key
BLOCK = 16  # channels that runtimes compute at once; a rest costs up to 1.5 times as much (docs/log.md)

Values = tuple[Any, ...]


def read_choices(key: str, text: str) -> Values:
    """Return the choices of a key in the order given, each once.

    `0.5,1,1.5` is three choices, and `24:64:8` a range that includes its end; the default step is 1. A key
    with four values takes `8-4-2-1,4-2-2-1` or `8,4,2,1;4,2,2,1`; a single value is for all stages. A key
    with the number of a stage (`dims1`) takes single values.

    Raises:
        OptionError: an unknown key, or text that is neither a list nor a range.
    """
    if key not in KEYS and key not in STAGE_KEYS:
        raise OptionError(f"{abbreviated(repr(key))} is not a key: {nearest(key, (*KEYS, *STAGE_KEYS))}")
    is_joined = key in PER_STAGE and ";" in text
    texts: list[str] = []
    for item in split_list(key, text.replace(",", "-"), ";") if is_joined else split_list(key, text, ","):
        texts += expand_range(key, item)
        if len(texts) > MOST_CHOICES:
            raise OptionError(f"{key} has more than {MOST_CHOICES:,} choices: take fewer, or longer steps")
    return tuple(dict.fromkeys(read_value(key, one) for one in texts))


def split_list(key: str, text: str, separator: str) -> list[str]:
    """Split a list, and refuse empty items."""
    items = [item.strip() for item in text.split(separator)]
    if not all(items):
        raise OptionError(f"{key}={abbreviated(text)}: a choice is empty, write {key}=a{separator}b")
    return items


def expand_range(key: str, item: str) -> list[str]:
    """Return the values of `low:high:step` as text, or the item itself."""
    if ":" not in item:
        return [item]
    given = f"{key}={abbreviated(item)}"
    ends = item.split(":") if item.count(":") == 2 else [*item.split(":"), "1"]
    try:
        for end in ends:
            read_number(end)
        low, high, step = map(Decimal, ends)
    except ValueError:
        raise OptionError(
            f"{given} is not a range of numbers up to 1e300: low:high:step, for example 24:64:8"
        ) from None
    if step <= 0 or high < low:
        raise OptionError(f"{given}: a range goes up, low:high:step with a step above 0")
    steps = (high - low) / step
    if steps >= MOST_CHOICES:
        raise OptionError(f"{given} is {steps:.3g} choices: at most {MOST_CHOICES:,}, take a longer step")
    return [format((low + i * step).normalize(), "f") for i in range(int(steps) + 1)]


def read_value(key: str, text: str) -> Any:
    """Read one choice as the grammar reads the key; a key of one stage takes one value."""
    if key not in STAGE_KEYS:
        return KEYS[key].read(key, text)
    whole, _ = STAGE_KEYS[key]
    try:
        values = KEYS[whole].read(key, text)
    except SpecError:
        values = ()
    if not values or len(set(values)) > 1:
        raise OptionError(
            f"{key}={abbreviated(text)} is not a number: one stage has one value, for example {key}=24:64:8"
        )
    return values[0]


ORDER = (*KEYS, *STAGE_KEYS)  # width first, the last stage last


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A key and its choices."""

    key: str
    values: Values

    @property
    def stage(self) -> int | None:
        """The stage that the key belongs to; None for a key of the whole network."""
        return STAGE_KEYS[self.key][1] if self.key in STAGE_KEYS else None


@dataclass(frozen=True, kw_only=True)
class Space:
    """A base variant and the axes along which it varies.

    If channels vary and heads do not, the heads of a stage follow its channels: of the numbers that divide
    the channels, the one that comes nearest to the width of a head in `base`.
    """

    base: VariantSpec
    axes: tuple[Axis, ...]  # in the order of ORDER

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Number of choices: of the keys of the whole network together, then of each stage."""
        return tuple(
            math.prod(len(axis.values) for axis in self.axes if axis.stage == stage)
            for stage in (None, *range(NUM_STAGES))
        )

    @property
    def size(self) -> int:
        """Number of combinations, invalid ones included."""
        return math.prod(self.shape)

    def follows(self, stage: int) -> bool:
        """Tell whether the heads of a stage follow its channels."""
        keys = {axis.key for axis in self.axes}
        return not keys & {"heads", f"heads{stage + 1}"} and bool(keys & {"dims", f"dims{stage + 1}"})

    def heads_for(self, stage: int, dim: int) -> int:
        """Return the heads that follow from the channels of a stage, before `width`."""
        wanted = self.base.dims[stage] / self.base.num_heads[stage]
        return min(divisors(dim), key=lambda heads: (abs(dim / heads - wanted), -heads))

    def choices_at(self, index: int) -> dict[str, Any]:
        """Return the choice of each key at an index."""
        if not 0 <= index < self.size:
            raise IndexError(f"index {index} of {self.size}")
        chosen = {}
        for axis in reversed(self.axes):
            index, digit = divmod(index, len(axis.values))
            chosen[axis.key] = axis.values[digit]
        return chosen

    def index_of(self, digits: Iterable[int]) -> int:
        """Return the index of a choice of the keys of the whole network and a choice of each stage."""
        index = 0
        for digit, count in zip(digits, self.shape, strict=True):
            index = index * count + int(digit)
        return index

    def spec_at(self, index: int) -> VariantSpec:
        """Return the variant at an index.

        Raises:
            SpecError: the combination is invalid: heads do not divide the channels.
            IndexError: there is no such index.
        """
        chosen = self.choices_at(index)
        changes = {KEYS[key].field: value for key, value in chosen.items() if key in KEYS}
        for key in PER_STAGE:
            field = KEYS[key].field
            values = changes.get(field, getattr(self.base, field))
            changes[field] = tuple(chosen.get(f"{key}{i + 1}", value) for i, value in enumerate(values))
        changes["num_heads"] = tuple(
            self.heads_for(i, dim) if self.follows(i) else changes["num_heads"][i]
            for i, dim in enumerate(changes["dims"])
        )
        return replace(self.base, **changes)


def divisors(value: int) -> list[int]:
    """Return the divisors of a number in ascending order."""
    small = [d for d in range(1, math.isqrt(value) + 1) if value % d == 0]
    return sorted({*small, *(value // d for d in small)})


def make_space(base: VariantSpec, choices: Mapping[str, Values]) -> Space:
    """Return the space of a variant and choices of some keys. Raises OptionError for an invalid one."""
    for key, (whole, _) in STAGE_KEYS.items():
        if key in choices and whole in choices:
            raise OptionError(f"{key} and {whole} both set the {whole} of a stage: keep one of them")
    axes = tuple(Axis(key=key, values=tuple(choices[key])) for key in ORDER if key in choices)
    space = Space(base=base, axes=axes)
    for axis in axes:
        for value in axis.values:
            check_choice(base, axis, value)
    return space


def check_choice(base: VariantSpec, axis: Axis, value: Any) -> None:
    """Refuse a choice that is invalid with any choice of the other keys."""
    field = KEYS[axis.key if axis.stage is None else STAGE_KEYS[axis.key][0]].field
    if axis.stage is not None:
        stages = list(getattr(base, field))
        stages[axis.stage] = value
        value = tuple(stages)
    changes = {field: value}
    if field == "dims":
        changes["num_heads"] = (1,) * NUM_STAGES
    elif field == "num_heads" and isinstance(value, tuple):
        changes["dims"] = tuple(heads if isinstance(heads, int) and heads > 0 else 1 for heads in value)
    try:
        replace(base, **changes)
    except SpecError as error:
        text = str(error)
        raise OptionError(text if text.startswith(axis.key) else f"{axis.key}: {text}") from error


def read_space(base: VariantSpec, texts: Mapping[str, str]) -> Space:
    """Return the space of a variant and the choices of some keys as text; errors as in `read_choices`."""
    return make_space(base, {key: read_choices(key, text) for key, text in texts.items()})


def toml_text(key: str, value: Any) -> str:
    """Return a value of a TOML file as text of the command line: a list is a list of choices.

    Raises:
        OptionError: a value that is neither text, a number nor a list of those (or of lists of four).
    """
    items = value if isinstance(value, list) else [value]
    rows = [item if isinstance(item, list) else [item] for item in items]
    if not rows or any(type(one) not in (str, int, float) for row in rows for one in row):
        raise OptionError(
            f"{key} = {abbreviated(repr(value))}: give text such as '24:64:8', a number, or a list of them"
        )
    return ",".join("-".join(map(str, row)) for row in rows)


def default_choices(base: VariantSpec) -> dict[str, Values]:
    """Return choices around a variant: channels, blocks and ratios of each stage.

    The channels are multiples of 16 if those of the variant are, because runtimes compute them fastest.
    """
    choices: dict[str, Values] = {}
    for i in range(NUM_STAGES):
        block = 8 if base.dims[i] % BLOCK else BLOCK
        step, steps = block * max(1, round(base.dims[i] / 12 / block)), range(-3, 4) if i else range(-2, 3)
        dims = (base.dims[i] // block * block + step * j for j in steps)
        choices[f"dims{i + 1}"] = tuple(dim for dim in dims if dim >= 8)
        deeper = 2 if base.depths[i] > 3 else 1
        choices[f"depths{i + 1}"] = tuple(range(max(1, base.depths[i] - deeper), base.depths[i] + deeper + 1))
        choices[f"ratios{i + 1}"] = (2.0, 3.0, 4.0)
    return choices
