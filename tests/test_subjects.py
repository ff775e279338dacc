"""From text to a counted model."""

from typing import Any

import pytest
from torch import Tensor, nn

from saevit.baselines.adapters import ADAPTERS
from saevit.errors import MeasureError, OptionError
from saevit.model.pyramid import build
from saevit.profile import profile
from saevit.subjects import counted_of, is_baseline
from saevit.variant import PRESETS, VariantSpec


class LooksAtData(nn.Module):
    """A network that decides by the values of its input, which tensors without data do not have."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) if x.sum().item() < 1 else x


class NeedsMoreThan64(nn.Module):
    """A network that does not run on small images."""

    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("kernel size can't be greater than the input\nand a second line")


@pytest.mark.parametrize("prefix", ADAPTERS)
@pytest.mark.parametrize("network", [LooksAtData(), NeedsMoreThan64()], ids=lambda n: type(n).__name__)
def test_what_cannot_be_counted_is_one_line(
    network: nn.Module, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ADAPTERS[prefix], "build", lambda name, img_size: network)
    monkeypatch.setattr(ADAPTERS[prefix], "statement", lambda: "made up")
    with pytest.raises(MeasureError, match=f"{prefix}odd cannot be counted at 64 x 48 px: ") as caught:
        counted_of(f"{prefix}odd", (64, 48))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "model", [LooksAtData(), build(PRESETS["saevit_pico"]), nn.Conv2d, None, 5, b"saevit_tiny"]
)
def test_an_object_that_names_no_model_is_one_line(model: Any) -> None:
    with pytest.raises(
        OptionError, match=r"cannot be counted yet: give a variant .*, its text, timm:NAME or"
    ) as caught:
        profile(model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "answer"),
    [
        ("timm:resnet18", True),
        ("birder:edgevit_xs", True),
        ("edgevit_xs", False),
        ("saevit_tiny:width=2", False),
        (PRESETS["saevit_tiny"], False),
    ],
)
def test_baselines_are_other_libraries_models(model: str | VariantSpec, answer: bool) -> None:
    assert is_baseline(model) is answer
