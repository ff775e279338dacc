"""Machine output is complete and unrounded, and records come back as they were."""

import csv
import io
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from saevit.report.views.listing import write_list_csv, write_list_json
from saevit.report.views.records import (
    write_records_csv,
    write_records_lines,
    write_run_json,
    write_runs_json,
)
from saevit.runs.record import Record
from saevit.runs.run import Run, RunSummary
from saevit.runs.statistics import median, ratio
from tests.report.views.test_listing import LATER, RUN
from tests.report.views.test_run import AGAIN, FAST, SLOW, compared
from tests.runs.test_record import COUNTED, MEASURED

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
