"""Compare the memory of a process with the counted memory: eager torch on a CPU, Linux only.

    python benchmarks/peak_memory.py

Each row is a fresh process. `building` is what building, folding and a first small pass add at their worst
moment, over the bytes of the parameters, and `held` what of it stays; `pass` is what a pass adds, over the
counted peak of live activations. saevit/machine.py has the worst of each: BUILDING, FOLDING and HELD, and for
the pass PASSING with SCRATCH, as small passes take many times their count, and large ones little more.
"""

import ctypes
import gc
import subprocess
import sys
from functools import partial
from pathlib import Path

import torch

from saevit.count.cost import count_peak
from saevit.count.model_costs import build_form, count_variant
from saevit.machine import PASSING
from saevit.measure.environment import environment
from saevit.variant import PRESETS, parse

FORMS = {"folded": partial(build_form, folded=True), "defined": build_form}
SIZES, BATCHES = (64, 224, 448), (1, 16)
WIDE = tuple(f"{name}:width=3" for name in PRESETS)
FP32 = 4


def resident(field: str) -> int:
    """Return VmRSS, or VmHWM, its most since `forget_peak`, in bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def forget_peak() -> int:
    """Give freed memory back and let the peak start anew; return what is resident."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return resident("VmRSS")


def one(variant: str, form: str, size: int, batch: int) -> None:
    """Print the ratios of one case, and the counted peak in MB."""
    spec = parse(variant)
    with torch.inference_mode():
        FORMS[form](parse("saevit_pico"))(torch.zeros(1, 3, 32, 32))  # what torch loads on first use
        before = forget_peak()
        network = FORMS[form](spec)
        network(torch.zeros(1, spec.in_chans, 32, 32))
        built, start = resident("VmHWM") - before, forget_peak()
        x = torch.zeros(batch, spec.in_chans, size, size).fill_(0.5)
        network(x)
        network(x)
        passed = resident("VmHWM") - start
    weights = FP32 * sum(count_variant(spec, (size, size)).params.values())
    counted = FP32 * count_peak(spec, (size, size)) * batch
    print(
        f"{built / weights:.2f} {(start - before) / weights:.2f} {passed / counted:.2f} {counted / 1e6:.1f}"
    )


def row(variant: str, form: str, size: int, batch: int) -> list[float]:
    """Run one case in a new process."""
    command = [sys.executable, __file__, variant, form, str(size), str(batch)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    print(f"| {variant} | {form} | {size} | {batch} | {' | '.join(text)} |", flush=True)
    return [float(number) for number in text]


def main() -> None:
    """Print every row, and the worst ones; of weights those of wide variants."""
    print(f"{environment().cpu}, torch {torch.__version__}")
    print("| variant | form | px | batch | building | held | pass | counted, MB |\n|" + " --- |" * 8)
    for form in FORMS:
        passes = [row(name, form, size, batch) for name in PRESETS for size in SIZES for batch in BATCHES]
        wide = [row(name, form, 32, 1) for name in WIDE]
        beyond = max((found[2] - PASSING) * found[3] for found in passes)
        print(f"{form}: building {max(r[0] for r in wide)}, held {max(r[1] for r in wide)}")
        print(f"{form}: a pass takes at most {PASSING} times its count and {beyond:.0f} MB")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        one(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
