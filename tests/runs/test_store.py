"""A run that is killed keeps every round it finished, and one broken file spoils no other one."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saevit.errors import OptionError
from saevit.runs import store
from saevit.runs.lines import head_fields
from saevit.runs.record import Record
from saevit.runs.run import Run, Subject
from saevit.runs.store import Writer, find_run, list_runs, read_run, read_runs
from tests.runs.test_record import CONDITIONS, COUNTED, ENVIRONMENT, MEASURED

A = Subject(label="a", name="saevit_tiny", conditions=CONDITIONS, notes=("warm",))
B = Subject(label="b", name="resnet18", conditions=CONDITIONS)
AGAIN = replace(A, label="a (again)", quantity="latency_again", notes=())
PROTOCOL = "interleaved, seed 7, a sample is 0.1 s or more and 1 or more calls, after 0.0 s of warm-up"
BEGUN = Run(subjects=(A, B, AGAIN), environment=ENVIRONMENT, started=MEASURED.time, seed=7, min_time=0.1)


def round_of(number: int) -> dict[str, float]:
    return {"a": 0.1 + number, "b": 0.2 + number, "a (again)": 0.3 + number}


def rounds_of(run: Run) -> list[dict[str, float]]:
    return [{s.label: s.samples[number] for s in run.subjects} for number in range(run.rounds)]


def written(folder: Path, rounds: int = 3, *, end: bool = True) -> Path:
    with Writer(folder) as writer:
        writer.begin(BEGUN)
        for number in range(rounds):
            writer.add_round(number, round_of(number))
        if end:
            writer.end()
    return writer.path


def edit(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path.write_bytes(b"\n".join(change(path.read_bytes().split(b"\n"))))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    with Writer(tmp_path / "new" / "folder") as writer:
        writer.begin(BEGUN)
        writer.add_round(0, round_of(0))
        writer.add_record(COUNTED)
        writer.add_round(1, round_of(1))
        writer.end()
    run = read_run(writer.path)
    assert head_fields(run) == head_fields(BEGUN)
    assert (run.facts, run.ending, run.warnings, run.path) == ((COUNTED,), "finished", (), writer.path)
    assert (run.rounds, rounds_of(run)) == (2, [round_of(0), round_of(1)])
    ours, theirs, again, fact = run.records()
    assert ours == replace(MEASURED, subject="saevit_tiny", samples=(0.1, 1.1), notes=("warm", PROTOCOL))
    assert (theirs.subject, theirs.samples, theirs.notes) == ("resnet18", (0.2, 1.2), (PROTOCOL,))
    assert (again.subject, again.quantity, again.samples) == ("saevit_tiny", "latency_again", (0.3, 1.3))
    assert fact == COUNTED


@settings(deadline=None, max_examples=25)  # every line waits for the disk
@given(st.lists(st.floats(1e-12, 1e12), min_size=1, max_size=5))
def test_samples_are_kept_to_the_last_bit(samples: list[float]) -> None:
    with tempfile.TemporaryDirectory() as folder, Writer(Path(folder)) as writer:
        writer.begin(BEGUN)
        for number, sample in enumerate(samples):
            writer.add_round(number, {"a": sample})
        assert read_run(writer.path).subjects[0].samples == tuple(samples)


def test_every_byte_may_be_the_last(tmp_path: Path) -> None:
    """However much of the file reached the disk, all rounds whose line did are read."""
    path = written(tmp_path)
    whole = path.read_bytes()
    ends = [place for place, byte in enumerate(whole) if byte == ord("\n")]
    cut = tmp_path / "cut.jsonl"
    for size in range(ends[0], len(whole) + 1):
        cut.write_bytes(whole[:size])
        run = read_run(cut)
        complete = sum(end <= size for end in ends)
        assert run.rounds == min(complete - 1, 3)
        assert run.ending == ("finished" if complete == 5 else "lost")
        partial = size not in ends and size - 1 not in ends
        assert run.warnings == ((f"{cut}: the last line is incomplete and is ignored",) if partial else ())


def test_a_run_without_its_end_says_so_in_its_records(tmp_path: Path) -> None:
    run = read_run(written(tmp_path, end=False))
    assert run.ending == "lost"
    assert run.records()[0].notes == (
        "warm",
        PROTOCOL,
        "the run is incomplete: these are its 3 finished rounds",
    )
    assert read_run(written(tmp_path, rounds=0, end=False)).records() == []


CHILD = """
import os, signal, sys
from pathlib import Path
from saevit.runs.store import Writer
from tests.runs.test_store import BEGUN, round_of

