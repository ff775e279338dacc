"""The difference of two runs says how much is resolved, shows its control, and leaves nothing out."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from saevit.report.columns import View
from saevit.report.views.diff import view_diff, write_diff_csv, write_diff_json
from saevit.runs.diff import diff_runs
from saevit.runs.run import Run
from tests.runs.test_diff import STEADY, run_of, subject, times
from tests.runs.test_record import CONDITIONS, ENVIRONMENT

MODELS = ("base", "ours", "theirs")
SUBJECTS = [*map(subject, MODELS), subject("base", label="base (again)", quantity="latency_again")]


def named(stem: str, samples: Mapping[str, Sequence[float]], *, twin: bool = True) -> Run:
    """A run under a name, with a twin as the first model if asked for."""
    subjects = [s for s in SUBJECTS if s.label in samples or (twin and s.label == "base (again)")]
    again = {"base (again)": samples["base"]} if twin else {}
    run = run_of({**samples, **again}, subjects)
    return replace(run, path=Path(f"{stem}.jsonl"))


BEFORE = named("20260131T120000.1", {"base": STEADY, "ours": times(2.0), "theirs": times(3.0)})
AFTER = named("20260201T080000.2", {"base": times(2.0), "ours": times(2.0), "theirs": times(6.0)})


def first_rounds(run: Run, count: int) -> Run:
    subjects = tuple(replace(subject, samples=subject.samples[:count]) for subject in run.subjects)
    return replace(run, subjects=subjects, rounds=count)


def compared(first: Run, second: Run, reference: str | None = None) -> View:
    return view_diff(diff_runs(first, second, reference=reference), first, second)


def test_how_many_differences_are_resolved_is_said_first() -> None:
    view = compared(BEFORE, AFTER)
    (table,) = view.tables
    assert view.result == (
        "1 of 2 configurations changed from 20260131T120000 to 20260201T080000: 1 faster relative to base. "
        "The largest change is 0.500 times the time, of ours."
    )
    assert [column.heading for column in table.columns] == [
        "model",
        "change",
        "second run is",
        "first run",
        "second run",
    ]
    assert table.rows == (
        ("ours", "0.500 [0.500, 0.500]", "faster", "2.000", "1.000"),
        ("theirs", "1.000 [1.000, 1.000]", "not resolved", "3.000", "3.000"),
        ("base (again)", "1.000 [1.000, 1.000]", "not resolved", "1.000", "1.000"),
    )


def test_seconds_of_the_reference_are_no_finding() -> None:
    (table,) = compared(BEFORE, AFTER).tables
    (note,) = [note for note in table.notes if "seconds" in note]
    assert note.startswith("base itself took 2.000 times the seconds of the first run")
    assert note.endswith("depends on the machine and its load, and is not a finding")


def test_the_control_is_judged_as_a_control() -> None:
    (table,) = compared(BEFORE, AFTER).tables
    assert any("base (again): control" in n and "as it should be" in n for n in table.notes)
    *others, twin = AFTER.subjects
    moved = replace(AFTER, subjects=(*others, replace(twin, samples=tuple(times(1.1, twin.samples)))))
    assert "1 of 2 configurations" in compared(BEFORE, moved).result  # it is none of them
    (warning,) = compared(BEFORE, moved).warnings
    assert "base (again): control" in warning
    assert "differs by 10.0 %" in warning


def test_a_run_without_control_says_so() -> None:
    alone = {"base": STEADY, "ours": STEADY}
    (table,) = compared(named("a", alone, twin=False), named("b", alone, twin=False)).tables
    assert any(note.startswith("no control") for note in table.notes)


def test_under_another_reference_the_control_is_a_second_reading() -> None:
    view = compared(BEFORE, AFTER, reference="ours")
    (table,) = view.tables
    assert [row[0] for row in table.rows] == ["base", "theirs", "base (again)"]
    assert any("should equal its other line" in note for note in table.notes)
    assert "2 slower" in view.result


def test_what_cannot_be_compared_and_why() -> None:
    first = named("a", {"base": STEADY, "ours": STEADY})
    second = named("b", {"base": STEADY, "theirs": STEADY}, twin=False)
    assert compared(first, second).result.startswith("Nothing can be compared from a to b")
    second = named("b", {"base": STEADY, "theirs": STEADY})
    _, left_out = compared(first, second).tables
    assert compared(first, second).result.startswith("Nothing can be compared from a to b")
    assert left_out.rows == (("ours", "not in the second run"), ("theirs", "not in the first run"))
    assert left_out.notes == (f"measured under: {CONDITIONS}",)


def test_other_conditions_are_another_measurement() -> None:
    large = replace(CONDITIONS, batch_size=64)
    subjects = [subject("base"), subject("ours"), subject("theirs", conditions=large)]
    second = run_of({"base": STEADY, "ours": STEADY, "theirs": STEADY}, subjects)
    _, left_out = compared(BEFORE, second).tables
    assert [column.heading for column in left_out.columns] == ["model", "batch", "reason"]
    assert [row[:2] for row in left_out.rows] == [("theirs", "8"), ("theirs", "64")]
    assert str(large) in left_out.rows[0][2]


def test_conditions_that_differ_between_lines_stand_in_them() -> None:
    large = replace(CONDITIONS, batch_size=64)
    subjects = [subject("base"), subject("ours"), subject("ours", label="large", conditions=large)]
    run = run_of({"base": STEADY, "ours": STEADY, "large": times(8.0)}, subjects)
    (table,) = compared(run, run).tables
    assert [row[:2] for row in table.rows] == [("ours", "8"), ("ours", "64")]


def test_too_few_rounds_are_a_warning() -> None:
    def warned(*rounds: int) -> bool:
        """With so many rounds in the first run and in the second one."""
        runs = [first_rounds(run, count) for run, count in zip((BEFORE, AFTER), rounds, strict=True)]
        view = compared(*runs)
        advised = any("no difference can be resolved; use --rounds 7 or more" in w for w in view.warnings)
        assert advised == view.result.startswith("No change is resolved")
        return advised

    assert warned(6, 6)
    assert warned(15, 3)
    assert not warned(7, 7)
    assert not warned(15, 6)


def test_how_the_machines_differ() -> None:
    (table,) = compared(BEFORE, AFTER).tables
    assert "machine and software are the same" in table.notes
    other = replace(AFTER, environment=replace(ENVIRONMENT, torch="2.15.0"))
    (table,) = compared(BEFORE, other).tables
    assert "differs between the runs: torch: 2.11.0+cpu -> 2.15.0" in table.notes


def test_a_confidence_is_never_rounded_up() -> None:
    (table,) = compared(BEFORE, AFTER).tables
    (change, *_) = diff_runs(BEFORE, AFTER).changes
    (note,) = [note for note in table.notes if note.startswith("the intervals have a confidence of")]
    assert int(note.split()[6]) <= change.confidence * 100 < int(note.split()[6]) + 1


def test_csv_and_json_have_the_changes() -> None:
    found = diff_runs(BEFORE, AFTER)
    rows = list(csv.DictReader(io.StringIO(write_diff_csv(found))))
    data = json.loads(write_diff_json(found))
    assert [row["model"] for row in rows] == [row["model"] for row in data["changes"]]
    assert (rows[0]["model"], float(rows[0]["ratio"]), rows[0]["verdict"]) == ("ours", 0.5, "faster")
    assert data["reference"] == "base"
