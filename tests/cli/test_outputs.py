"""Paths that are written: every way to name a file, and no file in two roles."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from saevit.errors import OptionError
from saevit.model.pyramid import build
from saevit.variant import parse
from saevit_cli.app import run_command
from saevit_cli.output import Outputs
from tests.cli.conftest import Run

SMALL = "saevit_pico:dims=8-8-16-16,heads=1,depths=1,classes=2"
COUNT = ("profile", SMALL, "--no-measure", "--counters", "analytic", "--img-size", "32")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, with a store of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAEVIT_STORE", str(tmp_path / "store"))
    return tmp_path


def same(path: Path) -> None:
    """Make other names of `a.txt`."""
    (path / "folder").mkdir()
    (path / "a.txt").write_text("mine")
    (path / "link.txt").symlink_to("a.txt")
    (path / "folder/up").symlink_to(path)
    os.link(path / "a.txt", path / "hard.txt")
    (path / "dangling.txt").symlink_to("new.txt")


NAMES = ["a.txt", "./a.txt", "folder/../a.txt", "link.txt", "folder/up/a.txt", "hard.txt"]
NEW = ["new.txt", "dangling.txt", "folder/up/new.txt", "./new.txt"]


@pytest.mark.parametrize(
    ("one", "other"), [(NAMES[0], n) for n in NAMES] + [(n, NEW[0]) for n in NEW] + [("-", "-")]
)
def test_two_outputs_are_never_one_file(one: str, other: str, here: Path) -> None:
    same(here)
    with pytest.raises(OptionError, match="--json and --csv cannot both go to"):
        Outputs({"--json": one, "--csv": other}, overwrite=True)
    with pytest.raises(OptionError, match=r"--json .*: --checkpoint .* is read, write elsewhere") as caught:
        Outputs({"--json": one}, overwrite=True, inputs=[("--checkpoint", other)])
    assert "\n" not in str(caught.value)


def test_other_files_and_devices_are_free(here: Path) -> None:
    same(here)
    outputs = {
        "--a": "a.txt",
        "--b": "new.txt",
        "--c": "/dev/null",
        "--d": "/dev/null",
        "--e": "-",
        "--f": None,
    }
    Outputs(outputs, overwrite=True, inputs=[("--g", "folder"), ("--h", None)])


def test_no_picture_is_written_among_the_images_that_are_read(here: Path) -> None:
    (here / "cat").mkdir()
    inputs = [("--data", here)]
    Outputs({"--json": "cat/a.json"}, overwrite=True, inputs=inputs)
    with pytest.raises(OptionError, match="is read"):
        Outputs({"--json": "cat/a.PNG"}, overwrite=True, inputs=inputs)


@pytest.mark.parametrize("link", ["link.json", "dangling.json"])
def test_a_link_keeps_its_name(link: str, here: Path) -> None:
    (here / "kept.json").write_text("old")
    (here / "link.json").symlink_to("kept.json")
    (here / "dangling.json").symlink_to("new.json")
    assert run_command([*COUNT, "--json", link, "--overwrite"]) == 0
    assert (here / link).is_symlink()
    assert json.loads((here / link).read_text())["img_size"] == [32, 32]


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("joined", [False, True])
def test_every_name_of_stdout(name: str, joined: bool, saevit: Run, tmp_path: Path) -> None:
    done = saevit(*COUNT, *([f"--json={name}"] if joined else ["--json", name]), check=True)
    assert json.loads(done.stdout)["img_size"] == [32, 32]
    assert done.stderr == ""


def test_devices_and_pipes_are_written_to(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo("pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(Path("pipe").read_text()))
    reader.start()
    assert run_command([*COUNT, "--json", "pipe", "--csv", "/dev/null"]) == 0
    reader.join()
    assert json.loads(read[0])["img_size"] == [32, 32]
    assert (here / "pipe").is_fifo()
    assert Path("/dev/null").is_char_device()
    assert capsys.readouterr().err == "wrote pipe\nwrote /dev/null\n"


@pytest.mark.parametrize("where", ["--json=~/a.json", "--json ~/a.json", "--json '~/a.json'"])
def test_the_home_folder(where: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(here / "home"))
    (here / "home").mkdir()
    assert run_command([*COUNT, *where.replace("'", "").split()]) == 0
    assert (here / "home/a.json").is_file()
    assert not (here / "~").exists()


@pytest.mark.parametrize("given", ["variable", "--store=~/st", "--store ~/st"])
def test_the_store_in_the_home_folder(
    given: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(here))
    monkeypatch.setenv("SAEVIT_STORE", "~/st")
    assert run_command(["results", "list", *(given.split() if given != "variable" else [])]) == 0
    assert capsys.readouterr().out.startswith(f"{here / 'st'} has no runs yet")


HOSTILE = {
    "a" * 300: "File name too long",
    "/".join(["a" * 250] * 20): "File name too long",
    "loop/x": "Too many levels of symbolic links",
    "a\0b": "null",
    "file/x": "the folder file",
    "nowhere/x": "the folder nowhere does not exist",
    "/dev/mapper/../null/x": "the folder",
}


@pytest.mark.parametrize("value", HOSTILE, ids=lambda v: repr(v[:20]))
@pytest.mark.parametrize("option", ["--json", "--csv", "--plot"])
def test_a_path_that_the_system_refuses(
    option: str, value: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "loop").symlink_to("loop")
    (here / "file").write_text("")
    before = sorted(here.iterdir())
    assert run_command([*COUNT, option, value + (".png" if option == "--plot" else "")]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: ")
    assert option in told.err
    assert HOSTILE[value] in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""
    assert sorted(here.iterdir()) == before


CLOSED = [
    ["profile", SMALL, "--json", "@.json"],
    ["profile", SMALL, "--plot", "@.png"],
    ["profile", SMALL, "--store", "@"],
    ["compare", "--from-store", "@.jsonl"],
    ["explore", SMALL, "--space", "@.toml"],
    ["explore", SMALL, "--img-size", "32", "--jobs", "1", "--resume", "@"],
    ["visualize-attention", SMALL, "--image", "@.png"],
    ["visualize-attention", "--checkpoint", "@"],
    ["visualize-attention", SMALL, "--output", "@.png"],
    ["visualize-attention", SMALL, "--output", "@"],
    ["eval", "--checkpoint", "@"],
    ["train", SMALL, "--data", "@", "--workers", "0"],
    ["train", SMALL, "--recipe", "@.toml"],
    ["train", SMALL, "--output", "@", "--epochs", "1"],
    ["train", "--resume", "@"],
    ["train", SMALL, "--teacher", SMALL, "--teacher-checkpoint", "@", "--epochs", "1"],
    ["export", "--checkpoint", "@"],
    ["export", SMALL, "--output", "@.onnx"],
    ["export", SMALL, "--output", "@"],
    ["results", "list", "--store", "@"],
    ["results", "show", "@"],
    ["results", "export", "--output", "@.csv"],
]


@pytest.mark.parametrize("arguments", CLOSED, ids=lambda a: " ".join(a).replace(SMALL, "").replace("@", ""))
@pytest.mark.parametrize("place", ["closed", "long", "loop"])
def test_every_path_option_in_a_place_that_cannot_be_searched(
    arguments: list[str],
    place: str,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A folder of another user; root may search it, so the system's answer is given in its place."""
    (here / "loop").symlink_to("loop")
    target = {"closed": "closed/x", "long": "a" * 300, "loop": "loop/x"}[place]
    if place == "closed":
        close(here / "closed", monkeypatch)
    assert run_command([argument.replace("@", target) for argument in arguments]) == 2
    told = capsys.readouterr()
    assert told.err.count("error: ") == 1
    assert "unexpected" not in told.err


