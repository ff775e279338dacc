"""Compare the latency of the defined form with that of the folded form.

    python benchmarks/as_defined.py [--rounds 15] [--dtypes fp32,bf16] [--batch-sizes 1,16]

The defined form runs in both memory layouts, and the faster layout counts. One interleaved run per row, two
threads, 224 px. Prints Markdown. Three minutes on two cores.
"""

import argparse
import functools
from dataclasses import replace

from saevit.measure.rounds import TimedModel, measure
from saevit.model.fold import fold
from saevit.model.pyramid import SAEViT, build
from saevit.runs.record import Conditions
from saevit.runs.statistics import median, ratio
from saevit.variant import parse

PRESETS = ("saevit_tiny", "saevit_small")
LAYOUTS = ("contiguous", "channels_last")
BASE = Conditions(
    img_size=(224, 224),
    batch_size=1,
    dtype="fp32",
    device="cpu",
    runtime="eager",
    threads=2,
    memory_format="contiguous",
)


def defined(name: str) -> SAEViT:
    """Return the defined form of a preset."""
    return build(parse(name))


def rows(name: str, conditions: Conditions, rounds: int) -> str:
    """Measure one preset under one set of conditions."""
    subjects = [TimedModel(name=name, build=lambda: fold(defined(name)), conditions=conditions)]
    for layout in LAYOUTS:
        like = replace(conditions, memory_format=layout, folded=False)
        subjects.append(TimedModel(name=name, build=functools.partial(defined, name), conditions=like))
    run = measure(subjects, rounds=rounds)
    folded, *forms = (timing.samples for timing in run.timed)
    best = min(forms, key=median)
    found = ratio(best, folded)
    times = " | ".join(f"{median(samples) * 1e3:.1f}" for samples in (folded, *forms))
    setting = f"{conditions.dtype}, batch {conditions.batch_size}"
    return f"| {name} | {setting} | {times} | {found.median:.3f} [{found.low:.3f}, {found.high:.3f}] |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--dtypes", default="fp32,bf16")
    parser.add_argument("--batch-sizes", default="1,16")
    options = parser.parse_args()
    print(
        "| model | setting | folded, ms | defined, NCHW, ms | defined, channels_last, ms | better / folded |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for dtype in options.dtypes.split(","):
        for batch_size in options.batch_sizes.split(","):
            conditions = replace(BASE, dtype=dtype, batch_size=int(batch_size), folded=True)
            for name in PRESETS:
                print(rows(name, conditions, options.rounds), flush=True)


if __name__ == "__main__":
    main()
