"""The network: what it computes, and that every field of a variant reaches it."""

from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from torch import nn

from saevit.count.cost import count_tokens
from saevit.model.fold import fold
from saevit.model.pyramid import SAEViT, build
from saevit.variant import KEYS, PRESETS, VariantSpec
from tests.model.networks import SMALL, noise, trained
from tests.strategies import img_sizes, specs

OTHER: dict[str, list[Any]] = {  # one value of every field that changes the network, all of a switch
    "dims": [(16, 16, 24, 32)],
    "depths": [(2, 2, 3, 2)],
    "num_heads": [(2, 2, 3, 4)],
    "ratios": [(2, 2, 3, 4)],
    "rates": [(2, 3, 2, 1)],
    "attn_blocks": [(1, 1, 1, 1), (0, 1, 2, 1)],
    "width": [2.0],
    "depth": [2.0],
    "stem": [8],
    "key_dim": [4],
    "kernel": [5],
    "act": [act for act in KEYS["act"].choices if act != "relu"],
    "attention": [kind for kind in KEYS["attention"].choices if kind != "saa"],
    "sampling": [kind for kind in KEYS["sampling"].choices if kind != "adaptive"],
    "ffn": [kind for kind in KEYS["ffn"].choices if kind != "ciffn"],
    "local": [kind for kind in KEYS["local"].choices if kind != "dwsconv"],
    "num_classes": [11],
    "in_chans": [1],
    "drop_path_rate": [0.1],
}


def fingerprint(spec: VariantSpec) -> str:
    """All modules with their settings, and all parameters with their shapes."""
    with torch.device("meta"):
        network = SAEViT(spec)
    settings_of = [
        (name, key, getattr(module, key))
        for name, module in network.named_modules()
        for key in ("num_heads", "key_dim", "rate", "drop_prob")
        if hasattr(module, key)
    ]
    return f"{network}{settings_of}{[(name, p.shape) for name, p in network.named_parameters()]}"


CHANGES = [pytest.param(name, value, id=f"{name}={value}") for name in OTHER for value in OTHER[name]]


def test_every_field_is_a_key_and_has_another_value_here() -> None:
    assert OTHER.keys() == {field.name for field in fields(VariantSpec)}
    assert OTHER.keys() == {key.field for key in KEYS.values()}


@pytest.mark.parametrize(("name", "value"), CHANGES)
def test_every_field_changes_the_modules(name: str, value: Any) -> None:
    assert fingerprint(replace(SMALL, **{name: value})) != fingerprint(SMALL)


@pytest.mark.parametrize(("name", "value"), [p for p in CHANGES if p.values[0] != "drop_path_rate"])
def test_every_field_changes_the_outputs_in_both_forms(name: str, value: Any) -> None:
    """Same seed and image: the weights that are left alone are the same."""
    outputs = []
    for spec in (SMALL, replace(SMALL, **{name: value})):
        network = trained(spec)
        x = noise(1, 3, 64, 80)[:, : spec.in_chans]
        with torch.inference_mode():
            outputs.append([form(x)[:, :10] for form in (network, fold(network))])
    for before, after in zip(*outputs, strict=True):
        assert not torch.allclose(before, after, rtol=1e-2)


@settings(max_examples=30, deadline=None)
@given(specs(), img_sizes(100))
def test_any_variant_runs_on_any_size_in_both_forms(spec: VariantSpec, img_size: tuple[int, int]) -> None:
    last = count_tokens(spec, img_size)[-1]
    with torch.inference_mode():
        network = build(spec)
        x = noise(2, spec.in_chans, *img_size)
        features = network.forward_features(x)
        assert features.shape == (2, spec.stages[-1].dim, last.height, last.width)
        for form in (network, fold(network)):
            y = form(x)
            assert y.shape == (2, spec.num_classes or spec.stages[-1].dim)
            assert y.isfinite().all()


