"""Random variants at equal cost: the control for the variants that a search prefers."""

from collections.abc import Iterator, Sequence

import numpy as np

from saevit.errors import SpecError
from saevit.explore.collector import LARGEST, Variants
from saevit.explore.costs import Evaluator, Ints
from saevit.explore.exploration import CountedVariant, Exploration, count_variant
from saevit.explore.question import QUANTITIES, Question
from saevit.explore.sweep import evaluate

EQUAL = 0.02  # relative difference up to which costs are called equal
DRAWN, DRAWS = 2**17, 16  # variants that are drawn at a time, and how often at most
ENOUGH = 10  # times the size of a small space


def name_cost(found: Exploration) -> str:
    """Return the cost that is equal: latency where it is predicted, otherwise GMACs."""
    return "latency" if found.calibration else "gmacs"


def draw_control(
    found: Exploration, rows: Sequence[CountedVariant], seed: int = 0
) -> list[tuple[CountedVariant, CountedVariant]]:
    """Return pairs of one of some variants and a random variant of the space at equal cost.

    Random variants are drawn evenly from those that keep the limits; none is one of `rows`, the base variant
    or in two pairs. A variant for which none is found is in no pair.
    """
    question, cost = found.question, name_cost(found)
    taken = {found.base.model, *(row.model for row in rows)}
    pairs: dict[str, tuple[CountedVariant, CountedVariant]] = {}
    for variants in draw_variants(question, cost, seed):
        costs = QUANTITIES[cost].of(variants.sums, variants.factor) / QUANTITIES[cost].unit
        inside = keep_limits(question, variants)
        for row in rows:
            if row.model in pairs:
                continue
            near = np.flatnonzero(inside & (np.abs(costs / row.value(cost) - 1) <= EQUAL))
            one = take_first(question, variants.indices(near), taken)
            if one is not None:
                pairs[row.model] = row, one
                taken.add(one.model)
        if len(pairs) == len(rows):
            break
    return [pairs[row.model] for row in rows if row.model in pairs]


def draw_variants(question: Question, cost: str, seed: int) -> Iterator[Variants]:
    """Yield variants drawn evenly from a space, with their partials; nothing of a space beyond 63 bits."""
    if question.space.size >= LARGEST:
        return
    partials = dict.fromkeys((*question.partials, *QUANTITIES[cost].partials))
    evaluator = Evaluator(question.space, question.img_size, partials, question.latency)
    for number in range(min(DRAWS, 1 + ENOUGH * question.space.size // DRAWN)):
        generator = np.random.default_rng([seed, number])
        yield evaluate(evaluator, generator.integers(0, question.space.size, DRAWN, dtype=np.int64))


def keep_limits(question: Question, variants: Variants) -> np.ndarray:
    """Return which variants are networks that keep the limits."""
    inside = variants.valid & variants.rising if question.rising else variants.valid
    return np.logical_and.reduce([inside, *(limit.kept(variants.sums) for limit in question.limits)])


def take_first(question: Question, indices: Ints, taken: set[str]) -> CountedVariant | None:
    """Return the first variant at some indices whose name is not taken; None if there is none."""
    for index in dict.fromkeys(indices.tolist()):
        try:
            spec = question.space.spec_at(index)
        except SpecError:
            continue
        if str(spec) not in taken:
            return count_variant(spec, question.img_size, question.latency)
    return None
