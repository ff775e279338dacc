"""`saevit train` as users type it: to the end, stopped, killed, on a full disk, in several processes."""

import csv
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
import timm
import torch
from safetensors.torch import load_file

from saevit.measure.conditions import pin_threads
from saevit.train.recipe_files import read_recipe
from saevit_cli.app import run_command
from tests.cli.test_eval import FULL
from tests.train.test_icons import Package
from tests.train.tiny import MODEL, squares

QUICK = ("--img-size", "32", "--batch-size", "8", "--workers", "0")
SMALL_MAPS = "warning: images of 32 x 32 px are too small for attention: each stage has one token"
FEW = (
    "warning: 4 updates are few for a network with random weights: try --epochs 125, or a smaller "
    "--batch-size, or --recipe digits (for few, small images)"
)
WAIT = 500  # seconds after which a process hangs
Start = Callable[..., "subprocess.Popen[str]"]
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


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
        *arguments: str, launcher: Sequence[str] = (), limit: int | None = None, stdout: Any = subprocess.PIPE
    ) -> "subprocess.Popen[str]":
        def confine() -> None:
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        outer = {name: value for name, value in os.environ.items() if name != "SAEVIT_STORE"}
        return subprocess.Popen(
            [sys.executable, *launcher, "-m", "saevit_cli", "train", *arguments],
            cwd=here,
            env=outer | {"OMP_NUM_THREADS": "1", "COLUMNS": "80"},
            stdout=stdout,
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
    assert run_command(arguments) == 0
    told = capsys.readouterr()
    folder = here / "runs" / "saevit_pico-width-0.25-depths-1-squares"
    assert sorted(path.name for path in folder.iterdir()) == [
        "best.safetensors",
        "config.json",
        "curve.png",
        "last.pt",
        "log.csv",
        "recipe.toml",
        "report.html",
    ]
    page = (folder / "report.html").read_text(encoding="utf-8")
    for text in ('class="figure"', "Every epoch", "mixup", 'download="training.csv"'):
        assert text in page
    assert told.out.startswith(f"Training {MODEL},classes=3 on ")
    for text in (
        "mixup 0.2 (default 0.8)",
        "MACs per image of 32 x 32 px",
        "33 for training",
    ):
        assert text in told.out
    assert f"saevit eval --checkpoint {folder.relative_to(here)}/best.safetensors" in told.out
    assert [line.split()[1] for line in told.out.splitlines() if line.startswith("epoch")] == ["1/2", "2/2"]
    assert "epoch 1" not in told.err
    assert " % top-1 [" in told.out
    loaded = timm.create_model(f"local-dir:{folder}", pretrained=True)
    assert (loaded.num_classes, loaded.pretrained_cfg["label_names"]) == (3, ["blue", "green", "red"])
    assert run_command(arguments) == 2
    assert "is not empty: --resume" in capsys.readouterr().err
    assert (
        run_command(["train", "--recipe", str(folder / "recipe.toml"), "--output", "again", "--workers", "0"])
        == 0
    )
    assert log_of(here / "again") == log_of(folder)
    assert read_recipe("again/recipe.toml") == read_recipe(str(folder / "recipe.toml"))
    assert run_command(["train", "--resume", "again"]) == 0  # nothing is left to do
    assert log_of(here / "again") == log_of(folder)
    assert run_command([*arguments, "--overwrite", "--seed", "1"]) == 0
    assert log_of(here / "again") != log_of(folder)


def test_quiet_says_the_result_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", MODEL, "--data", "squares", *QUICK, "--epochs", "1", "--lr", "1e-3", "--quiet"]
    assert run_command(arguments) == 0
    told = capsys.readouterr()
    assert told.err.splitlines() == [FEW, SMALL_MAPS]
    assert " % top-1 [" in told.out.splitlines()[0]
    assert not any(text in told.out for text in ("epoch 1", "Training", "Next", "--explain"))


def test_data_for_programs_are_alone_on_stdout(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", MODEL, "--data", "squares", *QUICK, "--epochs", "1", "--lr", "1e-3"]
    assert run_command([*arguments, "--output", "run", "--format", "json"]) == 0
    told = capsys.readouterr()
    (epoch,) = json.loads(told.out)["epochs"]
    assert epoch["val_images"] == 15
    assert "epoch 1/1" in told.err
    assert run_command(["train", "--resume", "run", "--format", "csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert float(row["val_top1"]) == epoch["val_top1"]


def test_a_network_of_timm_by_the_same_command(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "timm:test_efficientnet", "--data", "squares", *QUICK, "--epochs", "1"]
    assert (
        run_command([*arguments, "--output", "run", "--channels-last", "--accumulate", "2", "--explain"]) == 0
    )
    out = capsys.readouterr().out
    assert out.startswith("Training timm:test_efficientnet on ")
    assert "counted by torch" in out
    assert "16 images (2 steps x 8 images)" in out


def test_killed_it_goes_on_to_the_same_losses(here: Path, start: Start) -> None:
    common = [MODEL, "--data", "squares", *QUICK, "--epochs", "10"]
    killed = start(*common, "--output", "killed")
    wait_for_rows(here / "killed", 2)
    killed.send_signal(signal.SIGKILL)
    finished(killed, -signal.SIGKILL)
    assert len(log_of(here / "killed")) < 10
    with pin_threads(1):  # as many as the other process had
        assert run_command(["train", "--resume", "killed", "--workers", "1"]) == 0
        assert run_command(["train", *common, "--output", "whole"]) == 0
    assert log_of(here / "killed") == log_of(here / "whole")
    ours, theirs = (load_file(here / name / "best.safetensors") for name in ("killed", "whole"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_file_gets_the_line_of_each_epoch_at_once(here: Path, start: Start) -> None:
    with (here / "out.txt").open("w") as file:
        process = start(MODEL, "--data", "squares", *QUICK, "--epochs", "500", "--output", "run", stdout=file)
    wait_for_rows(here / "run", 2)  # the first line is written before the second epoch begins
    text = (here / "out.txt").read_text()
    process.send_signal(signal.SIGINT)
    _, err = finished(process, 130)
    (line,) = (line for line in text.splitlines() if line.startswith("epoch   1/500"))
    assert "  EMA val loss " in line
    assert "  raw top-1 " in line
    assert "epoch" not in err.replace("--epochs", "")


def test_interrupted_and_then_on_a_full_disk_nothing_is_lost(here: Path, start: Start) -> None:
    process = start(MODEL, "--data", "squares", *QUICK, "--epochs", "200", "--output", "run")
    wait_for_rows(here / "run", 1)
    process.send_signal(signal.SIGINT)
    out, err = finished(process, 130)
    assert "Stopped in epoch" in out
    assert "saevit train --resume run" in out
    assert "Traceback" not in err
    assert (here / "run" / "curve.png").is_file()
    state = here / "run" / "last.pt"
    kept = {path.name: path.read_bytes() for path in (here / "run").iterdir()}
    limit = ((here / "run" / "best.safetensors").stat().st_size + state.stat().st_size) // 2
    out, err = finished(start("--resume", "run", "--workers", "0", limit=limit), 1)
    assert err.splitlines() == [
        SMALL_MAPS,
        "error: run/last.pt cannot be written: File too large; continue with: saevit train --resume run",
    ]
    assert state.read_bytes() == kept["last.pt"]
    assert {path.name for path in (here / "run").iterdir()} == kept.keys()


def end_worker_of(process: "subprocess.Popen[str]", number: int) -> list[psutil.Process]:
    """Send a signal to one of the processes that read images; return all that the training has."""
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    children[0].send_signal(number)
    return children


def check_gone(children: Iterable[psutil.Process]) -> None:
    """Fail if one of the processes is still there."""
    _, alive = psutil.wait_procs(children, timeout=WAIT)
    assert not alive


WORKERS = (MODEL, "--data", "squares", "--img-size", "32", "--batch-size", "8", "--workers", "2")


def test_a_killed_worker_is_one_line_and_none_is_left(here: Path, start: Start) -> None:
    process = start(*WORKERS, "--epochs", "500", "--output", "run")
    wait_for_rows(here / "run", 1)
    children = end_worker_of(process, signal.SIGKILL)
    _, err = finished(process, 1)
    (line,) = (line for line in err.splitlines() if not line.startswith("warning: "))
    assert line.startswith(
        "error: a worker process that reads images failed (it ended with exit code -9): free memory"
    )
    assert line.endswith("or use --workers 0; continue with: saevit train --resume run")
    check_gone(children)
    assert not list((here / "run").glob(".*"))


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_wish_to_stop_is_met_while_a_worker_hangs(number: int, here: Path, start: Start) -> None:
    process = start(*WORKERS, "--epochs", "500", "--output", "run", "--accumulate", "2")
    wait_for_rows(here / "run", 1)
    children = end_worker_of(process, signal.SIGSTOP)
    process.send_signal(number)
    out, err = finished(process, 130)
    assert "saevit train --resume run" in out
    assert "rror" not in err
    check_gone(children)


@pytest.mark.slow
def test_workers_that_fail_are_one_line(here: Path) -> None:
    command = [sys.executable, "-c", FULL, "train", *WORKERS, "--epochs", "1", "--output"]
    runs = [  # two at once: on a busy machine, Python wrote a traceback after our line
        subprocess.Popen(
            [*command, name], cwd=here, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        for name in ("one", "two")
    ]
    for run, name in zip(runs, ("one", "two"), strict=True):
        _, errors = finished(run, 1)
        (line,) = (line for line in errors.splitlines() if not line.startswith("warning: "))
        assert line.startswith("error: a worker process that reads images failed (RuntimeError: unable to")
        assert line.endswith(f"or use --workers 0; continue with: saevit train --resume {name}")


def too_little_memory(*_: object) -> None:
    """What torch does when shared memory is full; processes that are forked inherit it."""
    raise RuntimeError(
        "unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)"
    )


def test_too_little_shared_memory_is_one_line_and_an_earlier_run_stays(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["train", *WORKERS, "--epochs", "1", "--lr", "1e-3"]
    assert run_command([*arguments, "--output", "old", "--workers", "0"]) == 0
    kept = {path.name: path.read_bytes() for path in (here / "old").iterdir()}
    for target, way in (
        ("new", "continue with: saevit train --resume new"),
        ("old", "no file was written"),
    ):
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(torch.UntypedStorage, "_share_fd_cpu_", too_little_memory)
            assert run_command([*arguments, "--output", target, "--overwrite"]) == 1
        *warnings, line = capsys.readouterr().err.splitlines()
        assert warnings == [FEW, SMALL_MAPS]
        assert "No space left on device (28)): free memory, increase the shared memory" in line
        assert line.endswith(f"or use --workers 0; {way}")
    assert {path.name: path.read_bytes() for path in (here / "old").iterdir()} == kept
    assert run_command(["train", "--resume", "new", "--workers", "0"]) == 0
    assert log_of(here / "new") == log_of(here / "old")


@pytest.mark.slow
def test_a_folder_in_which_a_run_is_under_way_is_left_alone(
    here: Path, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    process = start(*WORKERS, "--epochs", "500", "--output", "run")
    wait_for_rows(here / "run", 1)
    process.send_signal(signal.SIGSTOP)  # so that nothing but the others could change its files
    (here / "run" / ".saevit-half.pt").write_text("half-written")
    kept = {path.name: path.read_bytes() for path in (here / "run").iterdir()}
    again = ["train", *QUICK, MODEL, "--data", "squares", "--output", "run"]
    for arguments in (again, [*again, "--overwrite"], ["train", "--resume", "run"]):
        assert run_command(arguments) == 2
        told = capsys.readouterr()
        assert told.err == f"error: run is in use by process {process.pid}: wait until it ends\n"
        assert told.out == ""
    assert {path.name: path.read_bytes() for path in (here / "run").iterdir()} == kept
    process.send_signal(signal.SIGKILL)
    finished(process, -signal.SIGKILL)
    recipe = (here / "run" / "recipe.toml").read_text()
    assert run_command([*again, "--overwrite", "--epochs", "1"]) == 0  # at once: what it forked holds nothing
    assert (here / "run" / "recipe.toml").read_text() != recipe
    assert not list((here / "run").glob(".*"))


def test_a_run_that_kept_nothing_begins_anew(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", *QUICK, MODEL, "--data", "squares", "--epochs", "1"]
    assert run_command([*arguments, "--output", "whole"]) == 0
    (here / "killed").mkdir()
    shutil.copy(here / "whole" / "recipe.toml", here / "killed")
    (here / "killed" / ".saevit-lock").write_text("123")
    capsys.readouterr()
    assert run_command([*arguments, "--output", "killed"]) == 2
    assert "--resume killed continues the run in it, or --overwrite" in capsys.readouterr().err
    assert run_command(["train", "--resume", "killed", "--workers", "0"]) == 0
    assert log_of(here / "killed") == log_of(here / "whole")


@pytest.mark.slow
def test_other_data_are_refused_and_nothing_is_written(
    here: Path, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    process = start(MODEL, "--data", "squares", *QUICK, "--epochs", "500", "--output", "run")
    wait_for_rows(here / "run", 1)
    process.send_signal(signal.SIGINT)
    finished(process, 130)
    kept = {path.name: path.read_bytes() for path in (here / "run").iterdir()}
    for split in ("train", "val"):
        (here / "squares" / split / "red").rename(here / "squares" / split / "zebra")
    assert run_command(["train", "--resume", "run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        "(train) has changed since the run began: class red removed, class zebra added; restore the data"
        in line
    )
    assert {path.name: path.read_bytes() for path in (here / "run").iterdir()} == kept


def test_a_folder_whose_name_is_no_text(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Trained on, and found again by the run's recipe, its state and its weights."""
    data = Path(os.fsdecode(b"caf\xe9 \x1b[2J\n"))
    (here / "squares").rename(data)
    assert run_command(["train", MODEL, "--data", str(data), *QUICK, "--epochs", "1", "--output", "run"]) == 0
    recipe = (here / "run" / "recipe.toml").read_text(encoding="utf-8")
    assert 'caf%E9%20%1B%5B2J%0A"' in recipe
    assert all(line.isprintable() for line in recipe.splitlines())
    assert run_command(["train", "--resume", "run"]) == 0
    assert run_command(["train", "--recipe", "run/recipe.toml", "--output", "again", "--workers", "0"]) == 0
    assert log_of(here / "again") == log_of(here / "run")
    assert run_command(["eval", "--checkpoint", "run/best.safetensors", "--no-store"]) == 0
    told = capsys.readouterr()
    assert all(line.isprintable() for line in (told.out + told.err).splitlines())


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"RANK": "1"}, "--data nowhere does not exist"),
        ({"RANK": "x", "LOCAL_RANK": "7", "MASTER_PORT": "a"}, "--data nowhere does not exist"),
        ({"RANK": "1", "WORLD_SIZE": "1"}, "--data nowhere does not exist"),
        ({"WORLD_SIZE": "2"}, "RANK is not set and WORLD_SIZE is 2"),
        ({"WORLD_SIZE": "abc"}, "WORLD_SIZE is 'abc'"),
        ({"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}, "MASTER_PORT is not set"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "RANK is '2' and WORLD_SIZE is 2: a whole number from 0 to 1"),
    ],
)
def test_variables_that_are_left_over_silence_nothing(
    variables: dict[str, str],
    message: str,
    here: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert run_command(["train", "--data", "nowhere"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


LOST = """
import os, sys
from saevit_cli.app import main
if os.environ["RANK"] == "1":
    os.chdir("/")
sys.argv[1:] = ["train", "timm:test_vit", "--data", "squares", "--img-size", "160", "--batch-size", "4"]
main()
"""


@pytest.mark.slow  # processes of torchrun
def test_what_one_process_alone_finds_wrong_is_told_once(here: Path) -> None:
    (here / "lost.py").write_text(LOST)
    done = subprocess.run(
        [sys.executable, *TORCHRUN, "lost.py"],
        cwd=here,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=WAIT,
    )
    assert done.returncode
    assert done.stderr.count("error: --data squares does not exist") == 1
    assert not (here / "runs").exists()


def test_a_recipe_that_teaches_nothing_is_warned_of(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", *QUICK, MODEL, "--data", "squares", "--epochs", "1"]
    assert run_command([*arguments, "--output", "a"]) == 0
    told = capsys.readouterr().err
    assert "hardly change the network: try --lr 0.001 --epochs 125, or --recipe digits" in told
    assert "are few" not in told
    assert run_command([*arguments, "--output", "b", "--lr", "0.001"]) == 0
    assert capsys.readouterr().err.splitlines()[:2] == [FEW, SMALL_MAPS]


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
    assert run_command(["train", *common, "--batch-size", "8", "--output", "one"]) == 0
    out, _ = finished(start(*common, "--batch-size", "4", "--output", "two", launcher=launcher))
    assert out.count("Training timm:test_vit") == 1
    assert out.count("Validation accuracy of timm:test_vit") == 1
    assert out.count("epoch 1/2") == 1
    for one, two in zip(log_of(here / "one"), log_of(here / "two"), strict=True):
        assert float(one["train_loss"]) == pytest.approx(float(two["train_loss"]), rel=1e-5)
        assert float(one["val_loss"]) == pytest.approx(float(two["val_loss"]), rel=1e-5)
        assert one["val_top1"] == two["val_top1"]
    capsys.readouterr()
    assert run_command(["train", "--resume", "two"]) == 2
    assert "the run began with 2 processes, not 1" in capsys.readouterr().err


def test_the_recipe_with_its_sources(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["train", "--show-recipe", "--data", "squares", "--set", "mixup=0.3"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("The recipe imagenet has ")
    assert "arXiv 2012.12877" in out
    assert "set for this run" in out
    assert run_command(["train", "--show-recipe", "--set", "mixup=0.3", "--format", "csv"]) == 0
    rows = {row["key"]: row for row in csv.DictReader(io.StringIO(capsys.readouterr().out))}
    assert (rows["mixup"]["value"], rows["mixup"]["source"]) == ("0.3", "set for this run")
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["saevit_pco"], "'saevit_pco' is not a model: did you mean saevit_pico"),
        (["timm:resnt18"], "timm:resnt18 is not a timm model: did you mean resnet18"),
        (["birder:edgevit_xs"], "cannot be trained: name"),
        (["--data", "nowhere"], "nowhere"),
        (["--epochs", "none"], "epochs=none: a whole number of 1 or more"),
        (["--batch-size", "1"], "batch_size=1: a whole number of 2 or more"),
        (["--lr", "-1"], "lr=-1: a number of 0 or more"),
        (
            ["--set", "mixpu=1"],
            "--set mixpu is not a key of the recipe or of the variant: did you mean mixup",
        ),
        (["--set", "mixup"], "--set mixup is not key=value"),
        (
            ["--set", "epochs=2", "--epochs", "3"],
            "epochs is given as an option (3) and by --set (2): keep one",
        ),
        (["--recipe", "imagnet"], "neither a file nor a recipe: did you mean imagenet?"),
        (["--amp", "fp8"], "--amp 'fp8' is not available"),
        (["--device", "cdua"], "device 'cdua' is not known"),
        (["--workers", "-1"], "--workers -1: a whole number from 0 to 256"),
        (["--teacher", "timm:resnet18"], "needs its weights: add --teacher-checkpoint FILE"),
        (["--teacher", "timm:resnet18", "--teacher-checkpoint", "gone.pth"], "gone.pth does not exist"),
        (["--init", "gone.pth"], "--init gone.pth does not exist"),
        (["--init", "file"], "file cannot be read as weights"),
        (["--set", "classes=7"], "has 7 classes and --data"),
        (["--output", "full"], "--output full is not empty: --overwrite replaces it"),
        (["--output", "file"], "--output file is a file: name a folder"),
        (["--resume", "squares"], "it contains no last.pt"),
        (["--resume", "squares", "--epochs", "3", "--seed", "1"], "leave out --epochs, --seed"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_nothing_is_written(
    arguments: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "file").write_text("mine")
    (here / "full").mkdir()
    (here / "full" / "notes.txt").write_text("mine")
    data = (
        [] if "--data" in arguments or "--resume" in arguments else ["--data", "squares", "--img-size", "32"]
    )
    data = data if "--resume" in arguments or "--batch-size" in arguments else [*data, "--batch-size", "8"]
    assert run_command(["train", *arguments, *data]) == 2
    told = capsys.readouterr()
    assert len(told.err.splitlines()) == 1
    assert message in told.err
    assert told.out == ""
    assert sorted(path.name for path in here.iterdir()) == ["file", "full", "squares"]
    assert [path.name for path in (here / "full").iterdir()] == ["notes.txt"]


def test_fine_tuning_says_what_it_starts_from(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    squares(here / "two", classes=2)
    quick = ("--epochs", "1", *QUICK)
    assert run_command(["train", MODEL, "--data", "squares", *quick, "--output", "first"]) == 0
    tune = ["train", MODEL, "--data", "two", *quick, "--init", "first/best.safetensors"]
    capsys.readouterr()
    assert run_command([*tune, "--output", "tuned"]) == 0
    captured = capsys.readouterr()
    said = " ".join(captured.out.split())
    assert "best.safetensors, with a new classifier: the file has 3 classes, the data have 2" in said
    assert "are few" not in captured.err
    _, _, run = read_recipe("tuned/recipe.toml")
    assert run["init"] == str(here / "first" / "best.safetensors")
    assert run_command(["train", "--recipe", "tuned/recipe.toml", "--output", "again", "--workers", "0"]) == 0
    assert log_of(here / "again") == log_of(here / "tuned")
    (here / "killed").mkdir()
    shutil.copy(here / "tuned" / "recipe.toml", here / "killed")
    state = (here / "first" / "last.pt").read_bytes()
    (here / "first" / "best.safetensors").write_bytes(state)
    capsys.readouterr()
    assert run_command(["train", "--resume", "killed"]) == 2
    assert "best.safetensors has changed since the run began" in capsys.readouterr().err
    assert run_command(["train", "--resume", "tuned"]) == 0  # it has weights of its own


@pytest.mark.slow
def test_digits_reach_97_per_cent(start: Start, here: Path) -> None:
    finished(start("saevit_pico", "--data", "digits"))
    rows = log_of(here / "runs" / "saevit_pico-digits")
    assert max(float(row["val_top1"]) for row in rows) >= 97


def test_icons_are_trained_evaluated_and_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("resvg_py")
    path = Package(here / "kept").add(*(f"set-{i}" for i in range(32))).as_archive("a.tgz")
    quick = ("--epochs", "1", "--set", "aa=", *QUICK)
    assert run_command(["train", MODEL, "--data", "icons:kept/a.tgz", *quick]) == 0
    assert len(list(path.parent.glob("a.tgz-icons-32px-*.npz"))) == 1  # rendered once, at this size
    captured = capsys.readouterr()
    assert f"Validation accuracy of {MODEL} on icons\n" in captured.out
    (folder,) = (here / "runs").iterdir()
    assert folder.name.endswith("-icons")
    base, recipe, run = read_recipe(str(folder / "recipe.toml"))
    assert (base, recipe.hflip, recipe.scale) == ("icons", 0.0, (0.5, 1.0))
    assert run["data"] == f"icons:{path}"
    os.chdir(here.parent)  # the checkpoint names the file by its whole path
    assert run_command(["eval", "--checkpoint", str(folder / "best.safetensors"), "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["data"] == f"icons:{path}"
    os.chdir(here)
    for source in ("icons", "icons:kept/a.tgz"):
        assert run_command(["compare", MODEL, "--no-measure", "--top1", source, "--img-size", "32"]) == 0
        assert "icons (validation)" in capsys.readouterr().out


def test_icons_without_the_file_are_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["train", "--data", "icons:a.tgz"]) == 2
    assert capsys.readouterr().err.strip() == (
        "error: --data icons:a.tgz does not exist: get it with: npm pack @iconify/json"
    )


@pytest.mark.parametrize(("size", "is_small"), [("32", True), ("64", False)])
def test_digits_say_that_their_maps_are_too_small(
    size: str, is_small: bool, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    assert run_command(["train", MODEL, "--epochs", "1", "--batch-size", "1438", "--img-size", size]) == 0
    text = " ".join(capsys.readouterr().err.split())
    warning = "32 x 32 px are too small for attention: each stage has one token; digits are for trying"
    assert (warning in text) == is_small
