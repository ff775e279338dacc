"""Run the command line in a separate process, which is forked from one that has loaded the libraries."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import saevit_cli

Run = Callable[..., subprocess.CompletedProcess[str]]
SECONDS = 300.0  # until a command is ended
FORKS = multiprocessing.get_context("forkserver")  # loading torch takes most of the time of a short command
FORKS.set_forkserver_preload(
    [
        *("saevit", "torch", "timm", "thop", "fvcore.nn", "matplotlib.figure", "scipy.stats", "rich.table"),
        *("saevit_cli.app", "saevit_cli.commands.compare", "saevit.comparing.compare", "saevit.train.loop"),
        *("saevit.report.views.profile", "saevit.report.views.compare", "saevit.explore.search"),
    ]
)


@pytest.fixture
def saevit(tmp_path: Path) -> Run:
    """Return a function that runs `saevit ARGUMENTS` in an empty folder with a store of its own."""
    texts = tmp_path.parent / f"{tmp_path.name}-stdout", tmp_path.parent / f"{tmp_path.name}-stderr"

    def run(
        *arguments: str, check: bool = False, store: Path | None = tmp_path / "store"
    ) -> subprocess.CompletedProcess[str]:
        outer = {name: value for name, value in os.environ.items() if name != "SAEVIT_STORE"}
        own = {"COLUMNS": "80"} | ({"SAEVIT_STORE": str(store)} if store else {})
        process = FORKS.Process(target=run_command, args=(arguments, tmp_path, outer | own, *texts))
        process.start()
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(arguments, SECONDS)
        done = subprocess.CompletedProcess(arguments, process.exitcode, *map(Path.read_text, texts))
        if check:
            done.check_returncode()
        return done

    return run


def run_command(
    arguments: tuple[str, ...], folder: Path, environment: Mapping[str, str], *texts: Path
) -> None:
    """Run the command line as `python -m saevit_cli` does, with its output in two files."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [str(Path(saevit_cli.__file__).with_name("__main__.py")), *arguments]
    for number, path in enumerate(texts, start=1):
        with path.open("wb") as file:
            os.dup2(file.fileno(), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
    from saevit_cli.__main__ import main

    main()
