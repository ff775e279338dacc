"""Tables of a stored run follow from its samples and facts, and say what is missing."""

from dataclasses import replace

import pytest

from saevit.report.columns import Table
from saevit.report.units import milliseconds, percent
from saevit.report.views.run import tabulate_facts, tabulate_run, tabulate_samples, view_run
from saevit.runs.advice import advice
from saevit.runs.record import Record
from saevit.runs.run import Run
from saevit.runs.statistics import ratio, summarize
from tests.runs.test_diff import STEADY, run_of, subject, times
from tests.runs.test_record import CONDITIONS, COUNTED, MEASURED

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
    return tabulate_run(run)[0]


def cells(table: Table) -> list[dict[str, str]]:
    return [dict(zip([column.heading for column in table.columns], row, strict=True)) for row in table.rows]


def told(table: Table, start: str) -> str:
    (note,) = [note for note in table.notes if note.startswith(start)]
    return note


def test_every_figure_follows_from_the_samples() -> None:
    table = shown(compared())
    assert view_run(compared()).result == (
        "ours is the fastest of 2 models, 0.688 ms per image; base takes 2.02 [1.67, 3.00] times as long."
    )
    assert table.title == "run: 8 interleaved rounds on cpu (a processor), finished"
    base, ours = cells(table)
    seen, against = summarize(FAST), ratio(FAST, SLOW)
    assert ours == {
        "model": "ours",
        "ms/batch": milliseconds(seen.median),
        "ratio": f"{against.median:.3f} [{against.low:.3f}, {against.high:.3f}] faster",
        "spread": percent(seen.spread),
        "images/s": f"{CONDITIONS.batch_size / seen.median:.0f}",
        "quartiles": f"{milliseconds(seen.q1)} .. {milliseconds(seen.q3)}",
    }
    assert base["ratio"] == "-"
    floor = ratio(AGAIN, SLOW)
    assert f"{floor.median:.3f} [{floor.low:.3f}, {floor.high:.3f}]" in told(table, "noise floor: base")
    assert str(CONDITIONS) in told(table, "started 2026-01-31T12:00:00+00:00")


def test_advice_is_a_warning_or_an_explanation() -> None:
    run = replace(compared(), unkept="disk full")
    view = view_run(run)
    warnings, notes = advice(run, "warning"), advice(run, "note")
    assert warnings
    assert notes
    assert view.warnings == warnings
    assert view.tables[0].notes[-len(notes) :] == notes


def test_a_comparison_says_how_it_is_shown_whole() -> None:
    (note,) = [note for note in view_run(compared()).notes if note.startswith("with accuracies")]
    assert note.endswith("saevit compare --from-store run.jsonl")


def test_one_model_under_several_conditions() -> None:
    """Its name stands once; the lines say in what they differ, and ratios are of an image."""
    large = replace(CONDITIONS, batch_size=16, runtime="compile")
    subjects = [subject("net", label="net (8)"), subject("net", label="net (16)", conditions=large)]
    run = run_of({"net (8)": STEADY, "net (16)": times(1.5)}, subjects)
    table = shown(run)
    assert table.title.startswith("run: net, 15 interleaved rounds")
    small, both = cells(table)
    assert (small["batch"], small["runtime"], both["batch"], both["runtime"]) == (
        "8",
        "eager",
        "16",
        "compile",
    )
    assert both["ratio"] == "0.750 [0.750, 0.750] faster"
    assert "relative to batch 8, runtime eager" in view_run(run).notes[0]
    assert "224x192, fp32, cpu, threads 2, channels_last" in told(table, "started")
    assert len(view_run(run).notes) == 1


def test_a_single_subject_needs_no_ratio() -> None:
    table = shown(run_of({"net": STEADY}))
    assert [column.heading for column in table.columns] == ["ms/batch", "spread", "images/s", "quartiles"]
    assert not any(note.startswith("noise floor") for note in table.notes)
    assert not view_run(run_of({"net": STEADY})).notes


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
    assert "relative to base" in view_run(run).notes[0]
    assert {"broken: out of memory", "absent: cannot be built"} <= set(view_run(run).warnings)


