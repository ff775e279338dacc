"""Tables, files and figures of a search, made from a small one."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from saevit.errors import MissingPackageError
from saevit.explore.exploration import Exploration, count_answer
from saevit.explore.question import Question, Search, read_limit
from saevit.explore.search import answer
from saevit.explore.solve import find_sensitivity
from saevit.explore.space import read_space
from saevit.report.columns import row_values
from saevit.report.explore_figures import front_figure, tornado_figure
from saevit.report.explore_messages import (
    choose_answer,
    describe_best,
    summarize_exploration,
    summarize_sensitivity,
)
from saevit.report.figure import save_figure
from saevit.report.views.explore import (
    MOST_ROWS,
    explore_csv,
    explore_json,
    thin_rows,
    view_exploration,
    write_parquet,
)
from saevit.report.views.solve import view_sensitivity
from saevit.variant import parse
from tests.explore.spaces import MIDDLE

TEXTS = {"dims3": "128:256:8", "depths3": "3:9", "ratios3": "2,3,4"}


def found(**changes: object) -> Exploration:
    """A search of a few hundred variants."""
    query = Question(
        space=read_space(MIDDLE, TEXTS),
        objectives=("gmacs", "capacity"),
        limits=(read_limit("--max-params", "params", "8"),),
        rank="capacity",
        top=3,
    )
    return count_answer(answer(Search(question=replace(query, **changes), method="exhaustive")))  # type: ignore[arg-type]


def test_the_front_is_thinned_and_says_so() -> None:
    seen = found()
    view = view_exploration(seen)
    front, others = view.tables
    assert len(seen.front) > MOST_ROWS == len(front.rows)
    shown = f"{MOST_ROWS} shown at even distances (--csv FILE writes all)"
    assert front.title == f"{len(seen.front)} variants on the front, {shown}"
    assert (front.rows[0][0], front.rows[-1][0]) == (seen.front[0].model, seen.front[-1].model)
    assert all(parse(row[0]) for row in (*front.rows, *others.rows))
    assert any("within --max-params 8: " in note for note in front.notes)


def test_no_variant_is_shown_twice() -> None:
    seen = found()
    front, others = view_exploration(seen).tables
    shown = {row[0] for row in front.rows}
    assert [row[0] for row in others.rows] == [row.model for row in seen.top if row.model not in shown]
    assert others.title == "Of the 3 best by capacity, those not shown above"
    (alone,) = view_exploration(replace(seen, top=seen.top[:1])).tables
    assert (alone.title, alone.rows) == (front.title, front.rows)


def test_the_result_ends_with_the_variant_that_answers() -> None:
    view = view_exploration(found())
    assert view.result == f"{summarize_exploration(found()).removesuffix('.')}: {found().top[0].model}"
    assert any("not an accuracy" in note for note in view.notes)


def test_without_limits_the_answer_is_the_cheapest_with_the_capacity_of_the_base() -> None:
    seen = found(limits=())
    rows = [row for row in seen.front if row.capacity >= seen.base.capacity]
    cheapest = min(rows, key=lambda row: row.macs)
    assert cheapest.macs < seen.base.macs
    view = view_exploration(seen)
    assert (
        f"The capacity of the base variant is reached with {cheapest.macs / seen.base.macs:.2f} of"
        in view.result
    )
    assert view.result.endswith(f": {cheapest.model}")
    assert cheapest.model in [row[0] for row in view.tables[0].rows]


def test_objectives_are_the_first_columns_and_without_the_score_nothing_explains_it() -> None:
    view = view_exploration(found(objectives=("params", "activations"), rank="activations"))
    assert [column.head for column in view.tables[0].columns][:5] == [
        "variant",
        "row",
        "params",
        "activations",
        "GMACs",
    ]
    assert not any("training-free" in note for note in view.notes)


def test_by_default_the_answer_has_the_macs_of_the_base_with_fewer_parameters() -> None:
    seen = found(objectives=("params", "most-gmacs"), rank="most-gmacs", limits=())
    cheapest = min((row for row in seen.front if row.macs >= seen.base.macs), key=lambda row: row.params)
    assert cheapest.params < seen.base.params
    view = view_exploration(seen)
    start = f"{len(seen.front)} variants are on the front of parameters and most GMACs. The MACs of the base "
    share = f"variant are reached with {cheapest.params / seen.base.params:.2f} of its parameters "
    assert view.result.startswith(start + share)
    assert view.result.endswith(f": {cheapest.model}")
    heads = [column.head for column in view.tables[0].columns]
    assert heads[:4] == ["variant", "row", "params", "GMACs"]
    assert not {"capacity", "rho"} & set(heads)
    assert "the rank correlation of MACs with top-1 is +0.67" in view.notes[0]


def test_the_most_within_a_limit_is_the_answer() -> None:
    limit = read_limit("--max-gmacs", "gmacs", "1.2")
    seen = found(objectives=("gmacs", "most-params"), rank="most-params", limits=(limit,))
    most = max(row.params for row in (*seen.front, *seen.top))
    assert choose_answer(seen) == seen.top[0]
    assert seen.top[0].params == most
    assert f"Within 1.2 GMACs, the most parameters are {most / 1e6:.2f} M, " in view_exploration(seen).result
    lines = {line.get_label(): line for line in front_figure(seen).axes[0].lines}
    assert list(lines["limit, 1.2 GMACs"].get_xdata()) == [1.2, 1.2]


def test_a_deep_and_narrow_answer_is_a_warning() -> None:
    seen = found()
    deep = replace(seen.top[0], effectiveness=2 * seen.base.effectiveness)
    (warning,) = view_exploration(replace(seen, top=(deep,))).warnings
    assert f"(rho) of this variant is {deep.effectiveness:.3f}, of the base variant " in warning
    flat = replace(deep, effectiveness=seen.base.effectiveness)
    assert view_exploration(replace(seen, top=(flat,))).warnings == ()


def test_thinned_keeps_both_ends() -> None:
    rows = list(found().front)
    assert thin_rows(rows[:5], 20) == rows[:5]
    assert thin_rows(rows, 2) == [rows[0], rows[-1]]


def test_files_hold_the_whole_front_unrounded() -> None:
    seen = found()
    rows = list(csv.DictReader(io.StringIO(explore_csv(seen))))
    data = json.loads(explore_json(seen))
    assert [row["model"] for row in rows] == [row["model"] for row in data["variants"]]
    assert sum(row["on_front"] for row in data["variants"]) == len(seen.front)
    assert [row["model"] for row in data["variants"] if row["rank"] == 1] == [seen.top[0].model]
    assert data["variants"][0]["macs"] == seen.front[0].macs
    assert float(rows[0]["capacity"]) == seen.front[0].capacity
    assert data["space_size"] == seen.question.space.size
    assert data["choices"]["ratios3"] == [2.0, 3.0, 4.0]


def test_parquet_holds_the_same_rows(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    seen = found()
    write_parquet(seen, tmp_path / "a.parquet")
    rows = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert rows == json.loads(explore_json(seen))["variants"]


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingPackageError, match="pip install pyarrow"):
        write_parquet(found(), tmp_path / "a.parquet")


@pytest.mark.parametrize(
    "objectives",
    [("gmacs",), ("gmacs", "capacity"), ("params", "activations", "capacity"), ("memory", "traffic")],
)
def test_figures_show_every_objective(objectives: tuple[str, ...], tmp_path: Path) -> None:
    seen = found(objectives=objectives)
    figure = front_figure(seen)
    assert len(figure.axes) == max(1, len(objectives) - 1)
    xs, _ = figure.axes[0].lines[0].get_data()
    assert sorted(xs) == sorted(row.value(objectives[0]) for row in seen.front)
    save_figure(figure, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_a_tornado_has_a_bar_for_every_step(tmp_path: Path) -> None:
    seen = find_sensitivity(MIDDLE, (224, 224))
    figure = tornado_figure(seen)
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "change of MACs (%)",
        "change of parameters (%)",
        "change of activations (%)",
    ]
    assert all(len(axes.patches) == len(seen.steps) for axes in figure.axes)
    save_figure(figure, tmp_path / "a.svg")
    view, columns, steps = view_sensitivity(seen)
    (table,) = view.tables
    assert view.result == summarize_sensitivity(seen)
    assert figure.get_suptitle().replace("\n", " ") == view.result.removesuffix(".")
    assert all(column.head for column in table.columns)
    assert [row[0] for row in table.rows] == [step.key for step in seen.steps]
    assert [row_values(columns, step)["key"] for step in steps] == [step.key for step in seen.steps]


def test_points_of_a_front_are_numbered_as_in_its_key() -> None:
    seen = found()
    figure = front_figure(seen)
    (axes,) = figure.axes
    texts = [text.get_text() for text in axes.texts]
    assert sorted(texts, key=len) == [*(str(i) for i in range(1, MOST_ROWS + 1)), "the base variant"]
    key = figure.get_supxlabel().replace("\n", " ")
    assert all(f"{number}: " in key for number in range(1, MOST_ROWS + 1))
    assert figure.get_suptitle().replace("\n", " ") == describe_best(seen).removesuffix(".")


def test_the_answer_is_a_star_with_a_bold_number() -> None:
    for seen in (found(), found(limits=())):
        answer = choose_answer(seen)
        (axes,) = front_figure(seen).axes
        (star,) = (line for line in axes.lines if line.get_marker() == "*")
        (bold,) = (text.get_text() for text in axes.texts if text.get_weight() == "bold")
        assert star.get_label() == f"answer, number {bold}"
        assert answer is not None
        assert (star.get_xdata(), star.get_ydata()) == ([answer.value("gmacs")], [answer.value("capacity")])


def test_a_limit_of_an_axis_is_a_line() -> None:
    seen = found(limits=(read_limit("--max-gmacs", "gmacs", "1.2"),))
    lines = {line.get_label(): line for line in front_figure(seen).axes[0].lines}
    assert list(lines["limit, 1.2 GMACs"].get_xdata()) == [1.2, 1.2]
