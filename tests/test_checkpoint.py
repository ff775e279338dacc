"""Weights from files: those that fit, and one line on those that do not."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from saevit.checkpoint import load_checkpoint
from saevit.errors import OptionError
from saevit.model.pyramid import build
from saevit.parse import parse

BASE = "saevit_pico:dims=16-24-32-40,heads=2,rates=8-4-2-1,ratios=2"
TEXT = f"{BASE},classes=10,depths=1"


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
        "larger.pth": (larger, "of another shape, first stem.conv1.weight"),
        "deeper.pth": (deeper, "unknown, first stages.0.blocks.1"),
        "less.pth": ({"stem.conv1.weight": other["stem.conv1.weight"]}, "missing, first stem.norm1.weight"),
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
