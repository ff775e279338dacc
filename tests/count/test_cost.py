"""The closed form against the network that it describes."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from saevit.count import ops
from saevit.count.cost import (
    Cost,
    add_up,
    count_dense_attention,
    count_modules,
    count_network,
    count_peak,
    count_tokens,
    find_peak,
    find_shapes,
    take_largest,
)
from saevit.count.model_costs import build_skeleton
from saevit.count.peak import trace_peak
from saevit.model.pyramid import SAEViT
from saevit.variant import PRESETS, Stage, VariantSpec, parse
from tests.strategies import img_sizes, specs

BUDGETS = {
    "saevit_pico": 0.2e9,
    "saevit_nano": 0.4e9,
    "saevit_tiny": 0.8e9,
    "saevit_small": 1.3e9,
    "saevit_base": 2.6e9,
}
FP32 = 4  # bytes


def on_meta(spec: VariantSpec) -> SAEViT:
    """The network without memory for its weights."""
    with torch.device("meta"):
        return SAEViT(spec).eval()


def test_every_preset_has_its_budget() -> None:
    assert BUDGETS.keys() == PRESETS.keys()


@pytest.mark.parametrize("name", PRESETS)
def test_presets_keep_their_budget(name: str) -> None:
    assert count_network(PRESETS[name], (224, 224)).macs == pytest.approx(BUDGETS[name], rel=0.01)


@settings(max_examples=50, deadline=None)
@given(specs(), img_sizes())
def test_parameters_path_by_path(spec: VariantSpec, img_size: tuple[int, int]) -> None:
    found: Counter[str] = Counter()
    for name, parameter in on_meta(spec).named_parameters():
        found[name.rpartition(".")[0]] += parameter.numel()
    costs = count_modules(spec, img_size)
    assert count_network(spec, img_size) == sum(costs.values(), Cost())
    assert {path: cost.params for path, cost in costs.items() if cost.params} == found


@settings(max_examples=30, deadline=None)
@given(specs(), img_sizes())
def test_shapes_path_by_path(spec: VariantSpec, img_size: tuple[int, int]) -> None:
    model = on_meta(spec)
    seen: dict[str, tuple[int, ...]] = {}

    def record(path: str, module: nn.Module) -> None:
        module.register_forward_hook(lambda _m, _i, y: seen.update({path: tuple(y.shape[1:])}))

    for path, module in model.named_modules():
        record(path, module)
    model(torch.empty(1, spec.in_chans, *img_size, device="meta"))
    expected = find_shapes(spec, img_size)
    for path in count_modules(spec, img_size):
        channels, height, width = expected[path]
        if path.endswith(".attend"):  # (heads, n, d)
            assert (channels, height * width) == (seen[path][0] * seen[path][2], seen[path][1])
        elif path in ("head", "head.fc"):
            assert (channels,) == seen[path]
        else:
            assert (channels, height, width) == seen[path], path


def counts_of(spec: VariantSpec, number: int, stage: Stage, in_dim: Any) -> list[Any]:
    """Every count of one stage."""
    defined = ops.describe_stage(spec, number, stage, in_dim, (97, 131))
    folded = ops.describe_stage(spec, number, stage, in_dim, (97, 131), "folded")
    sums = [add_up(defined, "params"), add_up(defined, "macs"), add_up(defined, "activations")]
    return [*sums, add_up(defined, "elementwise"), add_up(folded, "traffic"), find_peak(defined)]


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize(
    "text", ["saevit_tiny", "saevit_tiny:sampling=mix,ffn=mlp", "saevit_tiny:sampling=stride,local=none"]
)
def test_counts_take_arrays(text: str, number: int) -> None:
    spec = parse(text)
    sizes = {
        **{"dim": [8, 16, 24], "hidden_dim": [16, 32, 64], "num_heads": [1, 2, 3]},
        **{"rate": [1, 2, 3], "depth": [1, 3, 2], "attn_blocks": [1, 2, 0]},
    }
    arrays: dict[str, Any] = {name: np.array(values, dtype=np.int64) for name, values in sizes.items()}
    together = counts_of(spec, number, Stage(**arrays), np.array([24, 8, 32]))
    for i, in_dim in enumerate((24, 8, 32)):
        stage = Stage(**{name: values[i] for name, values in sizes.items()})
        assert [int(array[i]) for array in together] == counts_of(spec, number, stage, in_dim)


@given(specs(), img_sizes())
def test_sparsity_is_the_share_of_scores_never_computed(spec: VariantSpec, img_size: tuple[int, int]) -> None:
    for stage, seen in zip(spec.stages, count_tokens(spec, img_size), strict=True):
        assert 0 <= seen.sparsity < 1
        assert (seen.sparsity == 0) == (seen.sampled == seen.pixels)
        assert seen.sampled * stage.rate**2 >= seen.pixels


def test_sparsity_in_numbers() -> None:
    stages = count_tokens(PRESETS["saevit_tiny"], (224, 224))
    assert [(stage.pixels, stage.sampled) for stage in stages] == [(3136, 49), (784, 49), (196, 49), (49, 49)]
    assert [stage.sparsity for stage in stages] == [1 - 1 / 64**2, 1 - 1 / 16**2, 1 - 1 / 4**2, 0]


@given(specs(), img_sizes())
def test_dense_attention_is_what_rate_one_would_cost(spec: VariantSpec, img_size: tuple[int, int]) -> None:
    costs = count_modules(replace(spec, rates=(1, 1, 1, 1)), img_size)
    attended = sum(cost.macs for path, cost in costs.items() if path.endswith(".attend"))
    assert count_dense_attention(spec, img_size) == attended


def test_textbook_layers() -> None:
    assert ops.conv("", 3 * 7 * 7, (64, 112, 112)).macs == 118_013_952  # ResNet-50's first convolution
    assert ops.conv("", 2048, (1000, 1, 1), bias=True).params == 2_049_000  # and its classifier
    stage = Stage(dim=384, hidden_dim=384, num_heads=6, rate=1, depth=1, attn_blocks=1)
    attended = [op for op in ops.saa(PRESETS["saevit_tiny"], stage, (384, 7, 7)) if op.path == "attend"]
    assert sum(op.macs for op in attended) == 49 * 49 * (96 + 384)  # six heads, keys of 16, values of 64
    assert sum(op.activations for op in attended) == 49 * 384


@settings(max_examples=25, deadline=None)
@given(specs(), img_sizes(160))
@example(parse("saevit_tiny"), (224, 224))
@example(parse("saevit_tiny:ffn=mlp,ratios=0.5,rates=1"), (97, 131))
@example(parse("saevit_tiny:ffn=mlp,ratios=0.5,sampling=stride"), (97, 131))
@example(parse("saevit_tiny:ffn=mlp,ratios=0.5,rates=3"), (97, 131))
@example(parse("saevit_tiny:ffn=mlp,ratios=0.5,sampling=mix,dims=96,heads=1"), (97, 131))
@example(parse("saevit_tiny:ffn=mlp,ratios=0.5,dims=64,heads=4,rates=256,attn_blocks=9"), (64, 48))
def test_peak_equals_the_trace(spec: VariantSpec, img_size: tuple[int, int]) -> None:
    traced = trace_peak(build_skeleton(spec), (1, spec.in_chans, *img_size))
    assert count_peak(spec, img_size) * FP32 == traced.bytes


@given(st.lists(st.integers(0, 10**12), min_size=1))
def test_largest(sizes: list[int]) -> None:
    assert take_largest(sizes) == max(sizes)
