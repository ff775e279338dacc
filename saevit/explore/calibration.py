"""Calibration: the parts of a space and some whole variants, timed in one run, and the fit over them.

Every figure is computed from the samples of the stored run.
"""

import math
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from saevit.count.cost import count_network
from saevit.count.model_costs import build_form
from saevit.errors import OptionError, SpecError
from saevit.explore.latency_model import (
    SHORTEST,
    LatencyModel,
    LatencyPart,
    fit_coefficients,
    make_grids,
)
from saevit.explore.latency_parts import (
    EMPTY,
    PREFIX,
    REPEATS,
    build_part,
    choose_parts,
    describe_input,
    read_part,
    write_part,
)
from saevit.explore.space import Space
from saevit.measure.progress import NextStep, Tell
from saevit.runs.record import Conditions
from saevit.runs.run import Run
from saevit.runs.statistics import Share, median, quantile, rank_correlation
from saevit.runs.store import Writer
from saevit.variant import VariantSpec, parse

if TYPE_CHECKING:
    from saevit.measure.rounds import TimedModel

VARIANTS = 30  # whole variants of a calibration
ROUNDS, MIN_TIME = 15, 0.03  # by default; seconds of a sample
FEWEST_VARIANTS = 8  # that a fit needs
DRAWN = 20  # times as many are drawn, of which those at even distances of MACs are timed
SCATTER = 0.3  # of the choices of a drawn variant around one common level, as a share of the choices
WITHIN = (0.05, 0.10)  # errors whose share of variants is stated
STATED = 0.9  # of the held-out variants have at most the error that predictions are shown with


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """A timed variant, and what the fit over all others predicts for it; seconds per batch."""

    model: str
    macs: int
    measured: float
    predicted: float

    @property
    def error(self) -> float:
        """The prediction relative to the measurement, minus 1."""
        return self.predicted / self.measured - 1


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Spearman's correlation with an interval at 95 % (E. C. Fieller and others, Biometrika 44, 1957)."""

    rho: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A model of latency, its run, and how well it predicts the variants that it was not fitted to."""

    run: Run
    conditions: Conditions
    model: LatencyModel
    held_out: tuple[HeldOut, ...]

    @cached_property
    def errors(self) -> tuple[float, ...]:
        """Sizes of the relative errors of held-out variants."""
        return tuple(abs(one.error) for one in self.held_out)

    @property
    def stated_error(self) -> float:
        """The relative error that 90 % of held-out variants keep."""
        return quantile(self.errors, STATED)

    def share_within(self, error: float) -> Share:
        """Return the held-out variants whose error is at most this."""
        return Share(hits=sum(one <= error for one in self.errors), total=len(self.errors))

    @property
    def agreement(self) -> Agreement | None:
        """Rank correlation of predicted and measured latency."""
        return correlate([one.predicted for one in self.held_out], [one.measured for one in self.held_out])

    @property
    def macs_agreement(self) -> Agreement | None:
        """Rank correlation of MACs and measured latency of the same variants."""
        return correlate([float(one.macs) for one in self.held_out], [one.measured for one in self.held_out])


def correlate(xs: Sequence[float], ys: Sequence[float]) -> Agreement | None:
    """Return the rank correlation with its interval; None if it is undefined."""
    rho = rank_correlation(xs, ys) if len(xs) >= FEWEST_VARIANTS else None
    if rho is None:
        return None
    near = math.atanh(max(-0.999999, min(0.999999, rho)))
    half = NormalDist().inv_cdf(0.975) * math.sqrt(1.06 / (len(xs) - 3))
    return Agreement(rho=rho, low=math.tanh(near - half), high=math.tanh(near + half))


def draw_variants(space: Space, count: int, seed: int, img_size: tuple[int, int]) -> list[VariantSpec]:
    """Return variants of a space at even distances of their MACs, on a logarithmic scale."""
    return spread_variants(draw_random(space, DRAWN * count, seed), count, img_size)


def draw_random(space: Space, count: int, seed: int) -> list[VariantSpec]:
    """Draw at most this many different variants of a space, small and large ones alike.

    The choices of a drawn variant lie around one level between the first and the last choice of each key.
    """
    rng, drawn = random.Random(seed), dict[str, VariantSpec]()
    for _ in range(count):
        level, index = rng.random(), 0
        for axis in space.axes:
            last = len(axis.values) - 1
            digit = round((level + rng.gauss(0, SCATTER)) * last)
            index = index * (last + 1) + min(max(digit, 0), last)
        try:
            spec = space.spec_at(index)
        except SpecError:
            continue
        drawn.setdefault(str(spec), spec)
    return list(drawn.values())


def spread_variants(specs: list[VariantSpec], count: int, img_size: tuple[int, int]) -> list[VariantSpec]:
    """Return this many of some variants, at even distances of their MACs on a logarithmic scale."""
    left = sorted((math.log(count_network(spec, img_size).macs), str(spec), spec) for spec in specs)
    if len(left) <= count:
        return [spec for *_, spec in left]
    low, high = left[0][0], left[-1][0]
    chosen = []
    for number in range(count):
        wanted = low + (high - low) * number / max(1, count - 1)
        nearest = min(left, key=lambda one: abs(one[0] - wanted))
        left.remove(nearest)
        chosen.append(nearest[-1])
    return chosen


def list_timed(
    parts: Iterable[LatencyPart], variants: Iterable[VariantSpec], conditions: Conditions
) -> "list[TimedModel]":
    """Return variants and parts as models to time; a part reads a map as the folded form passes it on."""
    from saevit.measure.rounds import TimedModel
    from saevit.measure.runtimes import find_runtime

    is_graph = bool(find_runtime(conditions.runtime).packages)
    timed = [
        TimedModel(
            name=str(spec),
            build=partial(build_form, spec, folded=True),
            conditions=conditions,
            channels=spec.in_chans,
        )
        for spec in variants
    ]
    for part in (EMPTY, *parts):
        channels, size = describe_input(part, conditions.img_size)
        is_image = part.group.kind == "stem" or is_graph
        layout = conditions.memory_format if is_image else "channels_last"
        own = replace(conditions, img_size=size, memory_format=layout)
        timed.append(
            TimedModel(
                name=write_part(part), build=partial(build_part, part), conditions=own, channels=channels
            )
        )
    return timed


def calibrate(
    space: Space,
    conditions: Conditions,
    *,
    variants: int = VARIANTS,
    rounds: int = ROUNDS,
    min_time: float = MIN_TIME,
    seed: int = 0,
    on_progress: Tell = lambda progress: None,
    writer: Writer | None = None,
) -> Calibration:
    """Time the parts of a space and some of its variants in interleaved rounds, and fit their latency.

    Ctrl-C keeps the finished rounds.

    Raises:
        OptionError: a space with too many parts, or with too few variants; too many parts failed; no round
            was finished.
    """
    from saevit.measure.rounds import measure

    parts = choose_parts(space)
    drawn = draw_variants(space, variants, seed, conditions.img_size)
    if len(drawn) < FEWEST_VARIANTS:
        raise OptionError(
            f"the space has {len(drawn)} variants that differ: a calibration needs {FEWEST_VARIANTS}, give "
            "more choices"
        )
    timed = list_timed(parts, drawn, conditions)
    run = measure(
        timed,
        rounds=rounds,
        min_time=min_time,
        seed=seed,
        on_progress=tell_time_left(on_progress, len(timed)),
        writer=writer,
    )
    return fit_run(run)


def tell_time_left(tell: Tell, count: int) -> Tell:
    """Add the share that is done, and the time left, to the steps that prepare `count` models."""
    prepared, start = 0, time.perf_counter()

    def tell_step(step: NextStep) -> None:
        nonlocal prepared
        if step.done is None and prepared < count:
            left = (time.perf_counter() - start) / prepared * (count - prepared) if prepared else None
            text = f"{step.text} ({prepared + 1} of {count})"
            step = NextStep(text=text, done=prepared / count, eta=left)
            prepared += 1
        tell(step)

    return tell_step


def is_calibration(run: Run) -> bool:
    """Return whether a run has timed parts of networks."""
    return any(subject.name.startswith(PREFIX) for subject in run.timed)


def fit_run(run: Run) -> Calibration:
    """Return the fit over the samples of a run.

    Raises:
        OptionError: no finished round, a part that failed, or too few variants.
    """
    times, conditions, seconds = dict[LatencyPart, float](), None, dict[VariantSpec, float]()
    for subject in run.timed:
        if not subject.samples:
            raise OptionError(f"the calibration is incomplete: {subject.label}: {subject.failure}")
        if subject.name.startswith(PREFIX):
            times[read_part(subject.name)] = median(subject.samples)
        else:
            conditions = conditions or subject.conditions
            seconds[parse(subject.name)] = median(subject.samples)
    if conditions is None or EMPTY not in times or len(seconds) < FEWEST_VARIANTS:
        raise OptionError(
            f"the calibration is incomplete: {len(seconds)} variants, at least {FEWEST_VARIANTS}"
        )
    empty = times.pop(EMPTY)
    net = {part: subtract_empty(part, each, empty) for part, each in times.items()}
    grids = make_grids(net)
    specs, measured = list(seconds), np.array(list(seconds.values()))
    model = LatencyModel(grids, fit_coefficients(dict(grids), specs, measured))
    return Calibration(
        run=run,
        conditions=conditions,
        model=model,
        held_out=tuple(hold_out(model, specs, measured, i, conditions.img_size) for i in range(len(specs))),
    )


def subtract_empty(part: LatencyPart, seconds: float, empty: float) -> float:
    """Return the time of one copy of a part without that of an empty pass."""
    return max((seconds - empty) / REPEATS.get(part.group.kind, 1), SHORTEST)


def hold_out(
    model: LatencyModel, specs: list[VariantSpec], seconds: np.ndarray, i: int, img_size: tuple[int, int]
) -> HeldOut:
    """Return variant i and its latency as predicted by the fit over all others."""
    others = [*specs[:i], *specs[i + 1 :]]
    fitted = fit_coefficients(model.grid_of, others, np.delete(seconds, i))
    predicted = replace(model, coefficients=fitted).predict(specs[i])
    assert predicted is not None  # its parts were timed
    macs = count_network(specs[i], img_size).macs
    return HeldOut(model=str(specs[i]), macs=macs, measured=float(seconds[i]), predicted=predicted)
