"""Whatever happens to the process: one line on stderr, an exit code, and no traceback."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from saevit.errors import OptionError
from saevit_cli.app import explain, run_command

COMMAND = (sys.executable, "-m", "saevit_cli")
SMALL = "saevit_pico:dims=8-8-16-16,heads=1,depths=1"
COUNT = ("profile", SMALL, "--no-measure", "--counters", "analytic")


def shell(
    redirection: str, *arguments: str, cwd: Path, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a command as a shell does that redirects its streams."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *COMMAND, *arguments],
        capture_output=True,
        cwd=cwd,
        env=os.environ | {"SAEVIT_STORE": str(cwd / "store")} | variables,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("redirection", "code", "line"),
    [
        (">&-", 1, b"error: stdout is closed: send it to a file, or to /dev/null\n"),
        (">&- 2>&-", 1, b""),
        ("2>&-", 0, b""),
        ("<&-", 0, b""),
        (">/dev/full", 1, b"error: stdout cannot be written: No space left on device\n"),
        (">/dev/full 2>/dev/full", 1, b""),
        ("2>/dev/full", 0, b""),
    ],
)
@pytest.mark.parametrize("arguments", [("list",), ("--help",), (*COUNT, "--json", "-")], ids=" ".join)
def test_streams_that_cannot_be_written(
    arguments: tuple[str, ...], redirection: str, code: int, line: bytes, tmp_path: Path
) -> None:
    done = shell(redirection, *arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (code, line)


def test_files_are_written_where_stdout_is_full(tmp_path: Path) -> None:
    done = shell(">/dev/full", *COUNT, "--json", "a.json", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == b"wrote a.json\nerror: stdout cannot be written: No space left on device\n"
    assert (tmp_path / "a.json").stat().st_size


@pytest.mark.parametrize(
    "arguments",
    [("list",), ("--help",), COUNT, (*COUNT, "--json", "a.json"), ("profile", "-h")],
    ids=" ".join,
)
def test_a_reader_that_has_gone_is_no_error(arguments: tuple[str, ...], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*COMMAND, *arguments], stdout=writing, stderr=subprocess.PIPE, cwd=tmp_path, check=False, timeout=300
    )
    os.close(writing)
    assert done.returncode == 0
    assert done.stderr == (b"wrote a.json\n" if "--json" in arguments else b"")
    assert (tmp_path / "a.json").is_file() == ("--json" in arguments)


LOCALES = [
    {"PYTHONIOENCODING": "cp1252"},
    {"PYTHONIOENCODING": "ascii:strict"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]


@pytest.mark.parametrize("variables", LOCALES, ids=str)
def test_characters_that_the_terminal_lacks_are_escaped(variables: dict[str, str], tmp_path: Path) -> None:
    done = shell("", "profile", "saevit_数据", cwd=tmp_path, **variables)
    assert done.returncode == 2
    assert re.match(rb"error: 'saevit_(\\u\w{4})+' is not a model: ", done.stderr)
    done = shell("", "results", "list", "--store", "数据", cwd=tmp_path, **variables)
    assert re.match(rb"(\\u\w{4})+ has no runs yet", done.stdout)


@pytest.mark.parametrize("name", [b"caf\xe9", b"\x1b[2J", "\u202egnp".encode(), b"a\nb", b"\x9b31m"])
def test_no_control_character_reaches_the_terminal(name: bytes, tmp_path: Path) -> None:
    text = os.fsdecode(name)
    refused = shell("", *COUNT, "--json", f"{text}/a.json", cwd=tmp_path)
    written = shell("", *COUNT, "--json", text, cwd=tmp_path)
    listed = shell("", "results", "list", "--store", f"nowhere/{text}", cwd=tmp_path)
    assert (refused.returncode, written.returncode, listed.returncode) == (2, 0, 0)
    assert os.fsencode(tmp_path / text) in [os.fsencode(path) for path in tmp_path.iterdir()]
    for done in (refused, written, listed):
        assert not re.search(r"[^\x20-\x7e\n]", (done.stderr + done.stdout).decode().replace("\xd7", "x"))
        assert done.stderr.count(b"\n") <= 1


def broken(error: BaseException, monkeypatch: pytest.MonkeyPatch, folder: Path) -> int:
    """Run a command that raises."""

    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr("saevit_cli.display.show", fail)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return run_command(["list"])


class Panic(BaseException):
    """As the panics of libraries in Rust: no Exception."""


@pytest.mark.parametrize(
    "error",
    [
        ValueError("two\nlines and \x1b[2J"),
        RuntimeError("x" * 10_000),
        MemoryError(),
        RecursionError("maximum recursion depth exceeded"),
        AssertionError(),
        UnicodeEncodeError("ascii", "数", 0, 1, "ordinal not in range"),
        OSError("no number"),
        BrokenPipeError(32, "Broken pipe"),
        ExceptionGroup("several", [ValueError("one")]),
        Panic("rust"),
    ],
    ids=repr,
)
def test_what_nobody_foresaw_is_one_line_and_a_file(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert broken(error, monkeypatch, tmp_path) == 1
    line = capsys.readouterr().err
    assert line.startswith(f"error: {type(error).__name__}: ")
    assert line.count("\n") == 1
    assert len(line) < 600
    assert line.rstrip().isprintable()
    (kept,) = tmp_path.iterdir()
    assert str(kept) in line
    text = kept.read_text(encoding="utf-8")
    for part in ("['list']", "saevit ", "Python 3", "torch ", "Traceback (most recent call last)"):
        assert part in text


def test_without_a_temporary_folder_the_error_is_still_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert broken(KeyError("x"), monkeypatch, tmp_path / "nowhere") == 1
    assert capsys.readouterr().err == "error: KeyError: 'x' (unexpected; --traceback shows the traceback)\n"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (OptionError("--x 1: two\nlines\x07"), 2, "error: --x 1: two lines\\x07\n"),
        (
            PermissionError(13, "Permission denied", "/a/\udce9"),
            2,
            "/a/\\udce9 cannot be used: Permission denied\n",
        ),
        (OSError(36, "File name too long", b"abc"), 2, "error: abc cannot be used: File name too long\n"),
        (
            OSError(28, "No space left on device", "x"),
            1,
            "error: x cannot be used: No space left on device\n",
        ),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
    ],
    ids=repr,
)
def test_what_was_foreseen_is_one_line(
    error: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert broken(error, monkeypatch, tmp_path) == code
    assert capsys.readouterr().err.endswith(line)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [["--traceback", "profile", "x"], ["profile", "x", "--traceback"]])
def test_a_traceback_is_shown_where_it_is_asked_for(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith("Traceback (most recent call last)")
    assert told.splitlines()[-1].startswith("error: 'x' is not a model")


def test_a_module_that_cannot_be_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "saevit_cli.commands.list", None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert run_command(["list"]) == 1
    assert capsys.readouterr().err.startswith("error: ModuleNotFoundError: ")


@pytest.mark.parametrize("module", ["typer", "saevit.errors", "saevit_cli.app"])
def test_an_installation_that_is_broken(module: str, tmp_path: Path) -> None:
    code = f"import sys; sys.modules[{module!r}] = None; from saevit_cli.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "list"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 1
    assert re.fullmatch(r"error: saevit cannot be loaded: .*\n", done.stderr)


NOISE = """
import atexit, logging, sys, threading, warnings
import saevit_cli.commands.list as command

