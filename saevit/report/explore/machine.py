"""An exploration for other programs: full precision, timm's column names where timm has one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from saevit.errors import need
from saevit.explore.exploration import Exploration, CountedVariant
from saevit.explore.solve import Sensitivity, Solution
from saevit.report.machine import csv_text, json_text
from saevit.runs.record import SCHEMA_VERSION


def columns(row: CountedVariant, img_size: tuple[int, int]) -> dict[str, Any]:
    """Return one variant's figures, unrounded."""
    height, width = img_size
    return {
        "model": row.model,
        "infer_img_size": height if height == width else f"{height},{width}",
        "param_count": row.params / 1e6,
        "infer_gmacs": row.macs / 1e9,
        "infer_macts": row.activations / 1e6,
        "macs": row.macs,
        "params": row.params,
        "activations": row.activations,
        "weight_bytes": row.weight_bytes,
        "peak_bytes": row.peak_bytes,
        "traffic_bytes": row.traffic_bytes,
        "capacity": row.capacity,
        "effectiveness": row.effectiveness,
    }


def rows_of(found: Exploration) -> list[dict[str, Any]]:
    """Return the front and the best, each variant once.

    Its rank is the place among all variants that were looked at and keep the limits; None where it is not
    one of the best, and where dynamic programming looks at no others than the front.
    """
    ranked = () if found.answer.kept is None else found.top
    ranks = {row.model: place + 1 for place, row in enumerate(ranked)}
    on_front = {row.model for row in found.front}
    rows = {row.model: row for row in (*found.front, *found.top)}
    return [
        columns(row, found.question.img_size) | {"on_front": model in on_front, "rank": ranks.get(model)}
        for model, row in rows.items()
    ]


def explore_csv(found: Exploration) -> str:
    """Write one row a variant."""
    return csv_text(rows_of(found))


def explore_json(found: Exploration) -> str:
    """Write the question and its answer as one JSON object; the same run writes the same bytes."""
    question, said = found.question, found.answer
    data = {
        "schema_version": SCHEMA_VERSION,
        "base": columns(found.base, question.img_size),
        "choices": {axis.key: list(axis.values) for axis in question.space.axes},
        "space_size": question.space.size,
        "method": said.search.method,
        "samples": said.search.samples if said.search.method == "sample" else None,
        "seed": said.search.seed if said.search.method == "sample" else None,
        "objectives": list(question.objectives),
        "rank_by": question.rank,
        "limits": [limit.text for limit in question.limits],
        "monotone": question.rising,
        "looked_at": said.seen,
        "no_networks": None if said.kept is None else said.invalid,
        "within_limits": said.kept,
        "variants": rows_of(found),
    }
    return json_text(data)


def write_parquet(found: Exploration, path: Path) -> None:
    """Write one row a variant as Parquet.

    Raises:
        MissingPackageError: pyarrow is not installed.
    """
    arrow, parquet = need("pyarrow"), need("pyarrow.parquet")
    parquet.write_table(arrow.Table.from_pylist(rows_of(found)), path)


def solution_rows(found: Solution, img_size: tuple[int, int]) -> list[dict[str, Any]]:
    """Return what fits, what does not, and the variant as given."""
    rows = [("fits", found.row), ("too much", found.next_row), ("as given", found.base)]
    return [{"key": found.key, "is": text} | columns(row, img_size) for text, row in rows if row is not None]


def sensitivity_rows(found: Sensitivity) -> list[dict[str, Any]]:
    """Return one row a step: what changes, and by how much."""
    return [
        {
            "key": step.key,
            "from": step.old,
            "to": step.new,
            **{
                f"{field}_change": step.change(found.base, field)
                for field in ("macs", "params", "activations")
            },
            **columns(step.row, found.img_size),
        }
        for step in found.steps
    ]


def rows_json(rows: Sequence[dict[str, Any]]) -> str:
    """Write rows as a JSON object."""
    return json_text({"schema_version": SCHEMA_VERSION, "rows": rows})
