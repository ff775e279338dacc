"""Views as text: names and numbers stay whole at every width, and what does not fit is named."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saevit.comparing.compare import comparison_of
from saevit.profiling import profile
from saevit.report.columns import NONE, View, text_table
from saevit.report.screen import lay_out, lay_out_table, write_markdown, write_text
from saevit.report.views.compare import view_comparison
from saevit.report.views.evaluation import view_evaluation
from saevit.report.views.explore import view_exploration
from saevit.report.views.listing import view_runs, view_variants
from saevit.report.views.profile import view_profile
from saevit.report.views.run import view_run
from saevit.runs.store import list_runs, read_run
from tests.report.views.test_explore import found as search
from tests.runs.test_evaluation import FOUND

GOLDEN = Path(__file__).parents[1] / "golden"
WIDTHS = (60, 80, 100, 140, None)
NAME = "saevit_tiny:dims=64-144-256-480,depths=1-1-3-4,heads=2-2-4-8"
CELLS = st.text(st.sampled_from("abc0123456789.=-"), min_size=1, max_size=50)
VIEWS: dict[str, Callable[[], View]] = {
    "compare": lambda: view_comparison(comparison_of(read_run(GOLDEN / "stored_compare.jsonl")), None),
    "list": view_variants,
    "eval": lambda: view_evaluation(FOUND),
    "results_list": lambda: view_runs(list_runs(GOLDEN), "STORE"),
    "results_show": lambda: view_run(
        replace(read_run(GOLDEN / "stored_compare.jsonl"), path=Path("stored_compare.jsonl"))
    ),
    "explore": lambda: view_exploration(search()),
    "profile": lambda: view_profile(profile("saevit_tiny", counters=["analytic"])),
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", VIEWS)
def test_screens(name: str, width: int | None, golden: Callable[[str, Any], None]) -> None:
    golden(f"screens/{name}_{width or 'pipe'}.txt", write_text(VIEWS[name](), width))


@given(
    rows=st.lists(st.tuples(CELLS, CELLS, CELLS, CELLS), min_size=1, max_size=4), width=st.integers(60, 160)
)
def test_every_cell_is_whole_or_its_column_is_named(
    rows: list[tuple[str, str, str, str]], width: int
) -> None:
    table = text_table("", ("name", ">first", "second", ">third"), rows)
    lines = lay_out_table(table, width)
    text = "\n".join(line.text for line in lines if line.kind == "row")
    hidden = " ".join(line.text for line in lines if line.kind == "note")
    for row in rows:
        assert row[0] in text
        for head, cell in zip(("first", "second", "third"), row[1:], strict=True):
            assert cell in text or head in hidden
    fitting = [line for line in lines if line.kind == "row" and line.text not in {row[0] for row in rows}]
    shown = max((max(map(len, row[:2])) for row in rows), default=0)
    assert all(len(line.text) <= max(width, shown + 10) for line in fitting)


def test_a_long_name_has_a_line_of_its_own() -> None:
    table = text_table("", ("variant", ">GMACs", ">params"), [(NAME, "0.7997", "7.69 M")])
    wide = [line.text for line in lay_out_table(table, 80)]
    assert wide[-1] == f"{NAME}  0.7997  7.69 M"
    narrow = [line.text for line in lay_out_table(table, 60)]
    assert narrow[-2:] == [NAME, "  0.7997  7.69 M"]


def test_texts_are_broken_at_spaces_and_other_columns_stay() -> None:
    table = text_table("", ("key", "~meaning", ">value"), [("act", "the activation " * 8, "12.5")])
    lines = [line.text for line in lay_out_table(table, 60)]
    assert max(map(len, lines)) <= 60
    assert " ".join(lines).count("activation") == 8
    assert "12.5" in lines[2]


def test_a_column_that_is_broken_at_spaces_is_as_wide_as_its_longest_word() -> None:
    table = text_table("", ("key", "~models", ">value"), [("a", f"{NAME} and {NAME}", "12.5")])
    *_, first, second = [line.text for line in lay_out_table(table, 90)]
    assert first.split() == ["a", NAME, "and", "12.5"]
    assert second.split() == [NAME]


def test_notes_of_tables_are_shown_on_request() -> None:
    view = View(
        result="a takes 2 ms.",
        warnings=("the machine is busy",),
        tables=(text_table("t", ("x",), [("1",)], ["what x is"]),),
        notes=("random weights",),
    )
    kinds = [line.kind for line in lay_out(view, 80)]
    assert kinds == ["result", "warning", "blank", "title", "head", "rule", "row", "blank", "note", "note"]
    assert write_text(view).splitlines()[-1] == "- --explain shows 1 more note"
    assert "- what x is" in write_text(view, explain=True)
    assert "--explain" not in write_text(view, explain=True)


def test_more_than_three_notes_are_refused() -> None:
    with pytest.raises(AssertionError):
        View(notes=("1", "2", "3", "4"))


def test_markdown_has_every_column_and_escapes_bars() -> None:
    view = View(result="r", tables=(text_table("t", ("a|b", ">n"), [("x|y", NONE)]),), notes=("note",))
    assert write_markdown(view) == "r\n\n**t**\n\n| a\\|b | n |\n| --- | ---: |\n| x\\|y | - |\n\n- note\n"
