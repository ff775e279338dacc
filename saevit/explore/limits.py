"""Limits that a variant must keep: at most, or within a band."""

import re
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saevit.errors import OptionError
from saevit.explore.capacity import least_logs
from saevit.explore.quantities import QUANTITIES, Sums

BAND = re.compile(r"([0-9.]+)\s*(?:±|\+-|\+/-)\s*([0-9.]+)\s*(%?)")
MOST_LAYERS = 2**17  # 4 stages of 4096 blocks of 5 layers, and the rest


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A quantity and the ends that it must keep within, in exact units (both included)."""

    quantity: str
    text: str  # as the user gave it
    high: float
    low: float = -np.inf

    def kept(self, sums: Sums) -> Any:
        """Return where partials keep the limit: a bool, or an array of them."""
        if self.quantity == "effectiveness":
            return sums["logs"] >= self._least_logs[sums["layers"]]
        value = QUANTITIES[self.quantity].of(sums, 0.0)
        return value <= self.high if self.low == -np.inf else (value <= self.high) & (value >= self.low)

    def miss(self, sums: Sums) -> Any:
        """Return by what share of the end a value misses it; 0 or less is kept."""
        value = QUANTITIES[self.quantity].of(sums, 0.0)
        over = (value - self.high) / self.high
        return over if self.low == -np.inf else np.maximum(over, (self.low - value) / self.low)

    @property
    def _least_logs(self) -> NDArray[np.int64]:
        if self.high not in _LEAST_LOGS:
            _LEAST_LOGS[self.high] = least_logs(MOST_LAYERS, self.high)
        return _LEAST_LOGS[self.high]


_LEAST_LOGS: dict[float, NDArray[np.int64]] = {}  # by rho; a table of 2^17 numbers is not made for each block


def at_most(option: str, quantity: str, text: str) -> Limit:
    """Read `--max-...`: a number in the unit of the quantity's label; a trailing letter of the unit is fine.

    Raises:
        OptionError: no number above 0.
    """
    number = positive(option, text.strip().rstrip("GMBs "))
    unit = Fraction(QUANTITIES[quantity].unit)
    high = float(number) if quantity == "effectiveness" else floor(number * unit)
    return Limit(quantity=quantity, text=f"{option} {text}", high=high)


def band(option: str, quantity: str, text: str) -> Limit:
    """Read `0.8±1%` (or `0.8+-1%`, or `0.8±0.01` in the quantity's unit).

    Raises:
        OptionError: it is no such text.
    """
    found = BAND.fullmatch(text.strip())
    if not found:
        raise OptionError(f"{option} {text}: write a value and how far from it, such as 0.8±1% or 0.8+-1%")
    middle, around = positive(option, found[1]), positive(option, found[2])
    spread = middle * around / 100 if found[3] else around
    unit = Fraction(QUANTITIES[quantity].unit)
    low, high = ceil((middle - spread) * unit), floor((middle + spread) * unit)
    return Limit(quantity=quantity, text=f"{option} {text}", low=max(low, 1), high=high)


def positive(option: str, text: str) -> Fraction:
    """Read a decimal number above 0, exactly."""
    try:
        number = Fraction(text)
    except (ValueError, ZeroDivisionError):
        number = Fraction(0)
    if number <= 0:
        raise OptionError(f"{option} {text}: a number above 0, such as 0.8")
    return number
