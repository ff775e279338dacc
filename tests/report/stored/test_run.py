"""What is shown of a stored run follows from its samples, and what is missing is said."""

from dataclasses import replace

import pytest

from saevit.report.columns import Table
from saevit.report.stored.run import run_tables
from saevit.report.units import milliseconds, percent
from saevit.runs.advice import advice
from saevit.runs.run import Run
from saevit.runs.statistics import ratio, summarize
from tests.runs.test_diff import STEADY, run_of, subject, times
from tests.runs.test_record import CONDITIONS

TWIN = subject("base", label="base (again)", quantity="latency_again")
SLOW = [0.011, 0.012, 0.010, 0.013, 0.011, 0.012, 0.011, 0.010]
FAST = [0.005, 0.007, 0.006, 0.005, 0.006, 0.004, 0.005, 0.006]
AGAIN = [0.012, 0.011, 0.010, 0.012, 0.012, 0.011, 0.012, 0.010]


def compared() -> Run:
    """Two models and the twin of the first one."""
    run = run_of(
        {"base": SLOW, "ours": FAST, "base (again)": AGAIN}, [subject("base"), subject("ours"), TWIN]
    )
    return replace(run, ending="finished")


def shown(run: Run) -> Table:
    """The first table."""
    return run_tables(run)[0]


def cells(table: Table) -> list[dict[str, str]]:
    return [dict(zip([column.heading for column in table.columns], row, strict=True)) for row in table.rows]


def told(table: Table, start: str) -> str:
    (note,) = [note for note in table.notes if note.startswith(start)]
    return note


def test_every_figure_follows_from_the_samples() -> None:
    table = shown(compared())
    assert table.title == "run: 8 interleaved rounds on cpu (a processor), finished"
    base, ours = cells(table)
    seen, against = summarize(FAST), ratio(FAST, SLOW)
    assert ours == {
        "model": "ours",
        "ms/batch": milliseconds(seen.median),
        "quartiles": f"{milliseconds(seen.q1)} .. {milliseconds(seen.q3)}",
        "spread": percent(seen.spread),
        "images/s": f"{CONDITIONS.batch_size / seen.median:.0f}",
        "ratio": f"{against.median:.3f} [{against.low:.3f}, {against.high:.3f}] faster",
    }
    assert base["ratio"] == "-"
    floor = ratio(AGAIN, SLOW)
    assert f"{floor.median:.3f} [{floor.low:.3f}, {floor.high:.3f}]" in told(table, "noise floor: base")
    assert str(CONDITIONS) in told(table, "begun 2026-01-31T12:00:00+00:00")


def test_advice_stands_under_the_table() -> None:
    run = compared()
    assert advice(run)
    assert shown(run).notes[-len(advice(run)) :] == advice(run)


def test_a_comparison_says_how_it_is_shown_whole() -> None:
    assert told(shown(compared()), "with accuracies").endswith("saevit compare --from-store run.jsonl")


def test_one_model_under_several_conditions() -> None:
    """Its name stands once; the lines say in what they differ, and ratios are of an image."""
    large = replace(CONDITIONS, batch_size=16, runtime="compile")
    subjects = [subject("net", label="net (8)"), subject("net", label="net (16)", conditions=large)]
    table = shown(run_of({"net (8)": STEADY, "net (16)": times(1.5)}, subjects))
    assert table.title.startswith("run: net, 15 interleaved rounds")
    small, both = cells(table)
    assert (small["batch"], small["runtime"], both["batch"], both["runtime"]) == (
        "8",
        "eager",
        "16",
        "compile",
    )
    assert both["ratio"] == "0.750 [0.750, 0.750] faster"
    assert "over that of batch 8, runtime eager" in told(table, "ratio")
    assert "224x192, fp32, cpu, threads 2, channels_last" in told(table, "begun")
    assert not any(note.startswith("with accuracies") for note in table.notes)


def test_a_single_subject_needs_no_ratio() -> None:
    table = shown(run_of({"net": STEADY}))
    assert [column.heading for column in table.columns] == ["ms/batch", "quartiles", "spread", "images/s"]
    assert not any(note.startswith(("ratio", "noise floor")) for note in table.notes)


def test_what_failed_is_a_line_and_a_reason() -> None:
    """The first one too: then the next is what ratios are to. What was never begun is a line as well."""
    subjects = [subject("broken"), subject("base"), subject("ours")]
    run = run_of(
        {"base": SLOW, "ours": FAST}, subjects, {"broken": "out of memory", "absent": "cannot be built"}
    )
    table = shown(run)
    assert [(row["model"], row["ms/batch"]) for row in cells(table)] == [
        ("broken", "failed"),
        ("base", milliseconds(summarize(SLOW).median)),
        ("ours", milliseconds(summarize(FAST).median)),
        ("absent", "failed"),
    ]
    assert [row["ratio"] for row in cells(table)][:2] == ["-", "-"]
    assert cells(table)[2]["ratio"].endswith("faster")
    assert "over that of base" in told(table, "ratio")
    assert {"broken: out of memory", "absent: cannot be built"} <= set(table.notes)


def test_notes_of_the_samples_are_shown() -> None:
    table = shown(
        run_of({"base": SLOW, "ours": FAST}, [subject("base"), subject("ours", notes=("not steady",))])
    )
    assert "ours: not steady" in table.notes


@pytest.mark.parametrize("rounds", [0, 3])
def test_a_run_that_was_killed(rounds: int) -> None:
    run = run_of({"base": SLOW[:rounds], "ours": FAST[:rounds]})
    table = shown(replace(run, warnings=("the last line was cut off and is skipped",)))
    assert f"{rounds} interleaved rounds" in table.title
    assert table.title.endswith("cut off")
    assert table.notes[0] == "the last line was cut off and is skipped"
    assert told(table, "cut off: the run was killed")
    assert [row[0] for row in table.rows] == ["base", "ours"]
    assert ("no round was finished" in table.notes) == (rounds == 0)
    assert not any("faster" in cell for row in table.rows for cell in row)


def test_the_machine_is_shown_whole() -> None:
    machine = run_tables(compared())[-1]
    assert machine.title == "Machine and software"
    assert {("torch", "2.11.0+cpu"), ("cpu", "a processor"), ("settings", "OMP_NUM_THREADS=2")} <= set(
        machine.rows
    )
