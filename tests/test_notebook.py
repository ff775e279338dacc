"""Results as a notebook shows them."""

import csv
import io
import sys
from collections.abc import Callable
from typing import Any

import pytest

from saevit import TimingOptions, compare, profile
from saevit.errors import MissingPackageError
from saevit.notebook import NotebookResult
from saevit.report.notebook_view import VIEWS

QUICK = TimingOptions(batch_sizes=(1,), rounds=6, min_time=0.001)
SMALL = "saevit_pico:dims=8-8-16-16,heads=1,depths=1"


def explored() -> NotebookResult:
    """A space of two variants."""
    from saevit.explore.exploration import count_answer
    from saevit.explore.question import Question, Search
    from saevit.explore.search import answer
    from saevit.explore.space import read_space
    from saevit.variant import parse

    question = Question(space=read_space(parse("saevit_pico"), {"width": "1,1.5"}), img_size=(64, 64))
    return count_answer(answer(Search(question=question, method="exhaustive")))


def run_of_a_profile() -> NotebookResult:
    """A timed run."""
    run = profile(SMALL, img_size=(32, 32), counters=["analytic"], timing=QUICK).run
    assert run
    return run


RESULTS: dict[str, Callable[[], NotebookResult]] = {
    "profile": lambda: profile(SMALL, img_size=(32, 32), counters=["analytic"]),
    "comparison": lambda: compare([SMALL, "edgevit_xs"], img_size=(32, 32)),
    "exploration": explored,
    "run": run_of_a_profile,
}


@pytest.fixture(params=RESULTS)
def result(request: pytest.FixtureRequest) -> NotebookResult:
    """One result of each kind."""
    return RESULTS[request.param]()


def test_each_kind_of_result_has_a_view() -> None:
    assert {type(make()) for make in RESULTS.values()} == VIEWS.keys() == set(NotebookResult.__subclasses__())


def test_tables_as_html(result: NotebookResult) -> None:
    page = result._repr_html_()
    show, _ = VIEWS[type(result)]
    for table in show(result).tables:
        assert page.count("<table>") == len(show(result).tables)
        assert all(f">{cell}</td>" in page for row in table.rows for cell in row if cell.isalnum())


def test_html_is_escaped() -> None:
    page = compare(["saevit_pico", "<script>alert(1)</script>"])._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_without_pandas_the_error_says_what_to_install(
    result: NotebookResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPackageError, match="pandas is not installed: pip install pandas"):
        result.to_dataframe()


def test_a_data_frame_has_the_rows_and_columns_of_the_csv(result: NotebookResult) -> None:
    pandas = pytest.importorskip("pandas")
    frame: Any = result.to_dataframe()
    _, write = VIEWS[type(result)]
    head, *rows = csv.reader(io.StringIO(write(result)))
    assert isinstance(frame, pandas.DataFrame)
    assert (list(frame.columns), len(frame)) == (head, len(rows))
