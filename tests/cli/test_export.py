"""`saevit export` as a user runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.cli.conftest import Run

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")

FLAT = "saevit_pico:depths=1,attention=none,ffn=mlp,classes=10"
STEM = "saevit_pico-depths-1-attention-none-ffn-mlp-classes-10"
SMALL = ("--img-size", "32,48")


def test_a_file_and_what_is_in_it(saevit: Run, tmp_path: Path) -> None:
    done = saevit("export", FLAT, *SMALL, "--format", "onnx,pt2", "--json", "a.json", check=True)
    assert {p.name for p in tmp_path.iterdir()} >= {f"{STEM}.onnx", f"{STEM}.pt2", "a.json"}
    assert done.stdout.startswith("Wrote and verified 2 files: the outputs differ from the network's by at")
    assert done.stderr == "wrote a.json\n"
    assert "32 x 48 px, any batch size" in done.stdout
    assert "warning: The weights are random: export trained ones with --checkpoint FILE" in done.stdout
    assert "Input must already be normalised; mean and std are in the metadata." in done.stdout
    assert "opset 20" in done.stdout
    data = json.loads((tmp_path / "a.json").read_text())
    assert [one["format"] for one in data["written"]] == ["onnx", "pt2"]
    assert [one["is_judged"] for one in data["written"][0]["differences"]] == [True] * 8 + [False] * 3
    assert data["is_random"]
    again = saevit("export", FLAT, *SMALL)
    assert again.returncode == 2
    assert again.stderr == f"error: --output {STEM}.onnx exists: choose another name, or add --overwrite\n"


def test_a_checkpoint_needs_no_other_word(saevit: Run, tmp_path: Path) -> None:
    from saevit.checkpoint import save_checkpoint
    from saevit.models import build_network, read_about
    from saevit.variant import parse

    spec = parse(FLAT)
    net = build_network(spec, (32, 48), seed=3)
    save_checkpoint(net.state_dict(), read_about(net, spec, (32, 48)), tmp_path / "c.safetensors")
    done = saevit("export", "--checkpoint", "c.safetensors", "--output", "a.pt2", "--batch", "2", check=True)
    assert "32 x 48 px, batch size 2" in done.stdout
    assert "weights are random" not in done.stdout
    assert done.stderr == ""
    x = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y = torch.export.load(tmp_path / "a.pt2").module()(x)
        torch.testing.assert_close(y, net(x), rtol=1e-3, atol=1e-5)


def test_classes_of_a_timm_model(saevit: Run) -> None:
    arguments = ("resnet10t", "--classes", "3", "--img-size", "32", "--output", "a.onnx", "--json", "-")
    data = json.loads(saevit("export", *arguments, check=True).stdout)
    assert (data["about"]["model"], data["about"]["num_classes"]) == ("timm:resnet10t", 3)


def test_a_missing_folder_is_made_without_a_warning(saevit: Run, tmp_path: Path) -> None:
    def export(*arguments: str) -> None:
        done = saevit("export", FLAT, *SMALL, *arguments, "--json", "-", check=True)
        assert done.stderr.count("warning:") == done.stderr.count("\n") == 1  # of the random weights
        assert json.loads(done.stdout)["failures"] == {}

    export("--format", "onnx,pt2", "--output", "new/files")
    assert sorted(p.name for p in (tmp_path / "new" / "files").iterdir()) == [f"{STEM}.onnx", f"{STEM}.pt2"]
    export("--output", "other/a.onnx")
    assert [p.name for p in (tmp_path / "other").iterdir()] == ["a.onnx"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no network: name a variant such as saevit_tiny, or a --checkpoint"),
        ([FLAT, "--format", "onxx"], "format 'onxx' is not known: did you mean onnx?"),
        ([FLAT, "--output", "a.txt"], "--output a.txt has no known ending: choose from .onnx"),
        ([FLAT, "--format", "onnx,pt2", "--output", "a.onnx"], "2 formats need a folder, not a file"),
        ([FLAT, "--json", "no/a.json"], "the folder no does not exist, make it first"),
        ([FLAT, "--batch", "many"], "--batch many: a whole number from 1 to 1,000,000"),
        ([FLAT, "--opset", "9"], "opset 9: from 18 to 23, nearest is 18"),
        ([FLAT, "--img-size", "8"], "8 px is out of range, nearest is 32"),
        ([FLAT, "--dtype", "int4"], "--dtype int4: did you mean int8?"),
        (["saevit_pica"], "did you mean"),
        (["--checkpoint", "no.safetensors"], "--checkpoint no.safetensors does not exist"),
    ],
)
def test_bad_input_is_one_line(saevit: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    done = saevit("export", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert not list(tmp_path.glob("*.*"))


def test_a_format_that_fails_is_one_line_and_the_others_are_kept(tmp_path: Path) -> None:
    script = (
        "import dataclasses, sys; from saevit.export.exporter import FORMATS\n"
        "from saevit.errors import MeasureError\n"
        "def write(source, path): raise MeasureError('torch cannot write the network as ONNX: no')\n"
        "FORMATS['onnx'] = dataclasses.replace(FORMATS['onnx'], write=write)\n"
        "from saevit_cli.app import run_command; sys.exit(run_command(sys.argv[1:]))"
    )
    arguments = ["export", FLAT, *SMALL, "--format", "onnx,pt2", "--overwrite"]
    (tmp_path / f"{STEM}.onnx").write_text("mine")
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 1
    assert "error: onnx: torch cannot write the network as ONNX: no\n" in done.stderr
    assert (tmp_path / f"{STEM}.onnx").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{STEM}.onnx", f"{STEM}.pt2"]


def test_both_runtimes_stand_beside_eager(saevit: Run) -> None:
    quick = ("--rounds", "2", "--min-time", "0.001", "--counters", "analytic", "--batch-size", "1")
    done = saevit(
        "profile", FLAT, *SMALL, *quick, "--runtime", "eager,onnxruntime,openvino", "--json", "-", check=True
    )
    latencies = json.loads(done.stdout)["timings"]["latencies"]
    assert [one["conditions"]["runtime"] for one in latencies] == ["eager", "onnxruntime", "openvino"]
    assert all(len(one["samples"]) == 2 for one in latencies)
    refused = saevit("profile", FLAT, *SMALL, *quick, "--runtime", "openvino", "--dtype", "bf16")
    assert refused.returncode == 2
    assert refused.stderr == (
        "error: runtime openvino runs in fp32, int8, not in bf16: "
        "use --dtype fp32 or --runtime eager or compile\n"
    )
