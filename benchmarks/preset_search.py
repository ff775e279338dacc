"""Search the sizes of a preset: the fastest variant at its budget in the runtimes for deployment.

    python benchmarks/preset_search.py saevit_small [--sample 32] [--top 6] [--rounds 7]
    python benchmarks/preset_search.py saevit_small --beside VARIANT ...

The rule. At 224 px, rates 8-4-2-1 and attention in half of the blocks of each stage (rounded down, at least
one), a variant is allowed if
- its MACs are within 1 % of the budget;
- it has at least the parameters, the blocks and the channels of the last stage that the first sizes have (the
  lower of each where there are two);
- channels grow from stage to stage, each stage has at least 0.85 of the channels of the narrowest first
  sizes, and every FFN expands at least twice.
Accuracy at a given budget is known to follow from these: a variant with fewer or narrower layers is faster
for a reason that a user pays for. The score is the geometric mean of the latency relative to the first of the
first sizes, over ONNX Runtime, OpenVINO, eager and compiled torch (frozen weights), at batch 1 and 16.

The way. Of the allowed variants a random sample is measured in one interleaved run (without the compiler,
which takes minutes). A linear model with non-negative coefficients (a constant; blocks, attention blocks and
MACs of each stage; MACs of stem and downsampling) predicts all others in each runtime and batch. The best
predicted ones, at most two of each tuple of depths, are measured beside the first sizes in all four runtimes.
Predictions only choose what is measured. --beside measures given variants in their place. Prints Markdown for
docs/benchmarks.md.
"""

import os

os.environ["TORCHINDUCTOR_FREEZING"] = "1"  # before torch is loaded

import argparse
import functools
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from torch import nn

from saevit.count.cost import add_up, count_network
from saevit.count.ops import describe_stage
from saevit.measure.rounds import TimedModel, measure
from saevit.model.fold import fold
from saevit.model.pyramid import build
from saevit.runs.record import Conditions
from saevit.runs.statistics import ratio
from saevit.variant import NUM_GROUPS, Stage, VariantSpec, parse

# Budget in MACs, and the sizes that capacity is compared with.
FIRST = {
    "saevit_pico": (0.2e9, ["dims=32-48-88-256,depths=1-1-4-3,heads=1-1-2-4,ratios=2-2.7-2.7-3"]),
    "saevit_nano": (0.4e9, ["dims=40-64-136-304,depths=1-1-5-3,heads=1-1-2-4,ratios=3"]),
    "saevit_tiny": (
        0.8e9,
        [
            "dims=48-96-192-384,depths=1-2-6-3,heads=1-2-3-6,ratios=3-3-3-4",
            "dims=48-112-208-448,depths=1-1-4-2,heads=1-2-2-7,ratios=3-4-4-4",
        ],
    ),
    "saevit_small": (
        1.3e9,
        [
            "dims=48-112-240-480,depths=1-2-8-4,heads=1-2-3-6,ratios=3",
            "dims=48-96-240-512,depths=1-2-6-3,heads=1-2-3-8,ratios=3-3-4-4",
        ],
    ),
    "saevit_base": (2.6e9, ["dims=64-144-336-640,depths=1-2-9-4,heads=1-2-6-10,ratios=3"]),
}
RATES = (8, 4, 2, 1)
SIZES = (56, 28, 14, 7)  # of the maps at 224 px
STEPS = (8, 16, 16, 32)  # between two widths of a stage
RATIOS = (2.0, 2.5, 3.0, 3.5, 4.0)
HEAD_WIDTH = 64
NARROWEST, WIDEST = 0.85, 1.3  # of a stage, relative to the narrowest and widest of the first sizes
DRAWS = 3_000_000
RUNTIMES = ("eager", "onnxruntime", "openvino")
BATCHES = (1, 16)
AT_ONCE = 8  # variants in one run: eight hold some 8 GB
BASE = Conditions(
    img_size=(224, 224),
    batch_size=1,
    dtype="fp32",
    device="cpu",
    runtime="eager",
    threads=2,
    memory_format="contiguous",
    folded=True,
)

Ints = NDArray[np.int64]
Key = tuple[str, int]  # runtime, batch


@dataclass(frozen=True)
class Sizes:
    """Many variants: (M, 4) channels, depths and hidden channels, and what they cost."""

    dims: Ints
    depths: Ints
    ratios: NDArray[np.float64]

    def __getitem__(self, rows: Any) -> "Sizes":
        return Sizes(self.dims[rows], self.depths[rows], self.ratios[rows])

    @property
    def heads(self) -> Ints:
        return np.array([[heads_of(int(d)) for d in row] for row in self.dims])


