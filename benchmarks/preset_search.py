"""Search the sizes of a preset: the fastest fused network at its budget that has no less capacity.

    python benchmarks/preset_search.py saevit_small [saevit_tiny ...] [--top 8]

The rule. A variant may stand for a preset if, at 224 px,
- its MACs are within 1 % of the budget;
- it has at least the blocks, the parameters and the channels of the last stage of the preset's first sizes;
- channels grow from stage to stage, every FFN expands at least twice, and every stage has attention, at least
  in every second block counted from its end, over at least 49 tokens (rates of 8-4-2-1 or less).
These are what accuracy is known to follow from at a given budget: fewer or narrower layers, or less
attention, are faster for a reason that a user pays for. Among those that may stand, the score is the
geometric mean of the latency of the fused network at batch 1 and at batch 16, each as a ratio to the first
sizes: a network that is fast at one of them only is not fast.

The way. Every block, downsampling, stem and head of the grid is timed alone, three of a kind in a row so
that weights are not always in the cache, in shuffled rounds at both batch sizes; their sums predict each
variant of the grid. The best predicted ones, no more than two of each tuple of depths, are then built and
timed beside the first sizes in interleaved runs, and the best of those again with more rounds. Predictions
only choose what is measured. Prints Markdown for docs/benchmarks.md. Eight minutes for saevit_small
on two cores.
"""

import argparse
import itertools
import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from saevit.compare import compare
from saevit.count import analytic
from saevit.measure.plan import Plan
from saevit.model.fuse import FusedStage
from saevit.model.fused import FusedConv, FusedHead, FusedStem
from saevit.model.layers import Downsample, Head, Stem
from saevit.model.pyramid import Block, PyramidStage
from saevit.parse import parse
from saevit.results.comparison import Comparison
from saevit.spec import Stage, VariantSpec, rounded

# budget in MACs, and the sizes that the presets had before any search: what capacity is compared with
FIRST = {
    "saevit_pico": (0.2e9, "dims=24-48-96-176,depths=2-2-5-2,heads=1-2-3-4,ratios=3"),
    "saevit_nano": (0.4e9, "dims=32-64-128-224,depths=2-2-7-2,heads=1-2-4-7,ratios=3-3-3-4"),
    "saevit_tiny": (0.8e9, "dims=48-96-192-320,depths=2-2-6-2,heads=1-3-6-10,ratios=3-3-3-4"),
    "saevit_small": (1.3e9, "dims=56-112-224-384,depths=2-2-8-3,heads=1-2-7-12,ratios=3"),
    "saevit_base": (2.6e9, "dims=72-144-288-504,depths=2-3-10-3,heads=2-4-8-14,ratios=3-3-3-4"),
}
RATES = ((8, 4), (4, 2), (2, 1), (1,))  # of each stage: 49 tokens at 224 px, or four times as many
ATTN_EVERY = (2, 1)  # every second block has attention, or every one
RATIOS = (2.0, 2.5, 3.0, 3.5, 4.0)
SIZES = (56, 28, 14, 7)  # of the maps at 224 px
BATCH_SIZES = (1, 16)
COPIES = 3
STEPS = (8, 16, 16, 32)  # between two widths of a stage
GROWTH = (0.9, 1.45)  # widths of the grid, as multiples of the first ones

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Piece:
    """A part of the network: what it costs, and the seconds it takes at each batch size."""

    macs: int
    params: int
    seconds: tuple[float, ...]


@dataclass(frozen=True)
class Width:
    """A stage's channels and hidden channels."""

    dim: int
    ratio: float

    @property
    def hidden_dim(self) -> int:
        return rounded(self.dim * self.ratio, 8)


def heads_of(dim: int) -> int:
    """Return the number of heads that divides the channels and makes them nearest to 32 wide."""
    return min((h for h in range(1, dim + 1) if dim % h == 0), key=lambda h: (abs(dim / h - 32), h))


def first_spec(name: str) -> VariantSpec:
    """Return the first sizes of a preset."""
    return parse(f"{name}:{FIRST[name][1]},rates=8-4-2-1")


