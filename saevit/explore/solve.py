"""The largest value of a key that fits a budget, and the cost of one step of each key."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from saevit.count.cost import count_network
from saevit.errors import OptionError, SpecError, nearest
from saevit.explore.exploration import CountedVariant, count_variant
from saevit.explore.space import PER_STAGE, STAGE_KEYS, Axis, Space, check_choice
from saevit.variant import NUM_STAGES, VariantSpec, write_value

# Steps of the keys that can be solved for. Rates are not among them: a larger rate costs less.
STEPS = {"width": 0.001, "depth": 0.001, "dims": 8, "depths": 1, "ratios": 0.125}
LARGEST = {"width": 1024.0, "depth": 1024.0, "dims": 2**16, "depths": 4096, "ratios": 64.0}
SOLVABLE = (
    "width",
    "depth",
    "ratios",
    *(f"{key}{i + 1}" for key in ("dims", "depths", "ratios") for i in range(NUM_STAGES)),
)
MULTIPLIERS = ("width", "depth")
MOST_TRIED = 21  # multiples of 0.05 that are tried as the step of a multiplier
STEPPED: dict[str, Callable[[Any, int], Any]] = {  # value, sign -> the next value
    **dict.fromkeys(("stem", "key_dim", "dims"), lambda value, sign: value + 8 * sign),
    **dict.fromkeys(("depths", "attn_blocks", "ratios"), lambda value, sign: value + sign),
    "kernel": lambda value, sign: value + 2 * sign,
    "rates": lambda value, sign: value * 2 if sign > 0 else value // 2,
}


@dataclass(frozen=True, kw_only=True)
class Solution:
    """The largest value that fits, and the next value, which does not."""

    key: str
    value: str
    row: CountedVariant
    next_value: str | None  # None: the largest value of the key fits
    next_row: CountedVariant | None
    target: int  # MACs
    base: CountedVariant


def solve(base: VariantSpec, key: str, target: int, img_size: tuple[int, int]) -> Solution:
    """Return the largest value of a key with which a variant has at most `target` MACs.

    The value is found by bisection, because MACs never fall when one of these keys grows: width and depth to
    0.001, channels in steps of 8, ratios in steps of 1/8. An exception are heads, which follow channels: a
    wider stage may have fewer. So channels above the result are tried one by one, as far as variants without
    attention fit.

    Raises:
        OptionError: a key that cannot be solved for, or even its smallest value costs more.
    """
    if key not in SOLVABLE:
        raise OptionError(f"--solve {key} is not possible: {nearest(key, SOLVABLE)}")
    kind = key.rstrip("1234")
    step, count = STEPS[kind], round(LARGEST[kind] / STEPS[kind])

    def at(number: int) -> VariantSpec:
        value = number * step if isinstance(step, int) else round(number * step, 6)
        return set_key(base, key, value)

    def macs(number: int, **changes: str) -> float:
        try:
            return count_network(replace(at(number), **changes), img_size).macs  # type: ignore[arg-type]
        except SpecError:  # beyond the largest width
            return float("inf")

    def find_last(low: int, **changes: str) -> int:
        """Return the last number that fits, given one that does."""
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
    low = find_last(1)
    if kind == "dims":
        most = find_last(low, attention="none")
        low = next((number for number in range(most, low, -1) if macs(number) <= target), low)
    beyond = at(low + 1) if low < count and macs(low + 1) < float("inf") else None
    return Solution(
        key=key,
        value=write_value(get_key(at(low), key)),
        row=count_variant(at(low), img_size),
        next_value=write_value(get_key(beyond, key)) if beyond else None,
        next_row=count_variant(beyond, img_size) if beyond else None,
        target=target,
        base=count_variant(base, img_size),
    )


def set_key(base: VariantSpec, key: str, value: Any) -> VariantSpec:
    """Return a variant with a key set; heads follow channels."""
    value = (value,) * NUM_STAGES if key in PER_STAGE else value
    return Space(base=base, axes=(Axis(key=key, values=(value,)),)).spec_at(0)


def get_key(spec: VariantSpec, key: str) -> Any:
    """Return a variant's value of a key of the grammar or of one stage."""
    whole, stage = STAGE_KEYS.get(key, (key, None))
    value = getattr(spec, {"heads": "num_heads"}.get(whole, whole))
    return value if stage is None else value[stage]


@dataclass(frozen=True, kw_only=True)
class KeyStep:
    """One step of one key: from the variant's value to another."""

    key: str
    old: str
    new: str
    row: CountedVariant
    up: bool  # to the larger value

    def change(self, base: CountedVariant, field: str) -> int:
        """Return the change of a cost."""
        return int(getattr(self.row, field) - getattr(base, field))


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """The cost of one step of each key, the largest change of MACs first."""

    base: CountedVariant
    steps: tuple[KeyStep, ...]


def find_sensitivity(base: VariantSpec, img_size: tuple[int, int]) -> Sensitivity:
    """Return the cost of one step of each key up and down, while all other keys stay the same.

    Steps: 8 channels (of stages, the stem and keys), kernel 3 or 5; in each stage 1 block, 1 block with
    attention, ratio 1, twice or half the rate; width and depth the first multiple of 0.05 that changes a
    cost. A step to an invalid variant, or one that changes no cost, is left out.
    """
    row = count_variant(base, img_size)
    of_stages = sorted(STAGE_KEYS, key=lambda k: (k[-1], PER_STAGE.index(k[:-1])))
    keys = [*MULTIPLIERS, "stem", "key_dim", "kernel", *(k for k in of_stages if not k.startswith("heads"))]
    steps = [
        KeyStep(
            key=key,
            old=write_value(get_key(base, key)),
            new=write_value(get_key(spec, key)),
            row=count_variant(spec, img_size),
            up=up,
        )
        for key in keys
        for up in (True, False)
        if (spec := step_key(base, key, img_size, 1 if up else -1)) is not None
    ]
    most: dict[str, int] = {}
    for step in steps:
        most[step.key] = max(most.get(step.key, 0), abs(step.change(row, "macs")))
    steps.sort(key=lambda step: (-most[step.key], step.key, not step.up))
    return Sensitivity(base=row, steps=tuple(steps))


def step_key(base: VariantSpec, key: str, img_size: tuple[int, int], sign: int) -> VariantSpec | None:
    """Return a variant with one key a step up or down; None if that is invalid or costs the same."""
    value = get_key(base, key)
    if key in MULTIPLIERS:
        values = [round(value + 0.05 * sign * i, 6) for i in range(1, MOST_TRIED)]
    else:
        values = [STEPPED[key.rstrip("1234")](value, sign)]
    for value in values:
        try:
            check_choice(base, Axis(key=key, values=(value,)), value)
            spec = set_key(base, key, value)
        except (OptionError, SpecError):
            return None
        if count_variant(spec, img_size) != replace(count_variant(base, img_size), model=str(spec)):
            return spec
    return None
