"""Where the time goes in a runtime: the shares sum to 100 %, and what has no module is shown."""

from dataclasses import replace

import pytest

from saevit.profiling import Profile
from saevit.report.columns import Table
from saevit.report.operator_tables import list_operator_warnings, tabulate_operators
from saevit.report.roofline_plot import roofline_figure
from saevit.report.views.profile import view_profile, write_profile_json
from tests.report.conftest import OPERATOR_TIMES


def cells(table: Table) -> dict[str, dict[str, str]]:
    heads = [column.heading for column in table.columns]
    return {row[0]: dict(zip(heads, row, strict=True)) for row in table.rows}


def test_groups_are_sums_of_medians_and_shares_of_the_total(by_operator: Profile) -> None:
    kinds, stages = map(cells, tabulate_operators(by_operator))
    assert {name: row["ms"] for name, row in kinds.items()} == {
        "convolution 1 x 1": "4.00",
        "depth-wise convolution 3 x 3": "1.00",
        "reorder": "1.00",
        "total": "6.00",
    }
    for rows in (kinds, stages):
        *shares, total = (float(row["share of time"].removesuffix(" %")) for row in rows.values())
        assert (sum(shares), total) == (pytest.approx(100, abs=0.2), 100.0)
    assert list(stages) == ["stage 1", "stage 2", "(no module)", "total"]
    assert stages["stage 1"]["ms"] == "4.00"
    assert kinds["convolution 1 x 1"]["GMAC/s"] == "50.0"
    assert kinds["reorder"]["GMAC/s"] == "-"


def test_each_group_has_the_roof_above_it(by_operator: Profile) -> None:
    kinds, _ = map(cells, tabulate_operators(by_operator))
    assert OPERATOR_TIMES.roofs.macs == 512**3 / 0.001
    assert kinds["convolution 1 x 1"]["limit"] == f"compute {100 * 50e9 * 0.001 / 512**3:.0f} %"
    assert kinds["depth-wise convolution 3 x 3"]["limit"].startswith("memory")


def test_the_cost_of_profiling_and_what_is_missing_are_noted(by_operator: Profile) -> None:
    notes = tabulate_operators(by_operator)[0].notes
    assert any("a pass with profiling relative to one without, in the same rounds: 1.143" in n for n in notes)
    assert not any("are missing in the profile" in note for note in notes)
    lost = replace(OPERATOR_TIMES, graph_macs=OPERATOR_TIMES.graph_macs + 10**9)
    notes = tabulate_operators(replace(by_operator, operator_times=(lost,)))[0].notes
    assert any(note.startswith("1.0000 of 1.2010 GMACs are of operators in the graph") for note in notes)


def test_the_first_sentences_name_the_largest_kind(by_operator: Profile) -> None:
    result = view_profile(by_operator).result
    assert result.endswith(
        "convolution 1 x 1 takes 67 % of the time and reaches 50.0 GMAC/s, 37 % of the matrix rate."
    )
    assert not any(table.title.startswith("Breakdown") for table in view_profile(by_operator).tables)
    assert '"moved_bytes"' in write_profile_json(by_operator)


def test_a_rate_above_the_product_is_a_warning(by_operator: Profile) -> None:
    assert not list_operator_warnings(by_operator)
    slow = replace(OPERATOR_TIMES, product=(0.01,) * 3)
    (warning,) = list_operator_warnings(replace(by_operator, operator_times=(slow,)))
    assert "the limits are too low" in warning


def test_the_roofline_has_a_point_for_each_group_with_macs(by_operator: Profile) -> None:
    figure = roofline_figure(by_operator)
    (axes,) = figure.axes
    drawn = {points.get_label(): points.get_offsets().tolist() for points in axes.collections}  # type: ignore[attr-defined]
    assert drawn["kinds of operators"] == [pytest.approx([100, 50]), pytest.approx([1, 1])]
    assert len(drawn["stages"]) == 2
    xs, ys = axes.lines[0].get_data()
    assert (xs[1], ys[1]) == (OPERATOR_TIMES.roofs.ridge, OPERATOR_TIMES.roofs.macs / 1e9)
    assert {text.get_text() for text in axes.texts} >= {"stage 1 (67 %)", "convolution 1 x 1 (67 %)"}
    assert "kinds without MACs have no point: reorder 16.7 %" in figure.get_supxlabel().replace("\n", " ")
