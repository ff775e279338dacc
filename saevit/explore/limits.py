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
from saevit.text import abbreviated, read_number

BAND = re.compile(r"([0-9.]+)\s*(?:±|\+-|\+/-)\s*([0-9.]+)\s*(%?)")
LEAST, MOST = 1e-9, 1e12  # of a limit, in its quantity's unit
MOST_LAYERS = 2**17  # 4 stages of 4096 blocks of 5 layers, and the rest


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A quantity and the ends that it must keep within, in exact units (both included)."""

    quantity: str
    text: str  # as the user gave it
    high: float
    low: float = -np.inf
    is_default: bool = False  # nobody asked for it

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
    high = float(number) if quantity == "effectiveness" else max(1, floor(number * unit))
    return Limit(quantity=quantity, text=f"{option} {abbreviated(text)}", high=high)


def band(option: str, quantity: str, text: str) -> Limit:
    """Read `0.8±1%` (or `0.8+-1%`, or `0.8±0.01` in the quantity's unit).

    Raises:
        OptionError: it is no such text.
    """
    found = BAND.fullmatch(text.strip())
    if not found:
        raise OptionError(
            f"{option} {abbreviated(text)}: write a value and how far from it, such as 0.8±1% or 0.8+-1%"
        )
    middle, around = positive(option, found[1]), positive(option, found[2])
    spread = middle * around / 100 if found[3] else around
    unit = Fraction(QUANTITIES[quantity].unit)
    low, high = max(1, ceil((middle - spread) * unit)), floor((middle + spread) * unit)
    if low > high:
        raise OptionError(
            f"{option} {abbreviated(text)}: no whole number is in this band, take a wider or higher one"
        )
    return Limit(quantity=quantity, text=f"{option} {abbreviated(text)}", low=low, high=high)


def positive(option: str, text: str) -> Fraction:
    """Read a decimal number above 0, exactly."""
    try:
        if LEAST <= read_number(text) <= MOST:
            return Fraction(text)
    except ValueError:
        pass
    raise OptionError(
        f"{option} {abbreviated(text)}: a number above 0, from {LEAST:g} to {MOST:g}, such as 0.8"
    )
