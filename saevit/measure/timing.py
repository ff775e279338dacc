"""How to time models, the conditions that follow, and their run. torch loads on demand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from saevit.count.model_costs import ModelCosts
from saevit.errors import MemoryLimitError
from saevit.machine import check_fits, usable_cores
from saevit.measure.progress import Tell
from saevit.runs.record import BYTES, Conditions, Dtype, MemoryFormat, Record
from saevit.runs.run import Run
from saevit.runs.store import Writer

if TYPE_CHECKING:
    from torch import nn

    from saevit.measure.runtimes import Runtime


@dataclass(frozen=True, kw_only=True)
class TimingOptions:
    """How to time: every runtime in every precision at every batch size, all in one interleaved run."""

    batch_sizes: tuple[int, ...] = (1, 8)
    dtypes: tuple[Dtype, ...] = ()  # empty: the one that is counted
    device: str = "auto"
    runtimes: tuple[str, ...] = ("eager",)
    threads: int | None = None  # None: as many as there are usable cores
    memory_format: MemoryFormat = "contiguous"
    rounds: int = 15
    min_time: float = 0.1  # seconds a sample lasts at least
    passes: int = 0  # of each configuration that are timed one by one besides, for percentiles
    seed: int = 0
    fold: bool = True  # run variants in the folded form; False runs them as defined
    force: bool = False  # run a model even if, by the count, it does not fit in memory


def list_conditions(
    counted: ModelCosts, img_size: tuple[int, int], dtype: Dtype, options: TimingOptions
) -> tuple[Conditions, ...]:
    """Return every runtime at every batch size, on a device and in precisions that work on this machine.

    A precision that a runtime does not have is left out if another runtime has it.

    Raises:
        OptionError: a device, precision or runtime that is not available.
        MemoryLimitError: by its exact count the model does not fit in memory, and `force` is off.
    """
    from saevit.measure.conditions import check_dtype, check_threads, resolve_device
    from saevit.measure.runtimes import find_runtime

    device = resolve_device(options.device)
    dtypes = options.dtypes or (dtype,)
    for each in dtypes:
        check_dtype(device, each)
    threads = options.threads or usable_cores()
    check_threads(threads)
    found = tuple(
        Conditions(
            img_size=img_size,
            batch_size=batch_size,
            dtype=each,
            device=device,
            runtime=runtime.name,
            threads=threads,
            memory_format=options.memory_format,
            folded=options.fold and counted.folded is not None,
        )
        for runtime, each in pair_runtimes([find_runtime(name) for name in options.runtimes], dtypes)
        for batch_size in options.batch_sizes
    )
    for conditions in found:
        find_runtime(conditions.runtime).check(conditions)
    if not options.force:
        check_memory(counted, max(found, key=lambda c: c.batch_size))
    return found


def pair_runtimes(runtimes: "Sequence[Runtime]", dtypes: Sequence[Dtype]) -> "list[tuple[Runtime, Dtype]]":
    """Return each runtime with its precisions, and those that do not fit if nothing else is left of them."""
    pairs = list(product(runtimes, dtypes))
    known = [(runtime, dtype) for runtime, dtype in pairs if dtype in runtime.dtypes]
    used = {name for runtime, dtype in known for name in (runtime.name, dtype)}
    return [pair for pair in pairs if pair in known or not {pair[0].name, pair[1]} <= used]


def check_memory(counted: ModelCosts, conditions: Conditions) -> None:
    """Refuse, by a MemoryLimitError, a model whose weights and activations do not fit in memory."""
    from saevit.machine import free_memory

    size = BYTES["fp32" if conditions.dtype == "int8" else conditions.dtype]  # quantised from fp32
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


def time_models(
    models: Sequence[tuple[ModelCosts, Conditions]],
    options: TimingOptions,
    on_progress: Tell,
    writer: Writer | None = None,
    facts: Sequence[Record] = (),
) -> Run:
    """Time models under their conditions in one interleaved run, the reference first."""
    from saevit.measure.rounds import TimedModel, measure

    return measure(
        [
            TimedModel(
                name=counted.name,
                build=builder_of(counted, conditions),
                conditions=conditions,
                channels=counted.in_chans,
            )
            for counted, conditions in models
        ],
        rounds=options.rounds,
        min_time=options.min_time,
        passes=options.passes,
        seed=options.seed,
        on_progress=on_progress,
        writer=writer,
        facts=facts,
    )


def builder_of(counted: ModelCosts, conditions: Conditions) -> "Callable[[], nn.Module]":
    """Return what builds the network that runs under these conditions: folded, or as defined."""
    return counted.folded if conditions.folded and counted.folded else counted.build
