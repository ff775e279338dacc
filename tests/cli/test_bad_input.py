"""Every mistake is one line on stderr that says what is wrong and what would be right; exit code 2."""

import os
from pathlib import Path

import pytest
import torch

from saevit_cli.app import run_command
from tests.cli.conftest import Run

TINY = "saevit_tiny"
CASES = [
    (["profile", "saevit_tny"], "'saevit_tny' is not a model: did you mean saevit_tiny"),
    (["profile", ""], "a model's name is empty: for example saevit_tiny"),
    (["profile", "swin_tiny"], "'swin_tiny' is not a model: did you mean swin_tiny_patch4_window7_224?"),
    (["profile", "--dtype", "fp64"], "--dtype 'fp64' is not available: did you mean fp16?"),
    (["profile", "--by", "layer"], "--by 'layer' is not available: choose from stage, block, module"),
    (["profile", "resnet18", "--width", "2"], "width cannot be set on timm:resnet18: only SAEViT variants"),
    (
        ["profile", "resnet18:classes=5", "--classes", "9"],
        "given in timm:resnet18:classes=5 and as an option",
    ),
    (["export", "--checkpoint", "a.pth", "--classes", "9"], "name its model too, or leave out --width"),
    (["profile", f"{TINY}:widht=2"], "'widht' is not a key: did you mean width"),
    (["profile", f"{TINY}:"], "ends after its colon: add key=value"),
    (["profile", f"{TINY}:width"], "'width' is not key=value"),
    (["profile", f"{TINY}:rates=0"], "rates1=0 is out of range: nearest is 1"),
    (
        ["profile", f"{TINY}:rates=3-3"],
        "rates=3-3 has 2 values: give 4 values, one per stage, or one for all",
    ),
    (["profile", f"{TINY}:heads=5"], "heads1=5 does not divide dims1=48: nearest are 4 or 6 heads"),
    (["profile", f"{TINY}:act=swish"], "act=swish is not available: did you mean hardswish?"),
    (["profile", f"{TINY}:classes=-1"], "num_classes=-1 is out of range: nearest is 0"),
    (["profile", f"{TINY}:width=1,width=2"], "'width' is given twice"),
    (["profile", "--width", "nan"], "width=nan is not a number"),
    (["profile", "--width", "wide"], "width=wide is not a number: for example width=0.5"),
    (["profile", "--width", "-1"], "width=-1 must be above 0"),
    (["profile", "--width", "1e9"], "width=1e+09 is out of range: nearest is 1024"),
    (["profile", "--depth", "0"], "depth=0 must be above 0: 1 changes nothing"),
    (["profile", "--sparsity", "8,4"], "rates=8-4 has 2 values"),
    (["profile", "--rates", "8,4"], "rates=8-4 has 2 values"),
    (["profile", "--rates", "8-4"], "rates=8-4 has 2 values"),
    (["profile", "--sparsity", "8,4,x,1"], "rates=x is not a whole number"),
    (["profile", "--set", "ffn"], "'ffn' is not key=value"),
    (
        ["profile", "--width", "2", "--set", "width=3"],
        "'width' is given as an option (2) and by --set (3): keep one",
    ),
    (["profile", "--width", "100", "--device", "cpu"], "GB are free on cpu: nearest is --no-measure"),
    (
        ["profile", "--batch-size", "1000000", "--device", "cpu"],
        "GB are free on cpu: nearest is --batch-size",
    ),
    (
        ["compare", "--no-measure", "--sort", "latency"],
        "--sort latency needs times: drop --no-measure, or choose gmacs, params, memory, top1",
    ),
    (["profile", "--format", "yaml"], "--format 'yaml' is not available: choose from table, markdown"),
    (["profile", "--format", "json", "--json", "a.json"], "--format json and --json a.json are both given"),
    (["visualize-attention", "--output", "a.png", "--format", "json", "--json", "-"], "--format json and"),
    (["profile", "--img-size", "16"], "img_size 16x16: 16 px is out of range, nearest is 32"),
    (
        ["profile", "--img-size", "224,224,3"],
        "--img-size 224,224,3: 3 numbers, give one side or HxW, such as 224x192",
    ),
    (["profile", "--img-size", "big"], "--img-size big: whole numbers joined by commas, for example 224,224"),
    (["profile", "--batch-size", "0"], "--batch-size 0: a whole number from 1 to 1,000,000"),
    (["profile", "--batch-size", "1,1"], "--batch-size 1,1: name every batch size once"),
    (["profile", "--batch-size", "1.5"], "--batch-size 1.5: a whole number from 1 to 1,000,000"),
    (["profile", "--device", "tpu"], "device 'tpu' is not known: torch"),
    (["profile", "--dtype", "int4"], "--dtype 'int4' is not available: did you mean int8?"),
    (
        ["profile", "--dtype", "int8"],
        "runtime eager runs in fp32, bf16, fp16, not in int8: use --dtype fp32 or ",
    ),
    (["profile", "--dtype", "bf61"], "--dtype 'bf61' is not available: did you mean bf16"),
    (["profile", "--runtime", "eagr"], "runtime 'eagr' is not known: did you mean eager?"),
    (
        ["profile", "--memory-format", "nhwc"],
        "--memory-format 'nhwc' is not available: choose from contiguous",
    ),
    (["profile", "--threads", "0"], "--threads 0: a whole number from 1 to "),
    (["profile", "--threads", "two"], "--threads two: a whole number from 1 to "),
    (["profile", "--rounds", "0"], "--rounds 0: a whole number from 1 to 1,000,000"),
    (["profile", "--min-time", "-1"], "--min-time -1: a number above 0, at most 3600"),
    (["profile", "--min-time", "nan"], "--min-time nan: a number above 0"),
    (
        ["profile", "--counters", "flops"],
        "counter 'flops' is not known: choose from analytic, torch, fvcore, thop",
    ),
    (["profile", "--plot", "a.gif"], "--plot a.gif has no known ending: choose from .png, .svg, .pdf"),
    (["profile", "--plot", "nowhere/a.png"], "the folder nowhere does not exist, make it first"),
    (["profile", "--json", "."], "--json . is a directory: name a file in it"),
    (["profile", "--csv", "kept.csv"], "--csv kept.csv exists: choose another name, or add --overwrite"),
    (["profile", "--json", "-", "--csv", "-"], "--json and --csv cannot both go to stdout"),
    (["profile", "--colour"], "No such option: --colour"),
    (["profile", TINY, "extra"], "extra"),
    (["profil"], "profile"),
]


