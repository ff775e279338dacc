"""Measure how often the interval of a ratio contains 1 for equal subjects, for four distributions of noise.

    python benchmarks/interval_coverage.py [RUNS]

Times are simulated, so no model is built and the figures are the same on every machine. Prints Markdown.
"""

import random
import sys
from collections.abc import Callable

from saevit.runs.statistics import ratio

NOISES: dict[str, Callable[[random.Random], float]] = {
    "lognormal": lambda rng: rng.lognormvariate(0, 0.05),
    "spikes": lambda rng: 1 + rng.gauss(0, 0.01) + (rng.random() < 0.1) * rng.random(),
    "heavy tails": lambda rng: 1 + min(50.0, abs(0.01 * rng.gauss(0, 1) / rng.gauss(0, 1))),
    "two modes": lambda rng: rng.choice((1.0, 1.3)) + rng.gauss(0, 0.01),
}
ROUNDS = (6, 8, 10, 15, 20, 30)


def covered(noise: Callable[[random.Random], float], rounds: int, runs: int) -> float:
    """Share of runs whose interval contains 1; both subjects share the drift of their round."""
    rng = random.Random(0)
    inside = 0
    for _ in range(runs):
        drift = [1 + 0.3 * i / rounds for i in range(rounds)]
        seen = ratio([d * noise(rng) for d in drift], [d * noise(rng) for d in drift])
        inside += seen.low <= 1 <= seen.high
    return inside / runs


def main(runs: int) -> None:
    """Simulate every shape at every number of rounds."""
    print("| rounds | " + " | ".join(NOISES) + " |\n| --- |" + " --- |" * len(NOISES))
    for rounds in ROUNDS:
        cells = [f"{covered(noise, rounds, runs):.1%}" for noise in NOISES.values()]
        print(f"| {rounds} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
