"""The list has one line a run and ids that name one run each; records come back complete, as they were."""

import csv
import io
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saevit.report.views.listing import (
    shorten_ids,
    tabulate_runs,
    view_runs,
    write_list_csv,
    write_list_json,
    write_records_csv,
    write_records_lines,
    write_run_json,
    write_runs_json,
)
from saevit.runs.record import Record
from saevit.runs.run import Run, RunSummary
from saevit.runs.statistics import median, ratio
from saevit.runs.store import Writer, list_runs
from tests.report.views.test_run import AGAIN, FAST, SLOW, compared
from tests.runs.test_record import COUNTED, MEASURED
from tests.runs.test_store import BEGUN, edit, written

RUN = RunSummary(
    path=Path("20260131T120000.123456Z-0a1b2c3d.jsonl"),
    started="2026-01-31T12:00:05+00:00",
    hardware="a processor",
    torch="2.15.0",
    subjects=("saevit_tiny",),
    rounds=15,
    ending="finished",
)
LATER = replace(RUN, path=Path("20260201T080000.000000Z-ffffffff.jsonl"), started="2026-02-01T08:00:00+00:00")
stems = st.text("0aT", min_size=1, max_size=20) | st.text("0a", max_size=3).map(
    lambda end: f"20260131T120000{end}"
)


def test_one_row_per_run() -> None:
    table = tabulate_runs([RUN, replace(LATER, ending="interrupted", rounds=3)])
    assert [column.heading for column in table.columns] == [
        "run",
        "models",
        "rounds",
        "state",
        "started (UTC)",
    ]
    assert table.rows == (
        ("20260131T120000", "saevit_tiny", "15", "finished", "2026-01-31 12:00"),
        ("20260201T080000", "saevit_tiny", "3", "interrupted", "2026-02-01 08:00"),
    )
    assert table.notes == ("machine of all runs: a processor", "torch of all runs: 2.15.0")


def test_the_message_says_how_many_runs_and_which_is_the_newest() -> None:
    assert view_runs([RUN, LATER], "here").result == (
        "2 runs in here; the newest is of 2026-02-01 08:00 UTC: saevit_tiny, 15 rounds."
    )
    empty = view_runs([], "here")
    assert empty.result.startswith("here has no runs yet: saevit profile")
    assert not empty.tables


def test_machines_that_differ_have_a_column() -> None:
    table = tabulate_runs([RUN, replace(LATER, hardware="an accelerator")])
    assert [row[-1] for row in table.rows] == ["a processor", "an accelerator"]
    assert table.columns[-1].heading == "machine"
    assert not any("machine of all" in note for note in table.notes)


def test_many_models_are_counted() -> None:
    names = tuple(f"timm:net{i}.tag_in1k" for i in range(17))
    assert tabulate_runs([replace(RUN, subjects=names)]).rows[0][1] == "net0, net1 and 15 more"
    assert tabulate_runs([replace(RUN, subjects=names[:2])]).rows[0][1] == "net0, net1"
    assert "net0 and 16 other models" in view_runs([replace(RUN, subjects=names)], "here").result


def test_a_file_that_cannot_be_read_is_a_row_and_a_warning() -> None:
    broken = RunSummary(path=Path("20260301T000000.jsonl"), problem="20260301T000000.jsonl, line 2: edited")
    view = view_runs([RUN, broken], "here")
    assert view.tables[0].rows[1] == ("20260301T000000", "-", "-", "unreadable", "-")
    assert view.warnings == ("20260301T000000.jsonl, line 2: edited",)
    assert view_runs([broken], "here").result == "1 run in here; none can be read."


def test_a_run_that_was_cut_off_says_what_that_means() -> None:
    view = view_runs([replace(RUN, ending="lost", warnings=("the last line is gone",))], "here")
    assert view.tables[0].rows[0][3] == "incomplete"
    assert view.warnings[0] == "the last line is gone"
    assert "its finished rounds are shown" in view.warnings[1]


def test_what_the_store_says_of_its_files(tmp_path: Path) -> None:
    """Through files: the machine is the accelerator if anything ran on one."""
    written(tmp_path)
    first, *others = BEGUN.subjects
    on_gpu = replace(first, conditions=replace(first.conditions, device="cuda"))
    environment = replace(BEGUN.environment, accelerator="an accelerator")
    with Writer(tmp_path) as writer:
        writer.begin(replace(BEGUN, subjects=(on_gpu, *others), environment=environment))
    edit(written(tmp_path), lambda lines: lines[1:])
    table = tabulate_runs(list_runs(tmp_path))
    assert [row[-1] for row in table.rows] == ["a processor", "an accelerator", "-"]
    assert [row[3] for row in table.rows] == ["finished", "incomplete", "unreadable"]
    assert "torch of all runs: 2.11.0+cpu" in table.notes


