"""`saevit train` as users type it: to the end, stopped, killed, on a full disk, in several processes."""

import csv
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from saevit.measure.runtimes import threads
from saevit.train.recipe_text import read_recipe
from saevit_cli.app import run
from tests.train.tiny import MODEL, squares

QUICK = ("--img-size", "32", "--batch-size", "8", "--workers", "0")
WAIT = 120  # seconds that a process may take
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the data `squares`."""
    monkeypatch.chdir(tmp_path)
    squares(tmp_path / "squares")
    return tmp_path


@pytest.fixture
def start(here: Path) -> Start:
    """Return a function that starts `saevit train ...`, or another launcher of it, with one thread each."""

    def begin(
        *arguments: str, launcher: Sequence[str] = (), limit: int | None = None
    ) -> "subprocess.Popen[str]":
        def confine() -> None:
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        outer = {name: value for name, value in os.environ.items() if name != "SAEVIT_STORE"}
        return subprocess.Popen(
            [sys.executable, *launcher, "-m", "saevit_cli", "train", *arguments],
            cwd=here,
            env=outer | {"OMP_NUM_THREADS": "1", "COLUMNS": "80"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=confine,
        )

    return begin


def finished(process: "subprocess.Popen[str]", code: int = 0) -> tuple[str, str]:
    """Wait for a process; return what it wrote."""
    out, err = process.communicate(timeout=WAIT)
    assert process.returncode == code, (process.returncode, out, err)
    return out, err


def log_of(folder: Path) -> list[dict[str, str]]:
    """Return the log without what depends on the clock."""
    with (folder / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        {name: value for name, value in row.items() if name not in ("seconds", "images_per_s")}
        for row in rows
    ]


def wait_for_rows(folder: Path, count: int) -> None:
    """Wait until so many epochs are written."""
    end = time.monotonic() + WAIT
    while not (folder / "log.csv").is_file() or len(log_of(folder)) < count:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_run_and_what_takes_it_further(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", MODEL, "--data", "squares", *QUICK, "--epochs", "2", "--set", "mixup=0.2"]
    assert run(arguments) == 0
    told = capsys.readouterr()
    folder = here / "runs" / "saevit_pico-width-0.25-depths-1-squares"
    assert sorted(path.name for path in folder.iterdir()) == [
        "best.safetensors",
        "curve.png",
        "last.pt",
        "log.csv",
        "recipe.toml",
    ]
    assert told.out.startswith(f"Training {MODEL},classes=3 on ")
    for text in (
        "mixup 0.2 (not 0.8)",
        "MACs) an image of 32 x 32 px, counted by analytic",
        "33 to train on",
    ):
        assert text in told.out
    assert f"saevit eval --checkpoint {folder.relative_to(here)}/best.safetensors" in told.out
    assert [line.split()[1] for line in told.err.splitlines() if line.startswith("epoch")] == ["1/2", "2/2"]
    assert run(arguments) == 2
    assert "is not empty: --resume" in capsys.readouterr().err
    assert run(["train", "--recipe", str(folder / "recipe.toml"), "--output", "again", "--workers", "0"]) == 0
    assert log_of(here / "again") == log_of(folder)
    assert read_recipe("again/recipe.toml") == read_recipe(str(folder / "recipe.toml"))
    assert run(["train", "--resume", "again"]) == 0  # nothing is left to do
    assert log_of(here / "again") == log_of(folder)
    assert run([*arguments, "--overwrite", "--seed", "1"]) == 0
    assert log_of(here / "again") != log_of(folder)


def test_a_network_of_timm_by_the_same_command(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "timm:test_efficientnet", "--data", "squares", *QUICK, "--epochs", "1"]
    assert run([*arguments, "--output", "run", "--channels-last", "--accumulate", "2"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Training timm:test_efficientnet on ")
    assert "counted by torch" in out
    assert "8 for each step of one process, 2 steps" in out


def test_killed_it_goes_on_to_the_same_losses(here: Path, start: Start) -> None:
    common = [MODEL, "--data", "squares", *QUICK, "--epochs", "10"]
    killed = start(*common, "--output", "killed")
    wait_for_rows(here / "killed", 2)
    killed.send_signal(signal.SIGKILL)
    finished(killed, -signal.SIGKILL)
    assert len(log_of(here / "killed")) < 10
    with threads(1):  # as many as the other process had
        assert run(["train", "--resume", "killed", "--workers", "1"]) == 0
        assert run(["train", *common, "--output", "whole"]) == 0
    assert log_of(here / "killed") == log_of(here / "whole")
    ours, theirs = (load_file(here / name / "best.safetensors") for name in ("killed", "whole"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_interrupted_and_then_on_a_full_disk_nothing_is_lost(here: Path, start: Start) -> None:
    process = start(MODEL, "--data", "squares", *QUICK, "--epochs", "200", "--output", "run")
    wait_for_rows(here / "run", 1)
    process.send_signal(signal.SIGINT)
    out, err = finished(process, 130)
    assert "Interrupted in epoch" in out
    assert "saevit train --resume run" in out
    assert "Traceback" not in err
    assert (here / "run" / "curve.png").is_file()
    state = here / "run" / "last.pt"
    kept = {path.name: path.read_bytes() for path in (here / "run").iterdir()}
    limit = ((here / "run" / "best.safetensors").stat().st_size + state.stat().st_size) // 2
    out, err = finished(start("--resume", "run", "--workers", "0", limit=limit), 1)
    errors = [line for line in err.splitlines() if not line.startswith("epoch")]
    assert errors == [
        "error: run/last.pt cannot be written: File too large; go on with: saevit train --resume run"
    ]
    assert state.read_bytes() == kept["last.pt"]
    assert {path.name for path in (here / "run").iterdir()} == kept.keys()


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
HERE = (
    "--num_machines",
    "1",
    "--mixed_precision",
    "no",
    "--dynamo_backend",
    "no",
    "--main_process_port",
    "0",
)
ACCELERATE = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", *HERE)


@pytest.mark.parametrize(
    "launcher", [TORCHRUN, pytest.param(ACCELERATE, marks=pytest.mark.slow)], ids=["torchrun", "accelerate"]
)
def test_two_processes_are_one_with_twice_the_batch(
    launcher: Sequence[str], here: Path, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a network without batch statistics, and without mixing, which draws for each batch."""
    calm = [text for name in ("mixup", "cutmix", "reprob") for text in ("--set", f"{name}=0")]
    common = [
        "timm:test_vit",
        "--data",
        "squares",
        "--img-size",
        "160",
        "--epochs",
        "2",
        *calm,
        "--workers",
        "0",
    ]
    assert run(["train", *common, "--batch-size", "8", "--output", "one"]) == 0
    out, err = finished(start(*common, "--batch-size", "4", "--output", "two", launcher=launcher))
    assert out.count("Training timm:test_vit") == 1
    assert out.count("best.safetensors  ") == 1
    assert err.count("epoch 1/2") == 1
    for one, two in zip(log_of(here / "one"), log_of(here / "two"), strict=True):
        assert float(one["train_loss"]) == pytest.approx(float(two["train_loss"]), rel=1e-5)
        assert float(one["val_loss"]) == pytest.approx(float(two["val_loss"]), rel=1e-5)
        assert one["val_top1"] == two["val_top1"]
    capsys.readouterr()
    assert run(["train", "--resume", "two"]) == 2
    assert "the run is of 2 processes and 1 are here" in capsys.readouterr().err


