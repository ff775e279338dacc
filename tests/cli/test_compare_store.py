"""What `saevit compare` keeps of a run, however it ends, and shows again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Run

SMALL = "saevit_pico:dims=8-8-16-16,heads=1,depths=1"
LARGE = "saevit_pico:dims=16-16-32-32,heads=1,depths=2"
MODELS = (LARGE, SMALL, "edgevit_xs", "timm:mobilenetv3_small_050")
QUICK = ("--min-time", "0.002", "--threads", "1", "--img-size", "64", "--device", "cpu")
MOST_SECONDS = 120


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a comparison of more rounds than anybody waits for."""
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "saevit_cli",
            "compare",
            LARGE,
            SMALL,
            "--rounds",
            "10000",
            *QUICK,
            *arguments,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=os.environ | {"SAEVIT_STORE": str(folder / "store")},
    )


def rounds_on_disk(folder: Path) -> int:
    return sum(
        path.read_text(encoding="utf-8").count('"kind": "round"') for path in folder.glob("store/*.jsonl")
    )


def wait_for_rounds(process: subprocess.Popen[str], folder: Path, count: int) -> None:
    deadline = time.monotonic() + MOST_SECONDS
    while rounds_on_disk(folder) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "no rounds appeared"
        time.sleep(0.02)


def test_a_run_is_shown_again_as_it_was(saevit: Run) -> None:
    run = saevit("compare", *MODELS, "--rounds", "6", *QUICK)
    assert run.returncode == 0
    assert run.stderr.startswith("stored ")
    again = saevit("compare", "--from-store", "latest", check=True)
    assert again.stdout == run.stdout
    some = saevit("compare", SMALL, LARGE, "--from-store", "latest", "--json", "-", check=True)
    data = json.loads(some.stdout)
    assert [c["params"] for c in data["candidates"]] == sorted(
        (c["params"] for c in data["candidates"]), reverse=True
    )
    assert data["reference"] == data["candidates"][1]["model"]


def test_a_failure_is_kept_with_its_reason(saevit: Run) -> None:
    run = saevit("compare", SMALL, "saevit_tiny:width=100", "--rounds", "6", *QUICK)
    again = saevit("compare", "--from-store", "latest")
    assert (run.returncode, again.returncode) == (1, 1)
    assert "GB are free" in again.stdout


def test_counting_alone_keeps_no_run(saevit: Run, tmp_path: Path) -> None:
    saevit("compare", SMALL, "--no-measure", check=True)
    assert not list((tmp_path / "store").glob("*")) if (tmp_path / "store").exists() else True


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_killed_in_mid_run(saevit: Run, tmp_path: Path) -> None:
    """kill -9 leaves every finished round, and the next command reads them."""
    with started(tmp_path) as process:
        wait_for_rounds(process, tmp_path, 7)
        process.kill()
        process.communicate()
    kept = rounds_on_disk(tmp_path)
    again = saevit("compare", "--from-store", "latest", check=True)
    assert f"{kept} rounds on " in again.stdout
    data = json.loads(saevit("compare", "--from-store", "latest", "--json", "-", check=True).stdout)
    assert {len(c["latency"]["samples"]) for c in data["candidates"]} == {kept}
    assert all(c["params"] and c["macs"] for c in data["candidates"])


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
@pytest.mark.parametrize(
    "signals", [[signal.SIGKILL], [signal.SIGTERM], [signal.SIGINT, signal.SIGINT]], ids=["9", "15", "2 2"]
)
def test_what_ends_while_it_warms_up_leaves_nothing_that_blocks(
    saevit: Run, tmp_path: Path, signals: list[signal.Signals]
) -> None:
    store = tmp_path / "store"
    with started(tmp_path, "--min-time", "100") as process:
        deadline = time.monotonic() + MOST_SECONDS
        while not store.exists():  # it is made before anything is built
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "the run did not start"
            time.sleep(0.02)
        for one in signals:
            process.send_signal(one)
        process.communicate(timeout=MOST_SECONDS)
    assert process.returncode != 0
    assert not store.exists() or not list(store.glob("*"))
    assert "has no runs yet" in saevit("results", "list", check=True).stdout


@pytest.mark.skipif(os.name == "nt", reason="needs SIGINT")
def test_ctrl_c_reports_the_finished_rounds(saevit: Run, tmp_path: Path) -> None:
    with started(tmp_path, "--json", "found.json") as process:
        wait_for_rounds(process, tmp_path, 7)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=MOST_SECONDS)
    assert process.returncode == 130, stderr
    kept = rounds_on_disk(tmp_path)
    assert f"{kept} rounds on " in stdout
    assert json.loads((tmp_path / "found.json").read_text())["timings"]["interrupted"] is True


def test_a_store_that_the_user_names_has_to_work(saevit: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = saevit("compare", SMALL, *QUICK, "--store", "file")
    assert done.returncode == 2
    assert "cannot store runs" in done.stderr
    assert done.stdout == ""


def test_the_usual_store_may_fail(saevit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    done = saevit("compare", SMALL, "--rounds", "6", *QUICK, store=None)
    assert done.returncode == 0
    assert done.stderr.startswith("warning: samples are not stored: ")
    assert "images/s" in done.stdout


NO_NETWORK = """
import socket, sys
def refuse(*arguments, **options):
    print("network", arguments, file=sys.stderr, flush=True)
    raise OSError("no network in this test")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
"""


def test_nothing_is_fetched(saevit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_NETWORK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = saevit("compare", *MODELS, "timm:fastvit_t8", "--rounds", "6", *QUICK)
    assert done.returncode == 0
    assert "network" not in done.stderr.replace("interleaved", "")
