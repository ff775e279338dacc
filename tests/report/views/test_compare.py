"""A comparison is made of columns: one entry adds a fact to the table, CSV, JSON and the page."""

import csv
import io
import json

import pytest

from saevit.report.columns import Column, View
from saevit.report.html.page import report_html
from saevit.report.views import compare
from tests.report.conftest import ENVIRONMENT
from tests.report.test_html import COMPARISON


def test_one_entry_adds_a_column_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    names: Column[compare.Candidate] = Column(
        "letters",
        lambda c: f"{len(c.model)} letters",
        "right",
        key="num_letters",
        value=lambda c: len(c.model),
    )
    monkeypatch.setattr(compare, "COUNTS", (*compare.COUNTS, names))
    table = compare.tabulate_comparison(COMPARISON, None)
    heads = [column.head for column in table.columns]
    lengths = [len(c.model) for c in COMPARISON.candidates]
    assert heads[-1] == "letters"
    assert [row[-1] for row in table.rows] == [f"{length} letters" for length in lengths]
    rows = csv.DictReader(io.StringIO(compare.write_comparison_csv(COMPARISON)))
    assert [int(row["num_letters"]) for row in rows] == lengths
    data = json.loads(compare.write_comparison_json(COMPARISON))
    assert [c["num_letters"] for c in data["candidates"]] == lengths
    page = report_html(View(tables=(table,)), "saevit compare", ENVIRONMENT)
    assert all(f">{length} letters<" in page for length in lengths)


def test_columns_stand_in_their_order_and_the_ratio_names_the_reference() -> None:
    heads = [column.head for column in compare.tabulate_comparison(COMPARISON, None).columns]
    named = f"time relative to {COMPARISON.reference}"
    known = ["ratio" if head == named else head for head in heads]
    assert known == [head for head in compare.ORDER if head in known]
    assert named in heads
