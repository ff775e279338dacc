"""What variants are judged by. A partial is what stages add up (or take the largest of); a quantity is a
function of the whole network's partials. Units are exact: MACs, numbers, elements, bytes.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from saevit.errors import OptionError, nearest
from saevit.explore.capacity import effectiveness, entropy
from saevit.explore.pareto import Direction

# macs, params, activations: `count.ops`; traffic: its folded form; logs, layers: `capacity`;
# peak: `count.cost.find_peak`, the one that is the largest of its stages instead of their sum.
SUMS = ("macs", "params", "activations", "traffic", "logs", "layers")
PARTIALS = (*SUMS, "peak")
FLOAT_BYTES = 4  # fp32

Sums = Mapping[str, Any]  # partial: int, or int64 array


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One thing to minimise or maximise, or to limit."""

    label: str
    unit: float  # what one of the label's unit is in exact ones
    better: Direction
    partials: tuple[str, ...]
    of: Callable[[Sums, Any], Any]  # partials, and log(r^2 c) of the last map -> value in exact units


QUANTITIES: dict[str, Quantity] = {
    "gmacs": Quantity(
        label="GMACs", unit=1e9, better="min", partials=("macs",), of=lambda sums, _: sums["macs"]
    ),
    "params": Quantity(
        label="parameters (M)",
        unit=1e6,
        better="min",
        partials=("params",),
        of=lambda sums, _: sums["params"],
    ),
    "activations": Quantity(
        label="activations (M)",
        unit=1e6,
        better="min",
        partials=("activations",),
        of=lambda sums, _: sums["activations"],
    ),
    "weights": Quantity(
        label="weights, fp32 (MB)",
        unit=1e6,
        better="min",
        partials=("params",),
        of=lambda sums, _: FLOAT_BYTES * sums["params"],
    ),
    "memory": Quantity(
        label="peak activations, fp32 (MB)",
        unit=1e6,
        better="min",
        partials=("peak",),
        of=lambda sums, _: FLOAT_BYTES * sums["peak"],
    ),
    "traffic": Quantity(
        label="memory traffic, fp32 (MB)",
        unit=1e6,
        better="min",
        partials=("traffic",),
        of=lambda sums, _: FLOAT_BYTES * sums["traffic"],
    ),
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
OBJECTIVES = tuple(name for name in QUANTITIES if name != "effectiveness")  # it is a limit of a score


def objective(name: str) -> Quantity:
    """Return a quantity that fronts and rankings may be of.

    Raises:
        OptionError: there is none of that name.
    """
    if name not in OBJECTIVES:
        raise OptionError(f"objective {name!r} is not known: {nearest(name, OBJECTIVES)}")
    return QUANTITIES[name]


def needed(names: Iterable[str]) -> tuple[str, ...]:
    """Return the partials that some quantities are functions of."""
    wanted = {partial for name in names for partial in QUANTITIES[name].partials}
    return tuple(partial for partial in PARTIALS if partial in wanted)


def loss(name: str, value: Any) -> Any:
    """Return a value of which less is better, as a float."""
    return value * (1.0 if QUANTITIES[name].better == "min" else -1.0)