def close(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the system refuse everything below a folder, as it does for a user who may not search it."""

    def refusing(function: Callable[..., object]) -> Callable[..., object]:
        def call(path: object, *args: object, **kwargs: object) -> object:
            if isinstance(path, str | bytes | os.PathLike):
                text = str(Path(folder.parent, os.fsdecode(path)))
                if text.startswith(f"{folder}/"):
                    raise PermissionError(13, "Permission denied", os.fsdecode(path))
            return function(path, *args, **kwargs)

        return call

    folder.mkdir()
    for name in ("stat", "lstat", "open", "listdir", "scandir", "mkdir", "unlink", "access", "readlink"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))
    monkeypatch.setattr("io.open", refusing(open))
    monkeypatch.setattr("builtins.open", refusing(open))


@pytest.fixture
def things(here: Path) -> Path:
    """Images, weights and a stored run to read."""
    for name in ("cat", "dog"):
        (here / "data" / name).mkdir(parents=True)
        for i in range(3):
            pixels = np.full((40, 40, 3), 40 * i, np.uint8)
            Image.fromarray(pixels).save(here / "data" / name / f"{i}.png")
    torch.save(build(parse(SMALL), seed=3).state_dict(), here / "weights.bin")
    (here / "weights.json").symlink_to("weights.bin")
    (here / "space.toml").write_text("dims1 = '8'")
    golden = Path(__file__).parents[1] / "golden/stored_compare.jsonl"
    (here / "run.jsonl").write_bytes(golden.read_bytes())
    (here / "run.csv").symlink_to("run.jsonl")
    return here


LOOK = ("visualize-attention", SMALL, "--img-size", "32", "--overwrite")


@pytest.mark.parametrize(
    "arguments",
    [
        [*LOOK, "--image", "data/cat/1.png", "--output", "data/cat/1.png"],
        [*LOOK, "--image", "data/cat", "--output", "data/cat/2.png"],
        [*LOOK, "--image", "data/dog", "--image", "data/cat", "--json", "data/cat/0.png"],
        [*LOOK, "--checkpoint", "weights.bin", "--json", "weights.json"],
        ["export", SMALL, "--checkpoint", "weights.bin", "--output", "weights.xml", "--overwrite"],
        ["export", SMALL, "--checkpoint", "weights.bin", "--json", "weights.bin", "--overwrite"],
        ["export", SMALL, "--output", "a.onnx", "--json", "./a.onnx", "--overwrite"],
        ["eval", SMALL, "--checkpoint", "weights.bin", "--json", "weights.json", "--overwrite"],
        [
            "eval",
            SMALL,
            "--checkpoint",
            "weights.bin",
            "--data",
            "data",
            "--csv",
            "data/cat/0.png",
            "--overwrite",
        ],
        ["explore", SMALL, "--space", "space.toml", "--csv", "space.toml", "--overwrite"],
        ["explore", SMALL, "--resume", "new", "--json", "./new", "--overwrite"],
        ["compare", "--from-store", "run.jsonl", "--json", "run.jsonl", "--overwrite"],
        ["results", "show", "run.jsonl", "--csv", "run.csv", "--overwrite"],
        ["results", "export", "run.jsonl", "--output", "run.csv", "--overwrite"],
        ["results", "export", "run.jsonl", "--output", "run.jsonl", "--overwrite"],
        ["train", SMALL, "--data", "data", "--output", "data", "--overwrite"],
        ["train", SMALL, "--data", "data", "--output", "data/new"],
        ["train", SMALL, "--recipe", "runs/recipe.toml", "--output", "runs", "--overwrite"],
        ["train", SMALL, "--teacher", SMALL, "--teacher-checkpoint", "t/best.safetensors", "--output", "t"],
    ],
    ids=lambda a: " ".join(a).replace(SMALL, ""),
)
def test_no_command_writes_what_it_reads(
    arguments: list[str], things: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("runs", "t"):
        (things / folder).mkdir()
    (things / "runs/recipe.toml").write_text("lr = 0.001\n")
    (things / "t/best.safetensors").write_bytes(b"weights")
    before = {path: path.read_bytes() for path in things.rglob("*") if path.is_file()}
    assert run_command(arguments) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "is read, write elsewhere" in errors[0] or "cannot both go to" in errors[0]
    assert {path: path.read_bytes() for path in things.rglob("*") if path.is_file()} == before


def test_a_failed_picture_loses_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> None:
        raise ValueError("matplotlib is unhappy")

    monkeypatch.setattr("saevit.report.breakdown_plot.breakdown_figure", fail)
    monkeypatch.setattr(tempfile, "tempdir", str(here))
    assert run_command([*COUNT, "--plot", "a.png", "--json", "a.json", "--csv", "/dev/full"]) == 1
    told = capsys.readouterr()
    assert "Receipt" in told.out
    assert json.loads((here / "a.json").read_text())["img_size"] == [32, 32]
    wrote, full, unhappy = told.err.splitlines()
    assert (wrote, full.partition(": No")[0]) == ("wrote a.json", "error: --csv: /dev/full cannot be written")
    assert unhappy.startswith("error: ValueError: matplotlib is unhappy (unexpected")


def test_a_table_is_out_before_a_file_is_written(tmp_path: Path) -> None:
    """Even a crash of the process, as by a drawing library, leaves it."""
    code = (
        "import os, sys, saevit.report.breakdown_plot as p; p.breakdown_figure = lambda _: os._exit(7)\n"
        "from saevit_cli.app import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *COUNT, "--plot", "a.png"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 7
    assert "Receipt" in done.stdout


def test_foreign_text_in_a_table_keeps_its_lines() -> None:
    from saevit.report.columns import View, text_table
    from saevit.report.screen import write_text

    table = text_table("a\nb", ("x", ">y"), [("\x1b[2J", "\udce9"), ("数\n", "1")], ["\r"])
    text = write_text(View(tables=(table,)), explain=True)
    assert text.encode("utf-8").decode().count("\n") == 6
    assert all(line.isprintable() for line in text.splitlines())


def test_the_formats_have_the_same_data(saevit: Run) -> None:
    data = json.loads(saevit(*COUNT, "--format", "json", check=True).stdout)
    assert data == json.loads(saevit(*COUNT, "--json", "-", check=True).stdout)
    assert saevit(*COUNT, "--format", "csv", check=True).stdout == saevit(*COUNT, "--csv", "-").stdout
    markdown = saevit(*COUNT, "--format", "markdown", check=True).stdout
    assert f"{data['macs']:,}" in markdown
    assert "| --- | ---: |" in markdown


def test_quiet_leaves_results_and_warnings(saevit: Run) -> None:
    quiet = saevit(*COUNT, "--rounds", "5", "--quiet", check=True)
    full = saevit(*COUNT, check=True)
    assert quiet.stderr == "warning: --rounds has no effect with --no-measure\n"
    notes = [line for line in full.stdout.splitlines() if line.startswith("- ")]
    assert notes
    assert "".join(f"{line}\n" for line in full.stdout.splitlines() if line not in notes).strip() == (
        quiet.stdout.strip()
    )


def test_explain_shows_more_notes_than_the_default(saevit: Run) -> None:
    short, long = (saevit(*COUNT, *more, check=True).stdout for more in ((), ("--explain",)))
    assert "--explain shows" in short
    assert "--explain shows" not in long
    assert long.count("\n- ") > short.count("\n- ") - 1
    assert saevit(*COUNT, "--verbose", check=True).stdout == long