def grid(name: str) -> list[list[Width]]:
    """Return the widths that each stage is searched over."""
    found = []
    for dim, step in zip(first_spec(name).dims, STEPS, strict=True):
        low, high = (round(dim * g / step) * step for g in GROWTH)
        dims = {dim, *range(max(low, step), high + 1, step)}
        found.append([Width(d, r) for d in sorted(dims) for r in RATIOS])
    return found


def clock(run: Callable[[], object], at_least: float) -> float:
    """Return the seconds of one run, over as many as last `at_least` seconds."""
    count, start = 0, time.perf_counter()
    while True:
        run()
        count += 1
        if (passed := time.perf_counter() - start) >= at_least:
            return passed / count


def times_of(
    modules: dict[object, tuple[torch.nn.Module, tuple[int, ...]]],
) -> dict[object, tuple[float, ...]]:
    """Time modules on inputs (C, H, W) at each batch size in shuffled rounds; the median of five."""
    samples: dict[object, list[float]] = {(key, B): [] for key in modules for B in BATCH_SIZES}
    with torch.inference_mode():
        for number in range(6):
            for key, B in random.sample(list(samples), len(samples)):
                module, size = modules[key]
                x = torch.randn(B, *size).contiguous(memory_format=torch.channels_last)
                seconds = clock(lambda module=module, x=x: module(x), 0.004)
                if number:  # the first round packs weights and warms up
                    samples[key, B].append(seconds)
    return {key: tuple(statistics.median(samples[key, B]) for B in BATCH_SIZES) for key in modules}


def total(costs: analytic.ByModule) -> analytic.Cost:
    """Add up."""
    return analytic.add_up(costs)


def block_pieces(spec: VariantSpec, widths: list[list[Width]]) -> dict[object, Piece]:
    """Time and count blocks: key (stage, width, rate), the rate 0 where the block has no attention."""
    modules, costs = {}, {}
    for i, options in enumerate(widths):
        for width, rate in itertools.product(options, (0, *RATES[i])):
            attends = rate > 0
            stage = Stage(
                dim=width.dim,
                hidden_dim=width.hidden_dim,
                num_heads=heads_of(width.dim),
                rate=rate or 1,
                attends=(attends,),
            )
            blocks = [Block(spec, stage, attends=attends, drop_path=0.0) for _ in range(COPIES)]
            key = (i, width, rate)
            modules[key] = (FusedStage(PyramidStage(None, blocks).eval()), (width.dim, SIZES[i], SIZES[i]))
            costs[key] = total(analytic.block(spec, stage, SIZES[i], SIZES[i], attends=attends))
    times = times_of(modules)
    return {
        key: Piece(int(cost.macs), int(cost.params), tuple(s / COPIES for s in times[key]))
        for key, cost in costs.items()
    }


