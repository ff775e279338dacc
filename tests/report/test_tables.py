"""Tables of a profile: the golden text, and that what is printed follows from the raw samples."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from saevit.count.receipt import ReceiptLine
from saevit.profile import Profile, ProfileRow, profile
from saevit.report.columns import Table
from saevit.report.tables import profile_tables
from saevit_cli.display import format_table


def by_title(profile: Profile, start: str) -> Table:
    (table,) = [table for table in profile_tables(profile) if table.title.startswith(start)]
    return table


def test_text_is_stable(timed: Profile, golden: Callable[[str, Any], None]) -> None:
    golden("profile_tables.txt", "\n".join(map(format_table, profile_tables(timed))))


def test_counts_only(golden: Callable[[str, Any], None]) -> None:
    found = profile("saevit_tiny", counters=["analytic"])
    golden("profile_counted.txt", "\n".join(map(format_table, profile_tables(found))))


def test_speed_is_the_median_of_the_samples(timed: Profile) -> None:
    speed = by_title(timed, "Speed")
    assert speed.rows[0] == ("eager", "1", "11.0", "10.2 .. 11.8", "13.6 %", "90.9")
    assert speed.rows[1][2:4] == ("failed", "out of memory at batch 1")
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
    assert speed.columns[-1].head == "ratio to eager"
    assert [row[-1] for row in speed.rows] == ["-", "0.800 [0.800, 0.800] faster"]


def test_share_of_time_is_of_the_same_round(timed: Profile) -> None:
    breakdown = by_title(timed, "By stage")
    assert {row[-1] for row in breakdown.rows[:-1]} == {"10.0 %"}
    assert breakdown.rows[-1][-2:] == ("15.0", "100.0 %")


def test_sparsity_is_shown_where_attention_samples(timed: Profile) -> None:
    breakdown = by_title(timed, "By stage")
    names = [column.heading for column in breakdown.columns]
    cells = {row[0]: dict(zip(names, row, strict=True)) for row in breakdown.rows}
    assert (cells["stages.0"]["N"], cells["stages.0"]["n"], cells["stages.0"]["sparsity"]) == (
        "256",
        "4",
        "99.98 %",
    )
    assert cells["stem"]["sparsity"] == "-"


def test_columns_that_say_nothing_are_left_out(timed: Profile) -> None:
    rows = tuple(ProfileRow(path=row.path, params=row.params, macs=row.macs) for row in timed.rows)
    names = [
        column.heading
        for column in by_title(replace(timed, rows=rows, run=None, module_times=None), "By stage").columns
    ]
    assert names == ["", "params", "MACs", "share"]


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
        ("9", "NO"),
        ("failed", "-"),
    ]
    assert receipt.notes == (
        "thop: differs first at 'a.b'",
        "thop out of the box: BatchNorm2d is counted: +3",
        "thop: no formula for odd (2 calls)",
        "fvcore: RuntimeError: no",
    )
