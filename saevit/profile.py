"""Profile one model: counts with their receipt, a breakdown, and interleaved timings. torch loads on demand."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from saevit.baselines import timm_models
from saevit.count import receipt, subject
from saevit.count.groups import assign, groups
from saevit.count.subject import Counted
from saevit.errors import MeasureError, MemoryLimitError, OptionError, nearest
from saevit.parse import parse
from saevit.results.profile import BYTES, By, Latency, Profile, ReceiptLine, Row, Timings
from saevit.results.record import Conditions, Dtype, MemoryFormat
from saevit.spec import MIN_IMG_SIZE, VariantSpec

if TYPE_CHECKING:
    from saevit.count.tracing import Count
    from saevit.measure.breakdown import ModuleTimes
    from saevit.measure.interleave import Run, Timing

LARGEST_IMG_SIZE = 2**14


@dataclass(frozen=True, kw_only=True)
class Step:
    """What profiling is about to do; `done` is the share of the timing that is finished."""

    text: str
    done: float | None = None
    eta: float | None = None  # seconds


Tell = Callable[[Step], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to time: one configuration for each runtime and batch size, all in one interleaved run."""

    batch_sizes: tuple[int, ...] = (1, 8)
    device: str = "auto"
    runtimes: tuple[str, ...] = ("eager",)
    threads: int | None = None  # None: as many as there are usable cores
    memory_format: MemoryFormat = "contiguous"
    rounds: int = 15
    min_time: float = 0.1  # seconds a sample lasts at least
    seed: int = 0
    force: bool = False  # run even what by the count cannot fit in memory


def profile(
    model: str | VariantSpec,
    *,
    img_size: tuple[int, int] = (224, 224),
    dtype: Dtype = "fp32",
    counters: Sequence[str] | None = None,
    by: By = "stage",
    plan: Plan | None = None,
    on_step: Tell = lambda step: None,
) -> Profile:
    """Count a model exactly and, with a plan, time it.

    Args:
        model: a variant or its text, or `timm:NAME`.
        img_size: (H, W) in pixels, 32 or more.
        dtype: precision of weights and activations; MACs do not depend on it.
        counters: of `receipt.COUNTERS`; None is all that apply.
        by: lines of the breakdown.
        plan: None times nothing; with `counters=["analytic"]` torch is then never loaded.
        on_step: called before each step.

    Raises:
        SaevitError: what cannot be counted, built or timed, in one line.
    """
    check_img_size(img_size)
    if isinstance(model, str) and model.startswith(timm_models.PREFIX):
        names = wanted(counters, receipt.TRACING)
        on_step(Step(text=f"building {model}"))
        counted, counts = of_timm(model, img_size, names, on_step)
    else:
        names = wanted(counters, receipt.COUNTERS)
        counted = subject.of_variant(parse(model) if isinstance(model, str) else model, img_size)
        counts = traced(counted, img_size, names, on_step)
    lines = receipt.lines(counted, counts, names)
    rows = groups(counted.paths, by)
    timings, seconds = timed(counted, img_size, dtype, rows, plan, on_step) if plan else (None, {})
    return assemble(counted, img_size, dtype, by, breakdown(counted, rows, seconds), lines, timings)


def check_img_size(img_size: tuple[int, int]) -> None:
    """Refuse a size that the four stages cannot halve, or that no memory holds."""
    for side in img_size:
        if not MIN_IMG_SIZE <= side <= LARGEST_IMG_SIZE:
            near = min(max(side, MIN_IMG_SIZE), LARGEST_IMG_SIZE)
            raise OptionError(
                f"img_size {img_size[0]},{img_size[1]}: {side} px is out of range, nearest is {near}"
            )


def wanted(counters: Sequence[str] | None, known: Sequence[str]) -> tuple[str, ...]:
    """Return the counters to run, in the receipt's order."""
    for name in counters or ():
        if name not in receipt.COUNTERS:
            raise OptionError(f"counter {name!r} is not known: {nearest(name, receipt.COUNTERS)}")
        if name not in known:
            raise OptionError(f"counter {name!r} is of SAEViT variants only: choose from {', '.join(known)}")
    return tuple(name for name in known if counters is None or name in counters)


