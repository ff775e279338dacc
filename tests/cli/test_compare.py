"""`saevit compare` as users type it."""

import csv
import io
import json
from pathlib import Path

import pytest

from saevit.variant import parse
from tests.cli.conftest import Run

SMALL = "saevit_pico:dims=8-8-16-16,heads=1,depths=1"
LARGE = "saevit_pico:dims=16-16-32-32,heads=1,depths=2"
QUICK = ("--rounds", "6", "--min-time", "0.002", "--threads", "1", "--img-size", "64", "--device", "cpu")


def test_two_variants(saevit: Run) -> None:
    done = saevit("compare", LARGE, SMALL, "--reference", SMALL, *QUICK, "--sort", "gmacs", check=True)
    result, *lines = [line for line in done.stdout.splitlines() if not line.startswith("warning: ")]
    assert result.endswith(".")
    assert lines[1].startswith("2 models, 64 x 64 px, fp32, batch 1, eager, ")
    assert [line.split()[0] for line in lines if line.startswith("saevit_pico:")] == [
        str(parse(SMALL)),
        str(parse(LARGE)),
    ]
    assert "noise floor" not in done.stdout
    explained = saevit("compare", "--from-store", "latest", "--explain", check=True)
    assert "noise floor" in explained.stdout


def test_machine_output(saevit: Run) -> None:
    done = saevit("compare", LARGE, SMALL, *QUICK, "--json", "-", check=True)
    data = json.loads(done.stdout)
    assert len(data["candidates"][1]["latency"]["samples"]) == 6
    counted = saevit("compare", LARGE, SMALL, "--no-measure", "--csv", "-", check=True)
    assert len(list(csv.DictReader(io.StringIO(counted.stdout)))) == 2


def test_a_failed_model_gives_exit_code_1(saevit: Run) -> None:
    done = saevit("compare", SMALL, "saevit_tiny:width=100", *QUICK)
    assert done.returncode == 1
    assert "GB are free" in done.stdout
    assert "images/s" in done.stdout


def test_a_picture_and_a_page(saevit: Run, tmp_path: Path) -> None:
    outputs = ("--plot", "a.svg", "--report", "a.html")
    done = saevit("compare", LARGE, SMALL, *QUICK, "--x", "gmacs", "--y", "latency", *outputs, check=True)
    assert [line.split()[:2] for line in done.stderr.splitlines()][1:] == [
        ["wrote", "a.html"],  # data before pictures
        ["wrote", "a.svg"],
    ]
    assert "<svg" in (tmp_path / "a.svg").read_text(encoding="utf-8")
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "<span>--report</span> <span>a.html</span>" in page  # the command that makes it again


@pytest.mark.parametrize(
    ("axes", "shown"),
    [
        ([], "latency against gmacs"),
        (["--x", "params,latency"], "gmacs against params and latency"),
        (["--no-measure"], "params against gmacs"),
    ],
)
def test_without_accuracies_the_picture_shows_costs(
    axes: list[str], shown: str, saevit: Run, tmp_path: Path
) -> None:
    done = saevit("compare", LARGE, SMALL, *QUICK, *axes, "--plot", "a.png", check=True)
    said, wrote = done.stderr.splitlines()[-2:]
    assert said.startswith("fewer than two models have a known top1")
    assert said.endswith(f"; --plot shows {shown} instead")
    assert wrote == "wrote a.png"
    assert (tmp_path / "a.png").exists()
    if not axes:
        again = saevit("compare", "--from-store", "latest", "--plot", "a.png", "--overwrite", check=True)
        assert again.stderr.splitlines() == [said, wrote]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--y", "top1"], "no model has a published top1"),
        (["--x", "gmacs", "--y", "top1", "--report", "a.html"], "no model has a published top1"),
        (["saevit_claim_0.8g", "--x", "latency", "--y", "top1"], "no model has both latency and top1"),
        (["--no-measure", "--y", "latency"], "no model has a latency"),
        (["--no-measure", "--x", "gmacs,throughput"], "no model has a throughput"),
        (["--x", "top1"], "axes top1 and top1 are the same"),
        (["--y", "top2"], "metric 'top2' is not known"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_anything_is_measured(
    arguments: list[str], message: str, saevit: Run, tmp_path: Path
) -> None:
    done = saevit("compare", LARGE, SMALL, *QUICK, *arguments, "--plot", "a.png")
    assert done.returncode == 2
    *warnings, error = done.stderr.splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert all(line.endswith(" has no effect with --no-measure") for line in warnings)
    assert done.stdout == ""
    assert not list(tmp_path.glob("store/*.jsonl"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["saevit_tny"], "'saevit_tny' is not a model: did you mean saevit_tiny"),
        (["saevit_tiny", "--reference", "saevit_small"], "reference 'saevit_small' is not compared"),
        (["saevit_tiny", "--sort", "speed"], "metric 'speed' is not known: choose from gmacs"),
        (["saevit_tiny", "--batch-size", "1,8"], "--batch-size 1,8: a whole number from 1 to"),
        (["saevit_tiny", "--runtime", "eagr"], "runtime 'eagr' is not known: did you mean eager?"),
        (["saevit_tiny", "--json", "-", "--csv", "-"], "cannot both go to stdout"),
        (["--group", "class-0.9"], "did you mean"),
        (["saevit_tiny", "--x", "gmac"], "metric 'gmac' is not known: did you mean gmacs?"),
        (["saevit_tiny", "--x", "latency", "--y", "latency"], "axes latency and latency are the same"),
        (["saevit_tiny", "--plot", "a.jpg"], "has no known ending"),
        (["saevit_tiny", "--report", "a.pdf"], "has no known ending"),
        (["--from-store", "latest"], "has no runs yet"),
        (["--from-store", "latest", "--rounds", "50"], "--rounds: --from-store shows a run as it was"),
        (["--from-store", "latest", "--no-fold"], "--no-fold: --from-store shows a run as it was"),
    ],
)
def test_bad_input_is_one_line(saevit: Run, arguments: list[str], message: str) -> None:
    done = saevit("compare", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_bare_names_patterns_and_classes(saevit: Run) -> None:
    done = saevit(
        *(
            "compare",
            "saevit_pico",
            "resnet10t",
            "resnet1[08]t",
            "pvt_tiny",
            "--classes",
            "10",
            "--no-measure",
        ),
        *("--img-size", "64x64", "--csv", "-"),
        check=True,
    )
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["model"] for row in rows] == [
        "saevit_pico:classes=10",
        "timm:resnet10t:classes=10",
        "pvt_tiny",
    ]
