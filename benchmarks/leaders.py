"""The presets beside the leaders of their classes, in interleaved runs: is a light network also a fast one?

    python benchmarks/leaders.py [--rounds 11] [--quick] [--only "batch 1"] [--write docs/benchmarks.md]

Rivals are timed as timm builds them (re-parameterised where the family has it), and once more with every
BatchNorm after a convolution folded by torch.fx, so that both sides are fused; all in both memory layouts, of
which the better one counts. Compiled models have their weights frozen (TORCHINDUCTOR_FREEZING=1, set here).
Prints Markdown; --write puts it between the marks of a page. --quick leaves compiling out. Two cores: 25
minutes, 10 with --quick.
"""

import os

os.environ["TORCHINDUCTOR_FREEZING"] = "1"  # before torch is loaded

import argparse
import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from saevit.baselines import timm_models
from saevit.baselines.groups import is_core
from saevit.baselines.published import load
from saevit.count.analytic import total
from saevit.measure.interleave import Run, Subject, measure
from saevit.model.fuse import fuse
from saevit.model.pyramid import build
from saevit.parse import parse
from saevit.results.record import Conditions
from saevit.results.statistics import Ratio, median, ratio

PAIRS = {"saevit_tiny": "mobilenetv4_conv_medium", "saevit_small": "efficientformer_l1"}
LEAST_TOP1 = {"saevit_tiny": 76.0, "saevit_small": 79.0}
LAYOUTS = ("contiguous", "channels_last")
BASE = Conditions(
    img_size=(224, 224),
    batch_size=1,
    dtype="fp32",
    device="cpu",
    runtime="eager",
    threads=2,
    memory_format="contiguous",
)
SETTINGS = {
    "batch 1": BASE,
    "batch 16": replace(BASE, batch_size=16),
    "batch 1, 1 thread": replace(BASE, threads=1),
    "batch 1, bf16": replace(BASE, dtype="bf16"),
    "batch 16, bf16": replace(BASE, dtype="bf16", batch_size=16),
}
COMPILED = {
    "batch 1, compiled": replace(BASE, runtime="compile"),
    "batch 16, compiled": replace(BASE, runtime="compile", batch_size=16),
}


def ours(name: str) -> nn.Module:
    """Return a variant, fused."""
    return fuse(build(parse(name)))


def rival(name: str) -> nn.Module:
    """Return a model as `saevit compare` times it."""
    return timm_models.build(name, (224, 224)).eval()


def folded(name: str) -> nn.Module:
    """Return a model with each BatchNorm after a convolution folded into it."""
    from torch.fx.experimental.optimization import fuse as fold

    return fold(rival(name))


@dataclass(frozen=True)
class Form:
    """A model in the form that is timed."""

    name: str
    build: Callable[[], nn.Module]
    fused: bool = False


def forms(compiled: bool) -> list[Form]:
    """Return every model of the comparison; a compiler folds by itself."""
    found = [Form(name, functools.partial(ours, name), fused=True) for name in PAIRS]
    for name in PAIRS.values():
        found.append(Form(name, functools.partial(rival, name)))
        if not compiled:
            found.append(Form(f"{name}, folded", functools.partial(folded, name)))
    return found


def subjects(settings: dict[str, Conditions], compiled: bool) -> Iterator[tuple[tuple[str, str], Subject]]:
    """Yield (form, setting) and what to time, in both layouts: ours takes its own, but has to get there."""
    for form in forms(compiled):
        for setting, conditions in settings.items():
            for layout in LAYOUTS:
                like = replace(conditions, memory_format=layout, fused=form.fused)
                yield (form.name, setting), Subject(name=form.name, build=form.build, conditions=like)


def times(run: Run, keys: list[tuple[str, str]]) -> dict[tuple[str, str], tuple[float, ...]]:
    """Return the samples of each form in each setting, in its better layout."""
    best: dict[tuple[str, str], tuple[float, ...]] = {}
    for key, timing in zip(keys, run.timings, strict=True):
        if timing.failure:
            raise SystemExit(f"{timing.label}: {timing.failure}")
        if key not in best or median(timing.samples) < median(best[key]):
            best[key] = timing.samples
    return best


def timed(
    pairs: list[tuple[tuple[str, str], Subject]], rounds: int
) -> dict[tuple[str, str], tuple[float, ...]]:
    """Measure in one interleaved run."""
    run = measure([subject for _, subject in pairs], rounds=rounds, noise_floor=False)
    return times(run, [key for key, _ in pairs])


def cell(r: Ratio) -> str:
    """Write a ratio with its interval."""
    return f"{r.median:.3f} [{r.low:.3f}, {r.high:.3f}]"


