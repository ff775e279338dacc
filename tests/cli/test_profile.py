"""`saevit profile` as users type it."""

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from saevit import __version__
from saevit.variant import PRESETS, parse
from saevit_cli.app import run_command
from tests.cli.conftest import Run

SMALL = "saevit_pico:dims=8-8-16-16,heads=1,depths=1"
COUNT = ("--no-measure", "--counters", "analytic")
QUICK = (
    "--rounds",
    "6",
    "--min-time",
    "0.002",
    "--threads",
    "1",
    "--counters",
    "analytic",
    "--img-size",
    "64",
)


def test_default_variant(saevit: Run) -> None:
    done = saevit("profile", *COUNT, check=True)
    assert done.stdout.startswith("saevit_tiny has 7.20 M parameters and 0.7932 GMACs. Stage 3 has ")
    assert "793,232,224 of contractions" in done.stdout
    assert done.stderr == ""


def test_piped_text_is_the_same_on_any_width_and_has_no_colours(saevit: Run) -> None:
    done = saevit("profile", *COUNT, check=True)
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) > 80


def test_options_are_keys_of_the_grammar(saevit: Run) -> None:
    arguments = (
        "--width",
        "1.25",
        "--depth",
        "0.5",
        "--sparsity",
        "4,4,2,1",
        "--set",
        "ffn=mlp",
        "--set",
        "act=relu",
    )
    done = saevit("profile", "saevit_small", *arguments, *COUNT, "--json", "-", check=True)
    expected = "saevit_small:width=1.25,depth=0.5,rates=4-4-2-1,ffn=mlp,act=relu"
    assert parse(json.loads(done.stdout)["model"]) == parse(expected)


def test_an_option_replaces_the_text(saevit: Run) -> None:
    done = saevit("profile", "saevit_tiny:width=0.5", "--width", "2", *COUNT, "--csv", "-", check=True)
    assert next(csv.DictReader(io.StringIO(done.stdout)))["model"] == "saevit_tiny:width=2"


def test_measured_to_files(saevit: Run, tmp_path: Path) -> None:
    outputs = ("--plot", "a.png", "--json", "a.json", "--csv", "a.csv")
    done = saevit("profile", SMALL, *QUICK, "--batch-size", "1,2", *outputs, check=True)
    assert "images/s" in done.stdout
    assert [line.split()[0] for line in done.stderr.splitlines()] == ["stored", "wrote", "wrote", "wrote"]
    data = json.loads((tmp_path / "a.json").read_text())
    assert len(data["timings"]["latencies"][1]["samples"]) == 6
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a.csv",
        "a.json",
        "a.png",
        "store",
    ]  # nothing temporary


