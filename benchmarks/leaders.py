"""Compare the latency of the presets with that of the leaders of their classes, in every runtime.

    python benchmarks/leaders.py [--only SETTING ...] [--rivals NAME ...] [--rounds 15] [--write PAGE]

One interleaved run for each setting: a runtime and a batch size, and bf16 too in eager and compiled torch.
Every model is timed in its best form. Rivals are timed as timm builds them (re-parameterised where the family
has it) and, in eager torch, once more with each BatchNorm folded into its convolution by torch.fx, in both
layouts. Compiled models are in channels_last and have their weights frozen. Beside each time is the rate of
multiply-accumulates (GMAC/s), and that of a product of two 1024 x 1024 matrices in the same rounds. Prints
Markdown; --write puts it between the marks of a page. Two cores: 30 minutes, half of it compiling.
"""

import os

os.environ["TORCHINDUCTOR_FREEZING"] = "1"  # before torch is loaded

import argparse
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from saevit.baselines import timm_models
from saevit.count.cost import count_network
from saevit.count.torch_counter import count_torch
from saevit.measure.rounds import TimedModel, measure
from saevit.model.fold import fold
from saevit.model.pyramid import build
from saevit.runs.record import Conditions
from saevit.runs.statistics import Ratio, median, ratio
from saevit.variant import parse

OURS = ("saevit_tiny", "saevit_small")
RIVALS = (
    "mobilenetv4_conv_medium",
    "efficientformer_l1",
    "efficientvit_b1",
    "repvit_m1_0",
    "fastvit_t8",
    "mobilenetv4_hybrid_medium",
    "shvit_s4",
)
PAIRS = {"saevit_tiny": "mobilenetv4_conv_medium", "saevit_small": "efficientformer_l1"}
MATRIX, SIDE = "1024 x 1024 product", 1024
IMG_SIZE = (224, 224)
BASE = Conditions(
    img_size=IMG_SIZE,
    batch_size=1,
    dtype="fp32",
    device="cpu",
    runtime="eager",
    threads=2,
    memory_format="contiguous",
)
SETTINGS = {
    f"{runtime}-{batch}{'-bf16' * (dtype == 'bf16')}": replace(
        BASE, runtime=runtime, batch_size=batch, dtype=dtype
    )
    for runtime, dtypes in (
        ("onnxruntime", ("fp32",)),
        ("openvino", ("fp32",)),
        ("compile", ("fp32", "bf16")),
        ("eager", ("fp32", "bf16")),
    )
    for dtype in dtypes
    for batch in (1, 16)
}

Samples = dict[str, tuple[float, ...]]


