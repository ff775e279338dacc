"""Report the rank correlation of accuracies measured on a dataset with published ImageNet top-1.

    python benchmarks/accuracy_ranking.py SOURCE [--store DIR]

SOURCE is what `saevit compare --top1` takes; the accuracies are those that it would show. Baselines without a
published top-1 and SAEViT variants are left out. Spearman's rho and Kendall's tau are given with the 95 %
range of 10,000 bootstrap samples of the models; those of MACs with the same published top-1 are beside them.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from saevit.baselines.published import Published, find_row
from saevit.comparing.accuracies import choose_accuracies
from saevit.models import count_model
from saevit.runs.evaluation import list_top1s
from saevit.variant import PRESETS

LEAST = 4  # models
SAMPLES = 10_000


def find_published(model: str) -> Published | None:
    """Return the published row of the network that a text names; None for variants."""
    return None if model.partition(":")[0] in PRESETS else find_row(model.partition(":classes=")[0])


def correlate(ours: Sequence[float], published: Sequence[float]) -> str:
    """Return both rank correlations, and the 95 % range of Spearman's rho."""
    rho, tau = (float(f(ours, published).statistic) for f in (stats.spearmanr, stats.kendalltau))
    rng, pairs = np.random.default_rng(0), np.array([ours, published])
    rhos = []
    for _ in range(SAMPLES):
        drawn = pairs[:, rng.integers(len(ours), size=len(ours))]
        if np.ptp(drawn, axis=1).all():
            rhos.append(stats.spearmanr(*drawn).statistic)
    low, high = np.quantile(rhos, [0.025, 0.975])
    return f"Spearman {rho:+.2f} [{low:+.2f}, {high:+.2f}], Kendall {tau:+.2f}"


def main() -> None:
    """Print one row per model, and the correlations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--store", type=Path)
    given = parser.parse_args()
    on = choose_accuracies(given.source, list_top1s(given.store, print))
    rows = []
    for group in (group for group in on.groups if not group.is_otherwise):
        model = group.newest.model
        row = find_published(model)
        if row and row.top1:
            macs = sum(count_model(model, group.newest.img_size)[0].macs.values())
            rows.append((row.model_id, group.top1, row.top1, macs))
    if len(rows) < LEAST:
        sys.exit(f"{len(rows)} baselines have both accuracies: at least {LEAST} are needed")
    rows.sort(key=lambda row: -row[1])
    print(f"{'model':44}  {on.name:>24}  ImageNet  MACs")
    for name, ours, published, macs in rows:
        print(f"{name:44}  {ours:24.2f}  {published:8.2f}  {macs / 1e6:.1f} M")
    _, ours_all, published_all, macs_all = zip(*rows, strict=True)
    print(f"measured top-1, {len(rows)} models: {correlate(ours_all, published_all)}")
    print(f"MACs: {correlate(macs_all, published_all)}")


if __name__ == "__main__":
    main()
