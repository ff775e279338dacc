"""What to time of one model, and its timing: whole passes in interleaved rounds, then module by module."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from saevit.count.model_costs import ModelCosts
from saevit.errors import MemoryLimitError
from saevit.machine import check_fits, usable_cores
from saevit.runs.profile import BYTES, Latency, Timings
from saevit.runs.record import Conditions, Dtype, MemoryFormat

if TYPE_CHECKING:
    from torch import nn

    from saevit.measure.breakdown import ModuleTimes
    from saevit.measure.interleave import Keeper, Progress, Run, Timing


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
    fold: bool = True  # run variants in the folded form; False runs them as defined
    force: bool = False  # run even what by the count cannot fit in memory


def configurations(
    counted: ModelCosts, img_size: tuple[int, int], dtype: Dtype, plan: Plan
) -> tuple[Conditions, ...]:
    """Return every runtime at every batch size, on a device and precision that have been tried out.

    Raises:
        OptionError: a device, precision or runtime that is not here.
        MemoryLimitError: by the exact count it cannot fit in memory, and the plan does not force it.
    """
    from saevit.measure import runtimes

    device = runtimes.resolve_device(plan.device)
    runtimes.check_dtype(device, dtype)
    for name in plan.runtimes:
        runtimes.runtime(name)
    threads = plan.threads or usable_cores()
    runtimes.check_threads(threads)
    found = tuple(
        Conditions(
            img_size=img_size,
            batch_size=batch_size,
            dtype=dtype,
            device=device,
            runtime=name,
            threads=threads,
            memory_format=plan.memory_format,
            folded=plan.fold and counted.folded is not None,
        )
        for name in plan.runtimes
        for batch_size in plan.batch_sizes
    )
    for conditions in found:
        runtimes.runtime(conditions.runtime).check(conditions)
    if not plan.force:
        check_memory(counted, max(found, key=lambda c: c.batch_size))
    return found


def timed(
    counted: ModelCosts,
    conditions: Sequence[Conditions],
    lines: Sequence[str],
    plan: Plan,
    on_step: Tell,
    keeper: "Keeper | None" = None,
) -> tuple[Timings, dict[str, tuple[float, ...]]]:
    """Time the model in interleaved rounds, then its modules; return both, the modules' times by line."""
    run = timed_together([(counted, c) for c in conditions], plan, on_step, keeper)
    first = next((t.conditions for t in run.timings if t.samples), None)
    if first is None or run.interrupted:
        return timings_of(run, None), {}
    on_step(Step(text="timing the modules"))
    try:
        times = line_times(counted, form_with(counted, lines, replace(first, runtime="eager")), lines, plan)
    except KeyboardInterrupt:  # the rounds that are finished stay
        return replace(timings_of(run, None), interrupted=True), {}
    return timings_of(run, times), own_times(times)


def timed_together(
    subjects: Sequence[tuple[ModelCosts, Conditions]],
    plan: Plan,
    on_step: Tell,
    keeper: "Keeper | None" = None,
) -> "Run":
    """Time models under their conditions in one interleaved run, the reference first."""
    from saevit.measure.interleave import Subject, measure

    def tell(p: "Progress") -> None:
        if p.phase == "measure":
            text = f"round {p.round + 1} of {p.rounds}, {p.subject}"
            on_step(Step(text=text, done=p.round / p.rounds, eta=p.eta))
        else:
            on_step(Step(text=f"preparing {p.subject}"))

    return measure(
        [Subject(name=m.name, build=form(m, c), conditions=c, channels=m.in_chans) for m, c in subjects],
        rounds=plan.rounds,
        min_time=plan.min_time,
        seed=plan.seed,
        on_progress=tell,
        keeper=keeper,
    )


def form(counted: ModelCosts, conditions: Conditions) -> "Callable[[], nn.Module]":
    """Return what builds the network that runs under these conditions: folded, or as defined."""
    return counted.folded if conditions.folded and counted.folded else counted.build


def form_with(counted: ModelCosts, lines: Sequence[str], conditions: Conditions) -> Conditions:
    """Return the conditions for timing modules: as defined, if the folded network lacks one of them."""
    if not conditions.folded:
        return conditions
    defined, folded = (
        dict(form(counted, c)().named_modules()) for c in (replace(conditions, folded=False), conditions)
    )
    return replace(conditions, folded=all(path in folded for path in lines if path in defined))


def line_times(counted: ModelCosts, eager: Conditions, lines: Sequence[str], plan: Plan) -> "ModuleTimes":
    """Time the modules that stand on a line of the breakdown."""
    from saevit.measure.breakdown import module_times

    model = form(counted, eager)()
    modules = dict(model.named_modules(remove_duplicate=False))
    return module_times(
        model,
        (eager.batch_size, counted.in_chans, *eager.img_size),
        [path for path in lines if path in modules],
        eager,
        rounds=plan.rounds,
        min_time=plan.min_time,
        seed=plan.seed,
    )


def own_times(times: "ModuleTimes") -> dict[str, tuple[float, ...]]:
    """Return each line's own time, lines inside of it taken off; "" is the rest of the pass."""
    own = {"": list(times.watched)} | {path: list(samples) for path, samples in times.modules.items()}
    for path, samples in times.modules.items():
        parent = path
        while parent:
            parent = parent.rpartition(".")[0]
            if parent in own:
                own[parent] = [outer - inner for outer, inner in zip(own[parent], samples, strict=True)]
                break
    return {path: tuple(max(0.0, s) for s in samples) for path, samples in own.items()}


def check_memory(counted: ModelCosts, conditions: Conditions) -> None:
    """Refuse, before any weight is allocated, what cannot fit.

    Raises:
        MemoryLimitError: weights and live activations need more than is free.
    """
    from saevit.machine import free_memory

    size = BYTES[conditions.dtype]
    try:
        check_fits(
            f"{counted.name} at batch {conditions.batch_size}",
            sum(counted.params.values()) * size,
            counted.peak_elements * size,
            free=free_memory(conditions.device),
            way_out="--no-measure, which only counts",
            batch=conditions.batch_size,
            folds=conditions.folded and conditions.device == "cpu",
            device=conditions.device,
        )
    except MemoryLimitError as error:
        raise MemoryLimitError(f"{error}; --force tries all the same") from error


def timings_of(run: "Run", times: "ModuleTimes | None") -> Timings:
    """Turn a run into what a profile keeps of it."""
    return Timings(
        latencies=tuple(map(latency_of, run.timings)),
        twin=run.twin.samples if run.twin else (),
        rounds=run.rounds,
        min_time=run.min_time,
        seed=run.seed,
        environment=run.environment,
        started=run.started,
        load_before=run.load_before,
        interrupted=run.interrupted,
        unkept=run.unkept,
        breakdown=times.conditions if times else None,
        breakdown_total=times.watched if times else (),
        breakdown_plain=times.plain if times else (),
    )


def latency_of(timing: "Timing") -> Latency:
    """Turn one configuration's timing into what a profile keeps of it."""
    return Latency(
        label=timing.label,
        conditions=timing.conditions,
        samples=timing.samples,
        notes=timing.notes,
        failure=timing.failure,
    )