@functools.cache
def heads_of(dim: int) -> int:
    """Return the number of heads that divides the channels and makes them nearest to 64 wide."""
    return min((h for h in range(1, dim + 1) if dim % h == 0), key=lambda h: (abs(dim / h - HEAD_WIDTH), h))


def first(name: str) -> list[VariantSpec]:
    """Return the first sizes of a preset."""
    return [with_attention(parse(f"{name}:{text},rates=8-4-2-1")) for text in FIRST[name][1]]


def with_attention(spec: VariantSpec) -> VariantSpec:
    """Return a variant with attention in half of its blocks."""
    return replace(spec, attn_blocks=tuple(max(1, depth // 2) for depth in spec.depths))


def stage_of(sizes: Sizes, i: int) -> Stage:
    """Return stage i of many variants, as the formulas take it."""
    dim, depth = sizes.dims[:, i], sizes.depths[:, i]
    hidden = np.maximum(1, (dim * sizes.ratios[:, i] / NUM_GROUPS + 0.5).astype(np.int64)) * NUM_GROUPS
    heads = np.array([heads_of(int(d)) for d in np.unique(dim)])[np.searchsorted(np.unique(dim), dim)]
    values: dict[str, Any] = {"dim": dim, "hidden_dim": hidden, "num_heads": heads, "depth": depth}
    return Stage(**values, rate=RATES[i], attn_blocks=np.maximum(1, depth // 2))


def costs(spec: VariantSpec, sizes: Sizes) -> tuple[Ints, Ints, Ints]:
    """Return parameters (M,), MACs (M,), and MACs of stem and downsampling, then of each stage (M, 5)."""
    params, in_dim, rest, in_blocks = 0, spec.stem, 0, []
    for i in range(4):
        parts = describe_stage(spec, i, stage_of(sizes, i), in_dim, (224, 224))
        params = params + add_up(parts, "params")
        rest = rest + add_up([part for part in parts if part.first is None], "macs")
        in_blocks.append(add_up([part for part in parts if part.first is not None], "macs"))
        in_dim = sizes.dims[:, i]
    macs = np.stack([rest, *in_blocks], 1)
    return params, macs.sum(1), macs


def candidates(name: str, rng: np.random.Generator) -> Sizes:
    """Return the allowed variants among random points of the grid."""
    budget, _ = FIRST[name]
    spec, rows = first(name)[0], first(name)
    choices = []
    for i, step in enumerate(STEPS):
        low, high = min(r.dims[i] for r in rows), max(r.dims[i] for r in rows)
        choices.append(np.arange(int(NARROWEST * low) // step * step, int(WIDEST * high) + step, step))
    deepest = [max(r.depths[i] for r in rows) for i in range(4)]
    sizes = Sizes(
        np.stack([rng.choice(c, DRAWS) for c in choices], 1),
        np.stack([rng.integers(1, d + (2 if i > 1 else 1), DRAWS) for i, d in enumerate(deepest)], 1),
        np.stack([rng.choice(RATIOS, DRAWS) for _ in range(4)], 1),
    )
    sizes = sizes[(np.diff(sizes.dims, axis=1) > 0).all(1)]
    params, macs, _ = costs(spec, sizes)
    fits = params >= min(count_network(row, (224, 224)).params for row in rows)
    fits &= sizes.depths.sum(1) >= min(sum(row.depths) for row in rows)
    fits &= sizes.dims[:, 3] >= min(row.dims[3] for row in rows)
    return sizes[fits & (abs(macs - budget) <= 0.01 * budget)]


def features(spec: VariantSpec, sizes: Sizes) -> NDArray[np.float64]:
    """Return what latency is predicted from: a constant, MACs of the parts, blocks, attention blocks."""
    _, _, macs = costs(spec, sizes)
    attention = np.maximum(1, sizes.depths // 2)
    return np.concatenate([np.ones((len(macs), 1)), macs / 1e9, sizes.depths, attention], 1).astype(float)


def spec_of(name: str, sizes: Sizes, row: int) -> VariantSpec:
    """Return one variant."""
    dims = tuple(map(int, sizes.dims[row]))
    return with_attention(
        replace(
            first(name)[0],
            dims=dims,
            depths=tuple(map(int, sizes.depths[row])),
            ratios=tuple(map(float, sizes.ratios[row])),
            num_heads=tuple(heads_of(d) for d in dims),
        )
    )


def folded(spec: VariantSpec) -> nn.Module:
    """Return the form of a variant that is timed."""
    return fold(build(spec))


def times(
    specs: Sequence[VariantSpec], runtimes: Iterable[str], rounds: int, min_time: float
) -> dict[tuple[str, int], list[tuple[float, ...]]]:
    """Measure variants in one interleaved run; samples by runtime and batch, in the order given."""
    keys = [(runtime, batch) for runtime in runtimes for batch in BATCHES]
    subjects = [
        TimedModel(
            name=str(spec),
            build=functools.partial(folded, spec),
            conditions=replace(BASE, runtime=runtime, batch_size=batch),
        )
        for runtime, batch in keys
        for spec in specs
    ]
    timings = measure(subjects, rounds=rounds, min_time=min_time).timed
    if failures := [f"{t.label}: {t.failure}" for t in timings if t.failure]:
        raise SystemExit(failures[0])
    count = len(specs)
    return {key: [t.samples for t in timings[i * count : (i + 1) * count]] for i, key in enumerate(keys)}


def predicted(name: str, sizes: Sizes, number: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the predicted score of each candidate, from a measured sample of them."""
    rows = rng.choice(len(sizes.dims), number, replace=False)
    reference, relative = first(name)[0], dict[Key, list[float]]()
    for start in range(0, number, AT_ONCE):
        specs = [reference, *(spec_of(name, sizes, row) for row in rows[start : start + AT_ONCE])]
        for key, samples in times(specs, RUNTIMES, rounds=5, min_time=0.03).items():
            relative.setdefault(key, []).extend(ratio(s, samples[0]).median for s in samples[1:])
    x, everything, logs = features(reference, sizes[rows]), features(reference, sizes), []
    for (runtime, batch), values in relative.items():
        y = np.array(values)
        weights, _ = nnls(x / y[:, None], np.ones(number))
        error = np.abs(x @ weights / y - 1)
        print(
            f"{runtime}, batch {batch}: {y.min():.3f} to {y.max():.3f} of the reference, fitted within "
            f"{np.median(error):.1%} (median), {error.max():.1%} (worst)",
            flush=True,
        )
        logs.append(np.log(everything @ weights))
    return np.exp(np.mean(logs, 0))


def chosen(sizes: Sizes, scores: NDArray[np.float64], number: int) -> list[int]:
    """Return the rows of the best scores, at most two of each tuple of depths."""
    found: list[int] = []
    for row in np.argsort(scores).tolist():
        alike = sum((sizes.depths[row] == sizes.depths[other]).all() for other in found)
        if alike < 2:
            found.append(row)
        if len(found) == number:
            break
    return found


def table(name: str, specs: Sequence[VariantSpec], rounds: int) -> str:
    """Measure variants in all runtimes; the first one is the reference."""
    found = times(specs, (*RUNTIMES, "compile"), rounds, min_time=0.1)
    lines = ["| dims | depths | ratios | GMACs | M parameters | " + " | ".join(f"{r} {b}" for r, b in found)]
    lines[0] += " | geometric mean |"
    lines.append("| --- " * (6 + len(found)) + "|")
    scored = []
    for i, spec in enumerate(specs):
        cost = count_network(spec, (224, 224))
        ratios = [ratio(samples[i], samples[0]).median for samples in found.values()]
        score = math.prod(ratios) ** (1 / len(ratios))
        sizes = (spec.dims, spec.depths, [f"{r:g}" for r in spec.ratios])
        cells = ["-".join(map(str, values)) for values in sizes]
        cells += [f"{cost.macs / 1e9:.4f}", f"{cost.params / 1e6:.2f}", *(f"{r:.3f}" for r in ratios)]
        scored.append((score, f"| {' | '.join(cells)} | {score:.3f} |"))
    return "\n".join([*lines, *(line for _, line in sorted(scored))])


def main() -> None:
    """Search and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("presets", nargs="+", choices=FIRST)
    parser.add_argument("--sample", type=int, default=32)
    parser.add_argument("--top", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--beside", nargs="+", type=parse, help="measure these variants, search nothing")
    options = parser.parse_args()
    for name in options.presets:
        if options.beside:
            print(table(name, [*first(name), *options.beside], options.rounds))
            continue
        rng, start = np.random.default_rng(0), time.perf_counter()
        sizes = candidates(name, rng)
        print(f"\n{name}: {len(sizes.dims):,} allowed of {DRAWS:,} points drawn", flush=True)
        scores = predicted(name, sizes, options.sample, rng)
        best = [spec_of(name, sizes, row) for row in chosen(sizes, scores, options.top)]
        print(table(name, [*first(name), *best], options.rounds))
        print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
