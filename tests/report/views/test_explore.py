"""Tables, files and figures of a search, made from a small one."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from saevit.comparing.comparison import Candidate, Comparison
from saevit.errors import MissingPackageError
from saevit.explore.exploration import Exploration, count_answer
from saevit.explore.question import Question, Search, read_limit
from saevit.explore.search import answer
from saevit.explore.solve import find_sensitivity, solve
from saevit.explore.space import read_space
from saevit.report.columns import row_values
from saevit.report.explore_figures import front_figure, tornado_figure
from saevit.report.figure import save_figure
from saevit.report.views.explore import (
    MOST_ROWS,
    explore_csv,
    explore_json,
    explore_tables,
    predicted_table,
    thin_rows,
    view_sensitivity,
    view_solution,
    write_parquet,
)
from saevit.runs.record import Conditions
from saevit.runs.run import Subject
from saevit.variant import parse
from tests.explore.spaces import MIDDLE

TEXTS = {"dims3": "128:256:8", "depths3": "3:9", "ratios3": "2,3,4"}


def found(**changes: object) -> Exploration:
    """A search of a few hundred variants."""
    query = Question(
        space=read_space(MIDDLE, TEXTS), limits=(read_limit("--max-params", "params", "8"),), top=3
    )
    return count_answer(answer(Search(question=replace(query, **changes), method="exhaustive")))  # type: ignore[arg-type]


def test_the_front_is_thinned_and_says_so() -> None:
    seen = found()
    front, top = explore_tables(seen)
    assert len(seen.front) > MOST_ROWS
    assert len(front.rows) == MOST_ROWS
    assert front.rows[0][0] == seen.front[0].model
    assert front.rows[-1][0] == seen.front[-1].model
    of = f"of {len(seen.front)} variants on the front"
    assert front.notes[0] == f"{MOST_ROWS} {of}, evenly spaced: --csv writes all"
    assert [row[0] for row in top.rows] == [row.model for row in seen.top]
    assert all(parse(row[0]) for row in (*front.rows, *top.rows))
    assert any("within --max-params 8: " in note for note in front.notes)
    assert any("not an accuracy" in note for note in front.notes)


def test_no_score_no_word_about_it() -> None:
    front, top = explore_tables(found(objectives=("params", "activations"), rank="activations"))
    assert not any("training-free" in note for note in front.notes)
    assert top.title == "3 variants with least activations, of all within the limits"


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
    table, columns, steps = view_sensitivity(seen)
    assert [row[0] for row in table.rows] == [step.key for step in seen.steps]
    assert [row_values(columns, step)["key"] for step in steps] == [step.key for step in seen.steps]


def test_a_solution_shows_what_fits_and_what_does_not() -> None:
    table, columns, rows = view_solution(solve(MIDDLE, "depths3", 10**9, (224, 224)))
    assert [row[1] for row in table.rows] == ["fits", "too much", "as given"]
    assert [row_values(columns, row)["is"] for row in rows] == ["fits", "too much", "as given"]
    assert parse(table.rows[0][2]).depths[2] + 1 == parse(table.rows[1][2]).depths[2]


def timed(model: str, seconds: float) -> Candidate:
    """A candidate with a time."""
    conditions = Conditions(
        img_size=(224, 224),
        batch_size=1,
        dtype="fp32",
        device="cpu",
        runtime="eager",
        threads=1,
        memory_format="contiguous",
        folded=True,
    )
    samples = tuple(seconds * (1 + i / 1000) for i in range(8))
    return Candidate(
        model=model, subject=Subject(conditions=conditions, label=model, name=model, samples=samples)
    )


def test_predicted_ranks_stand_beside_measured_ones() -> None:
    seen = found()
    rows = sorted(seen.front[:5], key=lambda row: row.macs)
    times = [0.005, 0.004, 0.003, 0.002, 0.001]  # the more MACs, the faster: as wrong as can be
    candidates = tuple(timed(row.model, t) for row, t in zip(rows, times, strict=True))
    comparison = Comparison(
        candidates=candidates, reference=rows[0].model, img_size=(224, 224), dtype="fp32", run=None
    )
    table = predicted_table(seen, comparison)
    assert [row[0] for row in table.rows] == [row.model for row in reversed(rows)]
    assert [row[2] for row in table.rows] == ["1", "2", "3", "4", "5"]
    assert [row[3] for row in table.rows] == ["5", "4", "3", "2", "1"]
    assert table.notes[0] == "rank correlation of gmacs with measured time over 5 variants: -1.00"
