"""Tables, JSON and CSV of a profile: the golden text, and that all statistics follow from the raw samples."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from saevit.count.receipt import ReceiptLine
from saevit.measure.timing import TimingOptions
from saevit.profiling import Profile, ProfileRow, profile
from saevit.report.columns import Table
from saevit.report.screen import write_text
from saevit.report.units import digits, milliseconds
from saevit.report.views.profile import view_profile, write_profile_csv, write_profile_json
from saevit.runs.statistics import ratio, summarize


def by_title(profile: Profile, start: str) -> Table:
    (table,) = [table for table in view_profile(profile).tables if table.title.startswith(start)]
    return table


def test_text_is_stable(timed: Profile, golden: Callable[[str, Any], None]) -> None:
    golden("profile_tables.txt", write_text(view_profile(timed), explain=True))


def test_counts_only(golden: Callable[[str, Any], None]) -> None:
    found = profile("saevit_tiny", counters=["analytic"])
    golden("profile_counted.txt", write_text(view_profile(found), explain=True))


def test_speed_is_the_median_of_the_samples(timed: Profile) -> None:
    speed = by_title(timed, "Speed")
    assert speed.rows[0] == ("eager", "1", "11.0", "90.9", "10.2 .. 11.8", "13.6 %")
    assert speed.rows[1][2:5] == ("failed", "-", "out of memory at batch 1")
    assert any("noise floor" in note for note in speed.notes)


def test_runtimes_are_compared_round_by_round(timed: Profile) -> None:
    assert timed.run is not None
    first = timed.run.timed[0]
    compiled = replace(
        first,
        conditions=replace(first.conditions, runtime="compile"),
        samples=tuple(sample * 0.8 for sample in first.samples),
    )
    both = replace(timed, run=replace(timed.run, subjects=(first, replace(compiled, label="compiled"))))
    speed = by_title(both, "Speed")
    place = [column.head for column in speed.columns].index("time relative to eager")
    assert [row[place] for row in speed.rows] == ["-", "0.800 [0.800, 0.800]"]


def breakdown_cells(profile: Profile) -> list[dict[str, str]]:
    table = by_title(profile, "Breakdown by stage")
    return [dict(zip((c.heading for c in table.columns), row, strict=True)) for row in table.rows]


def test_shares_of_time_sum_to_the_measured_latency(timed: Profile) -> None:
    *rows, total = breakdown_cells(timed)
    assert {row["share of time"] for row in rows} == {f"{100 / len(rows):.1f} %"}
    assert (total["ms"], total["share of time"]) == ("11.0", "100.0 %")
    assert {row["ms"] for row in rows} == {digits(11.0 / len(rows))}


@pytest.mark.parametrize(("factor", "warnings"), [(1.0, 0), (0.2, 1), (20.0, 1)])
def test_a_breakdown_far_from_the_latency_is_a_warning(timed: Profile, factor: float, warnings: int) -> None:
    seconds = factor * 0.011 / len(timed.rows)
    rows = tuple(replace(row, seconds=(seconds, seconds)) for row in timed.rows)
    found = view_profile(replace(timed, rows=rows)).warnings
    assert len([text for text in found if text.startswith("the breakdown took")]) == warnings


def test_sparsity_is_shown_where_attention_samples(timed: Profile) -> None:
    breakdown = by_title(timed, "Breakdown by stage")
    names = [column.heading for column in breakdown.columns]
    cells = {row[0]: dict(zip(names, row, strict=True)) for row in breakdown.rows}
    assert (cells["stage 1"]["N"], cells["stage 1"]["n"], cells["stage 1"]["sparsity"]) == (
        "256",
        "4",
        "99.98 %",
    )
    assert cells["stem"]["sparsity"] == "-"


def test_columns_that_say_nothing_are_left_out(timed: Profile) -> None:
    rows = tuple(ProfileRow(path=row.path, params=row.params, macs=row.macs) for row in timed.rows)
    names = [
        column.heading
        for column in by_title(
            replace(timed, rows=rows, run=None, module_times=None), "Breakdown by stage"
        ).columns
    ]
    assert names == ["", "MACs", "share of MACs", "params"]


def test_receipt_says_why(timed: Profile) -> None:
    lines = (
        ReceiptLine(counter="torch", macs=10, agrees=True, out_of_box=10),
        ReceiptLine(
            counter="thop",
            macs=9,
            agrees=False,
            differs_at=("a.b",),
            out_of_box=12,
            reasons=("BatchNorm2d is counted: +3",),
            uncounted={"odd": 2},
        ),
        ReceiptLine(counter="fvcore", macs=None, agrees=None, notes=("RuntimeError: no",)),
    )
    receipt = by_title(replace(timed, receipt=lines), "Receipt")
    assert [row[1:3] for row in receipt.rows] == [
        ("10", "yes, in every module"),
        ("9", "no"),
        ("failed", "-"),
    ]
    assert receipt.notes == (
        "thop: differs first at 'a.b'",
        "thop by default: BatchNorm2d is counted: +3",
        "thop: no formula for odd (2 calls)",
        "fvcore: RuntimeError: no",
    )


MODEL = "saevit_pico:dims=8-8-16-16,heads=1,depths=1"


@pytest.fixture(scope="module")
def found() -> Profile:
    plan = TimingOptions(batch_sizes=(1, 3), rounds=6, min_time=0.002, threads=1, device="cpu")
    return profile(MODEL, img_size=(64, 48), counters=["analytic"], timing=plan)


def test_raw_samples_reproduce_every_printed_statistic(found: Profile) -> None:
    data = json.loads(write_profile_json(found))
    (speed,) = [table for table in view_profile(found).tables if table.title.startswith("Speed")]
    for row, entry in zip(speed.rows, data["timings"]["latencies"], strict=True):
        seen = summarize(entry["samples"])
        batch = entry["conditions"]["batch_size"]
        assert row[2] == milliseconds(seen.median)
        assert row[3] == digits(batch / seen.median)
        assert row[4] == f"{milliseconds(seen.q1)} .. {milliseconds(seen.q3)}"
        assert row[5] == f"{seen.spread * 100:.1f} %"
        assert entry["infer_samples_per_sec"] == batch / seen.median
        assert entry["infer_step_time"] == seen.median * 1e3
    floor = ratio(data["timings"]["twin"], data["timings"]["latencies"][0]["samples"])
    assert f"{floor.median:.3f} [{floor.low:.3f}, {floor.high:.3f}]" in " ".join(speed.notes)
    assert data["timings"]["noise_floor"]["median"] == floor.median


def test_counts_are_exact(found: Profile) -> None:
    data = json.loads(write_profile_json(found))
    assert (data["params"], data["macs"], data["flops"]) == (found.params, found.macs, 2 * found.macs)
    assert (data["param_count"], data["infer_gmacs"]) == (found.params / 1e6, found.macs / 1e9)
    assert sum(row["macs"] for row in data["rows"]) == found.macs
    assert data["infer_img_size"] == "64,48"


def test_environment_and_conditions_are_there(found: Profile) -> None:
    timings = json.loads(write_profile_json(found))["timings"]
    assert timings["environment"]["torch"]
    assert timings["latencies"][0]["conditions"]["threads"] == 1
    assert len(timings["breakdown_total"]) == 6


def test_csv_has_a_row_a_configuration(found: Profile) -> None:
    rows = list(csv.DictReader(io.StringIO(write_profile_csv(found))))
    assert [row["infer_batch_size"] for row in rows] == ["1", "3"]
    assert {row["model"] for row in rows} == {found.model}
    assert float(rows[0]["infer_gmacs"]) == found.macs / 1e9


def test_csv_without_measuring() -> None:
    (row,) = csv.DictReader(io.StringIO(write_profile_csv(profile(MODEL, counters=["analytic"]))))
    assert row["infer_img_size"] == "224"
    assert "infer_step_time" not in row
