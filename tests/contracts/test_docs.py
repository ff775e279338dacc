"""What is written about the command line is what it does."""

import inspect
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer.main
from PIL import Image

from saevit.checkpoint import save_checkpoint
from saevit.count import model_costs
from saevit.models import build_network, read_about
from saevit.report.columns import View
from saevit.report.screen import write_text
from saevit.runs.store import Writer
from saevit.variant import KEYS, PRESETS
from saevit_cli.app import EXAMPLES, SUMMARIES, make_application, run_command
from saevit_cli.commands.explore_options import STAGE_WORDS
from tests.runs.test_record import COUNTED
from tests.runs.test_store import BEGUN, round_of

ROOT = Path(__file__).parents[2]
README, GUIDE = ROOT / "README.md", ROOT / "docs" / "guide.md"
OF_ALL = ("--version", "--traceback")  # options that stand before any command
INTRO = """# Command line

Made from the commands' own help by `make docs`; a test compares the two.
"""


def commands(group: Any, name: str = "saevit") -> Iterator[tuple[str, Any]]:
    """Yield every command with its full name."""
    for part, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{name} {part}")
        else:
            yield f"{name} {part}", command


LOADED = typer.main.get_command(make_application(SUMMARIES))
ALL = list(commands(LOADED))


def reference() -> str:
    """The commands and their options as Markdown."""
    parts = [
        INTRO,
        "\n".join([f"- `{p.opts[-1]}`: {p.help}" for p in LOADED.params if p.opts[-1] in OF_ALL]),
        "",
    ]
    for name, command in ALL:
        parts += [f"## {name}", "", inspect.cleandoc(command.help or ""), ""]
        rows = [row(p) for p in command.params]
        parts += (
            ["| option | value | default | meaning |", "| --- | --- | --- | --- |", *rows, ""] if rows else []
        )
    return "\n".join(parts)


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
    for _, command in ALL:
        assert command.help
        assert all(param.help for param in command.params)


def help_of(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The help of a command as a terminal of 80 columns shows it."""
    assert run_command([*name.split()[1:], "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", [name for name, _ in ALL])
def test_help_is_plain(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No word is broken, nothing is wider than the terminal, and a default is stated once."""
    monkeypatch.setenv("COLUMNS", "80")
    command = dict(ALL)[name]
    text, _, examples = help_of(name, capsys).partition("Examples:\n")
    assert len(examples.splitlines()) == 2
    assert max(map(len, text.splitlines())) <= 80
    assert "<" not in text
    for param in command.params:
        assert re.fullmatch(r"[^\n]+[.)]", param.help), param.help
        joined = " ".join(text.split())
        assert " ".join(param.help.split()) in joined, param.help  # also if a word of it were broken
        shown = re.search(rf"{re.escape(' '.join(param.help.split()))} \[default: ", joined)
        assert not (shown and "default" in param.help), param.help


def test_documents_name_options_that_exist() -> None:
    """An option in README or docs belongs to a command, to a script of benchmarks/, or to pytest."""
    known = {
        word
        for _, command in ALL
        for param in command.params
        for word in (*param.opts, *param.secondary_opts)
    }
    known |= {*OF_ALL, "--help", "--update-golden", "--nproc-per-node"}
    known |= {"--from", "--spec", "--rm"}  # of uvx, pipx and docker
    known |= {f"--{key.replace('_', '-')}" for key in (*KEYS, *STAGE_WORDS)}  # of explore
    scripts = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "benchmarks").glob("*.py"))
    known |= set(re.findall(r'"(--[a-z-]+)"', scripts))
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        if path.name == "log.md":  # names options of its time
            continue
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", path.read_text(encoding="utf-8")))
        assert named <= known, (path.name, named - known)


def keep_a_run(folder: Path) -> Path:
    """Leave a run of two models whose MACs are known."""
    with Writer(folder) as writer:
        writer.begin(BEGUN)
        for subject_ in BEGUN.subjects[:2]:
            writer.add_record(replace(COUNTED, subject=subject_.name, quantity="macs"))
        for number in range(6):
            writer.add_round(number, round_of(number))
        writer.end()
    return writer.path


