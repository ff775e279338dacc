"""Profile one model: counts with their receipt, a breakdown, interleaved timings. torch loads on demand."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from saevit.count import receipt
from saevit.count.breakdown_lines import By, assign_values, group_modules
from saevit.count.model_costs import ModelCosts
from saevit.count.receipt import ReceiptLine
from saevit.errors import MemoryLimitError, OptionError, nearest
from saevit.machine import check_fits, free_memory
from saevit.measure.part_times import keep_part_times, time_operators_after, time_paths
from saevit.measure.progress import NextStep, Tell
from saevit.measure.timing import TimingOptions, list_conditions, time_models
from saevit.models import count_model, is_network, resolve_model
from saevit.notebook import NotebookResult
from saevit.runs.record import BYTES, Dtype
from saevit.runs.run import Run
from saevit.runs.statistics import median
from saevit.runs.store import Writer
from saevit.variant import VariantSpec

if TYPE_CHECKING:
    from torch import nn

    from saevit.count.tracing import Count
    from saevit.measure.breakdown import ModuleTimes
    from saevit.measure.operator_times import OperatorTimes

NO_SHAPE = (None, None, None)
Seconds = Mapping[str, tuple[float, ...]]  # per batch, by path: one value a round


@dataclass(frozen=True, kw_only=True)
class ProfileRow:
    """One line of the breakdown; counts are for one image, None is what does not apply."""

    path: str
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    tokens: int | None = None  # n, where attention runs inside
    params: int
    macs: int
    activations: int | None = None
    seconds: tuple[float, ...] = ()  # of one batch, one value a round

    @property
    def median_seconds(self) -> float:
        """The median over rounds; 0 without times."""
        return median(self.seconds) if self.seconds else 0.0

    @property
    def pixels(self) -> int | None:
        """N."""
        return None if self.height is None or self.width is None else self.height * self.width

    @property
    def sparsity(self) -> float | None:
        """Share of the dense N x N scores that is never computed: 1 - (n/N)^2."""
        return None if self.tokens is None or not self.pixels else 1 - (self.tokens / self.pixels) ** 2


@dataclass(frozen=True, kw_only=True)
class Profile(NotebookResult):
    """Costs of one model for one image, and its speed. Units: numbers, MACs, elements, bytes, seconds."""

    model: str
    statement: str  # what the model is and is not
    img_size: tuple[int, int]
    dtype: Dtype
    params: int
    macs: int
    counted_by: str
    attention_macs: int | None  # the products q k^T and a v
    dense_attention_macs: int | None  # the same at r = 1 in every stage
    activations: int | None
    elementwise: int | None
    peak_bytes: int | None  # live activations of one image, without weights
    by: By
    rows: tuple[ProfileRow, ...]
    receipt: tuple[ReceiptLine, ...]
    run: Run | None = None
    module_times: "ModuleTimes | None" = None  # what the times of the rows are from
    operator_times: "tuple[OperatorTimes, ...]" = ()  # of each runtime that has a profile, if by operator

    @property
    def weight_bytes(self) -> int:
        """Size of the parameters in this precision."""
        return self.params * BYTES[self.dtype]

    @property
    def sum_of_medians(self) -> float:
        """Seconds of one batch: the sum of the rows' medians."""
        return math.fsum(row.median_seconds for row in self.rows)

    def share_of_time(self, row: ProfileRow) -> float:
        """Return the median of a row relative to the sum of all rows' medians, so that shares sum to 1."""
        return row.median_seconds / self.sum_of_medians if row.seconds else 0.0

    @property
    def latency(self) -> float | None:
        """The median of the first timing that worked, in seconds per batch."""
        first = self.run.reference if self.run else None
        return median(first.samples) if first and first.samples else None

    @property
    def breakdown_scale(self) -> float:
        """The measured latency relative to the sum of the breakdown; 1 if they are not of the same runtime.

        The breakdown is measured in eager mode, after the latency, with a clock around each module.
        """
        first = self.run.reference if self.run else None
        if not self.latency or not self.sum_of_medians or not first or first.conditions.runtime != "eager":
            return 1.0
        return self.latency / self.sum_of_medians

    def seconds_of(self, row: ProfileRow) -> float:
        """Return the time of a row in one batch: its share of the measured latency."""
        return row.median_seconds * self.breakdown_scale

    @property
    def agreed(self) -> bool:
        """Tell whether all counters that could count the network agree."""
        return all(line.agrees is not False for line in self.receipt)


