"""Outputs of commands that measure nothing anew: each equals its golden file, byte for byte."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run

GOLDEN = Path(__file__).parents[1] / "golden"
RUNS = ("stored_compare", "stored_eval", "stored_profile")
SMALL = "saevit_pico:dims=8-8-16-16,depths=1,heads=1"
SPACE = (
    "saevit_pico",
    "--width",
    "0.5:1.5:0.25",
    "--depth",
    "0.5,1,2",
    "--set",
    "ffn=ciffn,mlp",
    "--jobs",
    "1",
)
COMMANDS = {
    "profile.json": ("profile", "saevit_tiny", "--no-measure", "--counters", "analytic", "--json", "-"),
    "profile_module.csv": (
        *("profile", f"{SMALL},rates=8-4-2-1", "--no-measure", "--counters", "analytic,torch"),
        *("--by", "module", "--csv", "-"),
    ),
    "compare.txt": ("compare", "--from-store", "stored_compare.jsonl"),
    "compare.json": ("compare", "--from-store", "stored_compare.jsonl", "--json", "-"),
    "compare.csv": ("compare", "--from-store", "stored_compare.jsonl", "--csv", "-"),
    "compare_counted.txt": ("compare", "saevit_pico", "edgevit_xs", "--no-measure", "--y", "params"),
    "explore.txt": ("explore", *SPACE),
    "explore.json": ("explore", *SPACE, "--json", "-"),
    "explore.csv": ("explore", *SPACE, "--csv", "-"),
    "explore_dp.csv": ("explore", *SPACE, "--method", "dp", "--objectives", "gmacs,params", "--csv", "-"),
    "explore_solve.txt": ("explore", "saevit_pico", "--solve", "width", "--target-gmacs", "0.3"),
    "explore_sensitivity.json": ("explore", "saevit_pico", "--sensitivity", "--json", "-"),
    "list.txt": ("list",),
    "results_list.txt": ("results", "list"),
    "results_show_compare.txt": ("results", "show", "stored_compare.jsonl"),
    "results_show_profile.txt": ("results", "show", "stored_profile.jsonl"),
    "results_show_eval.txt": ("results", "show", "stored_eval.jsonl"),
    "results_diff.txt": ("results", "diff", "stored_compare.jsonl", "stored_compare.jsonl"),
    "results_export.csv": ("results", "export", "stored_compare.jsonl", "--output", "out.csv"),
    "results_export_eval.jsonl": ("results", "export", "stored_eval.jsonl", "--output", "out.jsonl"),
    "attention.csv": ("visualize-attention", SMALL, "--img-size", "64", "--csv", "-", "--output", "a.png"),
}


def stable(text: str, folder: Path) -> str:
    """Return the text without the package's version and the path of the folder that the test made."""
    return re.sub(r"\b0\.2\.\d\b", "VERSION", text).replace(str(folder), "FOLDER")


def rounded(text: str) -> str:
    """Round floating-point values to four digits; their last digits depend on the CPU."""
    return re.sub(r"-?\d+\.\d+(e-?\d+)?", lambda found: f"{float(found.group()):.4g}", text)


@pytest.mark.parametrize("name", COMMANDS)
def test_output_is_frozen(saevit: Run, tmp_path: Path, golden: Callable[[str, Any], None], name: str) -> None:
    (tmp_path / "store").mkdir()
    for run in RUNS:
        for folder in (tmp_path, tmp_path / "store"):
            shutil.copy(GOLDEN / f"{run}.jsonl", folder)
    done = saevit(*COMMANDS[name])
    assert done.returncode == 0, done.stderr
    written = [tmp_path / text for text in COMMANDS[name] if text.startswith("out.")]
    text = written[0].read_text(encoding="utf-8") if written else done.stdout
    if name.endswith(".json"):
        json.loads(text)
    golden(f"outputs/{name}", rounded(text) if name.startswith("attention") else stable(text, tmp_path))