class Dying:
    def __init__(self, file): self.file = file
    def __getattr__(self, name): return getattr(self.file, name)
    def write(self, data):
        self.file.write(data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

writer = Writer(Path(sys.argv[1]))
writer.begin(BEGUN)
for number in range(10**6):
    if number == int(sys.argv[2]):
        writer._file = Dying(writer._file)
    writer.add_round(number, round_of(number))
    print(number, flush=True)
"""


def child(folder: Path, dies_in: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, str(folder), str(dies_in)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


def test_killed_at_any_time(tmp_path: Path) -> None:
    with child(tmp_path, dies_in=-1) as process:
        assert process.stdout is not None
        for _ in range(20):
            process.stdout.readline()
        process.kill()
        told = 20 + len([line for line in process.stdout.read().split("\n")[:-1] if line])
    (summary,) = list_runs(tmp_path)
    assert (summary.problem, summary.ending) == (None, "lost")
    assert told <= summary.rounds <= told + 1
    run = read_run(summary.path)
    assert rounds_of(run) == list(map(round_of, range(summary.rounds)))
    assert len(run.records()[1].samples) == summary.rounds


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_killed_within_a_line(tmp_path: Path) -> None:
    with child(tmp_path, dies_in=4) as process:
        assert process.stdout is not None
        assert process.stdout.read() == "0\n1\n2\n3\n"
    assert process.returncode == -signal.SIGKILL
    (summary,) = list_runs(tmp_path)
    assert (summary.problem, summary.rounds) == (None, 4)
    assert summary.warnings == (f"{summary.path}: the last line is incomplete and is ignored",)
    assert rounds_of(read_run(summary.path)) == list(map(round_of, range(4)))


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    class Full:
        def __init__(self, file: Any) -> None:
            self.file, self.room = file, 30

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def write(self, data: bytes) -> int:
            if not self.room:
                raise OSError(errno.ENOSPC, "No space left on device")
            size, self.room = self.room, 0
            return int(self.file.write(data[:size]))

    with Writer(tmp_path) as writer:
        writer.begin(BEGUN)
        writer.add_round(0, round_of(0))
        file = writer._file
        writer._file = Full(file)  # type: ignore[assignment]
        with pytest.raises(OptionError, match="cannot be written: No space left on device"):
            writer.add_round(1, round_of(1))
        writer._file = file
        writer.add_round(1, round_of(1))
    run = read_run(writer.path)
    assert (rounds_of(run), run.warnings) == ([round_of(0), round_of(1)], ())


def test_a_subject_that_failed_has_no_record_and_the_others_do(tmp_path: Path) -> None:
    never = replace(B, label="c", calls_per_sample=0)  # it could not even be warmed up
    for end in (True, False):
        with Writer(tmp_path) as writer:
            writer.begin(replace(BEGUN, subjects=(*BEGUN.subjects, never)))
            writer.add_round(0, round_of(0))
            writer.add_round(1, {"a": 1.0, "a (again)": 1.1})
            if end:
                writer.end(failures={"b": "out of memory", "c": "broken"}, interrupted=True)
        run = read_run(writer.path)
        assert run.failures == (
            {"b": "out of memory", "c": "broken"}
            if end
            else {"b": "no sample in round 1", "c": "no sample in round 0"}
        )
        assert run.subjects[1].samples == ()
        assert [record.quantity for record in run.records()] == ["latency", "latency_again"]
        assert run.ending == ("interrupted" if end else "lost")


def test_a_run_that_begins_anew_forgets_the_rounds_before(tmp_path: Path) -> None:
    """As when memory runs out and a subject goes on at half the batch."""
    half = replace(A, conditions=replace(CONDITIONS, batch_size=4))
    with Writer(tmp_path) as writer:
        writer.begin(BEGUN)
        writer.add_round(0, round_of(0))
        writer.begin(replace(BEGUN, subjects=(half, B)))
        writer.add_round(0, {"a": 5.0, "b": 6.0})
        writer.end()
    run = read_run(writer.path)
    assert run.subjects[0].samples == (5.0,)
    assert run.records()[0].conditions == half.conditions
    assert run.warnings == (f"{writer.path}: the run was restarted; rounds before that (1) are ignored",)


def test_a_run_that_never_began_has_no_end(tmp_path: Path) -> None:
    """As when nothing could be prepared: an end without a head would be a file that nobody can read."""
    with Writer(tmp_path) as writer:
        writer.end(interrupted=True, failures={"a": "broken"})
    assert list_runs(tmp_path) == []


def test_nor_does_it_leave_a_folder_that_it_made(tmp_path: Path) -> None:
    with Writer(tmp_path / "new" / "store"):
        pass
    assert list(tmp_path.iterdir()) == []
    path = written(tmp_path / "store", rounds=1)
    with Writer(tmp_path / "store"):
        pass
    assert list(path.parent.iterdir()) == [path]


def test_names_sort_by_time_and_never_meet(tmp_path: Path) -> None:
    paths = [written(tmp_path, rounds=1) for _ in range(20)]
    assert sorted(paths) == paths
    assert [summary.path for summary in list_runs(tmp_path)] == paths


def test_a_taken_name_is_not_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Still(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime(2026, 1, 31, 12, tzinfo=tz)

    monkeypatch.setattr("secrets.token_hex", lambda count: "00" * count)
    monkeypatch.setattr(store, "datetime", Still)
    path = written(tmp_path)
    assert path.name == "20260131T120000.000000Z-00000000.jsonl"
    before = path.read_bytes()
    with pytest.raises(OptionError, match="exists: run again"):
        Writer(tmp_path)
    assert path.read_bytes() == before


def test_folders_merge_by_copying(tmp_path: Path) -> None:
    here, there = written(tmp_path / "here"), written(tmp_path / "there")
    shutil.copy(there, here.parent)
    assert [summary.path.name for summary in list_runs(here.parent)] == sorted([here.name, there.name])


def test_a_broken_file_is_named_and_the_others_load(tmp_path: Path) -> None:
    good, broken, other, empty = (written(tmp_path) for _ in range(4))
    edit(broken, lambda lines: [lines[0], lines[1][:-5], *lines[2:]])
    edit(other, lambda lines: [lines[0].replace(b'"schema_version": 3', b'"schema_version": 99'), *lines[1:]])
    empty.write_bytes(b"")
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "notes.txt").write_text("not ours")
    for name in (".saevit-x.jsonl", "._copy.jsonl"):
        (tmp_path / name).write_text("unfinished, or another system's")
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "device.jsonl").symlink_to("/dev/zero")
    (tmp_path / "loop.jsonl").symlink_to("loop.jsonl")
    with (tmp_path / "huge.jsonl").open("wb") as file:
        file.truncate(2**40)
    problems = {summary.path.name: summary.problem or "" for summary in list_runs(tmp_path)}
    assert problems.pop(good.name) == ""
    assert problems.pop(other.name) == (
        f"{other}, line 1: run of schema version 99: this saevit reads up to version 3, "
        "use the saevit that wrote it or a newer one"
    )
    said = {
        broken.name: "line 2: is not JSON",
        empty.name: "line 1: not the first line of a stored run: is not JSON",
        "folder.jsonl": "is a folder",
        "pipe.jsonl": "is no regular file",
        "device.jsonl": "is no regular file",
        "loop.jsonl": "cannot be used: Too many levels of symbolic links",
        "huge.jsonl": "at most 268,435,456 are read",
    }
    assert problems.keys() == said.keys()
    for name, problem in problems.items():
        assert problem.startswith(str(tmp_path / name))
        assert said[name] in problem
        assert "\n" not in problem
    skipped: list[str] = []
    assert [run.path for run in read_runs(tmp_path, skipped.append)] == [good]
    assert len(skipped) == len(said) + 1
    assert find_run("latest", tmp_path, on_skip=skipped.append) == good


def without_checks(path: Path, *more: dict[str, Any]) -> None:
    """Write a run as version 2 did, and further lines behind."""
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    for line in lines:
        del line["check"]
        if line["kind"] == "run":
            line["schema_version"] = 2
    path.write_text("".join(json.dumps(line) + "\n" for line in (*lines, *more)))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"kind": "round", "number": 5, "samples": {"a": 1.0}}, "round 5 follows instead of round 1"),
        ({"kind": "round", "number": 1, "samples": {}}, "round 1 has no samples"),
        (
            {"kind": "round", "number": 1, "samples": {"c": 1.0}},
            r"round 1, samples.c is of no subject of this run",
        ),
        ({"kind": "round", "number": 1, "samples": {"a": "1"}}, "samples.a = '1'"),
        ({"kind": "round", "number": 1, "samples": {"a": True}}, "samples.a = True"),
        ({"kind": "round", "number": True, "samples": {"a": 1.0}}, "number = True"),
        ({"kind": "round", "number": 1, "samples": {"a": float("nan")}}, "NaN is not a finite number"),
        ({"kind": "round", "number": 1, "samples": {"a": 0}}, "samples.a = 0.0: a sample is from 1e-12"),
        ({"kind": "round", "number": 1, "samples": {"a": 1e308}}, r"samples\.a: 1e\+308 is not a finite"),
        ({"kind": "round", "number": 1, "samples": {"a": 1e299}}, r"samples\.a = 1e\+299: a sample is from"),
        ({"kind": "round", "number": 1, "samples": {"a": 10**400}}, "samples.a: a whole number beyond 64"),
        ({"kind": "round", "number": 1, "samples": [1.0]}, "samples"),
        ({"kind": "record", "record": {"schema_version": 3}}, "record of schema version 3"),
        ({"kind": "record", "record": None}, "object"),
        ({"kind": "record"}, "object"),
        ({"kind": "verdict"}, "kind 'verdict': a line is of kind run, round, record or end"),
        ({"kind": ["end"]}, r"kind \['end'\]"),
        ({"kind": "end"}, "interrupted: Field required"),
        ({"kind": "end", "interrupted": 0, "failures": {}}, "interrupted = 0"),
        ({"kind": "end", "interrupted": False, "failures": {"a": 1}}, "failures.a = 1"),
        ({"kind": "run", "schema_version": 1}, "subjects: Field required"),
        ({}, "kind None"),
    ],
)
def test_a_whole_line_that_is_wrong_is_named(tmp_path: Path, line: dict[str, Any], message: str) -> None:
    path = written(tmp_path, rounds=1, end=False)
    without_checks(path, line)
    with pytest.raises(OptionError, match=f"^{path}, line 3: .*{message}"):
        read_run(path)


def test_an_edited_file_is_refused(tmp_path: Path) -> None:
    """Whatever was changed: a figure, a label, the order of lines, their number, or the check itself."""
    edits: list[Callable[[list[bytes]], list[bytes]]] = [
        lambda lines: [*lines[:2], lines[2].replace(b"1.1", b"1.2"), *lines[3:]],
        lambda lines: [lines[0].replace(b"a processor", b"a faster one"), *lines[1:]],
        lambda lines: [lines[0].replace(b'version": 3', b'version": 2'), *lines[1:]],
        lambda lines: [lines[0], *lines[2:]],
        lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
        lambda lines: [*lines[:2], *lines[1:]],
        lambda lines: [*lines[:2], lines[2].replace(b'"check": "', b'"check": "0'), *lines[3:]],
        lambda lines: [*lines[:2], re.sub(rb', "check": ".*"', b"", lines[2]), *lines[3:]],
        lambda lines: [re.sub(rb', "check": ".*"', b"", line) for line in lines],
    ]
    for number, change in enumerate(edits):
        path = written(tmp_path)
        edit(path, change)
        with pytest.raises(OptionError) as caught:
            read_run(path)
        assert "not as it was written" in str(caught.value), number


def test_text_that_no_terminal_takes_is_escaped_on_its_way_to_the_disk(tmp_path: Path) -> None:
    odd = replace(A, label="a\x1b[2J", name="caf\udce9", notes=("one\ntwo",))
    with Writer(tmp_path) as writer:
        writer.begin(replace(BEGUN, subjects=(odd,)))
        writer.add_round(0, {odd.label: 1.0})
        writer.end(failures={"b\r": "\u202e"})
    run = read_run(writer.path)
    (subject,) = run.subjects
    assert (subject.label, subject.name, subject.notes) == ("a\\x1b[2J", "caf\\udce9", ("one\\ntwo",))
    assert subject.samples == (1.0,)
    assert run.failures == {"b\\r": "\\u202e"}


VERSION_1 = """\
{"kind": "run", "schema_version": 1, "subjects": [{"label": "saevit_tiny:attn_every=1", "name": \
"saevit_tiny:attn_every=1", "conditions": {"img_size": [224, 224], "batch_size": 1, "dtype": "fp32", \
"device": "cpu", "runtime": "eager", "threads": 2, "memory_format": "contiguous", "fused": true}, \
"quantity": "latency", "unit": "s", "calls_per_sample": 4, "warmup_s": 0.5, "notes": []}], "environment": \
{"python": "3.13.0", "torch": "2.15.0", "timm": "1.0.31", "birder": null, "onnxruntime": null, \
"openvino": null, "saevit": "0.1.0", "os": "Linux", "machine": "x86_64", "cpu": "a processor", \
"cpu_capability": "AVX512", "governor": null, "physical_cores": 2, "logical_cores": 2, "usable_cores": 2, \
"memory_bytes": 8589934592, "accelerator": null, "accelerator_driver": null, "accelerator_toolkit": null, \
"settings": []}, "started": "2026-11-25T12:00:00+00:00", "seed": 0, "min_time": 0.1, "load_before": 0.5}
{"kind": "record", "record": {"subject": "saevit_tiny:attn_every=1", "quantity": "macs", "unit": "MACs", \
"value": 806000000, "samples": [], "source": "analytic", "conditions": null, "environment": null, "time": \
"2026-11-25T12:00:00+00:00", "notes": ["analytic"], "schema_version": 1}}
{"kind": "round", "number": 0, "samples": {"saevit_tiny:attn_every=1": 0.025}}
{"kind": "end", "interrupted": false, "failures": {}}
"""


def test_a_run_of_schema_version_1_stays_readable(tmp_path: Path) -> None:
    path = tmp_path / "old.jsonl"
    path.write_text(VERSION_1)
    run = read_run(path)
    (subject,) = run.subjects
    assert subject.conditions.folded
    assert (run.environment.network, run.ending, run.warnings) == (1, "finished", ())
    assert subject.samples == (0.025,)
    assert [record.quantity for record in run.records()] == ["latency", "macs"]
    assert Record.from_dict(run.records()[0].to_dict()) == run.records()[0]
    (summary,) = list_runs(tmp_path)
    assert summary.problem is None


def test_files_that_were_joined_are_refused(tmp_path: Path) -> None:
    one, two = written(tmp_path), written(tmp_path)
    joined, doubled = tmp_path / "joined.jsonl", tmp_path / "doubled.jsonl"
    joined.write_bytes(one.read_bytes() + two.read_bytes())
    doubled.write_bytes(one.read_bytes() + one.read_bytes().split(b"\n")[1] + b"\n")
    with pytest.raises(OptionError, match="line 6: a second run: copy files into one folder"):
        read_run(joined)
    with pytest.raises(OptionError, match="line 6: not as it was written"):
        read_run(doubled)


@pytest.mark.parametrize(
    "text",
    [b"[" * 10**5, b"\xff\xfe", b"\x00" * 64, b"12", b"{}", b"", b"\n", b"\n\n", b"<html>", b"1" * 5000],
)
def test_a_file_that_never_was_a_run(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "other.jsonl"
    path.write_bytes(text)
    with pytest.raises(OptionError, match="line 1: not the first line of a stored run"):
        read_run(path)


def test_rounds_that_were_not_measured_are_not_written(tmp_path: Path) -> None:
    with Writer(tmp_path) as writer:
        with pytest.raises(ValueError, match="is of no subject"):
            writer.add_round(0, {"a": 1.0})
        writer.begin(BEGUN)
        for number, samples in [(1, {"a": 1.0}), (0, {"c": 1.0}), (0, {"a": float("inf")}), (0, {})]:
            with pytest.raises(ValueError, match=f"round {number}"):
                writer.add_round(number, samples)
    assert read_run(writer.path).rounds == 0


def test_a_label_stands_for_one_subject() -> None:
    with pytest.raises(ValueError, match="label a is given twice"):
        replace(BEGUN, subjects=(A, A))
    with pytest.raises(ValueError, match="yesterday"):
        replace(BEGUN, started="yesterday")


def test_a_file_appears_with_its_first_line(tmp_path: Path) -> None:
    """So that a run which is killed while it prepares leaves nothing that could block another one."""
    with Writer(tmp_path) as writer:
        assert list(tmp_path.iterdir()) == []
        writer.begin(BEGUN)
        assert list(tmp_path.iterdir()) == [writer.path]
        assert head_fields(read_run(writer.path)) == head_fields(BEGUN)


def test_what_a_dead_process_left_is_taken_away_once_it_is_old(tmp_path: Path) -> None:
    old, new, lock = (tmp_path / name for name in (".saevit-a.jsonl", ".saevit-b.jsonl", ".saevit-c.lock"))
    for path in (old, new, lock):
        path.touch()
    for path in (old, lock):
        os.utime(path, (0, 0))
    written(tmp_path)
    assert [path.exists() for path in (old, new, lock)] == [False, True, True]


def test_where_runs_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import platformdirs

    monkeypatch.setattr(platformdirs, "user_data_path", lambda name: tmp_path / name)
    assert store.default_folder() == tmp_path / "saevit" / "runs"
    assert list_runs() == []
    with Writer() as writer:
        writer.begin(BEGUN)
    assert [summary.path for summary in list_runs()] == [writer.path]


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(OptionError, match="is a file: runs are stored in a folder"):
        list_runs(file)
    with pytest.raises(OptionError, match=r"cannot store runs \(.*\): choose another folder"):
        Writer(file)
    with pytest.raises(OptionError, match="does not exist: name a regular file"):
        read_run(tmp_path / "absent.jsonl")


def test_a_run_is_found_by_its_file_its_beginning_or_its_age(tmp_path: Path) -> None:
    first, second = (written(tmp_path, rounds=1) for _ in range(2))
    assert find_run(str(first)) == first
    assert find_run(first.stem, tmp_path) == first
    assert find_run(second.stem[:-1], tmp_path) == second
    assert find_run("latest", tmp_path) == second


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is none|runs begin with that"),
        ("2", "2 runs begin with that"),
        ("latst", "did you mean latest"),
    ],
)
def test_what_is_no_run_is_refused(tmp_path: Path, text: str, message: str) -> None:
    for _ in range(2):
        written(tmp_path, rounds=1)
    with pytest.raises(OptionError, match=message):
        find_run(text, tmp_path)


def test_an_empty_store_says_how_runs_get_there(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="has no runs yet; saevit profile"):
        find_run("latest", tmp_path)
