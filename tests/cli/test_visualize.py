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
from saevit.weights import SHIPPED, SHIPPED_MODEL
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


def test_without_arguments_trained_weights_look_at_a_drawing(saevit: Run, tmp_path: Path) -> None:
    done = saevit("visualize-attention", check=True)
    result, *_ = lines = done.stdout.splitlines()
    assert result.startswith(f"With weights of {SHIPPED.name}, the prediction is the class image (")
    assert "Attention to the drawing, relative to uniform: " in result
    assert f"saevit_pico:classes=226, weights of {SHIPPED.name}, 128 x 128 px, drawing" in lines
    (head,) = (i for i, line in enumerate(lines) if line.startswith("stage "))
    assert [line.split()[0] for line in lines[head + 2 : head + 6]] == ["1", "2", "3", "4"]
    assert "drawn" in lines[head].split()
    assert done.stderr.splitlines() == [
        "no --image: using a drawing (an icon of a picture) that this command makes",
        "wrote saevit_pico-classes-226-overview.png",
    ]
    picture = tmp_path / "saevit_pico-classes-226-overview.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_trained_attention_selects_where_random_attention_does_not(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["visualize-attention", "--weights", "both", "--json", "-", "--output", "a.png"]) == 0
    trained, random = json.loads(capsys.readouterr().out)["networks"]
    assert [one["random_weights"] for one in (trained, random)] == [False, True]
    assert trained["model"] == random["model"] == SHIPPED_MODEL
    assert trained["infer_img_size"] == random["infer_img_size"]
    assert trained["predictions"][0]["name"] == "image"
    assert random["predictions"] == []
    drawn, even = ([head["drawn"][0] for head in one["heads"]] for one in (trained, random))
    assert max(abs(value - 1) for value in even) < 0.1
    assert max(drawn) > 1.3


def test_weights_are_those_of_the_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def look(*arguments: str) -> list[tuple[str, bool, str]]:
        command = ["visualize-attention", *arguments, "--json", "-", "--output", "a.png", "--overwrite"]
        assert run_command(command) == 0
        found = json.loads(capsys.readouterr().out)["networks"]
        return [(one["model"], one["random_weights"], one["infer_img_size"]) for one in found]

    assert look("saevit_pico") == [(SHIPPED_MODEL, False, 128)]
    assert look("--weights", "random") == [(SHIPPED_MODEL, True, 128)]
    assert look("--width", "0.5", "--img-size", "64") == [("saevit_pico:width=0.5", True, 64)]
    assert look("--compare", SMALL, *QUICK) == [(SHIPPED_MODEL, False, 64), (SMALL, True, 64)]
    assert run_command(["visualize-attention", SMALL, *QUICK, "--output", "b.png"]) == 0
    told = [line for stream in capsys.readouterr() for line in stream.splitlines()]
    hint = f"{SMALL} has random weights: `saevit train` trains it, and --checkpoint FILE shows the result"
    assert [line for line in told if " has random weights" in line] == [f"warning: {hint}"]


def test_class_maps(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["visualize-attention", "--class", "image", "--class", "1", "--npz", "a.npz"]
    assert run_command([*arguments, "--output", "a.svg"]) == 0
    assert "Grad-CAM of image in stage 4 has an effective size of " in capsys.readouterr().out
    with np.load(here / "a.npz") as found:
        assert found["stage4.class.image"].shape == (4, 4)
        assert found["stage1.class.align-center"].sum() == pytest.approx(1, abs=1e-5)


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
            "query 9999,1 is outside the centre crop of drawing: X must be 0 to 511",
        ),
        (["--stage", "5"], "stage 5 has no attention: choose stage 1, 2, 3 or 4"),
        (["--stage", "0"], "--stage 0: numbers start at 1"),
        (
            ["saevit_tiny", "--set", "depths=2", "--stage", "2", "--block", "1"],
            "block 1 has no attention: stage 2 has it in block 2",
        ),
        (["--head", "99"], "head 99 does not exist: choose 1 to"),
        (["--similarity", "2"], "--similarity 2: a number above 0, at most 1"),
        (["--weights", "best"], "--weights 'best' is not available: choose from trained, random, both"),
        (
            ["--weights", "random", "--checkpoint", "text.png"],
            "--weights random and --checkpoint text.png exclude each other: keep one",
        ),
        (["saevit_tiny", "--weights", "trained"], "no weights of saevit_tiny come with saevit"),
        (["--weights", "both", "--compare", "saevit_tiny"], "make three networks: leave one out"),
        (["--class", "imag"], "--class imag is not a class of saevit_pico:classes=226: did you mean image"),
        (
            [SMALL, "--class", "4"],
            "--class 4 is not a class of saevit_pico:depths=1,classes=4: choose 0 to 3",
        ),
        (["--class", "image", "--view", "query", "--query", "1,1"], "is for --view class, not query"),
        (
            ["timm:vit_tiny_patch16_224", "--view", "class"],
            "--view class shows SAEViT variants, not timm:vit",
        ),
        ([f"{SMALL[:-1]}0", "--view", "class"], "--view class needs a network with classes"),
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