def class_table(rounds: int, compiled: bool) -> str:
    """Return the table of the two pairs in every setting."""
    settings = SETTINGS | (COMPILED if compiled else {})
    pairs = [
        *subjects(SETTINGS, compiled=False),
        *(subjects(COMPILED, compiled=True) if compiled else ()),
    ]
    samples = timed(pairs, rounds)
    lines = ["| setting | ours | ms | rival | ms | ratio | to the rival folded |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    for setting in settings:
        for name, against in PAIRS.items():
            mine, theirs = samples[name, setting], samples[against, setting]
            fold = samples.get((f"{against}, folded", setting))
            lines.append(
                f"| {setting} | {name} | {median(mine) * 1e3:.1f} | {against} | {median(theirs) * 1e3:.1f} "
                f"| {cell(ratio(mine, theirs))} | {cell(ratio(mine, fold)) if fold else 'by the compiler'} |"
            )
    rate = matrix_rate()
    lines += [
        "",
        f"Share of the floor, at the measured {rate / 1e9:.0f} GMAC/s of a 1024 x 1024 x 1024 product:",
    ]
    for name in PAIRS:
        macs = int(total(parse(name), (224, 224)).macs)
        shares = [
            f"{setting} {macs * SETTINGS[setting].batch_size / median(samples[name, setting]) / rate:.0%}"
            for setting in ("batch 1", "batch 16")
        ]
        lines.append(f"{name} {', '.join(shares)}.")
    return "\n".join(lines)


def one_setting(setting: str, rounds: int) -> str:
    """Return the ratios of the two pairs in one setting."""
    like = (SETTINGS | COMPILED)[setting]
    samples = timed(list(subjects({setting: like}, compiled=setting in COMPILED)), rounds)
    lines = ["| ours | rival | ratio |", "| --- | --- | --- |"]
    for name, against in PAIRS.items():
        for form in (against, f"{against}, folded"):
            if (form, setting) in samples:  # folding is the compiler's own work
                both = samples[name, setting], samples[form, setting]
                lines.append(f"| {name} | {form} | {cell(ratio(*both))} |")
    return "\n".join(lines)


def matrix_rate() -> float:
    """Return multiply-adds a second of a large fp32 product on both threads."""
    n, best = 1024, 0.0
    a, b = torch.randn(n, n), torch.randn(n, n)
    for _ in range(20):
        start = time.perf_counter()
        a @ b
        best = max(best, n**3 / (time.perf_counter() - start))
    return best


def core_table(rounds: int) -> str:
    """Return, for each of ours, every core baseline of at least its class's accuracy, and their ratio."""
    wanted: dict[str, float] = {}
    for row in filter(is_core, load()):
        plain = row.distilled != "yes" and not row.uses_extra_data
        if plain and row.timm_name and row.top1 and row.top1 >= min(LEAST_TOP1.values()):
            name = timm_models.network(row.timm_name)
            wanted[name] = max(row.top1, wanted.get(name, 0.0))
    pairs = [(("ours", k[0]), s) for k, s in subjects({"": BASE}, False) if k[0] in PAIRS]
    for name in wanted:
        for layout in LAYOUTS:
            like = replace(BASE, memory_format=layout)
            subject = Subject(name=name, build=functools.partial(rival, name), conditions=like)
            pairs.append((("core", name), subject))
    samples = timed(pairs, rounds)
    lines = ["| model | top-1 % | to saevit_tiny | to saevit_small |", "| --- | --- | --- | --- |"]
    for name in sorted(wanted, key=lambda name: median(samples["core", name])):
        theirs = samples["core", name]
        cells = [
            cell(ratio(theirs, samples["ours", preset])) if wanted[name] >= LEAST_TOP1[preset] else "-"
            for preset in PAIRS
        ]
        lines.append(f"| {name} | {wanted[name]:.1f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def written(page: Path, mark: str, text: str) -> None:
    """Replace what stands between the marks of a page."""
    begin, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    head, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, found, tail = rest.partition(end)
    if not found:
        raise SystemExit(f"{page} has no marks {begin} and {end}")
    page.write_text(f"{head}{begin}\n\n{text}\n\n{end}{tail}", encoding="utf-8")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--only", choices=SETTINGS | COMPILED, help="time the two pairs in one setting, nothing else"
    )
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    if options.only:
        print(one_setting(options.only, options.rounds))
        return
    found = {
        "classes": class_table(options.rounds, not options.quick),
        "core": core_table(options.rounds),
    }
    for mark, text in found.items():
        print(f"\n{text}", flush=True)
        if options.write:
            written(options.write, mark, text)


if __name__ == "__main__":
    main()