@pytest.mark.parametrize("size", [(32, 32), (32, 33), (33, 32), (45, 32), (31 * 2 + 1, 97)])
@pytest.mark.parametrize("sampling", KEYS["sampling"].choices)
def test_maps_of_small_and_odd_sizes(size: tuple[int, int], sampling: str) -> None:
    network = build(replace(SMALL, sampling=sampling))
    with torch.inference_mode():
        _, maps = network.forward_intermediates(noise(1, 3, *size))
        assert fold(network)(noise(1, 3, *size)).shape == (1, 10)
    for i, found in enumerate(maps):
        stride = 4 * 2**i
        assert found.shape[1:] == (SMALL.dims[i], *(-(-side // stride) for side in size))


def test_rate_one_is_dense_attention() -> None:
    sparse, dense = (
        build(replace(SMALL, rates=(1, 1, 1, 1))),
        build(replace(SMALL, attention="dense"), seed=1),
    )
    x = torch.randn(2, 3, 40, 56)
    assert not torch.equal(sparse(x), dense(x))
    dense.load_state_dict(sparse.state_dict())
    assert torch.equal(sparse(x), dense(x))


def test_build_is_reproducible_and_leaves_the_random_state() -> None:
    state = torch.random.get_rng_state()
    one, two, other = build(SMALL), build(SMALL), build(SMALL, seed=1)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.head.fc.weight, other.head.fc.weight)


def test_initial_weights() -> None:
    model = build(replace(PRESETS["saevit_tiny"], kernel=5, sampling="mix"))
    attn = model.stages[0].blocks[-1].attn
    copy = torch.zeros(3, 3)
    copy[1, 1] = 1
    assert attn.recover.dw.weight.eq(copy).all()
    assert (attn.sample.alpha.unique().item(), attn.sample.beta.unique().item()) == (1, 0)
    assert model.stages[0].blocks[0].ffn.redistribute.gamma.eq(1e-5).all()
    layers = {name: m for name, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    assert all(m.bias.eq(0).all() for m in layers.values() if m.bias is not None)
    for name, layer in layers.items():
        if name.endswith("recover.dw"):
            continue
        std = 0.02
        if isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1):
            fan_out = layer.kernel_size[0] ** 2 * layer.out_channels // layer.groups
            std = (2 / fan_out) ** 0.5
        assert layer.weight.std().item() == pytest.approx(std, rel=0.25), name


def test_it_learns() -> None:
    torch.manual_seed(0)
    model = SAEViT(replace(SMALL, num_classes=2, drop_path_rate=0.1)).train()
    x = torch.randn(16, 3, 32, 32)
    labels = torch.arange(16) % 2
    x[labels == 1] += 0.5
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses[-5:]) < losses[0] / 3
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("sampling", KEYS["sampling"].choices)
def test_every_parameter_gets_a_gradient(sampling: str) -> None:
    model = build(replace(SMALL, sampling=sampling)).train()
    model(torch.randn(4, 3, 64, 64)).square().sum().backward()
    dead = [name for name, p in model.named_parameters() if p.grad is None or p.grad.abs().sum() == 0]
    assert dead == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_close(dtype: torch.dtype) -> None:
    model = build(SMALL)
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        expected = model(x)
        y = model.to(dtype)(x.to(dtype)).float()
    assert y.isfinite().all()
    assert (y - expected).norm() / expected.norm() < 0.05


def test_images_of_a_batch_do_not_mix() -> None:
    model = build(SMALL)
    x = torch.randn(3, 3, 48, 48)
    with torch.inference_mode():
        torch.testing.assert_close(model(x)[1:2], model(x[1:2]), rtol=1e-4, atol=1e-5)


def test_channels_last_gives_the_same() -> None:
    model = build(SMALL)
    x = torch.randn(2, 3, 50, 37)
    with torch.inference_mode():
        expected = model(x)
        y = model.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5)
