"""The results of a search as tables, CSV, JSON and Parquet."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from saevit.errors import need
from saevit.explore.exploration import CountedVariant, Exploration
from saevit.explore.question import Question
from saevit.report.columns import (
    MOST_NOTES,
    Column,
    View,
    attribute_columns,
    make_table,
    number_column,
    row_values,
    size_value,
    text_column,
    write_csv,
    write_json,
)
from saevit.report.explore_messages import choose_answer, summarize_exploration, write_amount
from saevit.report.units import giga, milliseconds, scaled, size, write_pixels
from saevit.report.views.calibration import calibration_data, describe_prediction
from saevit.text import plural

MOST_ROWS = 10
# The rank correlations are from `python benchmarks/capacity_correlation.py`, see docs/benchmarks.md.
CAPACITY_NOTE = (
    "Capacity is a training-free score (the entropy of DeepMAD, arXiv 2303.02165), not an accuracy: over 57 "
    "published models its rank correlation with top-1 is +0.25, that of MACs is +0.67."
)
SIZE_NOTE = (
    "More {0} do not imply more accuracy: over 57 published models the rank correlation of {0} with top-1 is "
    "+0.67. --train-top compares trained variants."
)
RHO_NOTE = "rho: depth over mean width; the capacity score means less for deep and narrow networks"
ROWS_NOTE = "Other commands take a row as a model: saevit compare @1 @2."
DEEPER = 1.05  # an answer with a rho above this multiple of the base variant's rho has a warning
SCORES = ("capacity", "rho")  # columns that are shown only if the question uses them
HEADS = {
    "gmacs": "GMACs",
    "params": "params",
    "activations": "activations",
    "memory": "peak act.",
    "traffic": "traffic",
    "latency": "predicted latency",
    "most-gmacs": "GMACs",
    "most-params": "params",
    "capacity": "capacity",
}
COLUMNS: tuple[Column[CountedVariant], ...] = (
    text_column("variant", "model", lambda row: row.model),
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
LATENCY_COLUMN: Column[CountedVariant] = replace(
    number_column("predicted latency", "predicted_latency_s", lambda row: row.latency, milliseconds),
    unit="ms",
)


def view_exploration(found: Exploration) -> View:
    """Return the view of a search: the answer, rows of the front, and the best variants off the front."""
    question, shown = found.question, list_shown(found)
    answer, message = choose_answer(found), summarize_exploration(found)
    some = f", {len(shown)} shown at even distances (--csv FILE writes all)"
    title = f"{plural(len(found.front), 'variant')} on the front"
    others = list_others(found)
    columns = number_rows(order_columns(found), (*shown, *others))
    thinned = some if len(shown) < len(found.front) else ""
    tables = [make_table(title + thinned, columns, shown, explain_search(found))]
    if others:
        title = f"Of the {len(found.top)} best by {question.rank}, those not shown above"
        tables.append(make_table(title, columns, others))
    notes = [describe_prediction(found.calibration)] if found.calibration else []
    notes += describe_proxy(question)
    notes += [ROWS_NOTE] if len(notes) < MOST_NOTES - 1 else []
    amounts = ("gmacs", "params", *["latency"] * bool(found.calibration), *["capacity"] * is_scored(question))
    base = ", ".join(write_amount(found.base, name) for name in amounts)
    hint = (
        ""
        if found.calibration
        else " Run --calibrate once, and searches predict the latency on this machine."
    )
    return View(
        result=f"{message.removesuffix('.')}: {answer.model}" if answer else message,
        warnings=tuple(describe_depth(found)),
        tables=tuple(tables),
        notes=(*notes, f"The base variant {found.base.model} has {base}.{hint}"),
    )


def list_others(found: Exploration) -> list[CountedVariant]:
    """Return the best variants that `list_shown` leaves out."""
    models = {row.model for row in list_shown(found)}
    return [row for row in found.top if row.model not in models]


def number_rows(
    columns: Sequence[Column[CountedVariant]], rows: Sequence[CountedVariant]
) -> list[Column[CountedVariant]]:
    """Insert a column with row numbers (@1, @2, ...), which other commands accept as models."""
    numbers = {row.model: f"@{number}" for number, row in enumerate(rows, 1)}
    first, *rest = columns
    return [first, Column("row", text=lambda row: numbers[row.model]), *rest]


def list_shown(found: Exploration) -> list[CountedVariant]:
    """Return the variants to show: rows of the front at even distances, and the answer."""
    rows, answer = list(thin_rows(found.front)), choose_answer(found)
    if answer is None or answer in rows:
        return rows
    if answer not in found.front:
        return [*rows, answer]
    return [row for row in found.front if row in rows or row == answer]


def thin_rows(rows: Sequence[CountedVariant], most: int = MOST_ROWS) -> Sequence[CountedVariant]:
    """Return at most `most` rows at even distances, including the first and the last row."""
    if len(rows) <= most:
        return rows
    return [rows[round(i * (len(rows) - 1) / (most - 1))] for i in range(most)]


def order_columns(found: Exploration) -> list[Column[CountedVariant]]:
    """Return the columns of a table; columns of objectives, ranking and latency come first."""
    question = found.question
    first = (*question.objectives, question.rank, *(["latency"] if found.calibration else []))
    heads = ["variant", *(HEADS[name] for name in first if name in HEADS)]
    columns = [column for column in COLUMNS if is_scored(question) or column.head not in SCORES]
    columns += [LATENCY_COLUMN] if found.calibration else []
    return sorted(columns, key=lambda column: (*heads, column.head).index(column.head))


def is_scored(question: Question) -> bool:
    """Tell whether a question uses the capacity score or rho."""
    limited = (limit.quantity for limit in question.limits)
    return bool({"capacity", "effectiveness"} & {*question.objectives, question.rank, *limited})


def describe_proxy(question: Question) -> list[str]:
    """Return the note on the rank correlation of the maximised quantity with published accuracies."""
    names = {*question.objectives, question.rank}
    if "capacity" in names:
        return [CAPACITY_NOTE]
    sizes = [word for name, word in (("most-gmacs", "MACs"), ("most-params", "parameters")) if name in names]
    return [SIZE_NOTE.format(sizes[0])] if sizes else []


def describe_depth(found: Exploration) -> list[str]:
    """Return a warning if the answer is ranked by capacity, and is deeper and narrower than the base."""
    answer, limit = choose_answer(found), found.base.effectiveness
    if answer is None or found.question.rank != "capacity" or answer.effectiveness <= DEEPER * limit:
        return []
    return [
        f"depth over mean width (rho) of this variant is {answer.effectiveness:.3f}, of the base variant "
        f"{limit:.3f}; the capacity score means less for deeper and narrower networks: --max-effectiveness "
        f"{limit:.3f} excludes them"
    ]


def explain_search(found: Exploration) -> list[str]:
    """Return the notes on the method of the search, its limits and its columns."""
    question, search, findings = found.question, found.answer.search, found.answer.findings
    space = f"{question.space.size:,} combinations"
    method = {
        "exhaustive": f"{space}, all evaluated; {findings.invalid:,} are invalid (heads must divide dims)",
        "dp": f"{space}; the front is exact, by dynamic programming over the stages",
        "sample": f"{space}, {findings.seen:,} drawn with seed {search.seed}: a better variant may exist",
    }
    notes = [method[search.method]]
    if limits := [limit.text for limit in question.limits] + ["--monotone"] * question.rising:
        within = f": {findings.kept:,} variants" if found.answer.is_counted else ""
        notes.append(f"within {', '.join(limits)}{within}")
    return [
        *notes,
        f"counts are per image of {write_pixels(question.img_size)}, bytes are of fp32",
        *([RHO_NOTE] if is_scored(question) else []),
    ]


def explore_columns(found: Exploration) -> tuple[Column[CountedVariant], ...]:
    """Return the columns for files: costs, membership of the front, and rank.

    The rank is among all variants within the limits. It is None for variants that are not among the best, and
    for all variants after dynamic programming.
    """
    ranked = found.top if found.answer.is_counted else ()
    ranks = {row.model: place + 1 for place, row in enumerate(ranked)}
    on_front = {row.model for row in found.front}
    calibration = found.calibration
    predicted = (
        LATENCY_COLUMN,
        Column[CountedVariant](
            key="predicted_latency_error", value=lambda row: calibration and calibration.stated_error
        ),
    )
    return (
        *COLUMNS,
        *(predicted if calibration else ()),
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
    """Return the unrounded values of each variant."""
    columns = explore_columns(found)
    return [row_values(columns, row) for row in list_variants(found)]


def explore_json(found: Exploration) -> str:
    """Return the question and its answer as a JSON object, which is the same for repeated searches."""
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
            **({"latency_prediction": calibration_data(found.calibration)} if found.calibration else {}),
            "variants": explore_records(found),
        }
    )


def write_parquet(found: Exploration, path: Path) -> None:
    """Write one row per variant to a Parquet file; needs pyarrow."""
    arrow, parquet = need("pyarrow"), need("pyarrow.parquet")
    parquet.write_table(arrow.Table.from_pylist(explore_records(found)), path)
