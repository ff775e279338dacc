"""What a search predicted of some variants beside what was measured: ranks, and latency."""

from dataclasses import replace

from saevit.comparing.comparison import Comparison
from saevit.explore.exploration import Exploration
from saevit.report.columns import Table, View, text_table
from saevit.report.metrics import LEAST
from saevit.report.units import milliseconds
from saevit.report.views.calibration import describe_prediction
from saevit.report.views.compare import view_comparison
from saevit.report.views.explore import HEADS
from saevit.runs.statistics import average_ranks, rank_correlation

PREDICTORS = ("gmacs", "activations", "traffic", "params")


def view_predicted(found: Exploration, timed: Comparison) -> View:
    """Return the comparison of the measured variants, with their ranks by each cost and by time."""
    view = view_comparison(timed, "latency")
    tables = (*view.tables, *compare_predicted(found, timed), rank_predicted(found, timed))
    return replace(view, tables=tables)


def rank_predicted(found: Exploration, timed: Comparison) -> Table:
    """Return the rank of each variant by costs and by measured time, 1 for the least.

    Spearman's correlations of the ranks are in its title for 8 variants or more (`metrics.LEAST`).
    """
    rows = {row.model: row for row in (found.base, *found.front, *found.top)}
    pairs = [
        (rows[c.model], c.seconds) for c in timed.candidates if c.model in rows and c.seconds is not None
    ]
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


def compare_predicted(found: Exploration, timed: Comparison) -> tuple[Table, ...]:
    """Return predicted and measured latency side by side; nothing if no latency was predicted."""
    if found.calibration is None:
        return ()
    rows = {row.model: row for row in (found.base, *found.front, *found.top)}
    pairs = [
        (c.model, predicted, c.seconds * c.subject.conditions.batch_size)
        for c in timed.candidates
        if c.seconds is not None
        and c.subject is not None
        and (row := rows.get(c.model))
        and (predicted := row.latency) is not None
    ]
    cells = [
        (model, milliseconds(predicted), milliseconds(seconds), f"{100 * (predicted / seconds - 1):+.1f}")
        for model, predicted, seconds in sorted(pairs, key=lambda pair: pair[1])
    ]
    heads = ("variant", ">predicted (ms)", ">measured (ms)", ">error (%)")
    return (
        text_table("Predicted and measured latency", heads, cells, [describe_prediction(found.calibration)]),
    )