class Bad:
    def __del__(self):
        raise ValueError("destructor")

def noise(tables):
    warnings.warn("a library warns")
    logging.getLogger("torch").error("a library logs")
    logging.error("%s", Bad())
    Bad()
    if "thread" in sys.argv:
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()

def at_exit():
    raise ValueError("at exit")

atexit.register(at_exit)
command.output.display.show = noise
sys.argv = ["saevit", "list"] if "thread" not in sys.argv else ["saevit", "list", "thread"]
from saevit_cli import app
app.invoke = lambda words: command.list_variants() or 0
app.main()
"""


@pytest.mark.parametrize(("more", "lines"), [([], 0), (["thread"], 1)])
def test_libraries_are_quiet(more: list[str], lines: int, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NOISE, *more],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr.count("\n") == lines
    assert done.stderr.startswith("error: ZeroDivisionError: " if lines else "")


@contextmanager
def started(
    arguments: Sequence[str], folder: Path, *, ignored: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """Start a command whose SIGINT is as a terminal sets it, or ignored as a shell's `&` sets it."""
    handler = signal.SIG_IGN if ignored else signal.SIG_DFL

    def as_a_shell_does() -> None:
        signal.signal(signal.SIGINT, handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup, in which the tests may run, ignores it

    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=os.environ | {"SAEVIT_STORE": str(folder / "store")},
        preexec_fn=as_a_shell_does,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


LONG = ("profile", SMALL, "--rounds", "10000", "--min-time", "0.01", "--img-size", "32", "--batch-size", "1")
ONE = ("--threads", "1", "--counters", "analytic")


def rounds_in(folder: Path, least: int) -> int:
    """Wait until a run keeps so many rounds more than its header, and return how many."""
    while True:
        texts = [path.read_text() for path in folder.glob("store/*.jsonl")]
        found = sum(text.count('"round"') for text in texts)
        if found >= least:
            return found
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda n: n.name)
def test_a_signal_interrupts_and_keeps_the_rounds(number: signal.Signals, tmp_path: Path) -> None:
    with started([*LONG, *ONE, "--json", "a.json"], tmp_path) as process:
        rounds_in(tmp_path, 2)
        process.send_signal(number)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "interrupted: the statistics are of the" in out
    assert re.fullmatch(r"stored \S+\nwrote a.json\n", err)
    timings = json.loads((tmp_path / "a.json").read_text())["timings"]
    assert timings["interrupted"]
    assert len(timings["latencies"][0]["samples"]) == timings["rounds"] > 1
    shown = subprocess.run(
        [*COMMAND, "results", "show", "latest", "--store", "store"], cwd=tmp_path, check=False, timeout=300
    )
    assert shown.returncode == 0


