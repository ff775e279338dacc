"""Compare the accuracy of variants that a search prefers with that of random variants of equal cost."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from saevit.comparing.comparison import Accuracy, Comparison, subtract_groups
from saevit.explore.control import EQUAL, name_cost
from saevit.explore.exploration import CountedVariant, Exploration
from saevit.report.accuracy_texts import write_points, write_top1
from saevit.report.columns import Table, View, text_table
from saevit.report.explore_messages import NOUNS, write_quantity
from saevit.report.units import percent
from saevit.report.views.compare import view_comparison
from saevit.text import plural

Pairs = Sequence[tuple[CountedVariant, CountedVariant]]  # a preferred variant, and a random one


def view_trained(found: Exploration, compared: Comparison, pairs: Pairs, names: Mapping[str, str]) -> View:
    """Return the view of the accuracies, with a comparison of preferred and random variants.

    Args:
        found: the search.
        compared: the trained networks.
        pairs: pairs of a preferred and a random variant of equal cost.
        names: variant to trained network.
    """
    accuracies = {c.model: c.accuracy for c in compared.candidates if c.accuracy}
    trained = {model: accuracies[name] for model, name in names.items() if name in accuracies}
    view = view_comparison(compared, None, ("gmacs",))
    result = f"{describe_preference(found, pairs, trained)} {view.result}"
    tables = (*view.tables, *([list_pairs(found, pairs, trained)] if pairs else []))
    return replace(view, result=result, tables=tables)


def describe_preference(found: Exploration, pairs: Pairs, trained: Mapping[str, Accuracy]) -> str:
    """Describe in one sentence whether preferred variants are more accurate than random ones."""
    cost = NOUNS[name_cost(found)].replace("GM", "M")
    both = [(trained[a.model], trained[b.model]) for a, b in pairs if {a.model, b.model} <= trained.keys()]
    if not both:
        return f"No pair of a preferred and a random variant of equal {cost} was trained."
    difference = subtract_groups(both)
    if difference is None:
        return "The preferred and the random variants were not evaluated on equal terms."
    value, low, high = write_points((difference.value, difference.low, difference.high))
    number = plural(difference.pairs, "pair")
    if difference.verdict == "not resolved":
        return (
            f"Whether preferred variants are more accurate than random ones of equal {cost} is not resolved: "
            f"{value} [{low}, {high}] points over {number}."
        )
    word = "more" if difference.value > 0 else "less"
    return (
        f"Preferred variants are {word} accurate than random ones of equal {cost}: {value} [{low}, {high}] "
        f"points over {number}."
    )


def list_pairs(found: Exploration, pairs: Pairs, trained: Mapping[str, Accuracy]) -> Table:
    """Return a table with one row for each variant of each pair."""
    cost = name_cost(found)
    cells = [
        (
            row.model,
            str(number),
            chosen,
            write_quantity(row, cost),
            write_top1(trained[row.model]) if row.model in trained else "-",
        )
        for number, pair in enumerate(pairs, 1)
        for row, chosen in zip(pair, ("search", "at random"), strict=True)
    ]
    title = f"Pairs of equal {NOUNS[cost]} (within {percent(EQUAL, 0)})"
    unit = " (ms)" if cost == "latency" else ""
    heads = ("variant", ">pair", "chosen by", f">{NOUNS[cost]}{unit}", ">top-1 (%)")
    note = (
        "random variants are drawn evenly from those within the limits; the interval of the difference adds "
        "the variance between pairs, which contains that of seeds, and that of images"
    )
    return text_table(title, heads, cells, [note])
