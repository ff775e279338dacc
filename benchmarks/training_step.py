"""Time forward and backward of one training step, without optimizer, of saevit_tiny and its class leader.

    python benchmarks/training_step.py [--batch-size 16] [--rounds 15]

Both in training mode and in both layouts, fp32, 224 px; every model once per round, in shuffled order. Prints
Markdown.
"""

import argparse
import random
import time
from collections.abc import Callable

import torch
from torch import nn

from saevit.baselines import timm_models
from saevit.model.pyramid import build
from saevit.runs.statistics import median, ratio
from saevit.variant import parse

OURS, RIVAL = "saevit_tiny", "mobilenetv4_conv_medium"
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def step_of(model: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    """Return what runs forward and backward once."""
    model.train()

    def step() -> None:
        model.zero_grad()
        model(x).square().mean().backward()

    return step


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    random.seed(0)
    steps = {}
    for layout, memory_format in LAYOUTS.items():
        x = torch.randn(options.batch_size, 3, 224, 224).contiguous(memory_format=memory_format)
        for name in (OURS, RIVAL):
            model = build(parse(name)) if name == OURS else timm_models.build_for_inference(name, (224, 224))
            steps[name, layout] = step_of(model.to(memory_format=memory_format), x)
    samples: dict[tuple[str, str], list[float]] = {key: [] for key in steps}
    for number in range(options.rounds + 1):
        for key in random.sample(list(steps), len(steps)):
            start = time.perf_counter()
            steps[key]()
            if number:  # the first round warms up
                samples[key].append(time.perf_counter() - start)
    best = {name: min((samples[name, layout] for layout in LAYOUTS), key=median) for name in (OURS, RIVAL)}
    found = ratio(best[OURS], best[RIVAL])
    print("| model | layout | ms a step |\n| --- | --- | --- |")
    for (name, layout), seconds in samples.items():
        print(f"| {name} | {layout} | {median(seconds) * 1e3:.0f} |")
    print(f"\n{OURS} to {RIVAL}, better layouts: {found.median:.3f} [{found.low:.3f}, {found.high:.3f}]")


if __name__ == "__main__":
    main()
