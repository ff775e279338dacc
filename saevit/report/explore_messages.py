"""The messages of `saevit explore`: of a search, of --solve, and of --sensitivity."""

import math
from collections.abc import Sequence

from saevit.explore.exploration import CountedVariant, Exploration
from saevit.explore.question import QUANTITIES, Limit, Question
from saevit.explore.solve import MULTIPLIERS, KeyStep, Sensitivity, Solution
from saevit.report.messages import write_share
from saevit.report.units import LONGEST, digits, giga, percent
from saevit.text import plural

NOUNS = {
    "gmacs": "GMACs",
    "params": "parameters",
    "activations": "activations",
    "weights": "weights",
    "memory": "peak activations",
    "traffic": "memory traffic",
    "latency": "predicted latency",
    "most-gmacs": "GMACs",
    "most-params": "parameters",
    "capacity": "capacity",
    "effectiveness": "rho",
}
MILLIONS = {  # units
    "params": "M",
    "most-params": "M",
    "activations": "M",
    "weights": "MB",
    "memory": "MB",
    "traffic": "MB",
    "latency": "ms",
}


def summarize_exploration(found: Exploration) -> str:
    """Summarize a search: the size of the front, and the best variant relative to the base variant."""
    count = len(found.front)
    names = ["most " * name.startswith("most-") + NOUNS[name] for name in found.question.objectives]
    listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    head = f"{plural(count, 'variant')} {'is' if count == 1 else 'are'} on the front of {listed}."
    return f"{head} {describe_best(found)}" if found.top else head


def describe_best(found: Exploration) -> str:
    """Describe the answer (see `choose_answer`) relative to the base variant."""
    base, rank, best = found.base, found.question.rank, found.top[0]
    answer, noun = choose_answer(found), NOUNS[rank]
    is_many = noun.endswith("s")
    verb = "are" if is_many else "is"
    if answer is not None and answer != best:
        cost = list_costs(found.question)[0]
        whose, costs = f"{noun.replace('GM', 'M')} of {name_base(base)}", NOUNS[cost].replace("GM", "M")
        if answer.value(cost) == base.value(cost):
            return f"No variant has the {whose} with {'fewer' if costs.endswith('s') else 'less'} {costs}."
        share = write_share(answer.value(cost) / base.value(cost), f"its {costs}")
        return f"The {whose} {verb} reached with {share} ({write_amount(answer, cost)})."
    limits = found.question.limits
    within = f"within {' and '.join(map(write_limit, limits))}, " if limits else ""
    most = "most" if QUANTITIES[rank].better == "max" else "fewest" if is_many else "least"
    value = f"{write_quantity(best, rank)} {MILLIONS.get(rank, '')}".rstrip()
    text = f"{within}the {most} {noun} {verb} {value}{compare_with_base(found, best)}."
    return f"{text[0].upper()}{text[1:]}"


def list_costs(question: Question) -> list[str]:
    """Return the objectives that are minimised."""
    return [name for name in question.objectives if QUANTITIES[name].better == "min"]


def choose_answer(found: Exploration) -> CountedVariant | None:
    """Return the best variant within the limits; without limits, the cheapest as good as the base variant.

    The second rule needs a ranking that is maximised, and a cost among the objectives.
    """
    question, base, costs = found.question, found.base, list_costs(found.question)
    rank = question.rank
    if not question.limits and costs and rank in question.objectives and rank not in costs:
        cost = costs[0]
        rows = [row for row in found.front if row.value(rank) >= base.value(rank)]
        cheapest = min(rows, key=lambda row: row.value(cost), default=None)
        if cheapest and cheapest.value(cost) <= base.value(cost):
            return cheapest
    return found.top[0] if found.top else None


def compare_with_base(found: Exploration, best: CountedVariant) -> str:
    """Describe a variant relative to the base variant: in the ranking and in one other quantity."""
    base, rank = found.base, found.question.rank
    name = name_base(base)
    if best.model == base.model:
        return f", that of {name} itself"
    other = next(n for n in (*found.question.objectives, "gmacs", "params") if n != rank)
    ours, theirs = best.value(rank), base.value(rank)
    if not (ours > 0 < theirs and best.value(other) > 0 < base.value(other)):
        return f" ({name}: {write_quantity(base, rank)})"
    change = ours / theirs - 1
    words = f"{percent(abs(change))} {'more' if change > 0 else 'less'} than" if change else "equal to"
    noun = NOUNS[other].replace("GMACs", "MACs")
    return f", {words} {name} at {write_share(best.value(other) / base.value(other), f'its {noun}')}"


def write_quantity(row: CountedVariant, name: str) -> str:
    """Write the value of a quantity in the unit of its label."""
    value = row.value(name)
    if name in ("gmacs", "most-gmacs"):
        return giga(row.macs)
    return f"{value:.1f}" if name == "capacity" else digits(value)


def write_amount(row: CountedVariant, name: str) -> str:
    """Write a quantity with its noun: `0.519 GMACs`, `capacity 1829.8`."""
    value = write_quantity(row, name)
    return (
        f"{NOUNS[name]} {value}" if name in ("capacity", "effectiveness") else f"{value} {write_noun(name)}"
    )


def write_noun(name: str) -> str:
    """Write the noun of a quantity after a number, with its unit: `M parameters`, `MB of weights`."""
    unit = MILLIONS.get(name, "")
    return f"{unit}{' of' * (unit in ('MB', 'ms'))} {NOUNS[name]}".lstrip()


def write_limit(limit: Limit) -> str:
    """Write a limit in words: `0.8 GMACs`, `0.79 to 0.81 GMACs`."""
    unit, noun = QUANTITIES[limit.quantity].unit, write_noun(limit.quantity)
    high = f"{limit.high / unit:.4g}"
    if limit.quantity == "effectiveness":
        return f"{noun} {high}"
    return f"{high} {noun}" if limit.low == -math.inf else f"{limit.low / unit:.4g} to {high} {noun}"


def summarize_solution(found: Solution) -> str:
    """Summarize --solve: the largest value of the key that fits, and the cost of the next value."""
    head = f"The largest {found.key} within {found.target / 1e9:g} GMACs is {found.value}"
    text = f"{head} ({giga(found.row.macs)} GMACs)"
    if found.next_row is None:
        return f"{text}."
    return f"{text}; {found.next_value} needs {giga(found.next_row.macs)} GMACs."


def summarize_sensitivity(found: Sensitivity) -> str:
    """Summarize --sensitivity: the step with the largest effect on MACs, and that on parameters.

    Steps of width and depth change all stages, so they are used only if there are no steps of other keys.
    """
    steps = [step for step in found.steps if step.key not in MULTIPLIERS] or found.steps
    if not steps:
        return f"No single step of a key of {name_base(found.base)} gives a valid variant with other costs."
    macs, params = (write_largest_step(found, steps, field) for field in ("macs", "params"))
    return f"The step with the largest effect on MACs is {macs}, on parameters {params}."


def write_largest_step(found: Sensitivity, steps: Sequence[KeyStep], field: str) -> str:
    """Write the step that changes a cost the most, with its effect: `rates1 8 to 4 (+3.1 %)`."""
    step = max(steps, key=lambda step: abs(step.change(found.base, field)))
    change = 100 * step.change(found.base, field) / max(1, getattr(found.base, field))
    return f"{step.key} {step.old} to {step.new} ({change:+.1f} %)"


def name_base(base: CountedVariant) -> str:
    """Return the text of the base variant, or `the base variant` if the text is long."""
    return base.model if len(base.model) <= LONGEST else "the base variant"