def test_notes_of_the_samples_are_shown() -> None:
    table = shown(
        run_of({"base": SLOW, "ours": FAST}, [subject("base"), subject("ours", notes=("not steady",))])
    )
    assert "ours: not steady" in table.notes


@pytest.mark.parametrize("rounds", [0, 3])
def test_a_run_that_was_killed(rounds: int) -> None:
    run = run_of({"base": SLOW[:rounds], "ours": FAST[:rounds]})
    view = view_run(replace(run, warnings=("the last line is incomplete and is ignored",)))
    table = view.tables[0]
    assert f"{rounds} interleaved rounds" in table.title
    assert table.title.endswith("incomplete")
    assert view.warnings[0] == "the last line is incomplete and is ignored"
    assert any(line.startswith("incomplete: the run was stopped") for line in view.warnings)
    assert [row[0] for row in table.rows] == ["base", "ours"]
    assert ("no round was finished" in view.result) == (rounds == 0)
    assert not any("faster" in cell for row in table.rows for cell in row)


def test_the_machine_is_short_and_the_rest_is_explained() -> None:
    machine = tabulate_run(compared())[-1]
    assert machine.title == "Machine and software"
    assert {("torch", "2.11.0+cpu"), ("cpu", "a processor"), ("settings", "OMP_NUM_THREADS=2")} <= set(
        machine.rows
    )
    (rest,) = machine.notes
    assert "python " in rest


def with_facts(*facts: Record) -> Run:
    return replace(run_of({"base": STEADY, "ours": STEADY}), facts=facts)


def test_values_are_a_line_a_model() -> None:
    peak = replace(COUNTED, quantity="peak_bytes", unit="bytes", value=7_800_000)
    counted = replace(COUNTED, notes=("torch",))
    other = replace(COUNTED, subject="ours", source="analytic", value=16_000, notes=("analytic",))
    top1 = replace(
        other, quantity="top1", unit="%", value=76.31, source="published", notes=("published", "a table")
    )
    (table,) = tabulate_facts(with_facts(counted, peak, other, top1))
    assert [column.heading for column in table.columns] == ["model", "MACs", "peak act.", "top-1"]
    assert table.rows == (("saevit_tiny", "806 M", "7.80 MB", "-"), ("ours", "16.0 k", "-", "76.3"))
    assert table.notes == (
        "MACs: counted (torch)",
        "peak act.: counted",
        "MACs: analytic",
        "top-1: published, a table",
    )


def test_values_under_several_conditions_do_not_meet() -> None:
    one, two = (replace(CONDITIONS, batch_size=size) for size in (1, 2))
    facts = [replace(COUNTED, conditions=one), replace(COUNTED, conditions=two, value=5)]
    (table,) = tabulate_facts(with_facts(*facts))
    assert table.rows == (("saevit_tiny", "806 M", str(one)), ("saevit_tiny", "5", str(two)))


def test_samples_are_a_table_per_model_with_stages_from_1() -> None:
    own = replace(MEASURED, quantity="own_latency of stages.0", samples=(0.001, 0.003, 0.002))
    none = replace(own, quantity="own_latency of what is elsewhere", samples=(0.0, 0.0, 0.001))
    power = replace(own, subject="ours", quantity="power", unit="W", samples=(10.0, 12.0))
    first, second = tabulate_samples(with_facts(own, none, power))
    assert first.notes == (f"{own.subject}, {CONDITIONS}",)
    assert first.rows == (
        ("stage 1", "2.00", "ms", "50.0 %", "1.50 .. 2.50", "3"),
        ("the rest of the network", "0", "ms", "-", "0 .. 0.500", "3"),
    )
    assert second.rows == (("power", "11.0", "W", "9.1 %", "10.5 .. 11.5", "2"),)
    deep = replace(own, quantity="own_latency of stages.0.blocks.1.ffn.expand")
    ((first_row, second_row),) = (table.rows for table in tabulate_samples(with_facts(own, deep)))
    assert (first_row[0], second_row[0]) == ("stages.0", "stages.0.blocks.1.ffn.expand")


def test_a_run_of_rounds_alone_has_none() -> None:
    assert tabulate_facts(with_facts()) == ()
    assert tabulate_samples(with_facts()) == ()
