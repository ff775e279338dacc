"""Profile one model: counts with their receipt, a breakdown, interleaved timings. torch loads on demand."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from saevit.count import receipt
from saevit.count.breakdown_lines import assign_values, group_modules
from saevit.count.model_costs import ModelCosts
from saevit.errors import MemoryLimitError, OptionError, nearest
from saevit.machine import check_fits, free_memory
from saevit.measure.plan import Plan, Step, Tell, configurations, timed
from saevit.models import count_model, is_baseline
from saevit.runs.profile import BYTES, By, Profile, ReceiptLine, Row, Timings
from saevit.runs.record import Dtype, Record, utc_now
from saevit.runs.store import Writer
from saevit.variant import VariantSpec

if TYPE_CHECKING:
    from torch import nn

    from saevit.count.tracing import Count

NOTHING = (None, None, None)


def profile(
    model: str | VariantSpec,
    *,
    img_size: tuple[int, int] = (224, 224),
    dtype: Dtype = "fp32",
    counters: Sequence[str] | None = None,
    by: By = "stage",
    plan: Plan | None = None,
    on_step: Tell = lambda step: None,
    writer: Writer | None = None,
) -> Profile:
    """Count a model exactly and, with a plan, time it.

    Args:
        model: a variant or its text, `timm:NAME` or `birder:NAME`.
        img_size: (H, W) in pixels, 32 or more.
        dtype: precision of weights and activations; MACs do not depend on it.
        counters: of `receipt.COUNTERS`; None is all that apply.
        by: lines of the breakdown.
        plan: None times nothing; with `counters=["analytic"]` torch is then never loaded.
        on_step: called before each step.
        writer: keeps what is measured, every round as soon as it is finished.

    Raises:
        SaevitError: what cannot be counted, built or timed, in one line.
    """
    names = wanted(counters, receipt.TRACING if is_baseline(model) else receipt.COUNTERS)
    on_step(Step(text=f"building and counting {model}"))
    counted, counts = count_model(model, img_size)
    conditions = configurations(counted, img_size, dtype, plan) if plan else ()
    counts |= traced(counted, img_size, [name for name in names if name not in counts], on_step)
    rows = group_modules(counted.paths, by)
    timings, seconds = timed(counted, conditions, rows, plan, on_step, writer) if plan else (None, {})
    if writer and timings and not timings.unkept:
        timings = keep_rest(writer, counted.name, timings, seconds)
    return assemble(
        counted,
        img_size,
        dtype,
        by,
        breakdown(counted, rows, seconds),
        receipt.write_receipt(counted, counts, names),
        timings,
    )


def keep_rest(
    writer: Writer, model: str, timings: Timings, seconds: Mapping[str, tuple[float, ...]]
) -> Timings:
    """Keep the modules' times, and why there are none of a configuration; the rounds are there already."""
    passes = {"watched": timings.breakdown_total, "unwatched": timings.breakdown_plain}
    times = {f"latency of the {name} pass": samples for name, samples in passes.items()}
    times |= {f"own_latency of {path or 'what is elsewhere'}": samples for path, samples in seconds.items()}
    failures = {latency.label: latency.failure for latency in timings.latencies if latency.failure}
    try:
        for quantity, samples in times.items():
            if samples:
                writer.add_record(module_record(model, quantity, samples, timings))
        writer.end(interrupted=timings.interrupted, failures=failures)
    except OptionError as error:  # the figures are worth showing all the same
        return replace(timings, unkept=str(error))
    return timings


def module_record(model: str, quantity: str, samples: tuple[float, ...], timings: Timings) -> Record:
    """Return the times of one line of the breakdown as a record."""
    return Record(
        subject=model,
        quantity=quantity,
        unit="s",
        samples=samples,
        source="measured",
        conditions=timings.breakdown,
        environment=timings.environment,
        time=utc_now(),
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
    counted: ModelCosts, img_size: tuple[int, int], names: Sequence[str], on_step: Tell
) -> "dict[str, Count | Exception]":
    """Run the tracing counters on the network; each one's failure is its result."""
    tracing = [name for name in names if name in receipt.TRACING]
    if not tracing:
        return {}
    skeleton = counted.skeleton()
    found = {}
    for name in tracing:
        on_step(Step(text=f"counting with {name}"))
        found[name] = attempt(counted, name, skeleton, (1, counted.in_chans, *img_size))
    return found


def attempt(
    counted: ModelCosts, name: str, model: "nn.Module", input_shape: tuple[int, int, int, int]
) -> "Count | Exception":
    """Run one counter, unless it needs real tensors and there is no room for them."""
    weights, peak = (BYTES["fp32"] * n for n in (sum(counted.params.values()), counted.peak_elements))
    if name in receipt.ON_REAL_TENSORS:
        try:
            check_fits(
                "it runs on real tensors,", weights, peak, free=free_memory(), way_out="another --counters"
            )
        except MemoryLimitError as error:
            return error
    return receipt.try_counter(name, model, input_shape)


def breakdown(
    counted: ModelCosts, lines: Sequence[str], seconds: Mapping[str, tuple[float, ...]]
) -> tuple[Row, ...]:
    """Return the lines of the breakdown: what no line covers stands in a last one with an empty path."""
    params, macs = assign_values(counted.params, lines), assign_values(counted.macs, lines)
    activations = assign_values(counted.activations, lines)
    rows = []
    for path in dict.fromkeys((*params, *macs, *activations, *seconds)):
        channels, height, width = counted.shapes.get(path, NOTHING) if path else NOTHING
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
    counted: ModelCosts,
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
