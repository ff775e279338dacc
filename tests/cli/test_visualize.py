"""`saevit visualize-attention` as users type it."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from saevit.model.pyramid import build
from saevit.variant import parse
from saevit_cli.app import run_command
from tests.cli.conftest import Run

SMALL = "saevit_pico:depths=1,classes=4"
DEEP = "saevit_pico:dims=24,depths=1-1-4-1,heads=2,attn_blocks=4"
QUICK = ("--img-size", "64")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_arguments_but_size(saevit: Run, tmp_path: Path) -> None:
    done = saevit("visualize-attention", *QUICK, check=True)
    result, *_ = lines = done.stdout.splitlines()
    assert result == (
        "Random weights: the maps carry no meaning. saevit_tiny samples in stages 1 to 3 "
        "(sparsity 93.75 % to 99.98 %)."
    )
    assert "saevit_tiny, random weights, seed 0, 64 x 64 px, grace_hopper.jpg" in lines
    (head,) = (i for i, line in enumerate(lines) if line.startswith("stage "))
    assert [line.split()[0] for line in lines[head + 2 : head + 6]] == ["1", "2", "3", "4"]
    assert max(map(len, lines[head : head + 6])) <= 80
    assert done.stderr.splitlines() == [
        "no --image: using grace_hopper.jpg, which comes with matplotlib",
        "wrote saevit_tiny-overview.png",
    ]
    assert (tmp_path / "saevit_tiny-overview.png").read_bytes().startswith(b"\x89PNG")


def test_every_output(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "out").mkdir()
    outputs = ["--output", "out", "--json", "a.json", "--csv", "-", "--npz", "a.npz"]
    arguments = ["visualize-attention", SMALL, *QUICK, "--query", "256,300", "--query", "100,100", *outputs]
    assert run_command(arguments) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    data = json.loads((here / "a.json").read_text(encoding="utf-8"))["networks"][0]
    assert len(rows) == len(data["heads"])
    assert [query["image"] for query in data["queries"]] == [[256, 300], [100, 100]]
    with np.load(here / "a.npz") as found:
        assert found["stage1.block1.rows"].shape[:2] == (2, 1)
    assert (here / "out" / "saevit_pico-depths-1-classes-4-query.png").is_file()
    assert run_command(arguments) == 2
    assert "exists: choose another name, or add --overwrite" in capsys.readouterr().err
    assert run_command([*arguments, "--overwrite"]) == 0


def test_weights_of_a_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(build(parse(SMALL), seed=3).state_dict(), here / "best.pth")
    arguments = ["visualize-attention", SMALL, *QUICK, "--json", "-", "--output", "a.svg"]
    assert run_command([*arguments, "--checkpoint", "best.pth"]) == 0
    found = json.loads(capsys.readouterr().out)["networks"]
    assert [(n["weights"], n["random_weights"]) for n in found] == [("weights of best.pth", False)]
    picture = (here / "a.svg").read_text(encoding="utf-8")
    assert "Random" not in picture
    twice = ["--checkpoint", "best.pth", "--checkpoint", "best.pth", "--overwrite"]
    assert run_command([*arguments, *twice]) == 0
    first, second = json.loads(capsys.readouterr().out)["networks"]
    assert first == second
    assert (
        run_command([*arguments, "--compare", "saevit_pico", "--checkpoint", "best.pth", "--overwrite"]) == 0
    )
    found = json.loads(capsys.readouterr().out)["networks"]
    assert [(n["model"], n["random_weights"]) for n in found] == [(SMALL, False), ("saevit_pico", True)]
    assert run_command([*arguments, *twice, "--checkpoint", "best.pth"]) == 2
    assert "--checkpoint is given 3 times: at most two models can be shown" in capsys.readouterr().err
    assert run_command(["visualize-attention", "saevit_nano", "--checkpoint", "best.pth"]) == 2
    assert "--checkpoint best.pth is of another network:" in capsys.readouterr().err


@pytest.mark.parametrize("view", ["overview", "query", "pattern", "rollout"])
def test_a_timm_model_beside_a_variant(view: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "visualize-attention",
        SMALL,
        "--compare",
        "timm:vit_tiny_patch16_224",
        "--view",
        view,
        *QUICK,
    ]
    assert run_command([*arguments, "--query", "200,200", "--output", "a.png"]) == 0
    out = capsys.readouterr().out
    assert "timm:vit_tiny_patch16_224, random weights" in out


def test_several_images_are_averaged_and_a_broken_one_is_left_out(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = here / "photos"
    photos.mkdir()
    for i, colour in enumerate(("red", "green")):
        Image.new("RGB", (1600, 900 + 300 * i), colour).save(photos / f"{i}.png")
    (photos / "._0.png").write_bytes(b"a resource fork of macOS")
    arguments = ["visualize-attention", SMALL, *QUICK, "--output", "a.png", "--image"]
    assert run_command([*arguments, "photos"]) == 0
    assert "Median (range) over blocks, heads and images" in capsys.readouterr().out
    (photos / "3.png").write_text("no image")
    assert run_command([*arguments, "photos", "--overwrite"]) == 1
    told = capsys.readouterr()
    assert "2 images" in told.out
    assert "warning: left out: photos/3.png is not a PNG" in told.err


def test_chosen_stages_blocks_and_heads(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ["--stage", "3", "--block", "1,3", "--head", "2"]
    assert run_command(["visualize-attention", DEEP, *QUICK, *chosen, "--csv", "-", "--output", "a.png"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["stage"], row["block"], row["head"]) for row in rows] == [("3", "1", "2"), ("3", "3", "2")]
    assert (
        run_command(["visualize-attention", DEEP, *QUICK, *chosen, "--by", "head", "--output", "b.png"]) == 0
    )
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    head = next(i for i, line in enumerate(lines) if line[:3] == ["stage", "block", "head"])
    assert [line[:3] for line in lines[head + 2 : head + 4]] == [["3", "1", "2"], ["3", "3", "2"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["saevit_tny"], "'saevit_tny' is not a model: did you mean saevit_tiny"),
        (["timm:resnet18"], "the attention of this model cannot be shown (no softmax attention)"),
        (["timm:vit_tiny_patch16_225"], "did you mean"),
        (["birder:edgevit_xs"], "birder:edgevit_xs cannot be used here: name a variant or a timm model"),
        ([f"{SMALL},attention=none"], "this variant has no attention: set attention=saa"),
        ([f"{SMALL},in_chans=4"], "in_chans=4: an image has 3 channels"),
        (["--view", "heatmap"], "--view 'heatmap' is not available: choose from overview, query"),
        (["--view", "query"], "--view query needs a query pixel, such as --query 120,80"),
        (["--query", "3"], "--query 3 is not a pixel X,Y, such as 120,80"),
        (["--query", "3,-1"], "--query 3,-1 is not a pixel X,Y"),
        (
            ["--query", "9999,1"],
            "query 9999,1 is outside the centre crop of grace_hopper.jpg: X must be 0 to 511",
        ),
        (["--stage", "5"], "stage 5 has no attention: choose stage 1, 2, 3 or 4"),
        (["--stage", "0"], "--stage 0: numbers start at 1"),
        (
            ["--set", "depths=2", "--stage", "2", "--block", "1"],
            "block 1 has no attention: stage 2 has it in block 2",
        ),
        (["--head", "99"], "head 99 does not exist: choose 1 to"),
        (["--similarity", "2"], "--similarity 2: a number above 0, at most 1"),
        (["--img-size", "8"], "8 px is out of range, nearest is 32"),
        (["--width", "100"], "GB are free on cpu: nearest is a smaller size or width"),
        (["--image", "gone.png"], "gone.png does not exist"),
        (["--image", "text.png"], "text.png is not a PNG"),
        (["--image", "/dev/zero"], "/dev/zero is not a regular file"),
        (["--image", "x" * 300], "cannot be used: File name too long"),
        (["--checkpoint", "gone.pth"], "--checkpoint gone.pth does not exist"),
        (["--checkpoint", "text.png"], "cannot be read as weights"),
        (["--output", "a.gif"], "--output a.gif has no known ending"),
        (["--output", "-"], "--output - has no known ending"),
        (["--output", "nowhere/a.png"], "the folder nowhere does not exist"),
        (["--npz", "a.zip"], "--npz a.zip has no known ending"),
        (["--json", "-", "--csv", "-"], "cannot both go to stdout"),
        (["timm:vit_tiny_patch16_224", "--width", "2"], "width cannot be set on timm:"),
        (["--compare", "saevit_tny"], "'saevit_tny' is not a model"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_nothing_is_written(
    arguments: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "text.png").write_text("no image")
    assert run_command(["visualize-attention", *arguments]) == 2
    told = capsys.readouterr()
    errors = [line for line in told.err.splitlines() if not line.startswith("no --image")]
    assert len(errors) == 1
    assert message in errors[0]
    assert told.out == ""
    assert [path.name for path in here.iterdir()] == ["text.png"]
