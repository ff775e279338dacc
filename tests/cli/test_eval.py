"""`saevit eval` as users type it, and what compare and results make of it."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from saevit.checkpoint import About, save_checkpoint
from saevit.models import build_network
from saevit_cli.app import run_command
from tests.cli.conftest import Run

VARIANT = "saevit_pico:dims=8-8-16-16,heads=1,depths=1"
SIZE = (32, 32)


def saved(path: Path, data: str, names: tuple[str, ...], model: str = f"{VARIANT},classes=2") -> None:
    """Write a checkpoint of a network that was never trained; the file does not say so."""
    net = build_network(model, SIZE, num_classes=len(names))
    about = About(
        model=model,
        num_classes=len(names),
        img_size=SIZE,
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        class_names=names,
        data=data,
    )
    save_checkpoint(net.state_dict(), about, path)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data, a checkpoint and a store of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAEVIT_STORE", str(tmp_path / "store"))
    for i, name in enumerate(("cat", "dog")):
        (tmp_path / "pets" / "val" / name).mkdir(parents=True)
        for n in range(3):
            Image.new("RGB", (40, 36), (80 * i + 9 * n,) * 3).save(
                tmp_path / "pets" / "val" / name / f"{n}.png"
            )
    saved(tmp_path / "best.safetensors", str(tmp_path / "pets"), ("cat", "dog"))
    return tmp_path


def test_the_checkpoint_knows_the_rest(here: Path, saevit: Run, capsys: pytest.CaptureFixture[str]) -> None:
    done = saevit("eval", "--checkpoint", "best.safetensors", "--device", "cpu", check=True)
    first, _, title, *_ = done.stdout.splitlines()
    assert first.endswith("on pets (validation, 6 images).")
    assert title == "best.safetensors at 32 x 32 px"
    assert done.stderr.startswith("stored ")
    assert run_command(["results", "list"]) == 0
    assert "eval" in capsys.readouterr().out
    assert run_command(["results", "show", "latest"]) == 0
    assert "top-1" in capsys.readouterr().out
    assert run_command(["compare", "--from-store", "latest"]) == 2
    assert "no runs yet" in capsys.readouterr().err


def test_every_output(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "pets" / "val" / "dog" / "9.jpg").write_bytes(b"broken")
    arguments = [
        "eval",
        "--checkpoint",
        "best.safetensors",
        "--json",
        "a.json",
        "--csv",
        "-",
        "--batch-size",
        "2",
    ]
    assert run_command(arguments) == 0
    told = capsys.readouterr()
    (row,) = csv.DictReader(io.StringIO(told.out))
    assert (row["images"], row["unreadable"], row["batch_size"]) == ("6", "1", "2")
    assert "warning: 1 unreadable image left out: " in told.err
    data = json.loads((here / "a.json").read_text(encoding="utf-8"))
    assert (data["top1"], data["images"]) == (float(row["top1"]), 6)
    assert "9.jpg is not a PNG" in data["unreadable"][0]
    assert run_command(arguments) == 2
    assert "exists: choose another name, or add --overwrite" in capsys.readouterr().err
    assert run_command([*arguments, "--overwrite", "--no-store", "--report", "a.html"]) == 0
    assert 'download="a.json"' in (here / "a.html").read_text(encoding="utf-8")
    assert len(list((here / "store").iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "eval needs trained weights: pass --checkpoint FILE"),
        (["--checkpoint", "nowhere.safetensors"], "does not exist"),
        (["--checkpoint", "best.safetensors", "--data", "nowhere"], "--data nowhere does not exist"),
        (
            ["--checkpoint", "best.safetensors", "--split", "test"],
            "--split 'test' is not available: choose from train, validation, all",
        ),
        (["--checkpoint", "best.safetensors", "--split", "train"], "has val/ but no train/"),
        (["--checkpoint", "best.safetensors", "--workers", "-1"], "--workers -1: a whole number"),
        (["--checkpoint", "best.safetensors", "--batch-size", "0"], "--batch-size 0: a whole number"),
        (["--checkpoint", "best.safetensors", "--device", "tpu"], "device 'tpu' is not known"),
        (
            ["saevit_nano", "--checkpoint", "best.safetensors"],
            f"it holds {VARIANT},classes=2, not saevit_n",
        ),
        (
            ["--checkpoint", "best.safetensors", "--set", "ffn=mlp"],
            "has the weights of one network: name its model too",
        ),
        (
            ["--checkpoint", "best.safetensors", "--width", "2"],
            "has the weights of one network: name its model too",
        ),
        (["--checkpoint", "best.safetensors", "--data", "three"], "has 2 classes and"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "abc":
        (here / "three" / "val" / name).mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(here / "three" / "val" / name / "0.png")
    assert run_command(["eval", *arguments]) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert told.err.count("\n") == 1
    assert not told.out
    assert not (here / "store").exists()


def test_weights_that_do_not_say_what_they_are(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    torch.save(build_network(f"{VARIANT},classes=2", SIZE).state_dict(), here / "bare.pth")
    assert run_command(["eval", "--checkpoint", "bare.pth"]) == 2
    assert "names no network" in capsys.readouterr().err
    named = ["eval", VARIANT, "--classes", "2", "--checkpoint", "bare.pth", "--img-size", "32,64"]
    assert run_command(named) == 2
    assert "does not name its training data: add --data SOURCE" in capsys.readouterr().err
    assert run_command([*named, "--data", "pets", "--csv", "-"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["img_size"], row["images"]) == ("32,64", "6")


def test_compare_draws_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["eval", "--checkpoint", "best.safetensors", "--csv", "-"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    models = ["compare", VARIANT, "timm:mobilenetv3_small_100", "--img-size", "32", "--no-measure"]
    assert run_command([*models, "--explain"]) == 0
    hint = f"saevit eval measured top-1 on pets (validation), 1 of these models: --top1 {here / 'pets'}"
    assert hint in capsys.readouterr().out
    view = ["--top1", "pets", "--json", "-", "--plot", "a.svg", "--report", "a.html"]
    assert run_command([*models, *view]) == 0
    own, baseline = json.loads(capsys.readouterr().out)["candidates"]
    assert (own["top1"], own["top1_mark"]) == (float(row["top1"]), "measured here")
    assert "best.safetensors" in own["top1_source"]
    assert baseline["top1"] is None
    assert "Fewer than two models have a known top-1" in (here / "a.svg").read_text(encoding="utf-8")
    assert "measured here on pets (validation)" in (here / "a.html").read_text(encoding="utf-8")
    assert run_command([*models, "--top1", "dogs"]) == 2
    assert "no evaluation on dogs (validation) is stored" in capsys.readouterr().err


FULL = """
import sys
import torch

