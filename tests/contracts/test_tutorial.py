"""The commands of the tutorial run one after another, as a reader types them, with small budgets."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = {
    "--calibrate": "--calibrate --rounds 2 --min-time 0.001",
    "--epochs 8": "--epochs 1 --seeds 1 --rounds 2 --min-time 0.001",
}


@pytest.mark.slow
def test_every_command_of_the_tutorial_runs(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines() if not line.startswith("pip ")]
    assert len(commands) == 7
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "SAEVIT_STORE": str(tmp_path / "store"),
        "PYTHONPATH": str(ROOT),
    }
    for command in commands:
        for long, short in SMALL.items():
            command = command.replace(long, short)
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
