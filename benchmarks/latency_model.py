"""How well a calibration predicts latency, over a spread of costs and at equal MACs, beside MACs alone.

    python benchmarks/latency_model.py [RUNTIME ...] [--threads N]

For each runtime (by default onnxruntime): calibrates a space around saevit_tiny at 224 px, batch 1, fp32;
then times 15 other variants from 0.2 to 2.6 GMACs, 40 of equal MACs (0.8 +- 2 %) and the presets in one
interleaved run. All variants are drawn with a fixed seed. It takes about 10 GB, and 4 to 7 minutes a runtime.
"""

import argparse
import time
from collections.abc import Sequence
from functools import partial

from saevit.count.cost import count_network
from saevit.count.model_costs import build_form
from saevit.explore.calibration import Calibration, calibrate, correlate, draw_random, spread_variants
from saevit.explore.space import read_space
from saevit.machine import usable_cores
from saevit.measure.environment import load_average
from saevit.measure.rounds import TimedModel, measure
from saevit.runs.record import Conditions
from saevit.runs.statistics import median, quantile
from saevit.variant import PRESETS, VariantSpec

SIZE = (224, 224)
CHOICES = {
    **{"dims1": "24:64:8", "dims2": "48:160:8", "dims3": "80:336:16", "dims4": "256:640:32"},
    **{"depths1": "1:2", "depths2": "1:2", "depths3": "3:8", "depths4": "2:4"},
    **{f"ratios{i}": "2,3,4" for i in (1, 2, 3, 4)},
}
LOW, HIGH = 0.2e9, 2.6e9  # MACs of the spread
EQUAL, BAND = 0.8e9, 0.02
SPREAD, ALIKE, DRAWN = 15, 40, 6000
ROUNDS, MIN_TIME = 15, 0.03


def report(name: str, found: Calibration, rows: Sequence[tuple[VariantSpec, float]]) -> None:
    """Print errors of predictions, and rank correlations of predictions and of MACs with measured time."""
    known = [(spec, seconds, found.model.predict(spec)) for spec, seconds in rows]
    covered = [(spec, seconds, predicted) for spec, seconds, predicted in known if predicted is not None]
    predicted, measured = [p for *_, p in covered], [s for _, s, _ in covered]
    errors = [abs(p / s - 1) for p, s in zip(predicted, measured, strict=True)]
    ranks = {
        "predicted": correlate(predicted, measured),
        "MACs": correlate([float(count_network(spec, SIZE).macs) for spec, *_ in covered], measured),
    }
    texts = [f"{what} {r.rho:+.3f} [{r.low:.2f}, {r.high:.2f}]" for what, r in ranks.items() if r]
    within = sum(error <= 0.10 for error in errors) / len(errors)
    print(
        f"  {name} ({len(covered)} of {len(rows)}): median error {100 * median(errors):.1f} %, 90 % within "
        f"{100 * quantile(errors, 0.9):.1f} %, within 10 %: {100 * within:.0f} %; rank {', '.join(texts)}"
    )


def check(runtime: str, threads: int) -> None:
    """Calibrate one runtime, time other variants, and print how well they were predicted."""
    space = read_space(PRESETS["saevit_tiny"], CHOICES)
    conditions = Conditions(
        img_size=SIZE,
        batch_size=1,
        dtype="fp32",
        device="cpu",
        runtime=runtime,
        threads=threads,
        memory_format="contiguous",
        folded=True,
    )
    start = time.monotonic()
    found = calibrate(space, conditions)
    used = {one.model for one in found.held_out}
    print(
        f"{conditions}; load {load_average()}; calibrated in {time.monotonic() - start:.0f} s, coefficients "
        f"{', '.join(f'{value:.3g}' for value in found.model.coefficients)}"
    )
    others = [spec for spec in draw_random(space, DRAWN, seed=1) if str(spec) not in used]
    drawn = [(count_network(spec, SIZE).macs, spec) for spec in others]
    spread = spread_variants([spec for macs, spec in drawn if LOW <= macs <= HIGH], SPREAD, SIZE)
    alike = [spec for macs, spec in drawn if abs(macs / EQUAL - 1) <= BAND and spec not in spread][:ALIKE]
    groups = {"spread": spread, f"equal MACs, {len(alike)}": alike, "presets": list(PRESETS.values())}
    every = list(dict.fromkeys(spec for specs in groups.values() for spec in specs))
    models = [
        TimedModel(name=str(spec), build=partial(build_form, spec, folded=True), conditions=conditions)
        for spec in every
    ]
    run = measure(models, rounds=ROUNDS, min_time=MIN_TIME)
    seconds = {subject.name: median(subject.samples) for subject in run.timed if subject.samples}
    report_held_out(found)
    for name, specs in groups.items():
        report(name, found, [(spec, seconds[str(spec)]) for spec in specs if str(spec) in seconds])
    for spec in PRESETS.values():
        guess = found.model.predict(spec)
        shown = f"{1e3 * guess:.2f} ms predicted" if guess else "outside of the calibrated sizes"
        print(f"    {spec}: {shown}, {1e3 * seconds[str(spec)]:.2f} ms measured")
    print(f"  {time.monotonic() - start:.0f} s in all; noise floor {run.noise_floor}")


def report_held_out(found: Calibration) -> None:
    """Print the errors of the calibration for variants that were left out of its fit, one at a time."""
    print(
        f"  leave-one-out ({len(found.held_out)}): median error {100 * median(found.errors):.1f} %, 90 % "
        f"within {100 * found.stated_error:.1f} %; rank predicted {found.agreement}, MACs "
        f"{found.macs_agreement}"
    )


def main() -> None:
    """Check the runtimes of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runtimes", nargs="*", default=["onnxruntime"])
    parser.add_argument("--threads", type=int, default=usable_cores())
    given = parser.parse_args()
    for name in given.runtimes:
        check(name, given.threads)


if __name__ == "__main__":
    main()
