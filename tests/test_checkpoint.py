"""Weights from files: those that fit, and one line on those that do not."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import saevit
from saevit.checkpoint import About, load_checkpoint, read_about, save_checkpoint
from saevit.errors import OptionError
from saevit.model.pyramid import build
from saevit.network import weighted
from saevit.parse import parse

BASE = "saevit_pico:dims=16-24-32-40,heads=2,rates=8-4-2-1,ratios=2,stem=16,attn_blocks=1"
OLD = "holds a SAEViT of version 0.1, whose network was another one: train it again"
TEXT = f"{BASE},classes=10,depths=1"
ABOUT: dict[str, Any] = {
    "model": "saevit_pico:classes=3",
    "num_classes": 3,
    "img_size": (32, 32),
    "mean": (0.5,) * 3,
    "std": (0.2,) * 3,
}


@pytest.mark.parametrize("form", ["plain", "wrapped", "compiled", "safetensors"])
def test_weights_come_back(form: str, tmp_path: Path) -> None:
    trained, model = build(parse(TEXT), seed=1), build(parse(TEXT))
    state = trained.state_dict()
    path = tmp_path / ("a.safetensors" if form == "safetensors" else "a.pth")
    if form == "safetensors":
        save_file({name: value.contiguous() for name, value in state.items()}, path)
    elif form == "wrapped":
        torch.save({"epoch": 3, "model": state}, path)
    elif form == "compiled":
        torch.save({"state_dict": {f"module._orig_mod.{name}": value for name, value in state.items()}}, path)
    else:
        torch.save({n: v for n, v in state.items() if not n.endswith("num_batches_tracked")}, path)
    load_checkpoint(model, path)
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(model(x), trained(x))


class Evil:
    """Would run code when it is read."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("run",)


def test_what_does_not_fit_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = build(parse(f"{BASE},depths=1,classes=4")).state_dict()
    larger = build(parse(f"{TEXT},width=2")).state_dict()
    deeper = build(parse(f"{BASE},depths=2,classes=10")).state_dict()
    broken = {
        n: v * torch.nan if n == "head.fc.bias" else v for n, v in build(parse(TEXT)).state_dict().items()
    }
    files: dict[str, tuple[object, str]] = {
        "classes.pth": (
            other,
            r"2 of another shape, first head.fc.weight: \(4, 40\) instead of \(10, 40\) \(another number",
        ),
        "larger.pth": (larger, "of another shape, first stem.conv1.conv.weight"),
        "deeper.pth": (deeper, "unknown, first stages.0.blocks.1"),
        "less.pth": ({"head.fc.bias": larger["head.fc.bias"]}, "missing, first stem.conv1.conv.weight"),
        "nan.pth": (broken, "not finite, first in head.fc.bias"),
        "list.pth": ([1, 2], "has no state_dict"),
        "evil.pth": ({"a": Evil()}, "it holds more than tensors"),
    }
    for name, (content, message) in files.items():
        torch.save(content, tmp_path / name)
        with pytest.raises(OptionError, match=message) as caught:
            load_checkpoint(build(parse(TEXT)), tmp_path / name)
        assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""
    (tmp_path / "text.pth").write_text("weights")
    (tmp_path / "text.safetensors").write_text("weights")
    for name, message in {
        "text.pth": "cannot be read as weights",
        "text.safetensors": "cannot be read as weights",
        "gone.pth": "does not exist",
        ".": "is a directory",
    }.items():
        with pytest.raises(OptionError, match=message):
            load_checkpoint(build(parse(TEXT)), tmp_path / name)


@pytest.mark.parametrize(
    "name",
    ["ffn.redistribute.decompose.weight", "local.dw.weight", "attn.recover.weight"],
)
@pytest.mark.parametrize("wrapper", ["", "model"])
def test_weights_of_version_0_1_are_told_apart(name: str, wrapper: str, tmp_path: Path) -> None:
    path = tmp_path / "old.pth"
    weights = {"module.stem.conv1.weight": torch.ones(3), f"module.stages.0.blocks.1.{name}": torch.ones(2)}
    torch.save({wrapper: weights} if wrapper else weights, path)
    for text in (TEXT, "timm:resnet18", None):
        with pytest.raises(OptionError) as caught:
            weighted(text, path)
        assert str(caught.value) == f"--checkpoint {path} {OLD}"


@pytest.mark.parametrize("model", ["saevit_pico", "saevit_tiny:attn_every=1", "saevit_pico:classes=3"])
def test_a_header_of_version_0_1_is_refused(model: str, tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    about = ABOUT | {"model": model}
    save_file({"w": torch.ones(1)}, path, metadata={"saevit": json.dumps(about)})
    for text in (None, "saevit_pico"):
        with pytest.raises(OptionError) as caught:
            weighted(text, path)
        assert str(caught.value) == f"--checkpoint {path} {OLD}"
    save_file({"w": torch.ones(1)}, path, metadata={"saevit": json.dumps(about | {"network": 3})})
    with pytest.raises(OptionError, match="holds a SAEViT of another version, whose network was another"):
        read_about(path)


def test_a_header_of_version_0_1_of_timms_model_stays_readable(tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    about = ABOUT | {"model": "timm:resnet18"}
    save_file({"w": torch.ones(1)}, path, metadata={"saevit": json.dumps(about)})
    found = read_about(path)
    assert found is not None
    assert found.model == "timm:resnet18"


def test_what_is_written_names_the_definition_of_the_network(tmp_path: Path) -> None:
    save_checkpoint({"w": torch.ones(1)}, About(**ABOUT), tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["saevit"])["network"] == saevit.NETWORK
    assert read_about(tmp_path / "a.safetensors") == About(**ABOUT)