class Product(nn.Module):
    """A product of two square matrices, whatever the input."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("a", torch.randn(SIDE, SIDE))
        self.register_buffer("b", torch.randn(SIDE, SIDE))

    def forward(self, _: Tensor) -> Tensor:
        return self.a @ self.b


@dataclass(frozen=True)
class Form:
    """A model in one of the forms that are timed."""

    name: str
    build: Callable[[], nn.Module]
    folded: bool = False  # ours
    label: str = ""  # beside the name


def ours(name: str) -> nn.Module:
    """Return the form of a preset that is timed."""
    return fold(build(parse(name)))


def rival(name: str) -> nn.Module:
    """Return a model as `saevit compare` times it."""
    return timm_models.build_for_inference(name, IMG_SIZE).eval()


def rival_folded(name: str) -> nn.Module:
    """Return a model with each BatchNorm after a convolution folded into it."""
    from torch.fx.experimental.optimization import fuse

    return fuse(rival(name))


def forms(conditions: Conditions, rivals: Sequence[str]) -> list[Form]:
    """Return the forms of every model; other runtimes than eager torch fold by themselves."""
    found = [Form(name, functools.partial(ours, name), folded=True) for name in OURS]
    for name in rivals:
        found.append(Form(name, functools.partial(rival, name)))
        if conditions.runtime == "eager":
            try:
                rival_folded(name)
            except Exception as error:  # torch.fx cannot trace every network
                print(f"{name} is timed as built: {str(error).splitlines()[0]}")
                continue
            found.append(Form(name, functools.partial(rival_folded, name), label=", BN folded"))
    return found


def samples_of(conditions: Conditions, rivals: Sequence[str], rounds: int) -> Samples:
    """Measure all models in one interleaved run; return the samples of each in its best form."""
    both = ("contiguous", "channels_last")
    layouts = both if conditions.runtime in ("eager", "compile") else both[:1]
    subjects = [
        TimedModel(
            name=f"{form.name}{form.label}",
            build=form.build,
            conditions=replace(conditions, memory_format=layout, folded=form.folded),
        )
        for form in forms(conditions, rivals)
        for layout in (layouts[-1:] if conditions.runtime == "compile" else layouts)
    ]
    product = replace(conditions, runtime="eager", batch_size=1, dtype="fp32", memory_format="contiguous")
    subjects.append(TimedModel(name=MATRIX, build=Product, conditions=product))
    best: Samples = {}
    timings = measure(subjects, rounds=rounds, min_time=0.1).timed
    for subject, timing in zip(subjects, timings, strict=True):
        if timing.failure:
            print(f"{timing.label} is left out: {timing.failure}", flush=True)
            continue
        name = subject.name.partition(",")[0]
        if name not in best or median(timing.samples) < median(best[name]):
            best[name] = timing.samples
    return best


@functools.cache
def macs_of(name: str) -> int:
    """Return the MACs of a model for one image."""
    if name == MATRIX:
        return SIDE**3
    if name in OURS:
        return int(count_network(parse(name), IMG_SIZE).macs)
    return sum(count_torch(rival(name), (1, 3, *IMG_SIZE)).macs.values())


def cell(r: Ratio) -> str:
    """Write a ratio with its interval."""
    return f"{r.median:.3f} [{r.low:.3f}, {r.high:.3f}]"


def table(conditions: Conditions, samples: Samples) -> str:
    """Return one setting as a table, the fastest model first."""
    lines = [f"| model | GMACs | ms | GMAC/s | {' | '.join(f'{name} relative to it' for name in OURS)} |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for name in sorted(samples, key=lambda name: median(samples[name])):
        seconds, macs = median(samples[name]), macs_of(name)
        images = 1 if name == MATRIX else conditions.batch_size
        relative = [
            "" if name in (mine, MATRIX) else cell(ratio(samples[mine], samples[name])) for mine in OURS
        ]
        shown = f"`{name}`" if name in OURS else name
        lines.append(
            f"| {shown} | {macs / 1e9:.3f} | {seconds * 1e3:.2f} | {macs * images / seconds / 1e9:.0f} "
            f"| {' | '.join(relative)} |"
        )
    return "\n".join(lines)


def written(page: Path, mark: str, text: str) -> None:
    """Replace what is between the marks of a page."""
    begin, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    head, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, found, tail = rest.partition(end)
    if not found:
        raise SystemExit(f"{page} has no marks {begin} and {end}")
    page.write_text(f"{head}{begin}\n\n{text}\n\n{end}{tail}", encoding="utf-8")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", choices=SETTINGS, nargs="+", default=list(SETTINGS))
    parser.add_argument("--rivals", choices=RIVALS, nargs="+", default=RIVALS)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    summary = [
        f"| setting | {' | '.join(f'{a} relative to {b}' for a, b in PAIRS.items())} | share of the rate |"
    ]
    summary.append("| --- | --- | --- | --- |")
    tables = []
    for name in options.only:
        samples = samples_of(SETTINGS[name], options.rivals, options.rounds)
        tables.append(f"{name}:\n\n{table(SETTINGS[name], samples)}")
        print(f"\n{tables[-1]}", flush=True)
        rate = macs_of(MATRIX) / median(samples[MATRIX])
        pairs = [cell(ratio(samples[a], samples[b])) if b in samples else "" for a, b in PAIRS.items()]
        shares = [f"{SETTINGS[name].batch_size * macs_of(a) / median(samples[a]) / rate:.0%}" for a in OURS]
        summary.append(f"| {name} | {' | '.join(pairs)} | {', '.join(shares)} |")
    print("\n" + "\n".join(summary))
    if options.write:
        written(options.write, "leaders", "\n".join(summary))
        written(options.write, "leaders in full", "\n\n".join(tables))


if __name__ == "__main__":
    main()
