"""Report the rank correlation of the capacity score with published top-1, within families of models.

    python benchmarks/capacity_correlation.py [--least N]

Builds every timm model of the published table without weights, walks its convolutions and linear layers once
(the classifier left out), and computes the same entropy as `saevit.explore.capacity`. Families with fewer
than N models are left out; distilled models, extra data and other sizes than 224 px are, too. Spearman's rho
of MACs and of parameters with top-1 is reported too: a score that ranks no better than those is not useful.
"""

import argparse
import math
import sys
import warnings
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import timm
import torch
from torch import Tensor, nn

from saevit.baselines import published
from saevit.baselines.published import Published
from saevit.runs.statistics import rank_correlation

SIZE = 224
UNITS = (nn.Conv2d, nn.Linear)


@dataclass(frozen=True)
class Point:
    """One published model."""

    name: str
    top1: float
    capacity: float
    effectiveness: float
    gmacs: float
    params: float


def entropy_of(model: nn.Module) -> tuple[float, float]:
    """Return entropy and effectiveness of a network by its layers in the order of a forward pass."""
    logs: list[float] = []

    def see(module: Any, args: tuple[Tensor, ...], out: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            logs.append(math.log(module.in_channels * math.prod(module.kernel_size) / module.groups))
        else:
            logs.append(math.log(module.in_features))

    hooks = [m.register_forward_hook(see) for m in model.modules() if isinstance(m, UNITS)]
    with torch.no_grad():
        last = model.forward_features(torch.empty(1, 3, SIZE, SIZE, device="meta"))
    for hook in hooks:
        hook.remove()
    last = last[-1] if isinstance(last, list | tuple) else last
    volume = math.prod(last.shape[1:])
    return math.log(volume) * sum(logs), len(logs) / math.exp(sum(logs) / len(logs))


def point_of(row: Published) -> Point | None:
    """Build one model and score it; None where it cannot be built without data."""
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = timm.create_model(row.model_id, pretrained=False).eval()
        capacity, effectiveness = entropy_of(model)
    except Exception as error:  # whatever a network raises on tensors without data
        print(f"left out: {row.model_id}: {type(error).__name__}", file=sys.stderr)
        return None
    params, gmacs, _ = row.plotted
    assert row.top1 is not None
    return Point(row.model_id, row.top1, capacity, effectiveness, gmacs or 0.0, params or 0.0)


def is_plain(row: Published) -> bool:
    """May its accuracy be compared with others'?"""
    plain = row.distilled != "yes" and not row.uses_extra_data and row.tier != "claim"
    return plain and row.top1 is not None and row.img_size == SIZE


def correlation(points: list[Point], name: str) -> float | None:
    """Return Spearman's rho of a figure with top-1."""
    return rank_correlation([getattr(p, name) for p in points], [p.top1 for p in points])


def shown(value: float | None) -> str:
    """Write a correlation."""
    return "-" if value is None else f"{value:+.2f}"


def main(arguments: list[str]) -> None:
    """Score every family and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--least", type=int, default=3, help="models that a family has at least")
    least = parser.parse_args(arguments).least
    families: dict[str, list[Published]] = defaultdict(list)
    for row in published.load_rows():
        if is_plain(row):
            families[row.family].append(row)
    print("\n| family | models | capacity | MACs | parameters | effectiveness, from .. to |")
    print("| --- | --- | --- | --- | --- | --- |")
    every: list[Point] = []
    for family, rows in families.items():
        points = [point for row in rows if len(rows) >= least and (point := point_of(row))]
        every += points
        if len(points) >= least:
            cells = [shown(correlation(points, name)) for name in ("capacity", "gmacs", "params")]
            rhos = sorted(p.effectiveness for p in points)
            print(f"| {family} | {len(points)} | {' | '.join(cells)} | {rhos[0]:.2f} .. {rhos[-1]:.2f} |")
    cells = [shown(correlation(every, name)) for name in ("capacity", "gmacs", "params")]
    print(f"| all of these together | {len(every)} | {' | '.join(cells)} | |")


if __name__ == "__main__":
    main(sys.argv[1:])
