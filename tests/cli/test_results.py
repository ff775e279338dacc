"""`saevit results` as users type it."""

import csv
import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from saevit.runs.record import Record
from saevit.runs.run import Run as StoredRun
from saevit.runs.run import Subject
from saevit.runs.store import Writer, read_run
from tests.cli.conftest import Run
from tests.contracts.test_imports import HEAVY, loaded_by
from tests.runs.test_record import CONDITIONS, COUNTED, ENVIRONMENT, MEASURED
from tests.runs.test_store import child, edit

MODELS = ("saevit_tiny", "saevit_small", "timm:resnet18.a1_in1k")
AGAIN = "saevit_tiny (again)"
ROUNDS = 8


def kept(
    folder: Path, factor: float = 1.0, *, end: bool = True, failed: str | None = None, batch_size: int = 8
) -> Path:
    """Store a run of three models; `saevit_small` takes `factor` times as long as the reference."""
    conditions = replace(CONDITIONS, batch_size=batch_size)
    subjects = [Subject(label=name, name=name, conditions=conditions) for name in MODELS]
    twin = replace(subjects[0], label=AGAIN, quantity="latency_again")
    begun = StoredRun(
        subjects=(*subjects, twin), environment=ENVIRONMENT, started=MEASURED.time, seed=0, min_time=0.1
    )
    with Writer(folder) as writer:
        writer.begin(begun)
        writer.add_record(COUNTED)
        for number in range(ROUNDS):
            base = 0.1 + 0.001 * number
            samples = {MODELS[0]: base, MODELS[1]: factor * base, MODELS[2]: 2 * base, AGAIN: base}
            writer.add_round(number, {name: value for name, value in samples.items() if name != failed})
        if end:
            writer.end(failures={failed: "out of memory"} if failed else {})
    return writer.path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the `saevit` of these tests looks."""
    return tmp_path / "store"


def rows(text: str) -> list[dict[str, str]]:
    """What a CSV file says."""
    return list(csv.DictReader(io.StringIO(text)))


def test_an_empty_store_says_how_runs_get_there(saevit: Run, folder: Path) -> None:
    done = saevit("results", "list", check=True)
    assert (
        done.stdout
        == f"{folder} has no runs yet: saevit profile, compare and eval store their results there.\n"
    )
    assert json.loads(saevit("results", "list", "--json", "-", check=True).stdout)["runs"] == []


def test_list(saevit: Run, folder: Path) -> None:
    paths = [kept(folder), kept(folder, end=False)]
    done = saevit("results", "list", check=True)
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"2 runs in {folder}; the newest is of 2026-01-31 12:00 UTC: saevit_tiny and")
    assert lines[1].startswith("warning: incomplete: ")
    first, second = lines[6:8]
    ids = [line.split()[0] for line in (first, second)]
    for name, path in zip(ids, paths, strict=True):
        assert f"{path.stem}: 8 interleaved" in saevit("results", "show", name).stdout
    assert "saevit_tiny, saevit_small and 1 more       8  finished    2026-01-31 12:00" in first
    assert "  incomplete  " in second
    data = json.loads(saevit("results", "list", "--json", "-", check=True).stdout)
    assert [run["run"] for run in data["runs"]] == [path.stem for path in paths]
    saevit("results", "list", "--csv", "runs.csv", check=True)
    table = rows((folder.parent / "runs.csv").read_text())
    assert [run["ending"] for run in table] == ["finished", "lost"]


def test_a_broken_file_gives_exit_code_1_and_the_others_are_shown(saevit: Run, folder: Path) -> None:
    kept(folder)
    broken = kept(folder)
    edit(broken, lambda lines: [*lines[:3], b"garbage", *lines[4:]])
    done = saevit("results", "list")
    assert done.returncode == 1
    assert "finished" in done.stdout
    assert "unreadable" in done.stdout
    assert f"{broken}, line 4: is not JSON" in done.stdout
    shown = saevit("results", "show", broken.stem)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr.startswith(f"error: {broken}, line 4")
    exported = saevit("results", "export", "--output", "all.jsonl")
    assert exported.returncode == 1
    assert exported.stderr.count(f"warning: skipped: {broken}, line 4") == 1
    assert len((folder.parent / "all.jsonl").read_text().splitlines()) == 5


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("<html>"),
        lambda path: os.mkfifo(path),
        lambda path: path.mkdir(),
        lambda path: path.symlink_to("nowhere"),
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.write_text(json.dumps({"kind": "run", "schema_version": 3, "check": 10**400})),
    ],
    ids=["empty", "foreign", "pipe", "folder", "dangling", "device", "digits"],
)
def test_a_file_that_is_no_run_blocks_no_command(
    saevit: Run, folder: Path, spoil: Callable[[Path], object]
) -> None:
    path, bad = kept(folder), folder / "30000101T000000-is-later.jsonl"
    spoil(bad)
    for command in (
        ["show", "latest"],
        ["diff", "latest", "latest"],
        ["export", "latest", "--output", "a.csv"],
    ):
        done = saevit("results", *command, check=True)
        assert done.stderr.count(f"warning: skipped: {bad}") == 1
    assert path.stem in saevit("results", "show", "latest").stdout
    compared = saevit("compare", "--from-store", "latest", check=True)
    assert f"warning: skipped: {bad}" in compared.stderr
    assert "saevit_small" in compared.stdout
    listed = saevit("results", "list")
    assert (listed.returncode, listed.stdout.count("unreadable"), listed.stderr) == (1, 1, "")
    named = saevit("results", "show", str(bad))
    assert (named.returncode, named.stderr.count("\n")) == (2, 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_store_or_file_of_another_user(saevit: Run, folder: Path) -> None:
    path, closed = kept(folder), kept(folder)
    closed.chmod(0)
    done = saevit("results", "show", "latest", check=True)
    assert path.stem in done.stdout
    assert f"warning: skipped: {closed} cannot be read: Permission denied" in done.stderr
    folder.chmod(0)
    try:
        assert saevit("results", "list").returncode == 2
    finally:
        folder.chmod(0o700)


def test_show(saevit: Run, folder: Path) -> None:
    path = kept(folder, 0.5, failed=MODELS[2])
    done = saevit("results", "show", "latest", check=True)
    result, warning, _, title, *lines = done.stdout.splitlines()
    assert result.startswith("saevit_small is the fastest of 2 models")
    assert warning == "warning: timm:resnet18.a1_in1k: out of memory"
    assert title == f"{path.stem}: 8 interleaved rounds on cpu (a processor), finished"
    small = next(line for line in lines if line.startswith("saevit_small"))
    assert "0.500 [0.500, 0.500] faster" in small
    assert "noise floor" not in done.stdout
    assert f"saevit compare --from-store {path}" in done.stdout
    assert "806 M" in done.stdout
    assert done.stderr == ""
    explained = saevit("results", "show", "latest", "--explain", check=True).stdout
    assert "noise floor: saevit_tiny against itself" in explained
    assert "AVX512" in explained
    assert saevit("results", "show", str(path), "--store", "elsewhere", check=True).stdout == done.stdout


def test_show_for_other_programs(saevit: Run, folder: Path, tmp_path: Path) -> None:
    path = kept(folder)
    data = json.loads(saevit("results", "show", path.stem, "--json", "-", check=True).stdout)
    assert [Record.from_dict(record) for record in data["records"]] == read_run(path).records()
    done = saevit("results", "show", "latest", "--csv", "-", "--json", "run.json", check=True)
    assert [row["quantity"] for row in rows(done.stdout)] == ["latency"] * 3 + ["latency_again", "macs"]
    assert json.loads((tmp_path / "run.json").read_text()) == data
    assert saevit("results", "show", "latest", "--json", "run.json").returncode == 2
    assert saevit("results", "show", "latest", "--json", "run.json", "--overwrite").returncode == 0


def test_diff(saevit: Run, folder: Path) -> None:
    first, second = kept(folder), kept(folder, 2.0)
    done = saevit("results", "diff", first.stem, second.stem, check=True)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("1 of 2 configurations changed from ")
    assert ": 1 slower relative to saevit_tiny." in lines[0]
    (small,) = [line for line in lines if line.startswith("saevit_small")]
    assert small.split() == ["saevit_small", "2.000", "[2.000,", "2.000]", "slower", "1.000", "2.000"]
    assert any(line.startswith(AGAIN) and "not resolved" in line for line in lines)
    (row,) = [
        row
        for row in rows(saevit("results", "diff", first.stem, second.stem, "--format", "csv").stdout)
        if row["model"] == "saevit_small"
    ]
    assert (float(row["ratio"]), row["verdict"]) == (2.0, "slower")
    chosen = saevit("results", "diff", first.stem, "latest", "--reference", "saevit_small", check=True)
    assert "2 of 2 configurations changed" in chosen.stdout
    assert ": 2 faster relative to saevit_small." in chosen.stdout
    wrong = saevit("results", "diff", first.stem, "latest", "--reference", "saevit_smal")
    assert wrong.returncode == 2
    assert wrong.stderr == (
        "error: reference 'saevit_smal' was not measured by both runs under equal conditions: "
        "did you mean saevit_small?\n"
    )


def test_runs_that_share_nothing_are_no_error(saevit: Run, folder: Path) -> None:
    first, other = kept(folder), kept(folder, batch_size=4)
    done = saevit("results", "diff", first.stem, other.stem, check=True)
    assert done.stdout.startswith("Nothing can be compared from ")
    assert done.stdout.count("not in the second run under these conditions (there: 224x192, batch 4") == 3


def test_export(saevit: Run, folder: Path, tmp_path: Path) -> None:
    first, second = kept(folder), kept(folder, 2.0)
    done = saevit("results", "export", "--output", "all.csv", check=True)
    assert done.stdout == ""
    table = rows((tmp_path / "all.csv").read_text())
    assert [row["run"] for row in table] == [first.stem] * 5 + [second.stem] * 5
    assert float(table[6]["infer_step_time"]) == pytest.approx(207.0)
    saevit("results", "export", "latest", second.stem, "--output", "one.jsonl", check=True)
    lines = (tmp_path / "one.jsonl").read_text().splitlines()
    assert [Record.from_dict(json.loads(line)) for line in lines] == read_run(second).records()
    saevit("results", "export", first.stem, "latest", "--output", "two.json", check=True)
    data = json.loads((tmp_path / "two.json").read_text())
    assert [run["run"] for run in data["runs"]] == [first.stem, second.stem]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["all.csv", "one.jsonl", "store", "two.json"]


def test_export_overwrites_only_if_asked(saevit: Run, folder: Path, tmp_path: Path) -> None:
    kept(folder)
    (tmp_path / "mine.csv").write_text("precious")
    assert saevit("results", "export", "--output", "mine.csv").returncode == 2
    assert (tmp_path / "mine.csv").read_text() == "precious"
    saevit("results", "export", "--output", "mine.csv", "--overwrite", check=True)
    assert (tmp_path / "mine.csv").read_text().startswith("run,model")


def test_export_says_what_has_no_record(saevit: Run, folder: Path) -> None:
    path = kept(folder, failed=MODELS[1])
    done = saevit("results", "export", "--output", "all.csv", check=True)
    assert f"warning: {path.stem}: saevit_small: out of memory\n" in done.stderr


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_a_run_that_was_killed(saevit: Run, folder: Path) -> None:
    """Within a line, so that its last one is cut off."""
    with child(folder, dies_in=4) as process:
        process.wait()
    listed = saevit("results", "list", check=True)
    assert "4  incomplete" in listed.stdout
    for command in (["list"], ["show", "latest"]):
        done = saevit("results", *command, check=True)
        assert "the last line is incomplete and is ignored" in done.stdout
        assert "its finished rounds are shown" in done.stdout
    exported = saevit("results", "export", "--output", "all.jsonl", check=True)
    assert "the last line is incomplete and is ignored" in exported.stderr
    done = saevit("results", "diff", "latest", "latest", check=True)
    assert "warning: only 4 rounds" in done.stdout


def test_a_measured_run(saevit: Run, folder: Path) -> None:
    quick = ("--img-size", "64", "--rounds", "6", "--min-time", "0.002", "--threads", "1", "--device", "cpu")
    model = "saevit_pico:dims=8-8-16-16,heads=1,depths=1"
    saevit("profile", model, *quick, "--counters", "analytic", "--batch-size", "1,2", check=True)
    (path,) = folder.iterdir()
    shown = saevit("results", "show", "latest", check=True).stdout
    run = read_run(path)
    assert f"\n{path.stem}: {run.subjects[0].name}, 6 interleaved rounds on cpu" in shown
    assert "\nstage 4  " in shown
    data = json.loads(saevit("results", "show", "latest", "--json", "-", check=True).stdout)
    assert data["records"][0]["samples"] == list(run.subjects[0].samples)
    done = saevit("results", "diff", "latest", "latest", check=True)
    assert done.stdout.startswith("No change is resolved from ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "nope"], "run 'nope': there is none in "),
        (["show", "20"], "run '20': 2 runs begin with that in "),
        (["show"], "Missing argument 'RUN'"),
        (["show", "latest", "--json", "-", "--csv", "-"], "--json and --csv cannot both go to stdout"),
        (["show", "latest", "--csv", "nowhere/a.csv"], "the folder nowhere does not exist, make it first"),
        (["list", "--json", "kept.csv"], "--json kept.csv exists: choose another name, or add --overwrite"),
        (["list", "--store", "kept.csv"], "kept.csv is a file: runs are stored in a folder, such as ."),
        (["diff", "latest"], "Missing argument 'RUN_B'"),
        (["diff", "latest", "nope"], "run 'nope': there is none in "),
        (["export"], "Missing option '--output'"),
        (["export", "--output", "a.xlsx"], "--output a.xlsx has no known ending: choose from .csv"),
        (["export", "--output", "-"], "--output - has no known ending: choose from .csv"),
        (["export", "nope", "--output", "a.csv"], "run 'nope': there is none in "),
        (["export", "--output", "a.csv", "--store", "empty"], "empty has no runs yet: saevit profile"),
        (["lst"], "No such command 'lst'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line(
    saevit: Run, folder: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    kept(folder), kept(folder)
    (tmp_path / "kept.csv").write_text("mine")
    done = saevit("results", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["kept.csv", "store"]


@pytest.mark.parametrize("command", ["list", "show latest", "diff latest latest", "export --output {}/a.csv"])
def test_stored_runs_are_read_without_torch(folder: Path, command: str) -> None:
    kept(folder)
    arguments = ["results", *command.format(folder.parent).split(), "--store", str(folder)]
    assert loaded_by(
        f"from saevit_cli.app import run_command\nassert run_command({arguments!r}) == 0"
    ).isdisjoint(HEAVY)


def test_a_narrow_terminal_keeps_ids_whole(saevit: Run, folder: Path, tmp_path: Path) -> None:
    """So that they can be copied."""
    path = kept(folder)
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "saevit_cli", "results", "list"],
        cwd=tmp_path,
        stdout=terminal,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "80", "SAEVIT_STORE": str(folder)},
    )
    os.close(terminal)
    assert process.wait(60) == 0
    seen = os.read(controller, 65536).decode()
    os.close(controller)
    assert path.stem[:15] in seen