def profile(
    model: "str | VariantSpec | nn.Module",
    *,
    img_size: tuple[int, int] = (224, 224),
    dtype: Dtype = "fp32",
    counters: Sequence[str] | None = None,
    by: By = "stage",
    timing: TimingOptions | None = None,
    on_progress: Tell = lambda progress: None,
    writer: Writer | None = None,
) -> Profile:
    """Count a model exactly and, with timing options, time it.

    Args:
        model: a variant or its text, a name of timm (`timm:` is optional), `birder:NAME`, `module:factory`,
            or any network, of which a copy is counted and timed.
        img_size: (H, W) in pixels, 32 or more.
        dtype: precision of weights and activations; MACs do not depend on it.
        counters: of `receipt.COUNTERS`; None is all that apply.
        by: lines of the breakdown; "op" times the operators of onnxruntime or openvino, and lists stages.
        timing: None times nothing; with `counters=["analytic"]` torch is then never loaded.
        on_progress: called before each step.
        writer: stores what is measured, every round when it is finished.

    Raises:
        SaevitError: a model that cannot be counted, built or timed, in one line.
    """
    named = model if is_network(model) else resolve_model(model)
    is_variant = isinstance(named, VariantSpec)
    names = _choose_counters(counters, receipt.COUNTERS if is_variant else receipt.TRACING)
    title = type(named).__name__ if is_network(named) else named
    if by == "op":
        _check_profiled(timing)
    on_progress(NextStep(text=f"building and counting {title}"))
    counted, counts = count_model(named, img_size)
    conditions = list_conditions(counted, img_size, dtype, timing) if timing else ()
    counts |= _trace(counted, img_size, [name for name in names if name not in counts], on_progress)
    paths = group_modules(counted.paths, by)
    run, times = None, None
    operators: tuple[OperatorTimes, ...] = ()
    seconds: Seconds = {}
    if timing:
        run = time_models([(counted, c) for c in conditions], timing, on_progress, writer)
        if by == "op":
            run, operators = time_operators_after(run, counted, timing, on_progress)
        else:
            run, times = time_paths(run, counted, paths, timing, on_progress)
        seconds = times.own if times else {}
        run = keep_part_times(writer, counted.name, run, times, operators)
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
        rows=_break_down(counted, paths, seconds),
        receipt=receipt.write_receipt(counted, counts, names),
        run=run,
        module_times=times,
        operator_times=operators,
    )


def _check_profiled(timing: TimingOptions | None) -> None:
    """Refuse a breakdown by operator without a runtime that profiles its operators."""
    from saevit.measure.operator_times import check_profiled

    if timing is None:
        raise OptionError("--by op needs times: drop --no-measure")
    check_profiled(timing.runtimes)


def _choose_counters(counters: Sequence[str] | None, known: Sequence[str]) -> tuple[str, ...]:
    """Return the counters to run, in the receipt's order."""
    for name in counters or ():
        if name not in receipt.COUNTERS:
            raise OptionError(f"counter {name!r} is not known: {nearest(name, receipt.COUNTERS)}")
        if name not in known:
            raise OptionError(f"counter {name!r} is of SAEViT variants only: choose from {', '.join(known)}")
    return tuple(name for name in known if counters is None or name in counters)


def _trace(
    counted: ModelCosts, img_size: tuple[int, int], names: Sequence[str], on_progress: Tell
) -> "dict[str, Count | Exception]":
    """Run the tracing counters on the network; the result of a counter that fails is its error."""
    tracing = [name for name in names if name in receipt.TRACING]
    if not tracing:
        return {}
    skeleton, shape = counted.skeleton(), (1, counted.in_chans, *img_size)
    found: dict[str, Count | Exception] = {}
    for name in tracing:
        on_progress(NextStep(text=f"counting with {name}"))
        try:
            if name in receipt.ON_REAL_TENSORS:  # refused if the tensors do not fit in memory
                check_fits(
                    "it runs on real tensors,",
                    BYTES["fp32"] * sum(counted.params.values()),
                    BYTES["fp32"] * counted.peak_elements,
                    free=free_memory(),
                    way_out="another --counters",
                )
            found[name] = receipt.try_counter(name, skeleton, shape)
        except MemoryLimitError as error:
            found[name] = error
    return found


def _break_down(counted: ModelCosts, paths: Sequence[str], seconds: Seconds) -> tuple[ProfileRow, ...]:
    """Return the lines of the breakdown; a last one with an empty path has what is outside all others."""
    params, macs = assign_values(counted.params, paths), assign_values(counted.macs, paths)
    activations = assign_values(counted.activations, paths)
    rows = []
    for path in dict.fromkeys((*params, *macs, *activations, *seconds)) or ("",):
        channels, height, width = counted.shapes.get(path, NO_SHAPE) if path else NO_SHAPE
        rows.append(
            ProfileRow(
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