def keep_a_checkpoint(path: Path) -> None:
    """Leave the file that `saevit train` would leave, of random weights."""
    net = build_network("saevit_pico", (32, 32), num_classes=10)
    about = replace(read_about(net, "saevit_pico", (32, 32)), data="digits", class_names=tuple("0123456789"))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(net.state_dict(), about, path)


def keep_images(folder: Path, classes: int) -> None:
    """Leave images in one folder per class, or in the folder itself if there is one class."""
    for number in range(2 * classes):
        path = (folder / str(number % classes) if classes > 1 else folder) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (6 * number, 99, 200)).save(path)


def document_commands() -> list[str]:
    """Every `saevit ...` line in the code blocks of README and the guide."""
    text = "".join(path.read_text(encoding="utf-8") for path in (README, GUIDE))
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    lines = [line.split(" # ")[0].strip() for block in blocks for line in block.splitlines()]
    return [line.removeprefix("saevit ") for line in lines if line.startswith("saevit ")]


def written_commands() -> Iterator[str]:
    """Yield every command of README and docs/, in code blocks and in sentences."""
    for path in (README, *sorted(GUIDE.parent.glob("*.md"))):
        text = path.read_text(encoding="utf-8").replace("\\\n", "")
        blocks = re.findall(r"```(?:sh|text)\n(.*?)```", text, flags=re.DOTALL)
        yield from (line.removeprefix("$ ") for block in blocks for line in block.splitlines())
        yield from (" ".join(span.split()) for span in re.findall(r"`(saevit [^`]*)`", text))


@pytest.mark.parametrize(
    "text",
    sorted(
        text
        for text in set(written_commands())
        if text.startswith("saevit ") and "..." not in text and "COMMAND" not in text
    ),
)
def test_written_commands_have_options_that_exist(text: str) -> None:
    words = shlex.split(text, comments=True)[1:]
    command: Any = LOADED
    while hasattr(command, "commands") and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    if not hasattr(command, "commands"):
        command.make_context("saevit", words)
    else:
        assert words in ([], ["--help"])  # a group alone shows its help


def make_cheap(arguments: list[str]) -> list[str]:
    """Return the arguments of a command as it runs here: without times, with few epochs."""
    words = {"latency": "gmacs"} if "--sort" in arguments else {"30": "1", "3": "1"}
    command, *rest = [words.get(word, word) for word in arguments]
    if "--measure-top" in rest:  # another test measures
        at = rest.index("--measure-top")
        del rest[at : at + 2]
    is_variant = not rest or rest[0].startswith(("saevit_", "-"))
    cheap = {
        "train": ["--epochs", "1", "--img-size", "32"] if "photos" in rest else ["--epochs", "1"],
        "profile": ["--no-measure", "--counters", "analytic" if is_variant else "torch"],
        "profile --by": ["--rounds", "6", "--min-time", "0.001"],
        "compare": [] if "--from-store" in rest else ["--no-measure"],
        "compare --train": ["--no-measure", "--epochs", "1", "--seeds", "1", "--img-size", "32"],
        "doctor": ["--no-measure"],
    }
    kind = "--train" if "--train" in rest else "--by" if "op" in rest else ""
    more = cheap.get(f"{command} {kind}".strip(), [])
    return [command, *rest, *(word for word in more if word not in rest)]