def traced(
    counted: Counted, img_size: tuple[int, int], names: Sequence[str], on_step: Tell
) -> "dict[str, Count | Exception]":
    """Run the tracing counters on the network; each one's failure is its result."""
    tracing = [name for name in names if name in receipt.TRACING]
    if not tracing:
        return {}
    skeleton = counted.skeleton()
    found = {}
    for name in tracing:
        on_step(Step(text=f"counting with {name}"))
        found[name] = receipt.attempt(name, skeleton, (1, counted.in_chans, *img_size))
    return found


def of_timm(
    model: str, img_size: tuple[int, int], names: Sequence[str], on_step: Tell
) -> "tuple[Counted, dict[str, Count | Exception]]":
    """Build and count a timm model; the torch counter is the reference, whatever the receipt shows."""
    network = timm_models.build(model.removeprefix(timm_models.PREFIX), img_size)
    on_step(Step(text="counting with torch"))
    count = receipt.attempt("torch", network, (1, 3, *img_size))
    if isinstance(count, Exception):
        raise MeasureError(
            f"{model} does not run at {img_size[0]} x {img_size[1]} px: {receipt.short(count)}"
        ) from count
    counted = subject.of_network(model, timm_models.statement(), network, img_size, count)
    others = traced(counted, img_size, [name for name in names if name != "torch"], on_step)
    return counted, {"torch": count, **others}


def breakdown(
    counted: Counted, lines: Sequence[str], seconds: Mapping[str, tuple[float, ...]]
) -> tuple[Row, ...]:
    """Return the lines of the breakdown: what no line covers stands in a last one with an empty path."""
    params, macs = assign(counted.params, lines), assign(counted.macs, lines)
    activations = assign(counted.activations, lines)
    rows = []
    for path in params | macs | activations | seconds:
        channels, height, width = counted.shapes.get(path, (None, None, None))
        rows.append(
            Row(
                path=path,
                channels=channels,
                height=height,
                width=width,
                tokens=counted.tokens.get(path),
                params=params.get(path, 0),
                macs=macs.get(path, 0),
                activations=activations.get(path, 0),
                seconds=seconds.get(path, ()),
            )
        )
    return tuple(rows)


def assemble(
    counted: Counted,
    img_size: tuple[int, int],
    dtype: Dtype,
    by: By,
    rows: tuple[Row, ...],
    lines: tuple[ReceiptLine, ...],
    timings: Timings | None,
) -> Profile:
    """Put the findings together."""
    return Profile(
        model=counted.name,
        statement=counted.statement,
        img_size=img_size,
        dtype=dtype,
        params=sum(counted.params.values()),
        macs=sum(counted.macs.values()),
        counted_by=counted.counted_by,
        attention_macs=counted.attention_macs,
        dense_attention_macs=counted.dense_attention_macs,
        activations=sum(counted.activations.values()),
        elementwise=counted.elementwise,
        peak_bytes=counted.peak_elements * BYTES[dtype],
        by=by,
        rows=rows,
        receipt=lines,
        timings=timings,
    )


def configurations(img_size: tuple[int, int], dtype: Dtype, plan: Plan) -> list[Conditions]:
    """Return every runtime at every batch size, on a device and precision that have been tried out."""
    from saevit.measure import runtimes
    from saevit.measure.environment import usable_cores

    device = runtimes.resolve_device(plan.device)
    runtimes.check_dtype(device, dtype)
    for name in plan.runtimes:
        runtimes.runtime(name)
    return [
        Conditions(
            img_size=img_size,
            batch_size=batch_size,
            dtype=dtype,
            device=device,
            runtime=name,
            threads=plan.threads or usable_cores(),
            memory_format=plan.memory_format,
        )
        for name in plan.runtimes
        for batch_size in plan.batch_sizes
    ]


