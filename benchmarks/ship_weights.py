r"""Write the weights that come with saevit: those of a training run, in half precision.

    saevit train saevit_pico --data icons:FILE --img-size 128 --epochs 10 --batch-size 128 --amp bf16 \
        --val-every 10 --output runs/shipped
    python benchmarks/ship_weights.py runs/shipped/best.safetensors

The file keeps the description of the run, with the name of its data instead of their path.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from saevit.checkpoint import fit_weights, read_checkpoint, save_checkpoint
from saevit.loading import load_network
from saevit.weights import SHIPPED, SHIPPED_MODEL


def main(source: Path, target: Path) -> None:
    """Write one file."""
    file = read_checkpoint(source)
    assert file.about
    assert file.about.model == SHIPPED_MODEL
    weights, _ = fit_weights(file, load_network(None, file).model.state_dict())
    kind, _, path = file.about.data.partition(":")
    about = replace(file.about, data=f"{kind}:{Path(path).name}")
    save_checkpoint(weights, about, target, dtype=torch.float16)
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB, {about.data}, {about.training}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else SHIPPED)
