"""The three counters that run a model, by name, and how two counts of one model differ."""

from collections.abc import Callable, Mapping

from torch import nn

from saevit.count.fvcore_counter import count_fvcore
from saevit.count.thop_counter import count_thop
from saevit.count.torch_counter import count_torch
from saevit.count.tracing import Count, Shape

__all__ = [
    "COUNTERS",
    "Count",
    "Shape",
    "count_fvcore",
    "count_thop",
    "count_torch",
    "differences",
    "invisible_to_thop",
]

COUNTERS: dict[str, Callable[[nn.Module, Shape], Count]] = {
    "torch": count_torch,
    "fvcore": count_fvcore,
    "thop": count_thop,
}


def differences(macs: Mapping[str, int], reference: Mapping[str, int]) -> dict[str, int]:
    """Return how many MACs more or less than the reference each path has where they differ, in its order."""
    paths = dict.fromkeys((*reference, *macs))
    found = {path: macs.get(path, 0) - reference.get(path, 0) for path in paths}
    return {path: n for path, n in found.items() if n}


def invisible_to_thop(thop: Count, torch: Count) -> str | None:
    """Say in one line what thop misses of the torch counter's MACs, or None where it misses nothing."""
    missed = {path: -n for path, n in differences(thop.macs, torch.macs).items() if n < 0}
    if not missed:
        return None
    places = ", ".join(path or "the model itself" for path in list(missed)[:3])
    more = f" and {len(missed) - 3} more" if len(missed) > 3 else ""
    return (
        f"functional attention and other work that is no module's call is invisible to thop: "
        f"{sum(missed.values()):,} MACs in {places}{more}"
    )
