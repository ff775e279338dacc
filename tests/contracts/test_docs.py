"""What is written about the command line is what it does."""

import inspect
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer.main

from saevit.checkpoint import save_checkpoint
from saevit.count import model_costs
from saevit.models import build_network, read_about
from saevit.runs.store import Writer
from saevit.variant import PRESETS
from saevit_cli.app import SUMMARIES, make_application, run_command
from tests.runs.test_record import COUNTED
from tests.runs.test_store import BEGUN, round_of

ROOT = Path(__file__).parents[2]
OF_ALL = ("--version", "--traceback")  # options that stand before any command
QUICK = ["--rounds", "6", "--min-time", "0.001", "--threads", "1"]
INTRO = """# Command line

Made from the commands' own help by `make docs`; a test compares the two.
"""


def reference() -> str:
    """The commands and their options as Markdown."""
    root = typer.main.get_command(make_application(SUMMARIES))
    parts = [
        INTRO,
        "\n".join([f"- `{p.opts[-1]}`: {p.help}" for p in root.params if p.opts[-1] in OF_ALL]),
        "",
    ]
    for name, command in commands(root):
        parts += [f"## {name}", "", inspect.cleandoc(command.help or ""), ""]
        rows = [row(p) for p in command.params]
        parts += (
            ["| option | value | default | meaning |", "| --- | --- | --- | --- |", *rows, ""] if rows else []
        )
    return "\n".join(parts)


def commands(group: Any, name: str = "saevit") -> Iterator[tuple[str, Any]]:
    """Yield every command with its full name."""
    for part, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{name} {part}")
        else:
            yield f"{name} {part}", command


def row(param: Any) -> str:
    """One option or argument."""
    names = "/".join([*param.opts, *param.secondary_opts]) if param.param_type_name == "option" else ""
    default = "" if param.default in (None, False) else "yes" if param.default is True else param.default
    value = (
        "" if getattr(param, "is_flag", False) else param.metavar or "|".join(param.type_descriptor.choices)
    )
    cells = [f"`{names}`" if names else "", f"`{value}`" if value else "", str(default), param.help]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def test_reference(golden: Callable[[str, Any], None]) -> None:
    golden("../../docs/cli.md", reference())


def test_every_option_has_a_help() -> None:
    for _, command in commands(typer.main.get_command(make_application(SUMMARIES))):
        assert command.help
        assert all(param.help for param in command.params)


def keep_a_run(folder: Path) -> None:
    """Leave a run of two models whose MACs are known."""
    with Writer(folder) as writer:
        writer.begin(BEGUN)
        for subject_ in BEGUN.subjects[:2]:
            writer.add_record(replace(COUNTED, subject=subject_.name, quantity="macs"))
        for number in range(6):
            writer.add_round(number, round_of(number))
        writer.end()


def keep_a_checkpoint(path: Path) -> None:
    """Leave the file that `saevit train` would leave, of random weights."""
    net = build_network("saevit_pico", (32, 32), num_classes=10)
    about = replace(read_about(net, "saevit_pico", (32, 32)), data="digits", class_names=tuple("0123456789"))
    path.parent.mkdir(parents=True)
    save_checkpoint(net.state_dict(), about, path)


def readme_commands() -> list[list[str]]:
    """Every `saevit ...` line in README's code blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    return [line[1:] for line in lines if line[:1] == ["saevit"]]


@pytest.mark.parametrize("arguments", readme_commands(), ids=" ".join)
def test_readme_commands_run(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    is_of_timm = arguments[0] in ("profile", "train") and re.match(
        "(?!saevit|--)", "".join(arguments[1:2]) or "--"
    )
    if is_of_timm:
        pytest.importorskip("torchvision", exc_type=RuntimeError)
    # What a command builds is tested elsewhere; here every model it names is as cheap as one variant.
    cheap = model_costs.count_variant(PRESETS["saevit_pico"], (224, 224))
    monkeypatch.setattr(
        "saevit.comparing.compare.count_model", lambda model, _: (replace(cheap, name=model), {})
    )
    monkeypatch.setenv("SAEVIT_STORE", str(tmp_path))
    keep_a_run(tmp_path)
    if trained := next((argument for argument in arguments if argument.endswith(".safetensors")), None):
        keep_a_checkpoint(Path(trained))
    if arguments[0] == "export":
        pytest.importorskip("openvino")
    if "--top1" in arguments:
        keep_a_checkpoint(tmp_path / "a" / "a.safetensors")
        assert run_command(["eval", "--checkpoint", "a/a.safetensors"]) == 0
    more = {
        "train": ["--epochs", "1", "--set", "batch_size=256"],
        "profile": ["--no-measure", "--counters", "torch" if is_of_timm else "analytic"],
        "compare": []
        if "--from-store" in arguments
        else QUICK
        if "latency" in arguments
        else ["--no-measure"],
    }.get(arguments[0], [])
    assert run_command([*arguments, *more]) == 0, capsys.readouterr().err
    assert capsys.readouterr().err.replace("wrote", "").count("error") == 0


def test_readme_table_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    run_command(["list"])
    rows = re.findall(r"^(saevit_\w+) +(\S+) +(\S+ M) ", capsys.readouterr().out, flags=re.MULTILINE)
    assert [name for name, *_ in rows] == list(PRESETS)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, gmacs, params in rows:
        assert f"| `{name}` | {params} | {gmacs} |" in text


def test_no_machine_or_registry_is_named() -> None:
    forbidden = re.compile("/" + "work/|/" + "root/|index" + "-url")
    files = [
        p
        for pattern in ("*.md", "*.toml", "Makefile", "docs/*.md", "saevit*/**/*.py")
        for p in ROOT.glob(pattern)
    ]
    assert [p.name for p in files if forbidden.search(p.read_text(encoding="utf-8"))] == []


def test_help_lists_what_each_command_says_of_itself() -> None:
    """The list is drawn without loading the commands."""
    loaded = typer.main.get_command(make_application(SUMMARIES))
    assert isinstance(loaded, typer.core.TyperGroup)
    said = {name: (command.help or "").split("\n\n")[0] for name, command in loaded.commands.items()}
    assert {name: " ".join(text.split()) for name, text in said.items()} == SUMMARIES