@pytest.mark.parametrize(
    "text", dict.fromkeys([*document_commands(), *(text for pair in EXAMPLES.values() for text in pair)])
)
def test_commands_of_documents_and_help_run(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = shlex.split(text)
    monkeypatch.chdir(tmp_path)
    if any("mobilenet" in word or "resnet" in word for word in arguments):
        pytest.importorskip("torchvision", exc_type=RuntimeError)
    # What a command builds is tested elsewhere; here every model it names is as cheap as one variant.
    cheap = model_costs.count_variant(PRESETS["saevit_pico"], (224, 224))
    if arguments[0] == "compare":
        monkeypatch.setattr(
            "saevit.comparing.compare.count_model", lambda model, _: (replace(cheap, name=model), {})
        )
    monkeypatch.setenv("SAEVIT_STORE", str(tmp_path))
    run = keep_a_run(tmp_path)
    if "20261126" in arguments:
        run.rename(run.with_name("20261126T000000Z-0000.jsonl"))
        keep_a_run(tmp_path)
    for word in arguments:
        if word.endswith(".safetensors"):
            keep_a_checkpoint(Path(word))
        if word.endswith(".jsonl"):
            shutil.copy(run, word)
    if "photo.png" in arguments:
        Image.new("RGB", (200, 160), (90, 120, 60)).save("photo.png")
    if "photos" in arguments:
        keep_images(tmp_path / "photos", classes=1 if arguments[0] == "visualize-attention" else 10)
    if "measurements" in arguments:
        keep_a_run(tmp_path / "measurements")
    if arguments[0] == "export":
        pytest.importorskip("openvino")
    if "--top1" in arguments:
        keep_a_checkpoint(tmp_path / "a" / "a.safetensors")
        assert run_command(["eval", "--checkpoint", "a/a.safetensors"]) == 0
    assert run_command(make_cheap(arguments)) == 0, capsys.readouterr().err
    assert capsys.readouterr().err.replace("wrote", "").count("error") == 0


@pytest.mark.parametrize("path", [README, GUIDE], ids=lambda path: path.stem)
def test_documents_show_what_commands_print(
    path: Path, golden: Callable[[str, Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block that starts with `$ saevit` is what a terminal of 80 columns shows; `...` ends a part of it."""

    def show(found: re.Match[str]) -> str:
        _, command, body = found[0].split("\n", 2)
        shown: list[View] = []
        monkeypatch.setattr("saevit_cli.display.show", shown.append)
        assert run_command(shlex.split(command)[2:]) == 0
        lines = write_text(shown[0], 80).splitlines()
        if body.endswith("...\n```"):
            lines = [*lines[: body.count("\n") - 1], "..."]
        return "\n".join(["```text", command, *lines, "```"])

    text = path.read_text(encoding="utf-8")
    golden(
        f"../../{path.relative_to(ROOT)}", re.sub(r"```text\n\$ saevit.*?\n```", show, text, flags=re.DOTALL)
    )


def test_python_of_the_guide_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torchvision", exc_type=RuntimeError)
    monkeypatch.chdir(tmp_path)
    keep_a_checkpoint(Path("a.safetensors"))
    folder = ["--format", "timm", "--output", "runs/saevit_pico-digits"]
    assert run_command(["export", "--checkpoint", "a.safetensors", *folder]) == 0
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)
    for block in blocks:
        exec(block.replace("rounds=6", "rounds=6, min_time=0.001"), {})
    assert len(blocks) == 2
    assert "[48, 128, 240, 448]" in capsys.readouterr().out


def test_readme_table_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    run_command(["list"])
    rows = re.findall(r"^(saevit_\w+) +(\S+) +(\S+ M) ", capsys.readouterr().out, flags=re.MULTILINE)
    assert [name for name, *_ in rows] == list(PRESETS)
    text = README.read_text(encoding="utf-8")
    for name, gmacs, params in rows:
        assert f"| `{name}` | {params} | {gmacs} |" in text


def test_no_machine_or_registry_is_named() -> None:
    forbidden = re.compile("/" + "work/|/" + "root/|index" + "-url|pypi" + r"\.|download\." + "pytorch")
    patterns = ("*.md", "*.toml", "*.yml", ".*.yaml", ".ci/*", "Makefile", "Dockerfile", "docs/*.md")
    code = ("saevit*/**/*.py", "tests/**/*.py", "benchmarks/*.py", "examples/*.py")
    files = [path for pattern in (*patterns, *code) for path in ROOT.glob(pattern)]
    assert [p.name for p in files if forbidden.search(p.read_text(encoding="utf-8"))] == []


def test_help_lists_what_each_command_says_of_itself() -> None:
    """The list is drawn without loading the commands."""
    assert isinstance(LOADED, typer.core.TyperGroup)
    said = {name: (command.help or "").split("\n\n")[0] for name, command in LOADED.commands.items()}
    assert {name: " ".join(text.split()) for name, text in said.items()} == SUMMARIES


def test_every_document_is_a_page_of_the_site() -> None:
    pages = re.findall(r"^  - .*: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), flags=re.MULTILINE)
    assert sorted(pages) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))
