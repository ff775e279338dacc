"""Measure coverage and power of the intervals of accuracies and of their differences, on simulated trainings.

    python benchmarks/accuracy_intervals.py [RUNS]

The truth is known, no network is trained, and the figures are the same on every machine. Prints Markdown.

An image is a hit if its margin is positive: a normal sum of a part that all models share, a part of the model
and a part of the seed. Two trainings of one model disagree on 12 % of the images, two models on 15 %.
"""

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from saevit.runs.accuracy_statistics import compare_hits, estimate_accuracy

ACCURACY = 0.78
SHARED, OWN, CHANGING = 0.72, 0.12, 0.16  # variances of the parts of a margin
IMAGES = (4_835, 200)
SEEDS = ((2, 2), (3, 3), (5, 5), (2, 5))
SPREADS = ((0.0, 0.0), (0.3, 0.3), (0.6, 0.6), (0.6, 0.3), (0.6, 0.15), (1.2, 1.2), (1.2, 0.3))
GAINS = (1.0, 2.0)  # points
HEADS = (
    *("images", "seeds", "seed sd (points)", "accuracy covered", "resolved, paired", "resolved, unpaired"),
    *(f"power at {gain:g} points" for gain in GAINS),
)

Table = NDArray[Any]
Setting = tuple[int, tuple[int, int], tuple[float, float]]


def simulate(
    rng: np.random.Generator, setting: Setting, *, gain: float = 0.0, paired: bool = True
) -> list[Table]:
    """Return the hits of two models, of which the first is `gain` points more accurate."""
    images, seeds, spreads = setting
    slope, tables = norm.pdf(norm.ppf(ACCURACY)), []
    shared = rng.standard_normal(images, dtype=np.float32)
    for count, spread, points in zip(seeds, spreads, (gain, 0.0), strict=True):
        shared = shared if paired else rng.standard_normal(images, dtype=np.float32)
        sd = spread / 100 / slope
        level = norm.ppf(ACCURACY + points / 100) * (1 + sd**2) ** 0.5 + sd * rng.standard_normal((count, 1))
        margin = SHARED**0.5 * shared + OWN**0.5 * rng.standard_normal(images, dtype=np.float32)
        changes = CHANGING**0.5 * rng.standard_normal((count, images), dtype=np.float32)
        tables.append(margin + changes + level.astype(np.float32) > 0)
    return tables


def measure(setting: Setting, runs: int) -> Iterator[float]:
    """Yield the shares of one row of the table."""
    rng = np.random.default_rng(0)
    covered, paired = 0, 0
    for _ in range(runs):
        ours, theirs = simulate(rng, setting)
        found = estimate_accuracy(ours)
        covered += found.low <= ACCURACY <= found.high
        paired += compare_hits(ours, theirs).is_resolved
    yield covered / runs
    yield paired / runs
    pairs = (simulate(rng, setting, paired=False) for _ in range(runs))
    yield sum(compare_hits(*pair, paired=False).is_resolved for pair in pairs) / runs
    for gain in GAINS:
        pairs = (simulate(rng, setting, gain=gain) for _ in range(runs))
        yield sum(compare_hits(*pair).verdict == "higher" for pair in pairs) / runs


def main(runs: int) -> None:
    """Simulate each number of images and seeds with each pair of standard deviations."""
    print(f"| {' | '.join(HEADS)} |\n|{' --- |' * len(HEADS)}")
    for images in IMAGES:
        for seeds in SEEDS:
            for spreads in SPREADS:
                shares = measure((images, seeds, spreads), runs)
                names = (f"{images:,}", "{} and {}".format(*seeds), "{:g} and {:g}".format(*spreads))
                print(f"| {' | '.join((*names, *(f'{share:.1%}' for share in shares)))} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