@pytest.mark.parametrize(
    ("arguments", "message"),
    CASES,
    ids=lambda value: " ".join(value)[-40:] if isinstance(value, list) else "",
)
def test_one_line_and_exit_code_2(saevit: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "kept.csv").write_text("mine")
    done = saevit(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "kept.csv").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["kept.csv"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here")
def test_cuda_without_cuda(saevit: Run) -> None:
    done = saevit("profile", "--device", "cuda")
    assert done.returncode == 2
    assert "device 'cuda' is not available: torch" in done.stderr
    assert "offers auto or cpu" in done.stderr


def test_a_folder_that_cannot_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Root may write anywhere, so the system's answer is given in its place."""
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    assert run_command(["profile", "--json", str(tmp_path / "a.json")]) == 2
    assert "cannot be written to, choose another" in capsys.readouterr().err


def test_a_full_disk_while_writing_is_one_line(saevit: Run) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    done = saevit("profile", "--no-measure", "--counters", "analytic", "--json", "/dev/full")
    assert done.returncode == 1
    assert "Receipt" in done.stdout
    assert done.stderr == "error: --json: /dev/full cannot be written: No space left on device\n"


def test_timm_models_take_no_keys(saevit: Run) -> None:
    done = saevit("profile", "timm:resnet18", "--width", "2")
    assert done.returncode == 2
    assert "width cannot be set on timm:resnet18: only SAEViT variants have such keys" in done.stderr
