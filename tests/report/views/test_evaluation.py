"""An evaluation as text and for programs."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

from saevit.report.views.evaluation import (
    tabulate_accuracy,
    view_evaluation,
    write_evaluation_csv,
    write_evaluation_json,
)
from saevit.report.views.listing import tabulate_runs
from saevit.report.views.run import view_run
from saevit.runs.evaluation import keep_evaluation
from saevit.runs.store import Writer, list_runs, read_run
from tests.runs.test_evaluation import FOUND


def test_the_view_says_what_every_figure_is_of() -> None:
    view = view_evaluation(FOUND)
    summary, worst = view.tables
    assert view.result.endswith("reaches 75.4 % top-1 [68.9, 80.8] on a=b (validation, 199 images).")
    assert summary.rows[0] == ("top-1", "75.38 %", "[68.95, 80.84]")
    assert [row[0] for row in summary.rows][-2:] == ["images/s", "images/s with reading"]
    assert view.warnings[0].startswith("1 unreadable image left out: ")
    notes = " ".join(summary.notes)
    for part in ("150 of 199 images", "15 bins of equal width", "not interleaved", "SHA-256 abababababab"):
        assert part in notes
    assert [row[0] for row in worst.rows] == ["b", "a"]
    assert worst.rows[0][1:] == ("60.6", "[50.8, 69.7]", "60", "99")


def test_too_few_classes_for_top5() -> None:
    summary = tabulate_accuracy(replace(FOUND, top5=None, num_classes=3))
    assert "top-5" not in [row[0] for row in summary.rows]
    assert "top-5 is shown for six or more classes" in summary.notes


def test_csv_and_json_agree() -> None:
    (row,) = csv.DictReader(io.StringIO(write_evaluation_csv(FOUND)))
    data = json.loads(write_evaluation_json(FOUND))
    assert float(row["top1"]) == data["top1"]
    assert float(row["top1_low"]) < data["top1"] < float(row["top1_high"])
    assert (row["data"], row["split"], row["images"]) == ("/data/a=b", "validation", "199")
    assert data["classes"][1] == {"name": "b", "right": 60, "images": 99, "top1": 100 * 60 / 99}
    assert data["alone"] == [100.0, 110.0, 120.0]


def test_a_stored_evaluation_is_listed_and_shown(tmp_path: Path) -> None:
    with Writer(tmp_path) as writer:
        keep_evaluation(FOUND, writer)
    listed = tabulate_runs(list_runs(tmp_path))
    assert listed.rows[0][1:4] == ("saevit_pico:classes=10", "eval", "finished")
    view = view_run(read_run(writer.path))
    assert view.result.endswith("top-1 [68.9, 80.8] on a=b (validation, 199 images).")
    assert view.tables[0].rows[0] == ("top-1", "75.38 %", "[68.95, 80.84]")
    assert any("--top1 /data/a=b" in note for note in view.notes)


def test_a_throughput_that_spreads_is_a_warning() -> None:
    assert not any("spread" in line for line in view_evaluation(FOUND).warnings)
    (line,) = view_evaluation(replace(FOUND, unreadable=(), left_out=(), alone=(50.0, 100.0, 400.0))).warnings
    assert line.startswith("images/s are not reliable: they spread 175 %")
