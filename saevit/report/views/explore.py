"""Results of `saevit explore` as tables and data; `saevit profile` takes the first column of a table."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from saevit.comparing.comparison import Comparison
from saevit.errors import need
from saevit.explore.exploration import CountedVariant, Exploration
from saevit.explore.question import QUANTITIES
from saevit.explore.solve import KeyStep, Sensitivity, Solution
from saevit.report.columns import (
    NONE,
    Column,
    Table,
    attribute_columns,
    make_table,
    number_column,
    row_values,
    size_value,
    text_table,
    write_csv,
    write_json,
)
from saevit.report.metrics import average_ranks, rank_correlation
from saevit.report.units import giga, interval, milliseconds, scaled, size
from saevit.text import plural

MOST_ROWS = 10
PREDICTORS = ("gmacs", "activations", "traffic", "params")
FEWEST_RANKED = 3  # models, below which a correlation means nothing
SCORE = (
    "capacity: entropy of the architecture as in DeepMAD (arXiv 2303.02165); rho: depth over mean width. A "
    "training-free score that ignores sampling rates, not an accuracy"
)
COLUMNS: tuple[Column[CountedVariant], ...] = (
    Column("variant", text=lambda row: row.model, key="model", value=lambda row: row.model),
    Column(key="infer_img_size", value=lambda row: size_value(row.img_size)),
    Column(key="param_count", value=lambda row: row.params / 1e6),
    Column(key="infer_gmacs", value=lambda row: row.macs / 1e9),
    Column(key="infer_macts", value=lambda row: row.activations / 1e6),
    number_column("GMACs", "macs", lambda row: row.macs, giga),
    number_column("params", "params", lambda row: row.params, scaled),
    number_column("activations", "activations", lambda row: row.activations, scaled),
    *attribute_columns("weight_bytes"),
    number_column("peak act.", "peak_bytes", lambda row: row.peak_bytes, size),
    number_column("traffic", "traffic_bytes", lambda row: row.traffic_bytes, size),
    number_column("capacity", "capacity", lambda row: row.capacity, "{:.1f}".format),
    number_column("rho", "effectiveness", lambda row: row.effectiveness, "{:.3f}".format),
)
RowsView = tuple[Table, tuple[Column[Any], ...], Sequence[Any]]  # the columns and rows of a table, for files


def explore_tables(found: Exploration) -> tuple[Table, ...]:
    """Return the front, thinned evenly where it is long, and the best variants by the ranking."""
    question, shown = found.question, thin_rows(found.front, MOST_ROWS)
    names = ", ".join(f"{QUANTITIES[n].label} ({QUANTITIES[n].better})" for n in question.objectives)
    of = plural(len(found.front), "variant")
    thinned = [f"{len(shown)} of {of} on the front, evenly spaced: --csv writes all"]
    notes = thinned * (len(shown) < len(found.front)) + front_notes(found)
    tables = [make_table(f"Front of {names}", COLUMNS, shown, notes)]
    if found.top:
        extreme = "least" if QUANTITIES[question.rank].better == "min" else "most"
        where = "of all within the limits" if found.answer.is_counted else "of the front"
        title = f"{plural(len(found.top), 'variant')} with {extreme} {question.rank}, {where}"
        tables.append(make_table(title, COLUMNS, found.top))
    return tuple(tables)


def thin_rows(rows: Sequence[CountedVariant], most: int = MOST_ROWS) -> Sequence[CountedVariant]:
    """Return at most this many rows at even distances, both ends included."""
    if len(rows) <= most:
        return rows
    return [rows[round(i * (len(rows) - 1) / (most - 1))] for i in range(most)]


def front_notes(found: Exploration) -> list[str]:
    """Return how the front was found, its limits, and how the base variant compares with it."""
    question, search, findings = found.question, found.answer.search, found.answer.findings
    (height, width), space = question.img_size, f"{question.space.size:,} combinations of choices"
    method = {
        "exhaustive": f"{space}, all evaluated; {findings.invalid:,} are not valid (heads must divide dims)",
        "dp": f"{space}; exact, by dynamic programming over the stages",
        "sample": f"{space}, {findings.seen:,} drawn with seed {search.seed}: a better one may exist",
    }
    notes = [method[search.method]]
    if limits := [limit.text for limit in question.limits] + ["--monotone"] * question.rising:
        within = f": {findings.kept:,} variants" if found.answer.is_counted else ""
        notes.append(f"within {', '.join(limits)}{within}")
    notes.append(
        f"counts per image of {height} x {width} px; bytes are fp32; `saevit profile` takes each variant"
    )
    if "capacity" in (*question.objectives, question.rank):
        notes.append(SCORE)
    base = found.base
    text = (
        f"{base.model}: {giga(base.macs)} GMACs, capacity {base.capacity:.1f}, rho {base.effectiveness:.3f}"
    )
    cheaper = [row for row in found.front if row.capacity >= base.capacity and row.macs < base.macs]
    if cheaper and {"gmacs", "capacity"} <= set(question.objectives):
        best = min(cheaper, key=lambda row: row.macs)
        text += f"; the same capacity or more from {giga(best.macs)} GMACs: {best.model}"
    return [*notes, text]


def explore_columns(found: Exploration) -> tuple[Column[CountedVariant], ...]:
    """Return the columns of files: the costs, and whether a variant is on the front and its rank.

    The rank is among all variants within the limits; None for variants that are not one of the best, and for
    all of them after dynamic programming.
    """
    ranked = found.top if found.answer.is_counted else ()
    ranks = {row.model: place + 1 for place, row in enumerate(ranked)}
    on_front = {row.model for row in found.front}
    return (
        *COLUMNS,
        Column(key="on_front", value=lambda row: row.model in on_front),
        Column(key="rank", value=lambda row: ranks.get(row.model)),
    )


def list_variants(found: Exploration) -> list[CountedVariant]:
    """Return the front and the best variants, each once."""
    return list({row.model: row for row in (*found.front, *found.top)}.values())


def explore_csv(found: Exploration) -> str:
    """Return CSV with one row per variant."""
    return write_csv(explore_columns(found), list_variants(found))


def explore_records(found: Exploration) -> list[dict[str, Any]]:
    """Return one record per variant, unrounded."""
    columns = explore_columns(found)
    return [row_values(columns, row) for row in list_variants(found)]


def explore_json(found: Exploration) -> str:
    """Return the question and its answer as one JSON object; the same run writes the same bytes."""
    question, search, findings = found.question, found.answer.search, found.answer.findings
    is_sample = search.method == "sample"
    return write_json(
        {
            "base": row_values(COLUMNS, found.base),
            "choices": {axis.key: list(axis.values) for axis in question.space.axes},
            "space_size": question.space.size,
            "method": search.method,
            "samples": search.samples if is_sample else None,
            "seed": search.seed if is_sample else None,
            "objectives": list(question.objectives),
            "rank_by": question.rank,
            "limits": [limit.text for limit in question.limits],
            "monotone": question.rising,
            "looked_at": findings.seen,
            "no_networks": findings.invalid if found.answer.is_counted else None,
            "within_limits": findings.kept if found.answer.is_counted else None,
            "variants": explore_records(found),
        }
    )


def write_parquet(found: Exploration, path: Path) -> None:
    """Write one row per variant as Parquet, which needs pyarrow."""
    arrow, parquet = need("pyarrow"), need("pyarrow.parquet")
    parquet.write_table(arrow.Table.from_pylist(explore_records(found)), path)


def view_solution(found: Solution) -> RowsView:
    """Return the largest value that fits, the next value, and the variant as given."""
    rows = [(found.value, "fits", found.row)]
    if found.next_row is not None and found.next_value is not None:
        rows.append((found.next_value, "too much", found.next_row))
    rows.append(("", "as given", found.base))
    costs: list[Column[tuple[str, str, CountedVariant]]] = [
        column.via(lambda row: row[2]) for column in COLUMNS
    ]
    columns = (
        Column(found.key, text=lambda row: row[0], key="key", value=lambda _: found.key),
        Column("", text=lambda row: row[1], key="is", value=lambda row: row[1]),
        *costs,
    )
    title = f"Largest {found.key} within {giga(found.target)} GMACs"
    notes = ["if dims are solved for, the heads of a stage follow its channels"]
    return make_table(title, columns, rows, notes), columns, rows


def view_sensitivity(found: Sensitivity) -> RowsView:
    """Return the change of the costs by one step of each key, the largest change of MACs first."""
    base, (height, width) = found.base, found.base.img_size
    columns: list[Column[KeyStep]] = [
        Column("key", text=lambda step: step.key, key="key", value=lambda step: step.key),
        Column("from", text=lambda step: step.old, side="right", key="from", value=lambda step: step.old),
        Column("to", text=lambda step: step.new, side="right", key="to", value=lambda step: step.new),
    ]
    for head, field in (("MACs", "macs"), ("params", "params"), ("activations", "activations")):
        columns += change_columns(base, head, field)
    columns += [replace(column.via(lambda step: step.row), text=None) for column in COLUMNS]
    table = make_table(
        f"{base.model}: change by one step of each key at {height} x {width} px",
        columns,
        found.steps,
        [
            f"relative to {giga(base.macs)} GMACs, {scaled(base.params)} parameters, "
            f"{scaled(base.activations)} activations; all other keys stay the same, heads follow channels"
        ],
    )
    return table, tuple(columns), found.steps


def change_columns(base: CountedVariant, head: str, field: str) -> list[Column[KeyStep]]:
    """Return the columns of a cost's change: absolute, and relative to the base variant."""

    def signed(step: KeyStep) -> str:
        change = step.change(base, field)
        return f"{'+' if change > 0 else '-' if change < 0 else ''}{scaled(abs(change))}"

    def relative(step: KeyStep) -> str | None:
        change = step.change(base, field)
        return f"{100 * change / getattr(base, field):+.1f} %" if change else None

    key = f"{field}_change"
    return [
        Column(head, text=signed, side="right", key=key, value=lambda step: step.change(base, field)),
        Column("", text=relative, side="right"),
    ]


