"""An evaluation as text and for programs."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

from saevit.report.views.evaluation import tabulate_evaluation, write_evaluation_csv, write_evaluation_json
from saevit.report.views.listing import tabulate_runs
from saevit.report.views.run import tabulate_run
from saevit.runs.evaluation import keep_evaluation
from saevit.runs.store import Writer, list_runs, read_run
from tests.runs.test_evaluation import FOUND


def test_the_table_says_what_every_figure_is_of() -> None:
    summary, worst = tabulate_evaluation(FOUND)
    assert "/data/a=b (validation): 199 images at 64 x 64 px" in summary.title
    cells = {row[0] + row[2][:7]: row for row in summary.rows}
    assert cells["top-1 (%)150 of "][1] == "75.38"
    assert "95 % interval [68.95, 80.84] (Wilson)" in cells["top-1 (%)150 of "][2]
    assert "15 bins of equal width, 199 images" in cells["calibration errorexpecte"][2]
    notes = " ".join(summary.notes)
    for part in ("1 image could not be read", "not interleaved", "folded", "SHA-256 abababababab"):
        assert part in notes
    assert [row[0] for row in worst.rows] == ["b", "a"]


def test_too_few_classes_for_top5() -> None:
    summary, _ = tabulate_evaluation(replace(FOUND, top5=None, num_classes=3))
    assert summary.rows[1][1:] == ("-", "not shown: 3 classes, six or more are needed")


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
    listed = tabulate_runs(list_runs(tmp_path), "here")
    assert listed.rows[0][2:] == ("saevit_pico:classes=10", "eval", "finished")
    first, *_ = tabulate_run(read_run(writer.path))
    assert "on /data/a=b (validation), finished" in first.title
    assert first.rows[0][:3] == ("top-1", "75.38", "%")
    assert any("--top1 /data/a=b" in note for note in first.notes)
