"""The entropy against DeepMAD's definition on a list of layers, and the monotonicity that it claims."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from torch import nn

from saevit.count.model_costs import build_skeleton
from saevit.explore import capacity
from saevit.explore.exploration import count_variant
from saevit.variant import PRESETS, VariantSpec
from tests.strategies import specs

SIDE_PATHS = {"score", "aggregate", "recover"}  # that the signal does not pass, or that copy it


def layers_of(spec: VariantSpec) -> list[float]:
    """c k^2 / g of every layer of the network itself that the signal passes."""
    found = []
    for path, module in build_skeleton(spec).named_modules():
        if isinstance(module, nn.Conv2d) and not SIDE_PATHS & set(path.split(".")):
            found.append(module.in_channels * math.prod(module.kernel_size) / module.groups)
    return found


@settings(max_examples=40, deadline=None)
@given(specs())
def test_the_score_is_the_papers_of_the_networks_layers(spec: VariantSpec) -> None:
    layers = layers_of(spec)
    logs, count = capacity.sum_layers(spec)
    assert count == len(layers)
    assert logs * 1e-9 == pytest.approx(sum(map(math.log, layers)), abs=1e-6)
    with torch.device("meta"):
        _, C, H, W = build_skeleton(spec).forward_features(torch.empty(1, spec.in_chans, 64, 96)).shape
    row = count_variant(spec, (64, 96))
    assert row.capacity == pytest.approx(math.log(H * W * C) * sum(map(math.log, layers)))
    mean_width = math.prod(fan ** (1 / count) for fan in layers)
    assert row.effectiveness == pytest.approx(count / mean_width)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("stage", range(4))
def test_more_depth_or_width_raises_it(name: str, stage: int) -> None:
    base = PRESETS[name]
    before = count_variant(base, (224, 224))
    deeper = replace(base, depths=tuple(d + (i == stage) for i, d in enumerate(base.depths)))
    wider = replace(
        base,
        dims=tuple(
            d + h * 8 * (i == stage) for i, (d, h) in enumerate(zip(base.dims, base.num_heads, strict=True))
        ),
    )
    assert count_variant(deeper, (224, 224)).capacity > before.capacity
    assert count_variant(deeper, (224, 224)).effectiveness > before.effectiveness * 0.95
    assert count_variant(wider, (224, 224)).capacity > before.capacity
    assert count_variant(wider, (224, 224)).effectiveness < before.effectiveness


def test_it_is_blind_to_what_its_docstring_says() -> None:
    base = PRESETS["saevit_tiny"]
    changes = [
        {"rates": (16, 8, 4, 2)},
        {"sampling": "stride"},
        {"act": "gelu"},
        {"key_dim": 8},
        {"num_heads": (1, 1, 1, 1)},
    ]
    blind = [replace(base, **change) for change in changes]  # type: ignore[arg-type]
    assert {count_variant(spec, (224, 224)).capacity for spec in blind} == {
        count_variant(base, (224, 224)).capacity
    }


def test_the_limit_is_the_definition() -> None:
    least = capacity.least_logs(300, 0.9)
    for layers in (1, 2, 10, 77, 300):
        assert capacity.effectiveness(least[layers], layers) <= 0.9 * (1 + 1e-9)
        if least[layers]:
            assert capacity.effectiveness(least[layers] - 2, layers) > 0.9
