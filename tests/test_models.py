"""From text to a counted model and its network."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saevit import models
from saevit.baselines.adapters import ADAPTERS
from saevit.count.cost import count_network
from saevit.errors import MeasureError, MemoryLimitError, OptionError
from saevit.loading import load_network
from saevit.machine import HELD, PASSING, SCRATCH
from saevit.models import (
    build_network,
    count_model,
    is_baseline,
    read_about,
    resolve_model,
)
from saevit.profiling import profile
from saevit.variant import PRESETS, VariantSpec, parse

TEXT = "saevit_pico:dims=16-24-32-40,heads=2,rates=8-4-2-1,ratios=2,depths=1"
SIZE = (64, 48)


@pytest.mark.parametrize("batch", [1, 64])
def test_what_memory_cannot_hold_is_refused_before_it_is_built(
    batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        MemoryLimitError, match=r"saevit_base:width=300 at 64 x 48 px, batch 1, needs .* GB are free"
    ):
        load_network("saevit_base:width=300", None, SIZE)
    free = SCRATCH + 4 * (HELD * count_network(parse(TEXT), SIZE).params + batch * PASSING * 10**6)
    monkeypatch.setattr(models, "free_memory", lambda: free)
    models.check_memory(TEXT, SIZE, batch)
    with pytest.raises(MemoryLimitError, match=r"nearest is (a smaller size or width|--batch-size \d+)$"):
        models.check_memory(TEXT, (512, 512), batch)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_mean_and_deviation_are_of_the_networks_channels(channels: int) -> None:
    for text in (f"{TEXT},in_chans={channels}", "timm:repvgg_a0"):
        about = read_about(build_network(text, SIZE, in_chans=channels), text, SIZE)
        assert about.mean == pytest.approx([0.449] * channels, abs=1e-3)
        assert len(about.std) == channels


def test_random_weights_follow_the_seed_alone() -> None:
    for text in (TEXT, "timm:repvgg_a0"):
        first = build_network(text, SIZE, seed=1).state_dict()
        torch.rand(3)
        again, other = (build_network(text, SIZE, seed=s).state_dict() for s in (1, 2))
        assert all(torch.equal(w, again[n]) for n, w in first.items())
        assert not all(torch.equal(w, other[n]) for n, w in first.items())


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
    monkeypatch.setattr(ADAPTERS[prefix], "build_for_inference", lambda name, img_size, **_: network)
    monkeypatch.setattr(ADAPTERS[prefix], "describe_source", lambda num_classes: "made up")
    with pytest.raises(MeasureError, match=f"{prefix}odd cannot be counted at 64 x 48 px: ") as caught:
        count_model(f"{prefix}odd", (64, 48))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model", [nn.Conv2d, None, 5, b"saevit_tiny"])
def test_an_object_that_names_no_model_is_one_line(model: Any) -> None:
    with pytest.raises(
        OptionError, match=r"is not a model here: give a variant or a text such as saevit_tiny"
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


@pytest.mark.parametrize(
    ("text", "resolved"),
    [
        (" saevit_tiny:classes=10 ", parse("saevit_tiny:classes=10")),
        ("resnet18", "timm:resnet18"),
        ("resnet18.tv_in1k", "timm:resnet18.tv_in1k"),
        ("resnet18:classes=10", "timm:resnet18:classes=10"),
        ("timm:resnet18:classes=1000", "timm:resnet18"),
        ("birder:edgevit_xs", "birder:edgevit_xs"),
    ],
)
def test_a_text_resolves_to_one_form_and_needs_no_library(
    text: str, resolved: str | VariantSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    for adapter in ADAPTERS.values():
        monkeypatch.delattr(adapter, "need")
    assert resolve_model(text) == resolved
    assert resolve_model(str(resolved)) == resolved


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("swin_tiny", "'swin_tiny' is not a model: did you mean swin_tiny_patch4_window7_224?"),
        ("resnet18:width=2", "width is a key of SAEViT variants"),
        ("saevit_claim_0.8g", "saevit_claim_0.8g has published figures, and no network here"),
        ("mobile", "'mobile' is not a model: did you mean mobile"),
    ],
)
def test_a_text_that_names_no_network_is_refused(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        resolve_model(text)


def test_a_network_is_counted_and_stays_as_it_is() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.Dropout(), nn.Flatten(), nn.LazyLinear(2))
    network(torch.zeros(2, 1, 32, 48))
    found = profile(network.double(), img_size=(32, 48), counters=["torch", "thop"], by="module")
    assert (found.model, found.params) == ("Sequential", 36 + 2 * (4 * 30 * 46) + 2)
    assert found.macs == 4 * 9 * 30 * 46 + 2 * 4 * 30 * 46
    assert found.agreed
    assert network.training
    assert network[0].weight.dtype == torch.float64


def test_a_network_without_work_has_one_row() -> None:
    found = profile(nn.Identity(), img_size=(32, 32), counters=["torch"])
    assert [(row.path, row.params, row.macs) for row in found.rows] == [("", 0, 0)]
    assert "Identity has 0 parameters" in found._repr_html_()


def test_a_network_that_does_not_run_is_one_line() -> None:
    with pytest.raises(
        MeasureError, match="NeedsMoreThan64 cannot be counted at 64 x 64 px: RuntimeError"
    ) as caught:
        profile(NeedsMoreThan64(), img_size=(64, 64))
    assert "\n" not in str(caught.value)


def test_a_bare_name_of_timm_builds_its_network() -> None:
    network = load_network("resnet18:classes=3", None, (64, 64))
    assert (network.about.model, network.about.num_classes) == ("timm:resnet18", 3)
    assert network.model(torch.zeros(1, 3, 64, 64)).shape == (1, 3)
