"""The inner loops alone, each beside the floor that the machine sets.

    python benchmarks/inner_loops.py [--batch-size 1] [--rounds 15]

For each stage of saevit_tiny at 224 px, fp32, channels_last, all cores: the definition's expression, the
fused one, and the floor, which is the larger of the bytes that must be read and written over the bandwidth of
a copy of that many, and the MACs over the rate of a large product. Every expression once a round, in shuffled
order; microseconds are medians. Prints Markdown.
"""

import argparse
import random
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from saevit.count.analytic import tokens
from saevit.model.fold import constant
from saevit.model.fused import FusedCIFFN, FusedMix, FusedSAA, FusedSampler, tokens_of
from saevit.model.pyramid import Block, build
from saevit.parse import parse
from saevit.results.statistics import median

VARIANT = "saevit_tiny"
Call = Callable[[], object]


def map_of(B: int, C: int, H: int, W: int) -> Tensor:
    """Return a random map in channels_last."""
    return torch.randn(B, C, H, W).contiguous(memory_format=torch.channels_last)


def sampling(block: Block, x: Tensor) -> tuple[Call, Call, float, float]:
    """Window softmax and aggregation: reads the map twice (score, then sum), writes the tokens."""
    fused = FusedSampler(block.attn)
    moved = 2 * x.nbytes + x.nbytes / block.attn.sample.rate**2
    return lambda: block.attn.sample(x), lambda: fused(x), moved, x.numel()


def recovery(block: Block, x: Tensor) -> tuple[Call, Call, float, float]:
    """Recovery into the residual: reads tokens and map, writes the map."""
    fused = FusedSAA(block.attn, torch.zeros(x.shape[1]))
    r = block.attn.sample.rate
    y = map_of(x.shape[0], x.shape[1], x.shape[2] // r, x.shape[3] // r)
    spread = tokens_of(y).view(x.shape[0], y.shape[2], 1, y.shape[3], 1, -1)
    return (
        lambda: x + block.attn.recover(y),
        lambda: fused.recover(x, spread),
        2 * x.nbytes + y.nbytes,
        x.numel(),
    )


def attention(block: Block, x: Tensor) -> tuple[Call, Call, float, float]:
    """Attention over few tokens: reads queries, keys and values, writes the result."""
    B, C, h, w = x.shape
    fused = FusedMix(block.attn, torch.zeros(C))
    qkv = torch.randn(B, h * w, 3 * C)
    heads = fused.num_heads

    def by_hand() -> Tensor:
        q, k, v = qkv.view(B, h * w, 3, heads, -1).permute(2, 0, 3, 1, 4).unbind()
        weights = (q @ k.transpose(2, 3) * q.shape[3] ** -0.5).softmax(3)
        return (weights @ v).transpose(1, 2).reshape(B, -1, C)

    def fused_attention() -> Tensor:
        q, k, v = qkv.view(B, h * w, 3, heads, -1).permute(2, 0, 3, 1, 4).unbind()
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(B, -1, C)

    return by_hand, fused_attention, 4 * x.nbytes, 2 * B * (h * w) ** 2 * C


def redistribution(block: Block, x: Tensor) -> tuple[Call, Call, float, float]:
    """From GELU's output to the block's: redistribute, project, add. Reads the hidden map and x, writes x."""
    ffn = block.ffn
    fused = FusedCIFFN(ffn, torch.zeros(x.shape[1]))
    u = map_of(x.shape[0], ffn.fc2.in_channels, *x.shape[2:])
    t, v = tokens_of(x), tokens_of(u)

    def folded() -> Tensor:
        g = torch.ops.aten.gelu_(torch.addmm(fused.decompose_bias, v, fused.decompose))
        return fused.fc2(t, v).addcmul_(g, fused.correction)

    macs = v.shape[0] * v.shape[1] * (x.shape[1] + 1)
    return lambda: x + ffn.fc2(ffn.redistribute(u)), folded, u.nbytes + 2 * x.nbytes, macs


def timed(calls: dict[tuple[str, str], Call], rounds: int) -> dict[tuple[str, str], float]:
    """Return seconds of each, a median over shuffled rounds."""
    samples: dict[tuple[str, str], list[float]] = {key: [] for key in calls}
    with torch.inference_mode():
        for number in range(rounds + 1):
            for key in random.sample(list(calls), len(calls)):
                count, start = 0, time.perf_counter()
                while (passed := time.perf_counter() - start) < 0.01:
                    calls[key]()
                    count += 1
                if number:
                    samples[key].append(passed / count)
    return {key: median(values) for key, values in samples.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    random.seed(0)
    torch.manual_seed(0)
    spec = parse(VARIANT)
    model = build(spec).to(memory_format=torch.channels_last)
    work: dict[str, tuple[Call, Call, float, float]] = {}
    for i, (stage, seen) in enumerate(zip(spec.stages, tokens(spec, (224, 224)), strict=True)):
        block = model.stages[i].blocks[-1]
        x = map_of(options.batch_size, stage.dim, seen.height, seen.width)
        z = map_of(options.batch_size, stage.dim, 7, seen.sampled // 7)
        if stage.rate > 1:
            work[f"sampling, stage {i + 1}"] = sampling(block, x)
            work[f"recovery, stage {i + 1}"] = recovery(block, x.clone(memory_format=torch.preserve_format))
        work[f"attention, stage {i + 1}"] = attention(block, z)
        work[f"redistribution, stage {i + 1}"] = redistribution(block, x)
    calls: dict[tuple[str, str], Call] = {}
    for name, (defined, fused, moved, _) in work.items():
        a, b = torch.randn(int(moved / 8)), torch.empty(int(moved / 8))
        calls |= {
            (name, "defined"): defined,
            (name, "fused"): fused,
            (name, "copy"): lambda a=a, b=b: b.copy_(a),
        }
    m = constant(torch.randn(1024, 1024))
    calls["product", ""] = lambda: m @ m
    found = timed(calls, options.rounds)
    rate = 1024**3 / found["product", ""]
    print(f"Rate of a 1024 x 1024 x 1024 product: {rate / 1e9:.0f} GMAC/s. Batch {options.batch_size}.\n")
    print("| loop | as defined, us | fused, us | floor, us | floor is | fused / floor |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in sorted(work):
        memory, arithmetic = found[name, "copy"], work[name][3] / rate
        floor, kind = max((memory, "memory"), (arithmetic, "arithmetic"))
        defined, fused = found[name, "defined"], found[name, "fused"]
        print(
            f"| {name} | {defined * 1e6:.1f} | {fused * 1e6:.1f} | {floor * 1e6:.1f} | {kind} "
            f"| {fused / floor:.1f} |"
        )


if __name__ == "__main__":
    main()
