"""Axes that fit what is on them: logarithmic where the range is wide, and plain numbers as ticks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axis import Axis

WIDE = 5.0  # a range that spans more than this factor gets a logarithmic axis
EQUAL = 1e-4  # share of a value below which ticks could not tell a range
LARGEST = 1e300
DECADES = 300.0  # and beyond this one, a tick a decade is enough


def is_wide(values: Sequence[float]) -> bool:
    """Does the range ask for a logarithmic axis?"""
    return min(values) > 0 and max(values) / min(values) > WIDE


def limits(values: Sequence[float], margins: tuple[float, float], *, log: bool) -> tuple[float, float]:
    """Return the ends of an axis, with margins (shares of the range) below and above the values."""
    low, high = min(values), max(values)
    if log:
        factor = min(high / low, LARGEST)
        return max(low / factor ** margins[0], 1 / LARGEST), min(high * factor ** margins[1], LARGEST)
    spread = high - low
    if spread <= EQUAL * max(abs(low), abs(high)):
        spread = 2 * abs(high) or 10.0
    return low - spread * margins[0], high + spread * margins[1]


def scale(axis: "Axis", ends: tuple[float, float], *, log: bool) -> None:
    """Set scale, ends and ticks of an axis."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    axes, name = axis.axes, axis.axis_name  # type: ignore[attr-defined]
    low, high = ends
    if log:
        axes.set(**{f"{name}scale": "log"})
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < DECADES else (1,)))
        axis.set_minor_locator(NullLocator())
    else:
        axis.set_major_locator(MaxNLocator(7, steps=(1, 2, 5, 10)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain_number(value)))
    axes.set(**{f"{name}lim": ends})


def plain_number(value: float) -> str:
    """Write a tick: 0.05, 20, 1,000; with an exponent where that would be longer: 2e-07, 1e+12."""
    if value and not 1 <= abs(value) < 1e7:
        return f"{value:.6g}"
    return f"{value:z,.6f}".rstrip("0").rstrip(".")
