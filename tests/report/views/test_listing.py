"""The list has one line a run, whatever became of it, and ids that name one run each."""

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from saevit.report.views.listing import shorten_ids, tabulate_runs
from saevit.runs.run import RunSummary
from saevit.runs.store import Writer, list_runs
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


def test_one_line_a_run() -> None:
    table = tabulate_runs([RUN, replace(LATER, ending="interrupted", rounds=3)], "here")
    assert table.title == "2 runs in here"
    assert [column.heading for column in table.columns] == ["run", "UTC", "models", "rounds", "ended"]
    assert table.rows == (
        ("20260131T120000", "2026-01-31 12:00", "saevit_tiny", "15", "finished"),
        ("20260201T080000", "2026-02-01 08:00", "saevit_tiny", "3", "interrupted"),
    )
    assert table.notes[:2] == ("machine of all: a processor", "torch of all: 2.15.0")


def test_machines_that_differ_stand_in_the_lines() -> None:
    table = tabulate_runs([RUN, replace(LATER, hardware="an accelerator")], "here")
    assert [row[2] for row in table.rows] == ["a processor", "an accelerator"]
    assert [column.heading for column in table.columns] == [
        "run",
        "UTC",
        "machine",
        "models",
        "rounds",
        "ended",
    ]
    assert not any("machine of all" in note for note in table.notes)


def test_many_models_are_counted() -> None:
    names = tuple(f"timm:net{i}.tag_in1k" for i in range(17))
    assert tabulate_runs([replace(RUN, subjects=names)], "here").rows[0][2] == "net0, net1 and 15 more"
    assert tabulate_runs([replace(RUN, subjects=names[:2])], "here").rows[0][2] == "net0, net1"


def test_a_file_that_cannot_be_read_is_a_line_with_its_problem() -> None:
    broken = RunSummary(path=Path("20260301T000000.jsonl"), problem="20260301T000000.jsonl, line 2: edited")
    table = tabulate_runs([RUN, broken], "here")
    assert table.rows[1] == ("20260301T000000", "-", "-", "-", "unreadable")
    assert "20260301T000000.jsonl, line 2: edited" in table.notes
    assert not any(note.startswith("cut off") for note in table.notes)


def test_a_run_that_was_cut_off_says_what_that_means() -> None:
    table = tabulate_runs([replace(RUN, ending="lost", warnings=("the last line was cut off",))], "here")
    assert table.rows[0][-1] == "cut off"
    assert table.notes[0] == "the last line was cut off"
    assert any("its finished rounds are here" in note for note in table.notes)


def test_what_the_store_says_of_its_files(tmp_path: Path) -> None:
    """Through files: the machine is the accelerator if anything ran on one."""
    written(tmp_path)
    first, *others = BEGUN.subjects
    on_gpu = replace(first, conditions=replace(first.conditions, device="cuda"))
    environment = replace(BEGUN.environment, accelerator="an accelerator")
    with Writer(tmp_path) as writer:
        writer.begin(replace(BEGUN, subjects=(on_gpu, *others), environment=environment))
    edit(written(tmp_path), lambda lines: lines[1:])
    table = tabulate_runs(list_runs(tmp_path), "here")
    assert [row[2] for row in table.rows] == ["a processor", "an accelerator", "-"]
    assert [row[-1] for row in table.rows] == ["finished", "cut off", "unreadable"]
    assert "torch of all: 2.11.0+cpu" in table.notes


@given(st.sets(stems).map(sorted))
def test_an_id_is_the_start_of_one_run(names: list[str]) -> None:
    for name, short in zip(names, shorten_ids(names), strict=True):
        assert name.startswith(short)
        assert short == name or len(short) >= len("20260131T120000")
        others = [other for other in names if other != name and other.startswith(short)]
        assert not others or short == name  # a whole name may begin another one
