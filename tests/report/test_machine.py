"""Machine output: complete, unrounded, in timm's columns."""

import csv
import io
import json

import pytest

from saevit.measure.timing import TimingOptions
from saevit.profile import Profile, profile
from saevit.report.machine import profile_csv, profile_json
from saevit.report.tables import profile_tables
from saevit.report.units import digits, milliseconds
from saevit.runs.statistics import ratio, summarize

MODEL = "saevit_pico:dims=8-8-16-16,heads=1,depths=1"


@pytest.fixture(scope="module")
def found() -> Profile:
    plan = TimingOptions(batch_sizes=(1, 3), rounds=6, min_time=0.002, threads=1, device="cpu")
    return profile(MODEL, img_size=(64, 48), counters=["analytic"], timing=plan)


def test_raw_samples_reproduce_every_printed_statistic(found: Profile) -> None:
    data = json.loads(profile_json(found))
    (speed,) = [table for table in profile_tables(found) if table.title.startswith("Speed")]
    for row, entry in zip(speed.rows, data["timings"]["latencies"], strict=True):
        seen = summarize(entry["samples"])
        batch = entry["conditions"]["batch_size"]
        assert row[2] == milliseconds(seen.median)
        assert row[3] == f"{milliseconds(seen.q1)} .. {milliseconds(seen.q3)}"
        assert row[4] == f"{seen.spread * 100:.1f} %"
        assert row[5] == digits(batch / seen.median)
        assert entry["infer_samples_per_sec"] == batch / seen.median
        assert entry["infer_step_time"] == seen.median * 1e3
    floor = ratio(data["timings"]["twin"], data["timings"]["latencies"][0]["samples"])
    assert f"{floor.median:.3f} [{floor.low:.3f}, {floor.high:.3f}]" in " ".join(speed.notes)
    assert data["timings"]["noise_floor"]["median"] == floor.median


def test_counts_are_exact(found: Profile) -> None:
    data = json.loads(profile_json(found))
    assert (data["params"], data["macs"], data["flops"]) == (found.params, found.macs, 2 * found.macs)
    assert (data["param_count"], data["infer_gmacs"]) == (found.params / 1e6, found.macs / 1e9)
    assert sum(row["macs"] for row in data["rows"]) == found.macs
    assert data["infer_img_size"] == "64,48"


def test_environment_and_conditions_are_there(found: Profile) -> None:
    timings = json.loads(profile_json(found))["timings"]
    assert timings["environment"]["torch"]
    assert timings["latencies"][0]["conditions"]["threads"] == 1
    assert len(timings["breakdown_total"]) == 6


def test_csv_has_a_row_a_configuration(found: Profile) -> None:
    rows = list(csv.DictReader(io.StringIO(profile_csv(found))))
    assert [row["infer_batch_size"] for row in rows] == ["1", "3"]
    assert {row["model"] for row in rows} == {found.model}
    assert float(rows[0]["infer_gmacs"]) == found.macs / 1e9


def test_csv_without_measuring() -> None:
    (row,) = csv.DictReader(io.StringIO(profile_csv(profile(MODEL, counters=["analytic"]))))
    assert row["infer_img_size"] == "224"
    assert "infer_step_time" not in row
