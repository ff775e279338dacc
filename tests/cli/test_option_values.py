"""Hostile values for every option of every command: an exit code, one line, and no traceback."""

import contextlib
import io
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer.main
from PIL import Image

from saevit.model.pyramid import build
from saevit.variant import parse
from saevit_cli.app import SUMMARIES, make_application, run_command

SMALL = "saevit_pico:dims=8-8-16-16,heads=1,depths=1,classes=2"
SEED, PARTS, PART = 15, 10, 30
SIZE = ("--img-size", "32")

# What makes each command quick; "@" stands where an option under test replaces one of these.
QUICK: dict[str, tuple[str, ...]] = {
    "profile": (SMALL, *SIZE, "--no-measure", "--counters", "analytic"),
    "compare": (SMALL, *SIZE, "--no-measure"),
    "explore": (SMALL, *SIZE, "--jobs", "1"),
    "visualize-attention": (SMALL, *SIZE, "--image", "data/cat/0.png", "--output", "look.png", "--overwrite"),
    "eval": (SMALL, *SIZE, "--checkpoint", "weights.pth", "--data", "data", "--no-store"),
    "train": (SMALL, "--data", "data", "--output", "run", "--show-recipe"),
    "export": (SMALL, *SIZE, "--output", "net.onnx", "--overwrite"),
    "list": (),
    "doctor": ("--no-measure",),
    "results list": (),
    "results show": ("latest",),
    "results diff": ("latest", "latest"),
    "results export": ("--output", "all.csv", "--overwrite"),
}
# Long work that these values ask for, rightly.
NOT_TRIED = {("explore", "--engine"), ("train", "--epochs")}

NUMBERS = [
    *("0", "-1", "+5", "1", "2", "3.5", "1e3", "1e400", "1e-400", "nan", "inf", "-inf", "0x10", "1_000"),
    *(" 5 ", "\u0661", "\u00bd", "\uff11", "9" * 18, "9" * 19, "9" * 5000, "10^30", f"1{'0' * 30}"),
    *("1e-320", "1,2,3", ",", ",,", "1," * 2000, "1-2-3-4", "0:1e5000:1", "1:0:0", "0.5\u00b11%"),
    *("--", "5%", "1/0", "1;2", "true", "None", "null"),
]
TEXTS = [
    *("", " ", "-", "=", "a=b", "width=1", "ffn=mlp", "key=value", "width=9e9", "lr=nan", "mixup=-1"),
    *("\x1b[2J\x1b]0;x\x07", "a\nb", "\r", "\x00", "\udce9", "\udcff/\ud800", "\u202egnp.exe", "\u2028"),
    *("\u00e9", "\u6570\u636e", "\U0001f98a", "$HOME", "%s%n", "{0}", "$x_{$", "a" * 300, "a" * 50_000),
    *("timm:", "timm:no_such", "timm:resnet18.nothing", "birder:", "saevit_tiny:", "saevit_tny"),
    *("saevit_base:width=1024", "saevit_tiny:depths=999999999999", "saevit_tiny:rates=1-2", "digits"),
    *("cpu", "cuda:99", "mps", "bf16", "compile", "latest", "torch/none", "hfds/none", "stages", "sample"),
]
PATHS = [
    *(".", "..", "nowhere/x", "/dev/null", "/dev/full", "/dev/zero", "/proc/self/mem", "/proc/1/mem"),
    *("loop", "loop/x", "file/x", "empty", "junk", "dangling", "~nobody_here/x", "a" * 256, "b/" * 3000),
    *("junk.png", "junk.toml", "junk.jsonl", "junk.safetensors", "junk.pth", "x.csv", "x.html", "x.onnx"),
]


def options() -> list[tuple[str, str]]:
    """Return every option that takes a value, and every argument, of every command."""
    root: Any = typer.main.get_command(make_application(SUMMARIES))
    found = []
    for name, command in commands_of(root):
        for param in command.params:
            if param.param_type_name == "argument":
                found.append((name, ""))
            elif not getattr(param, "is_flag", False):
                found.append((name, param.opts[0]))
    return sorted({pair for pair in found if pair not in NOT_TRIED})


def commands_of(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every command with its name."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands_of(command, f"{name} ")
        else:
            yield before + name, command


def cases() -> list[list[str]]:
    """Return the command lines, the same each time: each option about equally often."""
    rng = random.Random(SEED)
    pairs = options()
    chosen = [pairs[i % len(pairs)] for i in range(PARTS * PART)]
    rng.shuffle(chosen)
    return [line_of(command, option, rng.choice(NUMBERS + TEXTS + PATHS), rng) for command, option in chosen]


def line_of(command: str, option: str, value: str, rng: random.Random) -> list[str]:
    """Return a quick command line with one value in question."""
    words = list(QUICK[command])
    if not option:
        words = words[1:] if words and not words[0].startswith("-") else words
        return [*command.split(), value, *words]
    if option in words:
        at = words.index(option)
        del words[at : at + 2]
    if command == "train" and option in ("--data", "--output", "--resume", "--teacher-checkpoint"):
        words = [word for word in words if word != "--show-recipe"]
        words += ["--epochs", "1", "--batch-size", "4", "--workers", "0", *SIZE]
        if option == "--resume":
            words = []
    return [*command.split(), *words, *([f"{option}={value}"] if rng.random() < 0.5 else [option, value])]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Something of every kind to read."""
    path = tmp_path_factory.mktemp("values")
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (path / "data" / name).mkdir(parents=True)
        for i in range(4):
            pixels = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path / "data" / name / f"{i}.png")
    torch.save(build(parse(SMALL), seed=3).state_dict(), path / "weights.pth")
    (path / "store").mkdir()
    golden = Path(__file__).parents[1] / "golden/stored_compare.jsonl"
    (path / "store/20261126T120000.000000Z-00000000.jsonl").write_bytes(golden.read_bytes())
    for name in ("junk", *(p for p in PATHS if p.startswith("junk."))):
        (path / name).write_bytes(rng.bytes(3000))
    (path / "empty").write_bytes(b"")
    (path / "file").write_bytes(b"text")
    (path / "loop").symlink_to("loop")
    (path / "dangling").symlink_to("nothing/there")
    return path


@pytest.mark.filterwarnings("ignore")  # of libraries, which the command line hides
@pytest.mark.parametrize("part", [0, *(pytest.param(i, marks=pytest.mark.slow) for i in range(1, PARTS))])
def test_any_value_is_used_or_refused_in_one_line(
    part: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SAEVIT_STORE", str(folder / "store"))
    threads = torch.get_num_threads()
    for arguments in cases()[part * PART : (part + 1) * PART]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run_command(arguments)
        problem = problem_of(code, err.getvalue(), arguments)
        assert not problem, f"{problem}: {arguments!r:.300}\n{err.getvalue():.2000}"
    torch.set_num_threads(threads)


def problem_of(code: int, err: str, arguments: list[str]) -> str:
    """Return what is wrong with an answer; "" if nothing is."""
    lines = err.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    if code not in (0, 1, 2, 130):
        return f"exit code {code}"
    if "Traceback" in err or "unexpected" in err:
        return "an exception"
    if re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202e\u2028]", err):
        return "a control character"
    if code == 2 and len(errors) != 1:
        return f"{len(errors)} errors"
    if code == 0 and errors:
        return "an error without an exit code"
    return ""


def test_every_command_is_tried() -> None:
    assert {command for command, _ in options()} | {"list"} == set(QUICK)
    assert len(options()) > 100
