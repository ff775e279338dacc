"""The network: what it computes, and that every field of a variant reaches it."""

from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given, settings
from torch import nn

from saevit.count.analytic import tokens
from saevit.model.pyramid import SAEViT, build
from saevit.parse import parse
from saevit.presets import PRESETS
from saevit.spec import VariantSpec
from tests.strategies import img_sizes, specs

SMALL = parse("saevit_tiny:dims=8-16-24-32,heads=1-2-3-4,depths=1-2-3-2,classes=10,rates=4-3-2-1")
OTHER = {
    "dims": (16, 16, 24, 32),
    "depths": (2, 2, 3, 2),
    "num_heads": (2, 2, 3, 4),
    "ratios": (2, 2, 3, 4),
    "rates": (2, 3, 2, 1),
    "width": 2.0,
    "depth": 2.0,
    "attn_every": 1,
    "act": "gelu",
    "attention": "none",
    "sampling": "stride",
    "ffn": "mlp",
    "local": "none",
    "num_classes": 11,
    "in_chans": 1,
    "drop_path_rate": 0.1,
}


def fingerprint(spec: VariantSpec) -> str:
    """All modules with their settings, and all parameters with their shapes."""
    with torch.device("meta"):
        model = SAEViT(spec)
    attends = [(name, m.num_heads) for name, m in model.named_modules() if hasattr(m, "num_heads")]
    return f"{model}{attends}{[(name, p.shape) for name, p in model.named_parameters()]}"


@pytest.mark.parametrize("name", [field.name for field in fields(VariantSpec)])
def test_every_field_reaches_the_network(name: str) -> None:
    assert fingerprint(replace(SMALL, **{name: OTHER[name]})) != fingerprint(SMALL)


@settings(max_examples=25, deadline=None)
@given(specs(), img_sizes(100))
def test_any_variant_runs_on_any_size(spec: VariantSpec, img_size: tuple[int, int]) -> None:
    with torch.inference_mode():
        model = build(spec)
        x = torch.randn(2, spec.in_chans, *img_size)
        features = model.forward_features(x)
        y = model(x)
    last = tokens(spec, img_size)[-1]
    assert features.shape == (2, spec.stages[-1].dim, last.height, last.width)
    assert y.shape == (2, spec.num_classes or spec.stages[-1].dim)
    assert y.isfinite().all()


def test_the_smallest_size_runs() -> None:
    assert build(SMALL)(torch.randn(1, 3, 32, 32)).shape == (1, 10)


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
    model = build(PRESETS["saevit_tiny"])
    attn = model.stages[0].blocks[-1].attn
    assert attn.recover.weight.eq(1).all()
    assert model.stages[0].blocks[0].ffn.redistribute.gamma.eq(1e-5).all()
    assert model.head.fc.bias.eq(0).all()
    assert model.head.fc.weight.std().item() == pytest.approx(0.02, rel=0.15)
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    for conv in convs:
        fan_out = 9 * conv.out_channels // conv.groups
        assert conv.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.25)


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


def test_every_parameter_gets_a_gradient() -> None:
    model = build(SMALL).train()
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