@given(st.sets(stems).map(sorted))
def test_an_id_is_the_start_of_one_run(names: list[str]) -> None:
    for name, short in zip(names, shorten_ids(names), strict=True):
        assert name.startswith(short)
        assert short == name or len(short) >= len("20260131T120000")
        others = [other for other in names if other != name and other.startswith(short)]
        assert not others or short == name  # a whole name may begin another one


OWN = replace(MEASURED, subject="base", quantity="own_latency of stem")
MACS = replace(COUNTED, subject="base")


@pytest.fixture
def run() -> Run:
    return replace(compared(), facts=(MACS, OWN), not_built={"big": "out of memory"}, warnings=("skipped",))


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_json_has_everything_of_a_run(run: Run) -> None:
    data: dict[str, Any] = json.loads(write_run_json(run))
    assert [Record.from_dict(record) for record in data["records"]] == run.records()
    assert data["records"][1]["samples"] == FAST
    assert (data["run"], data["rounds"], data["ending"]) == ("run", 8, "finished")
    assert (data["failures"], data["warnings"]) == ({"big": "out of memory"}, ["skipped"])
    assert data["environment"]["settings"] == ["OMP_NUM_THREADS=2"]
    assert [subject["label"] for subject in data["subjects"]] == ["base", "ours", "base (again)"]
    assert data["noise_floor"] == asdict(ratio(AGAIN, SLOW))
    assert data["advice"]


def test_several_runs_are_one_object(run: Run) -> None:
    data = json.loads(write_runs_json([run, replace(run, path=Path("other.jsonl"))]))
    assert [one["run"] for one in data["runs"]] == ["run", "other"]
    assert data["runs"][0]["records"] == json.loads(write_run_json(run))["records"]


def test_a_line_is_a_record(run: Run) -> None:
    lines = write_records_lines([run, run]).splitlines()
    assert [Record.from_dict(json.loads(line)) for line in lines] == run.records() * 2


def test_csv_has_a_row_a_record_in_timms_columns_and_units(run: Run) -> None:
    base, ours, again, macs, own = rows(write_records_csv([run]))
    assert (ours["run"], ours["model"], ours["quantity"], ours["unit"]) == ("run", "ours", "latency", "s")
    assert float(ours["infer_step_time"]) == median(FAST) * 1e3
    assert float(ours["infer_samples_per_sec"]) == 8 / median(FAST)
    assert (ours["infer_batch_size"], ours["infer_img_size"], ours["rounds"]) == ("8", "224,192", "8")
    assert [float(sample) for sample in ours["samples"].split()] == FAST
    assert float(ours["value"]) == median(FAST)
    assert (base["cpu"], base["settings"], base["accelerator"]) == ("a processor", "OMP_NUM_THREADS=2", "")
    assert again["quantity"] == "latency_again"
    assert (float(macs["infer_gmacs"]), macs["value"], macs["source"]) == (0.806, "806000000", "counted")
    assert (macs["infer_step_time"], macs["cpu"], ours["infer_gmacs"]) == ("", "", "")
    assert float(own["value"]) == median(OWN.samples)
    assert (own["infer_step_time"], own["infer_samples_per_sec"]) == ("", "")  # timm's are of the whole pass
    assert own["runtime"] == "eager"


def test_csv_has_its_columns_whatever_the_runs_have(run: Run) -> None:
    subjects = tuple(replace(subject, samples=()) for subject in run.subjects)
    none = replace(run, rounds=0, subjects=subjects, facts=())
    assert write_records_csv([none]) == write_records_csv([run]).splitlines(keepends=True)[0]


def test_the_list(run: Run) -> None:
    broken = RunSummary(path=Path("c.jsonl"), problem="c.jsonl, line 2: edited")
    summaries = [replace(RUN, subjects=("a:x=1,y=2", "b")), replace(LATER, ending="lost"), broken]
    first, second, third = json.loads(write_list_json(summaries))["runs"]
    assert (first["run"], first["models"], first["hardware"]) == (
        RUN.path.stem,
        ["a:x=1,y=2", "b"],
        RUN.hardware,
    )
    assert (second["ending"], second["problem"]) == ("lost", None)
    assert (third["ending"], third["rounds"], third["problem"]) == (None, None, broken.problem)
    table = rows(write_list_csv(summaries))
    assert [row["models"] for row in table] == ["a:x=1,y=2 b", "saevit_tiny", ""]
    assert [row["problem"] for row in table] == ["", "", broken.problem]
    assert len(rows(write_list_csv([]))) == 0
    assert write_list_csv([]).startswith("run,file,started")