def join_pieces(spec: VariantSpec, dims: list[list[int]]) -> dict[object, Piece]:
    """Time and count stems, downsamplings and heads: keys (dim,), (stage, dim before, dim), ("head", dim)."""
    modules: dict[object, tuple[torch.nn.Module, tuple[int, ...]]] = {}
    costs = {}
    for dim in dims[0]:
        modules[dim,] = (FusedStem(Stem(3, dim // 2, dim, spec.act).eval()), (3, 224, 224))
        costs[dim,] = total(analytic.stem(3, dim // 2, dim, (224, 224)))
    for i in (1, 2, 3):
        for a, b in itertools.product(dims[i - 1], dims[i]):
            down = Downsample(a, b).eval()
            modules[i, a, b] = (FusedConv(down.conv, down.norm), (a, SIZES[i - 1], SIZES[i - 1]))
            costs[i, a, b] = total(analytic.downsample(a, b, SIZES[i] ** 2))
    for dim in dims[3]:
        modules["head", dim] = (FusedHead(Head(dim, 1000).eval()), (dim, 7, 7))
        costs["head", dim] = total(analytic.head(dim, 1000, 49))
    times = times_of(modules)
    return {key: Piece(int(cost.macs), int(cost.params), times[key]) for key, cost in costs.items()}


def depth_tuples(first: VariantSpec) -> Iterator[tuple[int, ...]]:
    """Yield the depths that are searched: at least as many blocks in all, at most one more."""
    least = sum(first.depths)
    for d1, d2, d4 in itertools.product((1, 2, 3), (1, 2, 3, 4), (1, 2, 3, 4)):
        for blocks in (least, least + 1):
            if (d3 := blocks - d1 - d2 - d4) >= max(d1, d2, d4):
                yield d1, d2, d3, d4


def summed(pieces: list[Piece]) -> Floats:
    """Return (4, len) of MACs, parameters and seconds at each batch size."""
    return np.array([[p.macs, p.params, *p.seconds] for p in pieces]).T


@dataclass(frozen=True)
class Frame:
    """What of a variant is not its widths."""

    depths: tuple[int, ...]
    rates: tuple[int, ...]
    attn_every: int


def frames(first: VariantSpec) -> Iterator[Frame]:
    """Yield every one that is searched."""
    for depths in depth_tuples(first):
        for attn_every, *rates in itertools.product(ATTN_EVERY, *RATES):
            yield Frame(depths, tuple(rates), attn_every)


def stage_costs(i: int, frame: Frame, options: list[Width], blocks: dict[object, Piece]) -> Floats:
    """Return (4, len(options)): the blocks of a stage."""
    attending = -(-frame.depths[i] // frame.attn_every)
    with_it = summed([blocks[i, width, frame.rates[i]] for width in options])
    without = summed([blocks[i, width, 0] for width in options])
    return attending * with_it + (frame.depths[i] - attending) * without


def predictions(
    widths: list[list[Width]],
    frame: Frame,
    blocks: dict[object, Piece],
    joins: dict[object, Piece],
) -> Floats:
    """Return MACs, parameters and seconds (4, n1, n2, n3, n4) of every choice of widths in this frame."""
    parts = [stage_costs(i, frame, widths[i], blocks) for i in range(4)]
    grown = np.zeros((4, *(len(options) for options in widths)))
    for i, part in enumerate(parts):
        shape = [4, 1, 1, 1, 1]
        shape[i + 1] = -1
        grown += part.reshape(shape)
    grown += summed([joins[w.dim,] for w in widths[0]]).reshape(4, -1, 1, 1, 1)
    grown += summed([joins["head", w.dim] for w in widths[3]]).reshape(4, 1, 1, 1, -1)
    for i in (1, 2, 3):
        pairs = [joins[i, a.dim, b.dim] for a, b in itertools.product(widths[i - 1], widths[i])]
        shape = [4, 1, 1, 1, 1]
        shape[i], shape[i + 1] = len(widths[i - 1]), len(widths[i])
        grown += summed(pairs).reshape(shape)
    return grown


def candidates(name: str, top: int) -> list[VariantSpec]:
    """Return the best predicted variants that the rule allows."""
    budget, first = FIRST[name][0], first_spec(name)
    widths = grid(name)
    blocks = block_pieces(first, widths)
    joins = join_pieces(first, [sorted({w.dim for w in options}) for options in widths])
    least_params = total(analytic.by_module(first, (224, 224))).params
    dims = np.meshgrid(*([w.dim for w in options] for options in widths), indexing="ij", sparse=True)
    grows = (dims[0] < dims[1]) & (dims[1] < dims[2]) & (dims[2] < dims[3]) & (dims[3] >= first.dims[3])
    found: list[tuple[float, Frame, VariantSpec]] = []
    allowed = 0
    for frame in frames(first):
        macs, params, *seconds = predictions(widths, frame, blocks, joins)
        fits = (abs(macs / budget - 1) <= 0.0099) & (params >= least_params) & grows
        allowed += int(fits.sum())
        score = np.where(fits, np.prod(seconds, axis=0), np.inf)
        for place in np.argpartition(score, 1, axis=None)[:2]:
            where = np.unravel_index(place, score.shape)
            if fits[where]:
                chosen = [options[k] for options, k in zip(widths, where, strict=True)]
                found.append((float(score[where]), frame, variant(name, chosen, frame)))
    print(
        f"{name}: {allowed:,} variants of the grid may stand for it; the best {top} predicted are measured. "
        "The best of each placement, as predicted, to the best of all:\n"
    )
    found.sort(key=lambda entry: entry[0])
    print_placements(found)
    picked: list[VariantSpec] = []
    for _, frame, spec in found:
        if sum(other.depths == frame.depths for other in picked) < 2:
            picked.append(spec)
    return picked[:top]


def print_placements(found: list[tuple[float, Frame, VariantSpec]]) -> None:
    """Print how slow the best variant of each placement and rates is predicted, beside the best of all."""
    best: dict[str, float] = {}
    for score, frame, _ in found:  # best first
        rates = "-".join(map(str, frame.rates))
        best.setdefault(f"attn_every={frame.attn_every},rates={rates}", score)
    for placement, score in best.items():
        print(f"- {placement}: {(score / found[0][0]) ** (1 / len(BATCH_SIZES)):.3f}")
    print(flush=True)


def variant(name: str, widths: list[Width], frame: Frame) -> VariantSpec:
    """Return the variant of these sizes."""
    dims = tuple(w.dim for w in widths)
    text = ",".join(
        f"{key}={'-'.join(f'{value:g}' for value in values)}"
        for key, values in {
            "dims": dims,
            "depths": frame.depths,
            "heads": tuple(map(heads_of, dims)),
            "ratios": tuple(w.ratio for w in widths),
            "rates": frame.rates,
        }.items()
    )
    return parse(f"{name}:{text},attn_every={frame.attn_every}")


def measured(specs: list[VariantSpec], first: VariantSpec, rounds: int) -> dict[str, tuple[float, ...]]:
    """Return each variant's latency at each batch size as a ratio to the first sizes."""
    names = [str(first), *(str(spec) for spec in specs if spec != first)]
    runs = [compare(names, plan=Plan(batch_sizes=(B,), rounds=rounds)) for B in BATCH_SIZES]
    return {name: tuple(ratio_of(run, name) for run in runs) for name in names}


def ratio_of(run: Comparison, name: str) -> float:
    """Return the median ratio to the reference of the run."""
    samples = {c.model: c.latency.samples for c in run.candidates if c.latency}
    pairs = zip(samples[name], samples[run.reference], strict=True)
    return statistics.median(a / b for a, b in pairs)


def score(ratios: tuple[float, ...]) -> float:
    """Return the geometric mean."""
    return statistics.geometric_mean(ratios)


def search(name: str, top: int) -> None:
    """Search one preset and print what was found."""
    first = first_spec(name)
    specs = candidates(name, top)
    rough = measured(specs, first, rounds=5)
    best = sorted(specs, key=lambda spec: score(rough[str(spec)]))[:3]
    fine = measured(best, first, rounds=11)
    print("\n| variant | GMACs | M params | blocks | batch 1 | batch 16 | score |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for text in sorted(fine, key=lambda text: score(fine[text])):
        spec = parse(text)
        cost = total(analytic.by_module(spec, (224, 224)))
        ratios = " | ".join(f"{r:.3f}" for r in fine[text])
        print(
            f"| `{text}` | {cost.macs / 1e9:.4f} | {cost.params / 1e6:.2f} | {sum(spec.depths)} "
            f"| {ratios} | {score(fine[text]):.3f} |"
        )
    print(flush=True)


def main() -> None:
    """Search the presets named."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("presets", nargs="+", choices=FIRST)
    parser.add_argument("--top", type=int, default=8, help="how many to build and measure")
    options = parser.parse_args()
    random.seed(0)
    torch.manual_seed(0)
    for name in options.presets:
        search(name, options.top)


if __name__ == "__main__":
    main()