def test_in_the_background_sigint_stays_ignored_and_sigterm_works(tmp_path: Path) -> None:
    with started([*LONG, *ONE], tmp_path, ignored=True) as process:
        before = rounds_in(tmp_path, 2)
        process.send_signal(signal.SIGINT)
        rounds_in(tmp_path, before + 3)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=300)
    assert process.returncode == 130


@pytest.mark.parametrize("wait", [0.0, 0.03, 0.06, 0.1, 0.15])
def test_an_interrupt_while_the_command_loads(wait: float, tmp_path: Path) -> None:
    """At whatever moment the signal comes, it is one line; before there is any Python code of ours, none."""
    with started(["results", "list"], tmp_path) as process:
        time.sleep(wait)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=300)
    assert process.returncode in (0, 130, -signal.SIGTERM)
    assert err in ("", "error: interrupted\n")


def test_an_interrupt_that_was_turned_into_another_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = RuntimeError("Error calling __set_name__")
    error.__cause__ = KeyboardInterrupt()
    assert broken(error, monkeypatch, tmp_path) == 130
    assert capsys.readouterr().err == "error: interrupted\n"
    assert not list(tmp_path.iterdir())


def test_errors_that_lead_to_one_another_end(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = OptionError("the one that is shown"), ValueError("its cause")
    first.__cause__, second.__cause__ = second, first
    assert explain(first, []) == 2
    assert capsys.readouterr().err == "error: the one that is shown\n"


SWALLOWED = """
import contextlib, os, signal, sys
import saevit_cli.commands.list as command

def failing():
    with contextlib.suppress(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    raise ValueError("half done")

command.list_variants = failing
sys.argv = ["saevit", "list"]
from saevit_cli.app import main
main()
"""


def test_an_interrupt_that_a_library_caught_is_still_one(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SWALLOWED], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 130
    assert done.stderr.splitlines()[-1] == "error: interrupted"
