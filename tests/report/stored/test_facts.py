"""What a run has besides its rounds stands in tables of its own, with where it is from."""

from dataclasses import replace

from saevit.report.stored.facts import facts_tables, samples_tables
from saevit.runs.record import Record
from saevit.runs.run import Run
from tests.runs.test_diff import STEADY, run_of
from tests.runs.test_record import CONDITIONS, COUNTED, MEASURED


def with_facts(*facts: Record) -> Run:
    return replace(run_of({"base": STEADY, "ours": STEADY}), facts=facts)


def test_values_are_a_line_a_model() -> None:
    peak = replace(COUNTED, quantity="peak_bytes", unit="bytes", value=7_800_000)
    counted = replace(COUNTED, notes=("torch",))
    other = replace(COUNTED, subject="ours", source="analytic", value=16_000, notes=("analytic",))
    top1 = replace(
        other, quantity="top1", unit="%", value=76.31, source="published", notes=("published", "a table")
    )
    (table,) = facts_tables(with_facts(counted, peak, other, top1))
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
    (table,) = facts_tables(with_facts(*facts))
    assert table.rows == (("saevit_tiny", str(one), "806 M"), ("saevit_tiny", str(two), "5"))


def test_samples_are_a_table_a_model() -> None:
    own = replace(MEASURED, quantity="own_latency of stem", samples=(0.001, 0.003, 0.002))
    none = replace(own, quantity="own_latency of head", samples=(0.0, 0.0, 0.001))
    power = replace(own, subject="ours", quantity="power", unit="W", samples=(10.0, 12.0))
    first, second = samples_tables(with_facts(own, none, power))
    assert first.title == f"Sampled beside the rounds: {own.subject}, {CONDITIONS}"
    assert first.rows == (
        ("own latency of stem", "2.00", "1.50 .. 2.50", "ms", "50.0 %", "3"),
        ("own latency of head", "0", "0 .. 0.500", "ms", "-", "3"),
    )
    assert second.rows == (("power", "11.0", "10.5 .. 11.5", "W", "9.1 %", "2"),)


def test_a_run_of_rounds_alone_has_none() -> None:
    assert facts_tables(with_facts()) == ()
    assert samples_tables(with_facts()) == ()
