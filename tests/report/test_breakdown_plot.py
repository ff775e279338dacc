"""The drawn data, not the pixels."""

from dataclasses import replace
from pathlib import Path

import pytest

from saevit.count.breakdown_lines import name_line
from saevit.profiling import Profile, profile
from saevit.report.breakdown_plot import MOST_ROWS, breakdown_figure
from saevit.report.figure import FORMATS, save_figure
from saevit.report.messages import summarize_breakdown
from saevit.report.units import digits


def test_bars_are_the_shares_of_the_rows(timed: Profile) -> None:
    (axes,) = breakdown_figure(timed).axes
    drawn = {c.get_label(): [bar.get_width() for bar in c] for c in axes.containers}
    assert list(drawn) == ["parameters", "MACs", "time"]
    assert drawn["MACs"] == pytest.approx([100 * row.macs / timed.macs for row in timed.rows])
    assert sum(drawn["parameters"]) == pytest.approx(100)
    assert drawn["time"] == pytest.approx([100 / len(timed.rows)] * len(timed.rows))
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        name_line(row.path, "stage") for row in timed.rows
    ]


def test_without_times_only_counts_are_drawn(timed: Profile) -> None:
    (axes,) = breakdown_figure(replace(timed, run=None, module_times=None)).axes
    assert [c.get_label() for c in axes.containers] == ["parameters", "MACs"]


def test_a_longer_bar_is_a_longer_time(timed: Profile) -> None:
    rows = tuple(
        replace(row, seconds=(0.001 * i, 0.1 / i, 0.01 + i * 1e-4)) for i, row in enumerate(timed.rows, 1)
    )
    times = timed.module_times and replace(timed.module_times, watched=(1.0, 2.0, 3.0))
    shown = replace(timed, rows=rows, module_times=times)
    (axes,) = breakdown_figure(shown).axes
    bars = next(c for c in axes.containers if c.get_label() == "time")
    widths = [bar.get_width() for bar in bars]
    texts = [text.get_text() for text in axes.texts[-len(rows) :]]
    assert sum(widths) == pytest.approx(100)
    for row, width, text in zip(rows, widths, texts, strict=True):
        assert text == f"{digits(1e3 * shown.seconds_of(row))} ms ({width:.1f} %)"
    assert sorted(widths) == [
        w for _, w in sorted(zip([r.median_seconds for r in rows], widths, strict=True))
    ]


def test_the_title_is_the_message_and_the_caption_names_conditions(timed: Profile) -> None:
    figure = breakdown_figure(timed)
    assert figure.get_suptitle() == summarize_breakdown(timed).removesuffix(".")
    caption = figure.get_supxlabel().replace("\n", " ")
    assert "saevit_pico: " in caption
    assert "64x64, batch 1, fp32, cpu, eager, 2 threads" in caption
    assert "random weights" in caption


def test_of_many_modules_the_small_ones_are_one_row() -> None:
    found = profile("saevit_tiny", counters=["analytic"], by="module")
    (axes,) = breakdown_figure(found).axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert len(labels) == MOST_ROWS + 1
    assert labels[-1] == f"{len(found.rows) - MOST_ROWS} other modules"
    for bars in axes.containers:
        assert sum(bar.get_width() for bar in bars) == pytest.approx(100)


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_is_written(timed: Profile, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"figure{ending}"
    save_figure(breakdown_figure(timed), path)
    magic = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[ending]
    assert path.read_bytes().startswith(magic)
