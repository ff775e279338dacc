"""What exact costs predicted, beside what was measured."""

from collections.abc import Sequence

from saevit.compare.comparison import Candidate, Comparison
from saevit.explore.exploration import Exploration
from saevit.report.agreement import average_ranks, rank_correlation
from saevit.report.tables import NONE, Table
from saevit.report.units import interval, milliseconds

PREDICTORS = ("gmacs", "activations", "traffic", "params")
LEAST = 3  # models, below which a correlation says nothing


def predicted_table(found: Exploration, timed: Comparison) -> Table:
    """Rank of each variant by costs, and by measured latency: 1 is the least; with Spearman's correlation."""
    rows = {row.model: row for row in (found.base, *found.front, *found.top)}
    pairs = [(rows[c.model], c) for c in timed.candidates if c.model in rows and c.seconds is not None]
    pairs.sort(key=lambda pair: pair[1].seconds or 0.0)
    predicted = {name: average_ranks([row.value(name) for row, _ in pairs]) for name in PREDICTORS}
    measured = average_ranks([c.seconds or 0.0 for _, c in pairs])
    notes = (
        [agreement(name, predicted[name].tolist(), measured.tolist()) for name in PREDICTORS]
        if len(pairs) >= LEAST
        else []
    )
    return Table(
        title="Predicted rank against measured: 1 is the least",
        columns=(
            ("variant", "l"),
            ("ms/image", "r"),
            ("by time", "r"),
            *((f"by {name}", "r") for name in PREDICTORS),
            ("ratio", "r"),
        ),
        rows=tuple(
            (
                row.model,
                milliseconds(c.seconds or 0.0),
                number(measured[i]),
                *(number(predicted[name][i]) for name in PREDICTORS),
                ratio_text(timed, c),
            )
            for i, (row, c) in enumerate(pairs)
        ),
        notes=(
            *notes,
            "times closer than the interval of their ratio are not resolved: their order is chance",
        ),
    )


def ratio_text(timed: Comparison, candidate: Candidate) -> str:
    """Write the ratio to the reference."""
    seen = timed.ratio(candidate)
    return NONE if seen is None else interval(seen.median, seen.low, seen.high)


def agreement(name: str, predicted: Sequence[float], measured: Sequence[float]) -> str:
    """Say how well a cost orders the times."""
    value = rank_correlation(predicted, measured)
    text = "not defined, all are equal" if value is None else f"{value:+.2f}"
    return f"rank correlation of {name} with measured time over {len(measured)} variants: {text}"


def number(rank: float) -> str:
    """Write a rank; halves are ties."""
    return f"{rank:g}"
