"""The largest value of a key that fits a budget, and what one step of each key costs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from saevit.count.cost import count_network
from saevit.errors import OptionError, SpecError, nearest
from saevit.explore.choices import PER_STAGE, STAGE_KEYS
from saevit.explore.rows import Row, row_of
from saevit.explore.space import Axis, Space, check
from saevit.variant import NUM_STAGES, VariantSpec, write_value

# What one step is, in the key's own unit. Rates are left out of solving: a larger one costs less.
STEPS = {"width": 0.001, "depth": 0.001, "dims": 8, "depths": 1, "ratios": 0.125}
LARGEST = {"width": 1024.0, "depth": 1024.0, "dims": 2**16, "depths": 4096, "ratios": 64.0}
SOLVABLE = (
    "width",
    "depth",
    "ratios",
    *(f"{key}{i + 1}" for key in ("dims", "depths", "ratios") for i in range(NUM_STAGES)),
)


@dataclass(frozen=True, kw_only=True)
class Solution:
    """The largest value that fits, and the next one that does not."""

    key: str
    value: str
    row: Row
    next_value: str | None  # None: the largest value there is fits
    next_row: Row | None
    target: int  # MACs
    base: Row


def solve(base: VariantSpec, key: str, target: int, img_size: tuple[int, int]) -> Solution:
    """Return the largest value of a key with which a variant has at most so many MACs.

    MACs never fall when one of these keys grows, so halving finds it: width and depth to 0.001, channels in
    steps of 8, ratios in steps of 1/8. Only heads, which follow channels, may be fewer in a wider stage: what
    halving leaves out is looked at one by one, as far as variants without attention fit.

    Raises:
        OptionError: a key that cannot be solved for, or even its least value costs more.
    """
    if key not in SOLVABLE:
        raise OptionError(f"--solve {key} is not possible: {nearest(key, SOLVABLE)}")
    kind = key.rstrip("1234")
    step, count = STEPS[kind], round(LARGEST[kind] / STEPS[kind])

    def at(number: int) -> VariantSpec:
        value = number * step if isinstance(step, int) else round(number * step, 6)
        return with_value(base, key, value)

    def macs(number: int, **changes: str) -> float:
        try:
            return count_network(replace(at(number), **changes), img_size).macs  # type: ignore[arg-type]
        except SpecError:  # beyond the largest width
            return float("inf")

    def last(low: int, **changes: str) -> int:
        """The last number that fits, given one that does."""
        high = 2 * low
        while high <= count and macs(high, **changes) <= target:
            low, high = high, 2 * high
        high = min(high, count + 1)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if macs(middle, **changes) <= target else (low, middle)
        return low

    if macs(1) > target:
        raise OptionError(
            f"--target-gmacs {target / 1e9:g} cannot be met by {key}: {at(1)} has {macs(1) / 1e9:.4f} GMACs"
        )
    low = last(1)
    if kind == "dims":
        most = last(low, attention="none")
        low = next((number for number in range(most, low, -1) if macs(number) <= target), low)
    beyond = low + 1 if low < count and macs(low + 1) < float("inf") else None
    return Solution(
        key=key,
        value=value_text(at(low), key),
        row=row_of(at(low), img_size),
        next_value=value_text(at(beyond), key) if beyond else None,
        next_row=row_of(at(beyond), img_size) if beyond else None,
        target=target,
        base=row_of(base, img_size),
    )


def with_value(base: VariantSpec, key: str, value: Any) -> VariantSpec:
    """Return a variant with a key set; heads follow channels."""
    value = (value,) * NUM_STAGES if key in PER_STAGE else value
    return Space(base=base, axes=(Axis(key=key, values=(value,)),)).spec_at(0)


def value_of(spec: VariantSpec, key: str) -> Any:
    """Return a variant's value of a key of the grammar or of one stage."""
    whole, stage = STAGE_KEYS.get(key, (key, None))
    value = getattr(spec, {"heads": "num_heads"}.get(whole, whole))
    return value if stage is None else value[stage]


def value_text(spec: VariantSpec, key: str) -> str:
    """Write a variant's value of a key."""
    return write_value(value_of(spec, key))


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of one key: from the variant's value to another."""

    key: str
    old: str
    new: str
    row: Row
    up: bool  # to the larger value

    def change(self, base: Row, field: str) -> int:
        """Return how much more of a row's field it costs."""
        return int(getattr(self.row, field) - getattr(base, field))


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """What a step of each key costs, the dearest key first."""

    base: Row
    img_size: tuple[int, int]
    steps: tuple[Step, ...]


def sensitivity(base: VariantSpec, img_size: tuple[int, int]) -> Sensitivity:
    """Return what one step of each key up and down costs, every other key as it is.

    Steps: channels 8 (in the stem and of keys, too), kernel 3 or 5; stage by stage blocks and those with
    attention 1, ratios 1, twice or half the rate; width and depth the first multiple of 0.05 that changes a
    cost. A step that no variant can take, or that costs nothing, is left out.
    """
    row = row_of(base, img_size)
    of_stages = sorted(STAGE_KEYS, key=lambda k: (k[-1], PER_STAGE.index(k[:-1])))
    keys = [*MULTIPLIERS, "stem", "key_dim", "kernel", *of_stages]
    found = [
        Step(key=key, old=value_text(base, key), new=value_text(spec, key), row=row_of(spec, img_size), up=up)
        for key in keys
        if not key.startswith("heads")
        for up in (True, False)
        if (spec := stepped(base, key, img_size, up=up)) is not None
    ]
    most: dict[str, int] = {}
    for step in found:
        most[step.key] = max(most.get(step.key, 0), abs(step.row.macs - row.macs))
    found.sort(key=lambda step: (-most[step.key], step.key, not step.up))
    return Sensitivity(base=row, img_size=img_size, steps=tuple(found))


STEPPED: dict[str, Callable[[Any, int], Any]] = {
    "stem": lambda value, sign: value + 8 * sign,
    "key_dim": lambda value, sign: value + 8 * sign,
    "kernel": lambda value, sign: value + 2 * sign,
    "dims": lambda value, sign: value + 8 * sign,
    "depths": lambda value, sign: value + sign,
    "attn_blocks": lambda value, sign: value + sign,
    "ratios": lambda value, sign: value + sign,
    "rates": lambda value, sign: value * 2 if sign > 0 else value // 2,
}


def stepped(base: VariantSpec, key: str, img_size: tuple[int, int], *, up: bool) -> VariantSpec | None:
    """Return a variant with one key a step further, or None where it cannot go or costs the same."""
    sign, kind = 1 if up else -1, key.rstrip("1234")
    if key in MULTIPLIERS:
        values = [round(value_of(base, key) + 0.05 * sign * i, 6) for i in range(1, MOST_TRIED)]
    else:
        values = [STEPPED[kind](value_of(base, key), sign)]
    for value in values:
        try:
            check(base, Axis(key=key, values=(value,)), value)
            spec = with_value(base, key, value)
        except (OptionError, SpecError):
            return None
        if row_of(spec, img_size) != replace(row_of(base, img_size), model=str(spec)):
            return spec
    return None


MULTIPLIERS = ("width", "depth")
MOST_TRIED = 21  # multiples of 0.05
