"""What is asked about a space: quantities to limit, optimise and rank by, and the method that answers.

A partial is what the stages of a variant add up to (or the largest of them); a quantity is a function of the
partials of the whole network, in exact units: MACs, numbers, elements, bytes, nanoseconds.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from math import ceil, floor
from typing import Any, Literal

import numpy as np

from saevit.errors import OptionError, nearest
from saevit.explore.capacity import effectiveness, entropy, least_logs
from saevit.explore.latency_model import LatencyModel
from saevit.explore.pareto import Direction
from saevit.explore.space import Space
from saevit.text import abbreviated, read_number

BAND = re.compile(r"([0-9.]+)\s*(?:±|\+-|\+/-)\s*([0-9.]+)\s*(%?)")
LEAST, GREATEST = 1e-9, 1e12  # of a limit, in the unit of its quantity
MILLISECONDS = {"ms": Fraction(1), "us": Fraction(1, 1000), "µs": Fraction(1, 1000), "s": Fraction(1000)}
MOST_LAYERS = 2**17  # 4 stages of 4096 blocks of 5 layers, and the rest
EXHAUSTIVE = 3 * 10**8  # variants up to which `auto` looks at each

Method = Literal["exhaustive", "dp", "sample"]
METHODS = ("auto", "exhaustive", "dp", "sample")

PARTIALS = ("macs", "params", "activations", "traffic", "logs", "layers", "peak", "latency")
FLOAT_BYTES = 4  # fp32

Sums = Mapping[str, Any]  # partial: int, or int64 array


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One quantity to minimise or maximise, or to limit."""

    label: str
    unit: float  # the label's unit, in exact units
    better: Direction
    partials: tuple[str, ...]
    of: Callable[[Sums, Any], Any]  # partials, and log(r^2 c) of the last map -> value in exact units


def _cost(label: str, unit: float, partial: str, factor: int = 1, better: Direction = "min") -> Quantity:
    """Return a cost that is one partial, times a factor."""
    return Quantity(
        label=label,
        unit=unit,
        better=better,
        partials=(partial,),
        of=(lambda sums, _: sums[partial] * factor) if factor > 1 else (lambda sums, _: sums[partial]),
    )


QUANTITIES: dict[str, Quantity] = {
    "gmacs": _cost("GMACs", 1e9, "macs"),
    "params": _cost("parameters (M)", 1e6, "params"),
    "activations": _cost("activations (M)", 1e6, "activations"),
    "weights": _cost("weights, fp32 (MB)", 1e6, "params", FLOAT_BYTES),
    "memory": _cost("peak activations, fp32 (MB)", 1e6, "peak", FLOAT_BYTES),
    "traffic": _cost("memory traffic, fp32 (MB)", 1e6, "traffic", FLOAT_BYTES),
    "latency": _cost("predicted latency (ms)", 1e6, "latency"),
    "most-gmacs": _cost("GMACs", 1e9, "macs", better="max"),
    "most-params": _cost("parameters (M)", 1e6, "params", better="max"),
    "capacity": Quantity(
        label="capacity score (entropy)",
        unit=1.0,
        better="max",
        partials=("logs",),
        of=lambda sums, factor: entropy(sums["logs"], factor),
    ),
    "effectiveness": Quantity(
        label="depth over mean width (rho)",
        unit=1.0,
        better="min",
        partials=("logs", "layers"),
        of=lambda sums, _: effectiveness(sums["logs"], sums["layers"]),
    ),
}
OBJECTIVES = tuple(name for name in QUANTITIES if name != "effectiveness")  # it only limits a score


def needed_partials(names: Iterable[str]) -> tuple[str, ...]:
    """Return the partials that some quantities are functions of."""
    wanted = {partial for name in names for partial in QUANTITIES[name].partials}
    return tuple(partial for partial in PARTIALS if partial in wanted)


def join_partials(name: str, a: Any, b: Any, out: Any = None) -> Any:
    """Return the partial of two parts of a network together (in `out`): the larger peak, or the sum."""
    return (np.maximum if name == "peak" else np.add)(a, b, out=out)