def full(*_):
    raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left (28)")

torch.UntypedStorage._share_fd_cpu_ = full
from saevit_cli.app import main
main()
"""


@pytest.mark.slow  # three processes at once
def test_workers_that_fail_are_one_line(here: Path) -> None:
    command = [sys.executable, "-c", FULL, "eval", "--checkpoint", "best.safetensors", "--workers", "2"]
    runs = [  # several at once: queues were closed twice on a busy machine only
        subprocess.Popen(command, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for run in runs:
        _, errors = run.communicate()
        assert run.returncode == 1
        (line,) = errors.splitlines()
        assert line.startswith(
            "error: a worker process that reads images failed (RuntimeError: unable to allocate"
        )
        assert line.endswith(
            "increase the shared memory (/dev/shm; --shm-size of a container), or use --workers 0"
        )
    assert not (here / "store").exists() or not any((here / "store").iterdir())


def test_how_the_data_were_read_is_explained_and_kept(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["eval", "--checkpoint", "best.safetensors", "--json", "a.json", "--explain"]) == 0
    told = capsys.readouterr().out
    assert f"data: {here / 'pets'}: 6 images, 2 classes; from val/\n" in told
    first = json.loads((here / "a.json").read_text(encoding="utf-8"))["fingerprint"]
    assert len(first) == 64
    for a, b in (("cat", "other"), ("dog", "cat"), ("other", "dog")):
        (here / "pets" / "val" / a).rename(here / "pets" / "val" / b)
    Image.new("RGB", (50, 50)).save(here / "pets" / "val" / "cat" / "0.png")
    assert run_command(["eval", "--checkpoint", "best.safetensors", "--json", "a.json", "--overwrite"]) == 0
    assert json.loads((here / "a.json").read_text(encoding="utf-8"))["fingerprint"] != first
