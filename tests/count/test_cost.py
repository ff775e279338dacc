"""The closed form against the network that it describes."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from saevit.count import cost as analytic
from saevit.count import formulas, shapes
from saevit.model.pyramid import SAEViT
from saevit.variant import PRESETS, Stage, VariantSpec
from tests.strategies import img_sizes, specs

BUDGETS = {
    "saevit_pico": 0.2e9,
    "saevit_nano": 0.4e9,
    "saevit_tiny": 0.8e9,
    "saevit_small": 1.3e9,
    "saevit_base": 2.6e9,
}


def on_meta(spec: VariantSpec) -> SAEViT:
    """The network without memory for its weights."""
    with torch.device("meta"):
        return SAEViT(spec).eval()


def test_every_preset_has_its_budget() -> None:
    assert BUDGETS.keys() == PRESETS.keys()


@pytest.mark.parametrize("name", PRESETS)
def test_presets_keep_their_budget(name: str) -> None:
    assert analytic.total(PRESETS[name], (224, 224)).macs == pytest.approx(BUDGETS[name], rel=0.01)


@settings(max_examples=100, deadline=None)
@given(specs(), img_sizes())
def test_parameters_path_by_path(spec: VariantSpec, img_size: tuple[int, int]) -> None:
    found: Counter[str] = Counter()
    for name, parameter in on_meta(spec).named_parameters():
        found[name.rpartition(".")[0]] += parameter.numel()
    costs = analytic.by_module(spec, img_size)
    assert analytic.total(spec, img_size) == analytic.add_up(costs)
    assert {path: cost.params for path, cost in costs.items() if cost.params} == found


@settings(max_examples=60, deadline=None)
@given(specs(), img_sizes())
def test_shapes_path_by_path(spec: VariantSpec, img_size: tuple[int, int]) -> None:
    model = on_meta(spec)
    seen: dict[str, tuple[int, ...]] = {}

    def record(path: str, module: nn.Module) -> None:
        module.register_forward_hook(lambda _m, _i, y: seen.update({path: tuple(y.shape[1:])}))

    for path, module in model.named_modules():
        record(path, module)
    model(torch.empty(1, spec.in_chans, *img_size, device="meta"))
    expected = shapes.by_module(spec, img_size)
    for path in analytic.by_module(spec, img_size):
        channels, height, width = expected[path]
        if path.endswith(".attend"):  # (heads, n, d)
            assert (channels, height * width) == (seen[path][0] * seen[path][2], seen[path][1])
        elif path in ("head", "head.fc"):
            assert (channels,) == seen[path]
        else:
            assert (channels, height, width) == seen[path], path


def test_formulas_take_arrays() -> None:
    sizes = {
        **{"dim": [8, 16, 24], "hidden_dim": [16, 32, 64], "num_heads": [1, 2, 3]},
        **{"rate": [1, 2, 3], "depth": [1, 3, 2], "attn_blocks": [1, 2, 0]},
    }
    arrays: dict[str, Any] = {name: np.array(values, dtype=np.int64) for name, values in sizes.items()}
    together = analytic.blocks(PRESETS["saevit_tiny"], Stage(**arrays), 14, 9)
    for i in range(3):
        stage = Stage(**{name: values[i] for name, values in sizes.items()})
        alone = analytic.blocks(PRESETS["saevit_tiny"], stage, 14, 9)
        assert [together.params[i], together.macs[i]] == [alone.params, alone.macs]
        assert [together.activations[i], together.elementwise[i]] == [alone.activations, alone.elementwise]


@given(specs(), img_sizes())
def test_sparsity_is_the_share_of_scores_never_computed(spec: VariantSpec, img_size: tuple[int, int]) -> None:
    for stage, seen in zip(spec.stages, analytic.tokens(spec, img_size), strict=True):
        assert 0 <= seen.sparsity < 1
        assert (seen.sparsity == 0) == (seen.sampled == seen.pixels)
        assert seen.sampled * stage.rate**2 >= seen.pixels


@given(specs(), img_sizes())
def test_dense_attention_is_what_rate_one_would_cost(spec: VariantSpec, img_size: tuple[int, int]) -> None:
    costs = analytic.by_module(replace(spec, rates=(1, 1, 1, 1)), img_size)
    attended = sum(cost.macs for path, cost in costs.items() if path.endswith(".attend"))
    assert analytic.dense_attention_macs(spec, img_size) == attended


def test_textbook_layers() -> None:
    assert formulas.conv(3, 64, 7, 112 * 112).macs == 118_013_952  # ResNet-50's first convolution
    assert formulas.linear(2048, 1000).params == 2_049_000  # and its classifier
    assert formulas.attention(384, 384, 197).macs == 2 * 197 * 197 * 384  # DeiT-S, one block
    assert formulas.attention(384, 96, 49).macs == 49 * 49 * (96 + 384)  # six heads, keys of 16, values of 64
    assert formulas.dw_conv(48, 3, 56 * 56, bias=True).macs == 48 * 9 * 56 * 56


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 9))
def test_costs_add_and_multiply(params: int, macs: int, times: int) -> None:
    cost = formulas.Cost(params=params, macs=macs)
    assert analytic.add_up({str(i): cost for i in range(times)}) == cost * times
