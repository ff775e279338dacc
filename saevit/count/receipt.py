"""The receipt: several independent counts of the same model, compared module path by module path."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

from saevit.count.model_costs import ModelCosts
from saevit.errors import name_and_line

if TYPE_CHECKING:
    from torch import nn

    from saevit.count.tracing import Count

TRACING = ("torch", "fvcore", "thop")  # counters that run the network
COUNTERS = ("analytic", *TRACING)
ON_REAL_TENSORS = ("fvcore",)  # torch.jit traces no convolution without data
MOST_SHOWN = 3  # paths named where counters disagree


@dataclass(frozen=True, kw_only=True)
class ReceiptLine:
    """The count of one counter, and whether it agrees with the first line, module by module."""

    counter: str
    macs: int | None  # None: it failed, and `notes` have the reason
    agrees: bool | None  # None: this is the line to agree with
    differs_at: tuple[str, ...] = ()  # the first module paths where it does not agree
    out_of_box: int | float | None = None  # what the tool reports without our formulas
    reasons: tuple[str, ...] = ()  # why out_of_box differs; each with its amount
    uncounted: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def load_counter(name: str) -> "Callable[[nn.Module, tuple[int, int, int, int]], Count]":
    """Return a tracing counter: it counts one forward pass of a (B, C, H, W) input."""
    counter: Callable[[nn.Module, tuple[int, int, int, int]], Count] = getattr(
        import_module(f"saevit.count.{name}_counter"), f"count_{name}"
    )
    return counter


def try_counter(name: str, model: "nn.Module", input_shape: tuple[int, int, int, int]) -> "Count | Exception":
    """Return a tracing counter's count, or its error: a third-party counter need not know every model."""
    try:
        return load_counter(name)(model, input_shape)
    except Exception as error:  # a tracer may raise anything; the receipt shows it
        return error


def write_receipt(
    costs: ModelCosts, counts: "Mapping[str, Count | Exception]", names: Sequence[str]
) -> tuple[ReceiptLine, ...]:
    """Return one line a counter. The reference is the closed form, or torch's count where there is none."""
    return tuple(write_line(costs, counts, name) for name in names)


def write_line(costs: ModelCosts, counts: "Mapping[str, Count | Exception]", name: str) -> ReceiptLine:
    """Return one counter's line; it agrees if every module has the reference's MACs."""
    if name == costs.counted_by == "analytic":
        return ReceiptLine(counter=name, macs=sum(costs.macs.values()), agrees=None)
    count = counts[name]
    if isinstance(count, Exception):
        return ReceiptLine(counter=name, macs=None, agrees=None, notes=(name_and_line(count),))
    differs = tuple(compare_counts(count.macs, costs.macs))
    reference = counts.get("torch")
    unseen = None
    if name == "thop" and reference and not isinstance(reference, Exception):
        unseen = explain_unseen(count, reference)
    return ReceiptLine(
        counter=name,
        macs=count.total,
        agrees=None if name == costs.counted_by else not differs,
        differs_at=differs[:MOST_SHOWN],
        out_of_box=count.out_of_box,
        reasons=count.reasons,
        uncounted=count.uncounted,
        notes=(*count.notes, *([unseen] if unseen else [])),
    )


def compare_counts(macs: Mapping[str, int], reference: Mapping[str, int]) -> dict[str, int]:
    """Return how many MACs more or less than the reference each path has where they differ, in its order."""
    paths = dict.fromkeys((*reference, *macs))
    differences = {path: macs.get(path, 0) - reference.get(path, 0) for path in paths}
    return {path: n for path, n in differences.items() if n}


def explain_unseen(thop: "Count", torch: "Count") -> str | None:
    """Return one line about the MACs of the torch counter that thop misses; None: it misses nothing."""
    missed = {path: -n for path, n in compare_counts(thop.macs, torch.macs).items() if n < 0}
    if not missed:
        return None
    places = ", ".join(path or "the model itself" for path in list(missed)[:MOST_SHOWN])
    more = f" and {len(missed) - MOST_SHOWN} more" if len(missed) > MOST_SHOWN else ""
    return (
        f"functional attention and other work that is no module's call is invisible to thop: "
        f"{sum(missed.values()):,} MACs in {places}{more}"
    )
