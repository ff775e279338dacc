"""Train variants and a baseline on digits with `saevit train`, several seeds each.

    python benchmarks/digits.py [MODEL ...] [--seeds 3] [--img-size 32]

Every row is the same command with another model. Seeds are the outer loop, so that changes of the machine's
load affect all rows. top-1 is on the 359 held-out digits after the last epoch, so that they select no epoch;
the mean of the best epochs is reported too. Seconds are of the whole command. Prints Markdown.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, stdev

import torch

from saevit.count.torch_counter import count_torch
from saevit.models import build_network

OURS = "saevit_pico"
BASELINE = "timm:mobilenetv4_conv_small"  # the nearest of timm in parameters and in MACs at 224 px
ABLATIONS = ("attention=dense", "attention=none", "ffn=mlp", "attention=none,ffn=mlp")
MODELS = (OURS, BASELINE, *(f"{OURS}:{keys}" for keys in ABLATIONS))


def run(model: str, seed: int, img_size: int, output: Path) -> tuple[float, float, float]:
    """Train once; return top-1 of the last and of the best epoch in per cent, and seconds."""
    size = ["--img-size", str(img_size)]
    options = ["--data", "digits", "--seed", str(seed), "--output", str(output), *size]
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "saevit_cli", "train", model, *options], check=True, stdout=subprocess.DEVNULL
    )
    seconds = time.perf_counter() - start
    with (output / "log.csv").open(newline="") as file:
        top1 = [float(row["val_top1"]) for row in csv.DictReader(file) if row["val_top1"]]
    return top1[-1], max(top1), seconds


def costs(model: str, img_size: int) -> tuple[int, int]:
    """Return parameters and MACs of one image, with ten classes."""
    net = build_network(model, (img_size, img_size), num_classes=10)
    macs = count_torch(net, (1, 3, img_size, img_size)).macs
    return sum(p.numel() for p in net.parameters()), sum(macs.values())


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="*", default=MODELS, metavar="MODEL")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--img-size", type=int, default=32)
    options = parser.parse_args()
    found: dict[str, list[tuple[float, float, float]]] = {model: [] for model in options.models}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.seeds):
            for i, model in enumerate(options.models):
                output = Path(folder) / f"{i}-{seed}"
                found[model].append(run(model, seed, options.img_size, output))
    print(f"{options.img_size} px, {options.seeds} seeds, {torch.get_num_threads()} threads\n")
    print("| model | parameters | MACs | top-1, each seed | mean ± sd | best epoch, mean | s, each seed |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for model, runs in found.items():
        params, macs = costs(model, options.img_size)
        last = [top1 for top1, _, _ in runs]
        spread = f" ± {stdev(last):.2f}" if len(last) > 1 else ""
        cells = [
            f"`{model}`",
            f"{params / 1e6:.2f} M",
            f"{macs / 1e6:.2f} M",
            ", ".join(f"{top1:.2f}" for top1 in last),
            f"{mean(last):.2f}{spread}",
            f"{mean(best for _, best, _ in runs):.2f}",
            ", ".join(f"{seconds:.0f}" for _, _, seconds in runs),
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
