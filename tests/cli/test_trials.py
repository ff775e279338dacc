"""`saevit compare ... --top1 DATA --train` as users type it."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from saevit_cli.app import run_command
from tests.train.tiny import squares
from tests.trials.squares_plan import MODELS, VARIANTS, results_in

QUICK = ("--recipe", "digits", "--set", "batch_size=8", "--workers", "0", "--device", "cpu", "--no-measure")
WAIT = 900  # seconds after which a process hangs


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the data `squares` and a store of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAEVIT_STORE", str(tmp_path / "store"))
    squares(tmp_path / "squares", train=6, validation=4)
    return tmp_path


def arguments(models: Sequence[str], *more: str) -> list[str]:
    """Return the words of a quick command."""
    return ["compare", *models, "--top1", "squares", "--train", "--epochs", "2", *QUICK, *more]


def test_models_are_trained_and_compared(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(arguments(VARIANTS, "--seeds", "2", "--json", "first.json")) == 0
    told = capsys.readouterr().err
    assert "training 2 models x 2 seeds, 2 epochs of 18 images each\n" in told
    assert "trial 4 of 4" in told
    assert "has no effect" not in told
    found = json.loads((here / "first.json").read_text("utf-8"))["candidates"]
    assert [row["model"] for row in found] == [f"{model},classes=3" for model in VARIANTS]
    assert all(row["top1"] is not None and row["infer_img_size"] == 32 for row in found)
    before = sorted((here / "store").iterdir())
    assert run_command(arguments(VARIANTS, "--json", "again.json")) == 0
    assert "2 models x 2 seeds, 2 epochs of 18 images each: all 4 trials are stored already" in (
        capsys.readouterr().err
    )
    assert sorted((here / "store").iterdir()) == before
    assert json.loads((here / "again.json").read_text("utf-8"))["candidates"] == found


def test_a_run_folder_is_that_of_train(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(arguments(VARIANTS[:1], "--seeds", "1", "--images", "19", "--runs", "mine")[:-2]) == 2
    assert "--epochs and --images both set the budget" in capsys.readouterr().err
    words = [word for word in arguments(VARIANTS[:1], "--seeds", "1", "--runs", "mine") if word != "--epochs"]
    words.remove("2")
    assert run_command([*words, "--images", "19"]) == 0
    assert "2 epochs of 18 images each" in capsys.readouterr().err
    (folder,) = (here / "mine").glob("*/*")
    assert {path.name for path in folder.iterdir()} == {
        *("best.safetensors", "config.json", "last.pt", "log.csv", "recipe.toml", "curve.png", "report.html"),
    }
    assert run_command(["train", "--resume", str(folder)]) == 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--train"], "--train needs images: add --top1 DATA"),
        (["--train", "--top1", "published"], "--train needs images: add --top1 DATA"),
        (["--train", "--top1", "missing"], "--top1 missing does not exist"),
        (["--train", "--top1", "squares@train"], "leave out @train"),
        (["--train", "--top1", "squares", "--classes", "3"], "the number of classes follows from the data"),
        (["--epochs", "2"], "--epochs is for trainings: add --train"),
        (["--top1", "squares", "--seeds", "3"], "--seeds is for trainings: add --train"),
        (["--train", "--top1", "squares", "--set", "width=2"], "--set width=2 is a key of a variant"),
        (["--train", "--top1", "squares", "--set", "seed=2"], "--seeds N trains the seeds 0 to N-1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_trained_is_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    assert run_command(["compare", VARIANTS[0], "--no-measure", *words]) == 2
    told = capsys.readouterr().err
    assert line in told
    assert told.count("\n") == 1


def test_a_stored_run_is_not_trained(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", "--from-store", "latest", "--train", "--top1", "squares"]
    assert run_command(words) == 2
    assert "--train: --from-store shows a run as it was measured" in capsys.readouterr().err


def test_a_model_that_cannot_be_trained_is_a_row(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = [VARIANTS[0], "timm:vit_tiny_patch16_384"]
    assert run_command(arguments(models, "--seeds", "1", "--set", "lr=1e6", "--set", "opt=sgd")) == 1
    told = capsys.readouterr()
    assert "not trained: " in told.out


def test_rates_are_tuned_and_rungs_are_climbed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(arguments(VARIANTS[:1], "--seeds", "1", "--halve", "--tune-lr")) == 0
    told = capsys.readouterr()
    assert "training 1 model x 3 learning rates, 1 epoch of 18 images each\n" in told.err
    assert "rung 1 of 2: " in told.err
    assert "rung 2 of 2: training 1 model x 1 seed, 2 epochs of 18 images each\n" in told.err
    assert "chosen by the validation images" in " ".join(told.out.split())


EXPLORE = ("explore", VARIANTS[0], "--dims4", "24:32:8", "--set", "ratios4=1:3:0.25", "--set", "ratios3=1,2")


def test_the_best_variants_of_a_search_are_trained(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*EXPLORE, "--train-top", "1", "--data", "squares", "--epochs", "1", *QUICK[:6], "--seeds", "1"]
    assert run_command(words) == 0
    told = capsys.readouterr()
    assert "training 3 models x 1 seed, 1 epoch of 18 images each" in told.err
    out = " ".join(told.out.split())
    assert re.search(r"equal MACs is not resolved: \S+ \[\S+, \S+\] points over 1 pair\.", out)
    assert "measured here on squares" in out
    assert "Pairs of equal GMACs (within 2 %)" in out
    assert len(results_in(here / "store")) == 3


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--train-top", "2"], "--train-top needs images: add --data"),
        (["--data", "squares"], "--data is for trainings: add --train-top"),
        (["--set", "mixup=0.1"], "--set mixup=0.1 is for trainings: add --train-top"),
        (["--train-top", "2", "--data", "missing"], "--data missing does not exist"),
        (["--train-top", "2", "--data", "squares", "--json", "-"], "--train-top prints tables"),
    ],
    ids=" ".join,
)
def test_what_explore_cannot_train_is_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    assert run_command(["explore", VARIANTS[0], *words]) == 2
    told = capsys.readouterr().err
    assert line in told
    assert told.count("\n") == 1


def begin(here: Path, *more: str) -> "subprocess.Popen[str]":
    """Start the command in a process of its own, with one thread."""
    return subprocess.Popen(
        [sys.executable, "-m", "saevit_cli", *arguments(MODELS, *more)],
        cwd=here,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "80"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_an_interrupt_says_how_to_continue(here: Path) -> None:
    process = begin(here, "--epochs", "2000", "--seeds", "1")
    wait_for(lambda: bool(list(here.glob("runs/*/*/last.pt"))), process)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=WAIT)
    assert process.returncode == 130
    assert told.splitlines()[-1] == "stopped after 0 of 3 trials: the same command continues"


def wait_for(is_there: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Wait until something is there, while the process runs."""
    end = time.monotonic() + WAIT
    while not is_there():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(4 * WAIT)
def test_ten_kills_at_random_moments_do_not_change_a_result(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, process = time.monotonic(), begin(here)
    process.communicate(timeout=WAIT)
    each = (time.monotonic() - start) / 6
    expected = results_in(here / "store")
    assert len(expected) == 6
    rng, kills, tries = random.Random(11), 0, 0
    while kills < 10:
        name = f"broken{tries}"
        monkeypatch.setenv("SAEVIT_STORE", str(here / f"store_{name}"))
        process = begin(here, "--runs", name)
        assert process.stderr
        first = next(line for line in process.stderr if not line.startswith("warning"))
        if not first.startswith("training"):  # all trials are stored: begin anew
            process.communicate(timeout=WAIT)
            assert results_in(here / f"store_{name}") == expected
            tries += 1
            continue
        time.sleep(rng.uniform(0, each / 2))
        process.kill()
        process.communicate(timeout=WAIT)
        kills += process.returncode == -signal.SIGKILL
    process = begin(here, "--runs", name)
    process.communicate(timeout=WAIT)
    assert process.returncode == 0
    assert results_in(here / f"store_{name}") == expected
