"""Measure time and activation memory from 224 to 1024 px: sparse attention, dense attention, a class leader.

    python benchmarks/resolution.py [--rounds 5]

Batch 1, fp32, two threads; the variants folded, the leader in channels_last. Memory is the most that
activations hold at once, the input included, traced over a pass of the same network that is timed. Dense
attention is timed up to 512 px and traced at every size: at 1024 px it has 65,536 tokens in its first stage.
Prints Markdown.
"""

import argparse

import torch
from torch import nn

from saevit.baselines import timm_models
from saevit.count.cost import count_network
from saevit.count.peak import trace_peak
from saevit.measure.rounds import TimedModel, measure
from saevit.model.fold import fold
from saevit.model.pyramid import build
from saevit.runs.record import Conditions
from saevit.runs.statistics import median
from saevit.variant import parse

SIZES = (224, 384, 512, 768, 1024)
SPARSE, DENSE, LEADER = "saevit_tiny", "saevit_tiny:attention=dense", "mobilenetv4_conv_medium"
LARGEST = {SPARSE: 1024, DENSE: 512, LEADER: 1024}  # px that are timed


def model_of(name: str) -> nn.Module:
    """Return the network, in the form that is timed."""
    if name == LEADER:
        return timm_models.build_for_inference(name, (224, 224)).eval()
    return fold(build(parse(name)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    keys = [(name, size) for name in LARGEST for size in SIZES if size <= LARGEST[name]]
    models = {name: model_of(name) for name in LARGEST}
    builders = {name: (lambda model=model: model) for name, model in models.items()}
    subjects = [
        TimedModel(
            name=name,
            build=builders[name],
            conditions=Conditions(
                img_size=(size, size),
                batch_size=1,
                dtype="fp32",
                device="cpu",
                runtime="eager",
                threads=2,
                memory_format="channels_last",
                folded=name != LEADER,
            ),
        )
        for name, size in keys
    ]
    run = measure(subjects, rounds=options.rounds)
    samples = {key: timing.samples for key, timing in zip(keys, run.timed, strict=True)}
    print("| model | px | GMACs | ms | times 224 px | peak activations, MB | times 224 px |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in LARGEST:
        first: dict[str, int] = {}
        for size in SIZES:
            with torch.inference_mode():
                peak = trace_peak(models[name], (1, 3, size, size)).bytes
            first.setdefault("peak", peak)
            macs = (
                "-" if name == LEADER else f"{int(count_network(parse(name), (size, size)).macs) / 1e9:.2f}"
            )
            timed = samples.get((name, size))
            pairs = zip(timed, samples[name, 224], strict=True) if timed else ()
            grown = f"{median([a / b for a, b in pairs]):.1f}" if timed else "not timed"
            shown = f"{median(timed) * 1e3:.0f}" if timed else "not timed"
            memory = f"{peak / 1e6:.1f} | {peak / first['peak']:.1f}"
            print(f"| {name} | {size} | {macs} | {shown} | {grown} | {memory} |")


if __name__ == "__main__":
    main()