def timed(
    counted: Counted, img_size: tuple[int, int], dtype: Dtype, lines: Sequence[str], plan: Plan, on_step: Tell
) -> tuple[Timings, dict[str, tuple[float, ...]]]:
    """Time the model in interleaved rounds, then its modules; return both, the modules' times by line."""
    from saevit.measure.breakdown import module_times
    from saevit.measure.interleave import Subject, measure

    conditions = configurations(img_size, dtype, plan)
    if not plan.force:
        check_memory(counted, conditions)
    subjects = [
        Subject(name=counted.name, build=counted.build, conditions=c, channels=counted.in_chans)
        for c in conditions
    ]
    run = measure(
        subjects,
        rounds=plan.rounds,
        min_time=plan.min_time,
        seed=plan.seed,
        on_progress=lambda p: on_step(
            Step(
                text=f"{p.phase} {p.subject}",
                done=p.round / p.rounds if p.phase == "measure" else None,
                eta=p.eta,
            )
        ),
    )
    first = next((t.conditions for t in run.timings if t.samples), None)
    if first is None or run.interrupted:
        return timings_of(run, None), {}
    on_step(Step(text="timing the modules"))
    eager = replace(first, runtime="eager")
    model = counted.build()
    modules = dict(model.named_modules(remove_duplicate=False))
    times = module_times(
        model,
        (eager.batch_size, counted.in_chans, *img_size),
        [path for path in lines if path in modules],
        eager,
        rounds=plan.rounds,
        min_time=plan.min_time,
        seed=plan.seed,
    )
    return timings_of(run, times), own_times(times)


def own_times(times: "ModuleTimes") -> dict[str, tuple[float, ...]]:
    """Return each line's own time, what lies inside of it on other lines taken off; "" is the rest of the pass."""
    own = {"": list(times.watched)} | {path: list(samples) for path, samples in times.modules.items()}
    for path, samples in times.modules.items():
        parent = path
        while parent:
            parent = parent.rpartition(".")[0]
            if parent in own:
                own[parent] = [outer - inner for outer, inner in zip(own[parent], samples, strict=True)]
                break
    return {path: tuple(max(0.0, s) for s in samples) for path, samples in own.items()}


def check_memory(counted: Counted, conditions: Sequence[Conditions]) -> None:
    """Refuse, before any weight is allocated, what by the exact count cannot fit.

    Raises:
        MemoryLimitError: weights and live activations need more than is free.
    """
    from saevit.measure.memory import available_memory

    largest = max(conditions, key=lambda c: c.batch_size)
    weights = sum(counted.params.values()) * BYTES[largest.dtype]
    image = counted.peak_elements * BYTES[largest.dtype]
    free = available_memory(largest.device)
    if weights + image * largest.batch_size <= free:
        return
    fitting = (free - weights) // image
    way_out = (
        f"--batch-size {fitting}" if fitting >= 1 else "a smaller variant, or --no-measure to count only"
    )
    raise MemoryLimitError(
        f"{counted.name} at batch {largest.batch_size} needs {(weights + image * largest.batch_size) / 1e9:.1f} GB "
        f"(weights {weights / 1e9:.1f}), {free / 1e9:.1f} GB are free on {largest.device}: "
        f"nearest is {way_out}; --force tries all the same"
    )


def timings_of(run: "Run", times: "ModuleTimes | None") -> Timings:
    """Turn a run into what a profile keeps of it."""
    from saevit.measure.stability import advise

    return Timings(
        latencies=tuple(map(latency_of, run.timings)),
        twin=run.twin.samples if run.twin else (),
        rounds=run.rounds,
        min_time=run.min_time,
        seed=run.seed,
        environment=run.environment,
        started=run.started,
        advice=tuple(f"{a.level}: {a.subject + ': ' if a.subject else ''}{a.message}" for a in advise(run)),
        interrupted=run.interrupted,
        breakdown=times.conditions if times else None,
        breakdown_total=times.watched if times else (),
        breakdown_plain=times.plain if times else (),
    )


def latency_of(timing: "Timing") -> Latency:
    """Turn one configuration's timing into what a profile keeps of it."""
    return Latency(
        conditions=timing.conditions, samples=timing.samples, notes=timing.notes, failure=timing.failure
    )
