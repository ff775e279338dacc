"""Columns to tables, CSV and JSON, whatever the rows hold."""

import csv
import io
import json

from hypothesis import given
from hypothesis import strategies as st

from saevit.report.columns import (
    NONE,
    Column,
    attribute_columns,
    make_table,
    number_column,
    row_values,
    text_table,
    write_csv,
    write_json,
)
from saevit.runs.record import SCHEMA_VERSION
from saevit.text import printable

NAME: Column[dict[str, float]] = Column("model", text=str, unit="dict", key="model", value=len)
COLUMNS = (
    NAME,
    number_column("params", "param_count", lambda row: row.get("params"), "{:.1f}".format, 1e6),
    number_column("images", "images", lambda row: row.get("images"), str),
    Column("note", text=lambda row: None),
    Column(key="hidden", value=lambda row: "x"),
)


def test_one_list_of_columns_gives_the_table_and_the_values() -> None:
    rows = [{"params": 5e6}, {"images": 7}]
    table = make_table("Models", COLUMNS, rows, ["a note"]).without_empty_columns()
    assert [(column.heading, column.side) for column in table.columns] == [
        ("model (dict)", "left"),
        ("params", "right"),
        ("images", "right"),
    ]
    assert [row[1:] for row in table.rows] == [("5000000.0", NONE), (NONE, "7")]
    assert (table.title, table.notes) == ("Models", ("a note",))
    assert row_values(COLUMNS, rows[0]) == {"model": 1, "param_count": 5.0, "images": None, "hidden": "x"}
    assert write_csv(COLUMNS, rows).splitlines() == [
        "model,param_count,images,hidden",
        "1,5.0,,x",
        "1,,7,x",
    ]


def test_columns_apply_to_rows_that_contain_their_row() -> None:
    inner = COLUMNS[1].via(lambda pair: pair[1])
    rows: list[tuple[str, dict[str, float] | None]] = [("a", {"params": 2e6}), ("b", {}), ("c", None)]
    assert [inner.value(row) if inner.value else 0 for row in rows] == [2.0, None, None]
    assert [row for (row,) in make_table("", [inner], rows).rows] == ["2000000.0", NONE, NONE]
    assert COLUMNS[-1].via(lambda pair: pair[1]).text is None


def test_columns_without_a_value_and_named_ones_are_left_out() -> None:
    table = text_table("", ("a", ">b", "c"), [("1", NONE, "3"), ("1", NONE, NONE)])
    assert [(c.head, c.side) for c in table.columns] == [("a", "left"), ("b", "right"), ("c", "left")]
    assert table.without_empty_columns().rows == (("1", "3"), ("1", NONE))
    assert table.without_column("a").rows == ((NONE, "3"), (NONE, NONE))


def test_json_begins_with_the_version_of_its_schema() -> None:
    assert list(json.loads(write_json({"a": 1})).items()) == [("schema_version", SCHEMA_VERSION), ("a", 1)]


ANY_TEXT = st.text(st.characters()) | st.sampled_from(
    ["=1+1", "+cmd|' /C calc'!A0", "-2", "@SUM(A1)", "\t=1"]
)
VALUES = ANY_TEXT | st.none() | st.booleans() | st.integers() | st.floats()


@given(st.lists(st.dictionaries(st.sampled_from("abc"), VALUES), min_size=1))
def test_csv_has_a_line_a_row_no_control_characters_and_no_formula(rows: list[dict[str, object]]) -> None:
    text = write_csv([Column(key=key, value=lambda row, key=key: row.get(key)) for key in "abc"], rows)
    text.encode()
    assert len(text.splitlines()) == 1 + len(rows)
    for line, row in zip(csv.DictReader(io.StringIO(text)), rows, strict=True):
        for name, cell in line.items():
            value = row.get(name)
            if isinstance(value, str):
                assert cell.removeprefix("'") == printable(value).removeprefix("'")
                assert not cell.startswith(("=", "+", "-", "@"))
            else:
                assert cell == ("" if value is None else str(value))


@given(st.recursive(VALUES, lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner)))
def test_json_is_json_for_every_reader(data: object) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    text = write_json({"data": data})
    text.encode()
    assert json.loads(text, parse_constant=refuse) == json.loads(write_json(json.loads(text)))


def test_columns_of_attributes_are_named_after_them() -> None:
    columns = attribute_columns("head", "side.__class__")
    assert row_values(columns, NAME) == {"head": "model", "__class__": str}
    assert all(column.text is None for column in columns)
