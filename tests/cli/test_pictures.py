"""Pictures of every command: drawn whatever matplotlib is set to, and after everything else."""

from pathlib import Path

import pytest

from tests.cli.conftest import Run

SMALL = "saevit_pico:dims=8-8-16-16,heads=1,depths=1"
LARGE = "saevit_pico:dims=16-16-32-32,heads=1,depths=2"
QUICK = ("--rounds", "6", "--min-time", "0.002", "--threads", "1", "--img-size", "64", "--device", "cpu")
DATA = ("--json", "a.json", "--csv", "a.csv")
COMMANDS = {  # with a word of its table
    "profile": (["profile", SMALL, "--no-measure", "--counters", "analytic", *DATA, "--plot"], "GMACs"),
    "compare": (["compare", SMALL, LARGE, *QUICK, *DATA, "--report", "a.html", "--plot"], "images/s"),
    "explore": (["explore", "--dims1", "24:64:8", *DATA, "--plot"], "MACs"),
    "sensitivity": (["explore", "--sensitivity", *DATA, "--plot"], "activations"),
    "attention": (["visualize-attention", SMALL, "--img-size", "64", *DATA, "--output"], "support"),
}
FULL = Path("/dev/full")


@pytest.mark.parametrize("command", COMMANDS)
def test_settings_of_a_notebook_or_of_latex_change_nothing(
    command: str, saevit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nimage.origin: lower\nbackend: nonsense\n")
    arguments, word = COMMANDS[command]
    done = saevit(*arguments, "a.png", check=True)
    assert word in done.stdout
    assert done.stderr.splitlines()[-1] == "wrote a.png"
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(not FULL.exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_picture_that_fails_costs_a_line_and_no_data(command: str, saevit: Run, tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(FULL)
    arguments, word = COMMANDS[command]
    done = saevit(*arguments, "a.png")
    assert done.returncode == 1
    assert word in done.stdout
    line = f"error: {arguments[-1]}: a.png cannot be written: No space left on device"
    assert done.stderr.splitlines()[-1] == line
    wanted = [tmp_path / name for name in arguments if name.startswith("a.")]
    assert all(path.stat().st_size for path in wanted)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_with_a_picture_writes_a_page_of_it(command: str, saevit: Run, tmp_path: Path) -> None:
    arguments, word = COMMANDS[command]
    saevit(*arguments, "a.png", "--report", "page.html", "--overwrite", check=True)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count('class="figure"') >= 1
    assert word in page
    assert command in ("attention", "sensitivity") or '<a class="mark"' in page
    assert "<span>--report</span> <span>page.html</span>" in page
    assert 'download="page.json"' in page
    assert 'download="page.csv"' in page
