"""What is asked about a space: limits to keep, objectives of the front, a quantity to rank by, a method."""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import ceil, floor
from typing import Any, Literal

import numpy as np

from saevit.errors import OptionError
from saevit.explore.capacity import least_logs
from saevit.explore.quantities import QUANTITIES, Sums, check_objective, needed_partials
from saevit.explore.space import Space
from saevit.text import abbreviated, read_number

BAND = re.compile(r"([0-9.]+)\s*(?:±|\+-|\+/-)\s*([0-9.]+)\s*(%?)")
LEAST, MOST = 1e-9, 1e12  # of a limit, in the unit of its quantity
MOST_LAYERS = 2**17  # 4 stages of 4096 blocks of 5 layers, and the rest
EXHAUSTIVE = 3 * 10**8  # variants up to which `auto` looks at each

Method = Literal["exhaustive", "dp", "sample"]
METHODS = ("auto", "exhaustive", "dp", "sample")

cached_least_logs = cache(least_logs)  # one table of 2^17 numbers per rho


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A quantity and its bounds in exact units, both included."""

    quantity: str
    text: str  # as the user wrote it
    high: float
    low: float = -np.inf
    is_default: bool = False  # set by the command line, not by the user

    def kept(self, sums: Sums) -> Any:
        """Return where partials keep the limit: a bool, or an array of them."""
        if self.quantity == "effectiveness":
            return sums["logs"] >= cached_least_logs(MOST_LAYERS, self.high)[sums["layers"]]
        value = QUANTITIES[self.quantity].of(sums, 0.0)
        return value <= self.high if self.low == -np.inf else (value <= self.high) & (value >= self.low)

    def miss(self, sums: Sums) -> Any:
        """Return the distance to the bound that is broken, relative to the bound; at most 0 if kept."""
        value = QUANTITIES[self.quantity].of(sums, 0.0)
        over = (value - self.high) / self.high
        return over if self.low == -np.inf else np.maximum(over, (self.low - value) / self.low)


def read_limit(option: str, quantity: str, text: str) -> Limit:
    """Read `--max-...`: a number in the unit of the quantity's label; a trailing letter of the unit is fine.

    Raises:
        OptionError: no number above 0.
    """
    number = read_positive_fraction(option, text.strip().rstrip("GMBs "))
    high = floor(number * Fraction(QUANTITIES[quantity].unit))
    exact = float(number) if quantity == "effectiveness" else max(1, high)
    return Limit(quantity=quantity, text=f"{option} {abbreviated(text)}", high=exact)


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
        if LEAST <= read_number(text) <= MOST:
            return Fraction(text)
    except ValueError:
        pass
    raise OptionError(
        f"{option} {abbreviated(text)}: a number above 0, from {LEAST:g} to {MOST:g}, such as 0.8"
    )


@dataclass(frozen=True, kw_only=True)
class Question:
    """A space and what is asked about it.

    Raises:
        OptionError: an unknown objective, the same one twice, or none at all.
    """

    space: Space
    img_size: tuple[int, int] = (224, 224)
    objectives: tuple[str, ...] = ("gmacs", "capacity")
    limits: tuple[Limit, ...] = ()
    rising: bool = False  # only variants whose channels never fall from stage to stage
    rank: str = "capacity"
    top: int = 10

    def __post_init__(self) -> None:
        if not self.objectives:
            raise OptionError("no objectives: name at least one, such as gmacs,capacity")
        if len(set(self.objectives)) < len(self.objectives):
            raise OptionError(f"objectives {','.join(self.objectives)}: name each one once")
        for name in (*self.objectives, self.rank):
            check_objective(name)

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
    """Return the method that a name stands for; `auto` looks at each variant where that takes seconds.

    Raises:
        OptionError: an unknown method.
    """
    if method == "auto":
        return "exhaustive" if size <= EXHAUSTIVE else "dp"
    if method not in METHODS:
        raise OptionError(f"method {method!r} is not known: choose from {', '.join(METHODS)}")
    return method  # type: ignore[return-value]