def test_the_recipe_with_its_sources(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--show-recipe", "--data", "squares", "--set", "mixup=0.3"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Recipe imagenet")
    assert "arXiv 2012.12877" in out
    assert "set for this run" in out
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["saevit_pco"], "'saevit_pco' is not a preset: did you mean saevit_pico"),
        (["timm:resnt18"], "timm:resnt18 is not a timm model: did you mean resnet18"),
        (["birder:edgevit_xs"], "cannot be trained here"),
        (["--data", "nowhere"], "nowhere"),
        (["--epochs", "none"], "epochs=none: a whole number of 1 or more"),
        (["--batch-size", "1"], "batch_size=1: a whole number of 2 or more"),
        (["--lr", "-1"], "lr=-1: a number of 0 or more"),
        (["--set", "mixpu=1"], "--set mixpu is neither of the recipe nor of the variant: did you mean mixup"),
        (["--set", "mixup"], "--set mixup is not key=value"),
        (
            ["--set", "epochs=2", "--epochs", "3"],
            "epochs is given as an option (3) and by --set (2): keep one",
        ),
        (["--recipe", "imagnet"], "neither a file nor a recipe: did you mean imagenet?"),
        (["--amp", "fp8"], "--amp fp8 is not known"),
        (["--device", "cdua"], "device 'cdua' is not known"),
        (["--workers", "-1"], "--workers -1: a whole number of 0 or more"),
        (["--teacher", "timm:resnet18"], "without weights teaches nothing: --teacher-checkpoint"),
        (["--teacher", "timm:resnet18", "--teacher-checkpoint", "gone.pth"], "gone.pth does not exist"),
        (["--set", "classes=7"], "has 7 classes and --data"),
        (["--output", "squares"], "--output squares is not empty: --overwrite starts anew"),
        (["--output", "file"], "--output file is a file: name a folder"),
        (["--resume", "squares"], "there is no last.pt in it"),
        (["--resume", "squares", "--epochs", "3", "--seed", "1"], "leave --epochs, --seed out"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_nothing_is_written(
    arguments: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "file").write_text("mine")
    data = (
        [] if "--data" in arguments or "--resume" in arguments else ["--data", "squares", "--img-size", "32"]
    )
    data = data if "--resume" in arguments or "--batch-size" in arguments else [*data, "--batch-size", "8"]
    assert run(["train", *arguments, *data]) == 2
    told = capsys.readouterr()
    assert len(told.err.splitlines()) == 1
    assert message in told.err
    assert told.out == ""
    assert sorted(path.name for path in here.iterdir()) == ["file", "squares"]


@pytest.mark.slow
def test_digits_reach_97_per_cent(start: Start, here: Path) -> None:
    finished(start("saevit_pico", "--data", "digits"))
    rows = log_of(here / "runs" / "saevit_pico-digits")
    assert max(float(row["val_top1"]) for row in rows) >= 97