def test_nothing_is_overwritten_unless_asked(saevit: Run, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text("precious")
    assert saevit("profile", *COUNT, "--json", "mine.json").returncode == 2
    assert path.read_text() == "precious"
    saevit("profile", *COUNT, "--json", "mine.json", "--overwrite", check=True)
    assert json.loads(path.read_text())["model"] == "saevit_tiny"


def test_a_network_of_the_current_folder(saevit: Run, tmp_path: Path) -> None:
    (tmp_path / "my_nets.py").write_text("import torch\n\ndef make():\n    return torch.nn.Conv2d(3, 8, 3)\n")
    done = saevit("profile", "my_nets:make", "--no-measure", "--counters", "torch", "--json", "-", check=True)
    data = json.loads(done.stdout)
    assert (data["model"], data["params"]) == ("my_nets:make", 8 * 28)


@pytest.mark.parametrize("size", ["37,101", "37x101", "37 x 101"])
def test_non_square_input(saevit: Run, size: str) -> None:
    done = saevit("profile", SMALL, *COUNT, "--img-size", size, "--json", "-", check=True)
    assert json.loads(done.stdout)["img_size"] == [37, 101]


def test_two_runtimes_stand_in_one_table(saevit: Run) -> None:
    done = saevit(
        "profile", SMALL, *QUICK, "--batch-size", "1", "--memory-format", "channels_last", check=True
    )
    assert "channels_last" in done.stdout


@pytest.mark.slow
def test_compiled_beside_eager(saevit: Run) -> None:
    done = saevit("profile", SMALL, *QUICK, "--batch-size", "1", "--runtime", "eager,compile", check=True)
    assert [
        line.split()[0] for line in done.stdout.splitlines() if line.startswith(("eager ", "compile "))
    ] == [
        "eager",
        "compile",
    ]


def test_version_and_list(saevit: Run) -> None:
    assert saevit("--version", check=True).stdout == f"saevit {__version__}\n"
    listed = saevit("list", check=True).stdout
    assert all(name in listed for name in PRESETS)
    assert "attn_blocks" in listed


def ask_shell(**variables: str) -> str:
    """What the installed command answers to a shell that completes."""
    command = Path(sys.executable).with_name("saevit")
    done = subprocess.run([command], capture_output=True, text=True, env=os.environ | variables, check=False)
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion_script(shell: str) -> None:
    assert "_SAEVIT_COMPLETE" in ask_shell(_SAEVIT_COMPLETE=f"source_{shell}")


@pytest.mark.parametrize(
    ("words", "answer"), [("saevit profile saevit_t", "saevit_tiny"), ("saevit profile --ba", "--batch-size")]
)
def test_shell_completion(words: str, answer: str) -> None:
    asked = {"_SAEVIT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "2"}
    assert answer in ask_shell(**asked).split()


def test_completion_offers_presets_and_keys() -> None:
    from saevit_cli.options import complete_variant

    assert "saevit_tiny" in complete_variant("saevit_t")
    assert complete_variant("saevit_tiny:width=2,ra") == [
        "saevit_tiny:width=2,rates=",
        "saevit_tiny:width=2,ratios=",
    ]


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m saevit_cli profile --no-measure --counters analytic --by module | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stderr == ""


def test_a_terminal_gets_drawn_tables_and_a_progress_bar(tmp_path: Path) -> None:
    controller, terminal = pty.openpty()
    longer = ("--rounds", "60", "--min-time", "0.01")  # than the bar's tenth of a second
    arguments = ("profile", SMALL, *QUICK, "--batch-size", "1", *longer)
    process = subprocess.Popen(
        [sys.executable, "-m", "saevit_cli", *arguments],
        cwd=tmp_path,
        stdout=terminal,
        stderr=terminal,
        env=os.environ
        | {"TERM": "xterm-256color", "COLUMNS": "160", "SAEVIT_STORE": str(tmp_path / "store")},
    )
    os.close(terminal)
    seen = b""
    while True:
        try:
            part = os.read(controller, 65536)
        except OSError:
            break
        if not part:
            break
        seen += part
    assert process.wait(60) == 0
    text = seen.decode()
    assert "\x1b[1m" in text  # a heading
    assert re.search(r"round \d+ of 60, ", text)  # the bar
    assert "\x1b[" in text


def test_percentiles_are_of_single_passes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("saevit_cli.options.PASSES", 100)
    words = ["profile", f"{SMALL},classes=2", *QUICK, "--batch-size", "1", "--store", "store"]
    assert run_command([*words, "--percentiles", "--json", "a.json", "--csv", "a.csv"]) == 0
    out = capsys.readouterr().out
    (latency,) = json.loads(Path("a.json").read_text())["timings"]["latencies"]
    assert len(latency["passes"]) == 102
    assert [one["share"] for one in latency["percentiles"]] == [0.5, 0.9]
    (row,) = csv.DictReader(io.StringIO(Path("a.csv").read_text()))
    assert row["passes"] == "102"
    assert float(row["pass_time_p50"]) == pytest.approx(1e3 * latency["percentiles"][0]["value"])
    assert row["pass_time_p99"] == ""
    for text in (out, show_latest(capsys)):
        table = text.partition("Single passes, ms per batch\n")[2].splitlines()
        assert table[0].split()[:4] == ["passes", "p50", "p90", "p99"]
        assert table[2].split()[0] == "102"
    assert run_command([*words, "--no-measure", "--percentiles"]) == 0
    assert "--percentiles has no effect with --no-measure" in capsys.readouterr().err


def show_latest(capsys: pytest.CaptureFixture[str]) -> str:
    """Return what `saevit results show` prints of the last run."""
    assert run_command(["results", "show", "latest", "--store", "store"]) == 0
    return capsys.readouterr().out