def compute_loss(name: str, sums: Sums, factor: Any) -> Any:
    """Return a quantity as a float of which less is better; `factor` as in `Quantity.of`."""
    value = QUANTITIES[name].of(sums, factor) * 1.0
    return value if QUANTITIES[name].better == "min" else -value


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A quantity and its bounds in exact units, both included."""

    quantity: str
    text: str  # as the user wrote it
    high: float
    low: float = -np.inf

    def kept(self, sums: Sums) -> Any:
        """Return where partials keep the limit: a bool, or an array of them."""
        if self.quantity == "effectiveness":
            return sums["logs"] >= least_logs(MOST_LAYERS, self.high)[sums["layers"]]
        value = QUANTITIES[self.quantity].of(sums, 0.0)
        return value <= self.high if self.low == -np.inf else (value <= self.high) & (value >= self.low)

    def miss(self, sums: Sums) -> Any:
        """Return the distance to the bound that is broken, relative to the bound; at most 0 if kept."""
        value = QUANTITIES[self.quantity].of(sums, 0.0)
        over = (value - self.high) / self.high
        return over if self.low == -np.inf else np.maximum(over, (self.low - value) / self.low)


def read_limit(option: str, quantity: str, text: str) -> Limit:
    """Read `--max-...`: a number in the unit of the quantity's label; a trailing letter of the unit is fine.

    A latency is in ms, or in the unit that follows it: `12ms`, `0.012s`, `12000us`.

    Raises:
        OptionError: no number above 0.
    """
    if quantity == "latency":
        number = read_milliseconds(option, text)
    else:
        number = read_positive_fraction(option, text.strip().rstrip("GMBs "))
    high = floor(number * Fraction(QUANTITIES[quantity].unit))
    exact = float(number) if quantity == "effectiveness" else max(1, high)
    return Limit(quantity=quantity, text=f"{option} {abbreviated(text)}", high=exact)


def read_milliseconds(option: str, text: str) -> Fraction:
    """Read a time above 0 in ms, exactly: `12`, `12ms`, `0.012s`, `12000us`."""
    given = text.strip()
    for unit, factor in MILLISECONDS.items():
        if given.endswith(unit):
            return read_positive_fraction(option, given.removesuffix(unit).strip()) * factor
    return read_positive_fraction(option, given)


def read_band(option: str, quantity: str, text: str) -> Limit:
    """Read `0.8±1%` (or `0.8+-1%`, or `0.8±0.01` in the quantity's unit).

    Raises:
        OptionError: text of another form, or a band without any whole number.
    """
    given, found = f"{option} {abbreviated(text)}", BAND.fullmatch(text.strip())
    if not found:
        raise OptionError(f"{given}: write a value and a distance from it, such as 0.8±1% or 0.8+-1%")
    middle, around = read_positive_fraction(option, found[1]), read_positive_fraction(option, found[2])
    spread = middle * around / 100 if found[3] else around
    unit = Fraction(QUANTITIES[quantity].unit)
    low, high = max(1, ceil((middle - spread) * unit)), floor((middle + spread) * unit)
    if low > high:
        raise OptionError(f"{given}: no whole number is in this band, take a wider or higher one")
    return Limit(quantity=quantity, text=given, low=low, high=high)


def read_positive_fraction(option: str, text: str) -> Fraction:
    """Read a decimal number above 0, exactly."""
    try:
        if LEAST <= read_number(text) <= GREATEST:
            return Fraction(text)
    except ValueError:
        pass
    raise OptionError(
        f"{option} {abbreviated(text)}: a number above 0, from {LEAST:g} to {GREATEST:g}, such as 0.8"
    )


@dataclass(frozen=True, kw_only=True)
class Question:
    """A space and what is asked about it.

    Raises:
        OptionError: an unknown objective, the same one twice, or none at all; latency without a model of it.
    """

    space: Space
    img_size: tuple[int, int] = (224, 224)
    objectives: tuple[str, ...] = ("params", "most-gmacs")
    limits: tuple[Limit, ...] = ()
    rising: bool = False  # only variants whose channels never fall from stage to stage
    rank: str = "most-gmacs"
    top: int = 10
    latency: LatencyModel | None = None  # predicts it

    def __post_init__(self) -> None:
        if not self.objectives:
            raise OptionError("no objectives: name at least one, such as params,most-gmacs")
        if len(set(self.objectives)) < len(self.objectives):
            raise OptionError(f"objectives {','.join(self.objectives)}: name each one once")
        for name in (*self.objectives, self.rank):
            if name not in OBJECTIVES:
                raise OptionError(f"objective {name!r} is not known: {nearest(name, OBJECTIVES)}")
        for one, two in combinations(self.objectives, 2):
            a, b = QUANTITIES[one], QUANTITIES[two]
            if a.partials == b.partials and a.better != b.better:
                raise OptionError(f"objectives {one} and {two} are opposites: name one of them")
        if "latency" in self.partials and self.latency is None:
            raise OptionError("latency is predicted from a calibration: saevit explore --calibrate makes one")

    @property
    def partials(self) -> tuple[str, ...]:
        """The partials that decide the answer."""
        return needed_partials((*self.objectives, self.rank, *(limit.quantity for limit in self.limits)))


@dataclass(frozen=True, kw_only=True)
class Search:
    """A question and the method that answers it."""

    question: Question
    method: Method
    samples: int = 10**6  # of `sample`
    seed: int = 0


def choose_method(size: int, method: str) -> Method:
    """Return the method of that name; `auto` looks at each variant where that takes seconds."""
    if method == "auto":
        return "exhaustive" if size <= EXHAUSTIVE else "dp"
    if method not in METHODS:
        raise OptionError(f"method {method!r} is not known: {nearest(method, METHODS)}")
    return method  # type: ignore[return-value]
