"""`saevit explore --calibrate` and searches by predicted latency, as users type them."""

import csv
import json
import re
from pathlib import Path

import pytest

from saevit_cli.app import run_command

SPACE = (
    *("explore", "saevit_pico:dims=8-8-16-16,heads=1,depths=1,classes=2", "--img-size", "32"),
    *("--dims4", "16,24", "--depths3", "1:3", "--depths4", "1:2", "--threads", "1", "--store", "store"),
)
QUICK = ("--rounds", "2", "--min-time", "0.001")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the calibration of a space of 12 variants."""
    folder = tmp_path_factory.mktemp("calibrated")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run_command([*SPACE, "--calibrate", *QUICK, "--json", "calibration.json"]) == 0
    return folder


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That folder, as the working folder."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SAEVIT_STORE", str(folder / "rows"))
    return folder


def test_a_calibration_predicts_variants_that_it_was_not_fitted_to(here: Path) -> None:
    data = json.loads((here / "calibration.json").read_text("utf-8"))
    assert len(data["variants"]) == 12
    assert all(row["predicted_latency_s"] > 0 < row["measured_latency_s"] for row in data["variants"])
    assert len(data["coefficients"]) == 3
    assert min(data["coefficients"]) >= 0
    assert data["conditions"].startswith("32x32, batch 1, fp32, cpu, eager, 1 thread")


def test_a_search_without_options_is_by_latency_where_a_calibration_applies(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command([*SPACE, "--json", "found.json"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert re.match(r"\d+ variants? (is|are) on the front of predicted latency and most GMACs\.", out)
    assert re.search(r"90 % of its held-out variants were within \S+ %\.", out)
    data = json.loads((here / "found.json").read_text("utf-8"))
    assert data["objectives"] == ["latency", "most-gmacs"]
    rows = [row for row in data["variants"] if row["on_front"]]
    assert rows == sorted(rows, key=lambda row: row["predicted_latency_s"])
    assert all(
        row["predicted_latency_error"] == data["latency_prediction"]["error_of_90_percent"] for row in rows
    )
    middle = sorted(row["predicted_latency_s"] for row in data["variants"])[len(data["variants"]) // 2]
    limit = f"{1e3 * middle:.6f}ms"
    assert run_command([*SPACE, "--max-latency", limit, "--csv", "limited.csv"]) == 0
    assert f"Within {1e3 * middle:.4g} ms of predicted latency, the most GMACs" in " ".join(
        capsys.readouterr().out.split()
    )
    with (here / "limited.csv").open(encoding="utf-8") as file:
        kept = [float(row["predicted_latency_s"]) for row in csv.DictReader(file)]
    assert 0 < max(kept) <= middle * (1 + 1e-6)


def test_a_calibration_of_another_runtime_is_refused_in_one_line(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*SPACE, "--latency-of", "compile"]
    assert run_command([*words, "--max-latency", "9"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: no calibration for 32x32, batch 1, fp32, cpu, compile, 1 thread")
    assert "differs: runtime eager, here compile; make it with: saevit explore saevit_pico:" in line
    assert line.endswith("--calibrate --runtime compile --threads 1 --img-size 32x32 --store store")
    assert run_command(words) == 0  # the latency was not asked for
    told = capsys.readouterr()
    assert "latency is not an objective: no calibration for 32x32" in told.err
    assert "on the front of parameters and most GMACs" in " ".join(told.out.split())
