"""The results of --solve (largest value of a key within a budget) and --sensitivity as tables."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from saevit.explore.exploration import CountedVariant
from saevit.explore.solve import KeyStep, Sensitivity, Solution
from saevit.report.columns import Column, View, make_table, text_column
from saevit.report.explore_messages import summarize_sensitivity, summarize_solution, write_amount
from saevit.report.units import scaled, write_pixels
from saevit.report.views.explore import COLUMNS

RowsView = tuple[View, tuple[Column[Any], ...], Sequence[Any]]  # a view, and columns and rows for files


def view_solution(found: Solution) -> RowsView:
    """Return the rows of the largest value that fits, of the next value, and of the base variant."""
    rows = [(found.value, "fits", found.row)]
    if found.next_row is not None and found.next_value is not None:
        rows.append((found.next_value, "too much", found.next_row))
    rows.append(("", "as given", found.base))
    variant, *costs = list[Column[Any]](column.via(lambda row: row[2]) for column in COLUMNS)
    own: list[Column[Any]] = [
        Column(found.key, text=lambda row: row[0] or None, key="key", value=lambda _: found.key),
        text_column("result", "is", lambda row: row[1]),
    ]
    notes = ["channels and heads: if dims are solved for, the heads of a stage follow its channels"]
    table = make_table(
        f"{found.base.model} with other values of {found.key}", [variant, *own, *costs], rows, notes
    )
    return View(result=summarize_solution(found), tables=(table,)), (*own, variant, *costs), rows


def view_sensitivity(found: Sensitivity) -> RowsView:
    """Return the change of the costs by one step of each key; the largest change of MACs is first."""
    base = found.base
    columns: list[Column[KeyStep]] = [
        text_column("key", "key", lambda step: step.key),
        text_column("from", "from", lambda step: step.old, "right"),
        text_column("to", "to", lambda step: step.new, "right"),
    ]
    pairs = [
        change_columns(base, head, field)
        for head, field in (("MACs", "macs"), ("params", "params"), ("activations", "activations"))
    ]
    columns += [relative for _, relative in pairs] + [absolute for absolute, _ in pairs]
    columns += [replace(column.via(lambda step: step.row), text=None) for column in COLUMNS]
    costs = ", ".join(write_amount(base, name) for name in ("gmacs", "params", "activations"))
    table = make_table(
        f"Change relative to {base.model} ({costs}) at {write_pixels(base.img_size)}, one step of one key at "
        "a time",
        columns,
        found.steps,
        ["all other keys stay the same; the heads of a stage follow its channels"],
    )
    return View(result=summarize_sensitivity(found), tables=(table,)), tuple(columns), found.steps


def change_columns(base: CountedVariant, head: str, field: str) -> tuple[Column[KeyStep], Column[KeyStep]]:
    """Return two columns for the change of a cost: absolute, and relative to the base variant."""

    def signed(step: KeyStep) -> str:
        change = step.change(base, field)
        return f"{'+' if change > 0 else '-' if change < 0 else ''}{scaled(abs(change))}"

    def relative(step: KeyStep) -> str | None:
        change = step.change(base, field)
        return f"{100 * change / getattr(base, field):+.1f}" if change else None

    key = f"{field}_change"
    return (
        Column(head, text=signed, side="right", key=key, value=lambda step: step.change(base, field)),
        Column(head, text=relative, side="right", unit="%"),
    )
