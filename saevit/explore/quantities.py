"""Quantities that variants are judged by, in exact units: MACs, numbers, elements, bytes.

A partial is what the stages of a variant add up to (or the largest of them); a quantity is a function of the
partials of the whole network.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from saevit.errors import OptionError, nearest
from saevit.explore.capacity import effectiveness, entropy
from saevit.explore.pareto import Direction

PARTIALS = ("macs", "params", "activations", "traffic", "logs", "layers", "peak")
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


def cost(label: str, unit: float, partial: str, factor: int = 1) -> Quantity:
    """Return a cost that is one partial, times a factor."""
    return Quantity(
        label=label,
        unit=unit,
        better="min",
        partials=(partial,),
        of=(lambda sums, _: sums[partial] * factor) if factor > 1 else (lambda sums, _: sums[partial]),
    )


QUANTITIES: dict[str, Quantity] = {
    "gmacs": cost("GMACs", 1e9, "macs"),
    "params": cost("parameters (M)", 1e6, "params"),
    "activations": cost("activations (M)", 1e6, "activations"),
    "weights": cost("weights, fp32 (MB)", 1e6, "params", FLOAT_BYTES),
    "memory": cost("peak activations, fp32 (MB)", 1e6, "peak", FLOAT_BYTES),
    "traffic": cost("memory traffic, fp32 (MB)", 1e6, "traffic", FLOAT_BYTES),
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


def check_objective(name: str) -> None:
    """Refuse a name that is no quantity to optimise or rank by.

    Raises:
        OptionError: names the nearest one.
    """
    if name not in OBJECTIVES:
        raise OptionError(f"objective {name!r} is not known: {nearest(name, OBJECTIVES)}")


def needed_partials(names: Iterable[str]) -> tuple[str, ...]:
    """Return the partials that some quantities are functions of."""
    wanted = {partial for name in names for partial in QUANTITIES[name].partials}
    return tuple(partial for partial in PARTIALS if partial in wanted)


def join_partials(name: str, a: Any, b: Any, out: Any = None) -> Any:
    """Return the partial of two parts of a network together (in `out`): the larger peak, or the sum."""
    return (np.maximum if name == "peak" else np.add)(a, b, out=out)


def loss(name: str, sums: Sums, factor: Any) -> Any:
    """Return a quantity as a float of which less is better; `factor` as in `Quantity.of`."""
    value = QUANTITIES[name].of(sums, factor) * 1.0
    return value if QUANTITIES[name].better == "min" else -value
