"""Compare the predictions of a search with measurements: ranks and latencies."""

from collections.abc import Sequence
from dataclasses import replace

from saevit.comparing.comparison import Comparison
from saevit.explore.calibration import FEWEST_VARIANTS, correlate
from saevit.explore.control import name_cost
from saevit.explore.exploration import CountedVariant, Exploration
from saevit.report.columns import Table, View, text_table
from saevit.report.metrics import LEAST
from saevit.report.units import milliseconds, percent
from saevit.report.views.calibration import describe_prediction, write_agreement
from saevit.report.views.compare import view_comparison
from saevit.report.views.explore import HEADS
from saevit.runs.statistics import average_ranks, median, rank_correlation
from saevit.text import plural

PREDICTORS = ("gmacs", "activations", "traffic", "params")


def view_predicted(
    found: Exploration,
    timed: Comparison,
    best: Sequence[CountedVariant],
    control: Sequence[CountedVariant] = (),
) -> View:
    """Return the view of the measured variants, with tables that compare prediction and measurement.

    Args:
        found: the search.
        timed: the measurement.
        best: the best variants of the search.
        control: random variants of equal cost.
    """
    view = view_comparison(timed, "latency")
    known = (found.base, *best, *control)
    tables = (*view.tables, *compare_predicted(found, timed, known), rank_predicted(found, timed, known))
    result = f"{describe_ranking(found, timed, best, control)} {view.result}"
    return replace(view, result=result, tables=tables)


def describe_ranking(
    found: Exploration, timed: Comparison, best: Sequence[CountedVariant], control: Sequence[CountedVariant]
) -> str:
    """Describe in one sentence the rank correlation of the predicted cost with the measured time."""
    cost = name_cost(found)
    pairs = pair_times(timed, (*best, *control))
    rho = correlate([row.value(cost) for row, _ in pairs], [seconds for _, seconds in pairs])
    predicted = "Predicted latency" if cost == "latency" else "MACs"
    given = f"{len(best)} best" + f", {len(control)} random at equal {predicted.replace('P', 'p')}" * bool(
        control
    )
    head = f"{predicted} and measured time of {plural(len(pairs), 'variant')} ({given})"
    if rho is None:
        text = f"{head}: too few for a rank correlation (at least {FEWEST_VARIANTS})"
    else:
        text = f"{head}: rank correlation {write_agreement(rho)}"
    if cost == "latency" and pairs:
        error = median([abs(row.latency / seconds - 1) for row, seconds in pairs if row.latency])
        text += f", median error {percent(error)}"
    return f"{text}."


def pair_times(timed: Comparison, rows: Sequence[CountedVariant]) -> list[tuple[CountedVariant, float]]:
    """Return the timed rows with their seconds per batch, in the order of the comparison."""
    known = {row.model: row for row in rows}
    return [
        (known[c.model], c.seconds * c.subject.conditions.batch_size)
        for c in timed.candidates
        if c.model in known and c.seconds is not None and c.subject is not None
    ]


def rank_predicted(found: Exploration, timed: Comparison, known: Sequence[CountedVariant]) -> Table:
    """Return a table with the rank of each variant by measured time and by each cost; 1 is the least.

    With 8 variants or more (`metrics.LEAST`), the title has Spearman's rank correlations.
    """
    pairs = pair_times(timed, known)
    pairs.sort(key=lambda pair: pair[1])
    predictors = (*(["latency"] if found.calibration else []), *PREDICTORS)
    ranks = {name: average_ranks([row.value(name) for row, _ in pairs]) for name in predictors}
    measured = average_ranks([seconds for _, seconds in pairs])
    texts = []
    for name in predictors if len(pairs) >= LEAST else ():
        rho = rank_correlation(ranks[name], measured)
        texts.append(f"{HEADS[name]} {'undefined' if rho is None else f'{rho:+.2f}'}")
    title = "Rank by measured time and by each cost (1 = least)"
    if texts:
        title += f"; rank correlation with time over {len(pairs)} variants: {', '.join(texts)}"
    cells = [
        (row.model, f"{measured[i]:g}", *(f"{ranks[name][i]:g}" for name in predictors))
        for i, (row, _) in enumerate(pairs)
    ]
    return text_table(title, ("variant", ">time", *(f">{HEADS[name]}" for name in predictors)), cells)


def compare_predicted(
    found: Exploration, timed: Comparison, known: Sequence[CountedVariant]
) -> tuple[Table, ...]:
    """Return a table of predicted and measured latencies; empty if no latency was predicted."""
    if found.calibration is None:
        return ()
    pairs = [(row.model, row.latency, seconds) for row, seconds in pair_times(timed, known) if row.latency]
    cells = [
        (model, milliseconds(predicted), milliseconds(seconds), f"{100 * (predicted / seconds - 1):+.1f}")
        for model, predicted, seconds in sorted(pairs, key=lambda pair: pair[1])
    ]
    heads = ("variant", ">predicted (ms)", ">measured (ms)", ">error (%)")
    return (
        text_table("Predicted and measured latency", heads, cells, [describe_prediction(found.calibration)]),
    )
