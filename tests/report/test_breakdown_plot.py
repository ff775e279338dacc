"""The drawn data, not the pixels."""

from dataclasses import replace
from pathlib import Path

import pytest

from saevit.count.breakdown_lines import name_line
from saevit.profiling import Profile, profile
from saevit.report.breakdown_plot import MOST_ROWS, breakdown_figure
from saevit.report.figure import FORMATS, save_figure


def test_bars_are_the_shares_of_the_rows(timed: Profile) -> None:
    (axes,) = breakdown_figure(timed).axes
    drawn = {c.get_label(): [bar.get_width() for bar in c] for c in axes.containers}
    assert list(drawn) == ["parameters", "MACs", "time"]
    assert drawn["MACs"] == pytest.approx([100 * row.macs / timed.macs for row in timed.rows])
    assert sum(drawn["parameters"]) == pytest.approx(100)
    assert drawn["time"] == pytest.approx([10.0] * len(timed.rows))
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        name_line(row.path, "stage") for row in timed.rows
    ]


def test_without_times_only_counts_are_drawn(timed: Profile) -> None:
    (axes,) = breakdown_figure(replace(timed, run=None, module_times=None)).axes
    assert [c.get_label() for c in axes.containers] == ["parameters", "MACs"]


def test_the_caption_names_conditions(timed: Profile) -> None:
    title = breakdown_figure(timed).axes[0].get_title(loc="left")
    assert "saevit_pico" in title
    assert "64 x 64 px" in title
    assert "batch 1, fp32, cpu, eager, 2 threads" in title


def test_many_modules_are_cut_and_the_caption_says_so() -> None:
    found = profile("saevit_tiny", counters=["analytic"], by="module")
    (axes,) = breakdown_figure(found).axes
    assert len(axes.get_yticks()) == MOST_ROWS
    assert f"the {MOST_ROWS} of {len(found.rows)} modules with most MACs" in axes.get_title(loc="left")


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_is_written(timed: Profile, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"figure{ending}"
    save_figure(breakdown_figure(timed), path)
    magic = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[ending]
    assert path.read_bytes().startswith(magic)
