"""Measure how far two timings of the same variant differ, interleaved and one after the other.

    python benchmarks/noise_floor.py [RUNS]

Prints a Markdown table for docs/benchmarks.md.
"""

import sys
from itertools import pairwise

from saevit.count.model_costs import count_variant
from saevit.measure.environment import environment
from saevit.measure.rounds import TimedModel, measure
from saevit.measure.timing import TimingOptions, list_conditions
from saevit.runs.run import Run
from saevit.runs.statistics import median, quantile, ratio
from saevit.variant import parse

VARIANT = "saevit_tiny"
ROUNDS = 15
MIN_TIME = 0.1


def one_run(seed: int) -> Run:
    """Time the variant and its twin at batch 1."""
    counted = count_variant(parse(VARIANT), (224, 224))
    options = TimingOptions(batch_sizes=(1,), device="cpu")
    (conditions,) = list_conditions(counted, (224, 224), "fp32", options)
    subject = TimedModel(name=VARIANT, build=counted.build, conditions=conditions)
    return measure([subject], rounds=ROUNDS, min_time=MIN_TIME, seed=seed)


def main(runs: int) -> None:
    """Compare the two ways on the same machine in the same minutes."""
    found = [one_run(seed) for seed in range(runs)]
    floors = [run.noise_floor for run in found if run.noise_floor]
    medians = [median(run.timed[0].samples) for run in found]
    changes = [abs(b / a - 1) for a, b in pairwise(medians)]
    rounds = [ratio(run.twin, run.timed[0].samples) for run in found if run.twin]
    together = [abs(r.median - 1) for r in rounds]
    print(f"{VARIANT}, 224 px, batch 1, fp32, {runs} runs of {ROUNDS} rounds; {environment().cpu}")
    print("\n| A/A | median error | 80th percentile | interval contains 1 |\n| --- | --- | --- | --- |")
    inside = sum(floor.low <= 1 <= floor.high for floor in floors)
    print(
        f"| interleaved | {median(together):.1%} | {quantile(together, 0.8):.1%} | {inside}/{len(floors)} |"
    )
    if changes:  # of two runs or more
        print(f"| one run after the other | {median(changes):.1%} | {quantile(changes, 0.8):.1%} | - |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
