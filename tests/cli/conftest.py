"""The command line as a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def saevit(tmp_path: Path) -> Run:
    """Return a function that runs `saevit ARGUMENTS` in an empty folder with a store of its own."""

    def run(
        *arguments: str, check: bool = False, store: Path | None = tmp_path / "store"
    ) -> subprocess.CompletedProcess[str]:
        outer = {name: value for name, value in os.environ.items() if name != "SAEVIT_STORE"}
        own = {"COLUMNS": "80"} | ({"SAEVIT_STORE": str(store)} if store else {})
        return subprocess.run(
            [sys.executable, "-m", "saevit_cli", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=check,
            env=outer | own,
            timeout=300,
        )

    return run