def predicted_table(found: Exploration, timed: Comparison) -> Table:
    """Return each variant's ranks by costs and by measured latency, with Spearman's correlations."""
    rows = {row.model: row for row in (found.base, *found.front, *found.top)}
    pairs = [(rows[c.model], c) for c in timed.candidates if c.model in rows and c.seconds is not None]
    pairs.sort(key=lambda pair: pair[1].seconds or 0.0)
    ranks = {name: average_ranks([row.value(name) for row, _ in pairs]) for name in PREDICTORS}
    measured = average_ranks([c.seconds or 0.0 for _, c in pairs])
    notes = []
    for name in PREDICTORS if len(pairs) >= FEWEST_RANKED else ():
        rho = rank_correlation(ranks[name], measured.tolist())
        text = "not defined, all values are equal" if rho is None else f"{rho:+.2f}"
        notes.append(f"rank correlation of {name} with measured time over {len(pairs)} variants: {text}")
    cells = []
    for i, (row, candidate) in enumerate(pairs):
        ratio = timed.ratio(candidate)
        cells.append(
            (
                row.model,
                milliseconds(candidate.seconds or 0.0),
                f"{measured[i]:g}",
                *(f"{ranks[name][i]:g}" for name in PREDICTORS),
                NONE if ratio is None else interval(ratio.median, ratio.low, ratio.high),
            )
        )
    notes.append("not resolved: a variant whose interval of the ratio to the reference contains 1")
    heads = ("variant", ">ms/image", ">by time", *(f">by {name}" for name in PREDICTORS), ">ratio")
    return text_table("Predicted rank against measured: 1 is the least", heads, cells, notes)
