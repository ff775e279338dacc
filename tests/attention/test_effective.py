"""The effective map against autograd on the real module, and its factorised forms against the whole of it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from saevit.attention import numbers
from saevit.attention.capture import capture
from saevit.attention.effective import Layer
from saevit.attention.maps import cut_pattern
from saevit.model.pyramid import SAEViT, build
from saevit.model.saa import SAA
from saevit.variant import KEYS, parse

RATES = (1, 2, 4, 8)
LINEAR = ("adaptive", "average", "stride")  # one weight a pixel, whatever the channel


def network(rate: int, heads: int, sampling: str, seed: int = 0) -> SAEViT:
    """A small network whose first stage has the rate, with norms and scores that are far from uniform."""
    text = (
        f"saevit_pico:dims=12,heads={heads}-1-1-1,depths=1,rates={rate}-2-1-1,attn_blocks=1,ratios=1,stem=16,"
        f"key_dim=4,sampling={sampling},classes=4"
    )
    model = build(parse(text), seed=seed)
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name.endswith(("qkv.weight", "score.weight", "sample.beta")):
            parameter.data.normal_(0, 1.5)
    return model


def captured(model: SAEViT, x: Tensor) -> Layer:
    """The attention of stage 1 on an image."""
    with torch.no_grad(), capture(model) as recording:
        model(x)
    return recording.layers()[0]


def whole_map(layer: Layer) -> Tensor:
    """The whole of E, (heads, N, N)."""
    return layer.rows(torch.arange(layer.block.pixels))


def linear_in_its_values(attention: SAA, head: int, x: Tensor) -> Tensor:
    """The gradient of every output pixel with respect to every input pixel of one channel, (N, N).

    Values and projection pass channels on unchanged, recovery copies, and q, k and scores are held constant.
    """
    dim, heads = attention.proj.in_channels, attention.num_heads
    d = dim // heads
    with torch.no_grad():
        for parameter in (attention.qkv.weight, attention.qkv.bias):
            parameter.unflatten(0, (heads, -1))[:, -d:] = 0
        values = attention.qkv.weight.unflatten(0, (heads, -1))[:, -d:]  # (heads, d, dim, 1, 1)
        values.copy_(torch.eye(dim).view(heads, d, dim, 1, 1))
        attention.proj.weight.copy_(torch.eye(dim)[:, :, None, None])
        attention.proj.bias.zero_()
        if attention.recover is not None:
            nn.init.dirac_(attention.recover.dw.weight, groups=dim)
    handles = [attention.attend.register_forward_pre_hook(lambda _, a: (a[0].detach(), a[1].detach(), a[2]))]
    if hasattr(attention.sample, "score"):
        handles.append(attention.sample.score.register_forward_hook(lambda _m, _a, out: out.detach()))
    channel = head * d

    def of_channel(values: Tensor) -> Tensor:
        full = x.clone()
        full[:, channel] = values
        return attention(full)[0, channel]

    jacobian = torch.autograd.functional.jacobian(of_channel, x[:, channel].clone())
    for handle in handles:
        handle.remove()
    n = x.shape[2] * x.shape[3]
    return jacobian.reshape(n, n)


@pytest.mark.parametrize("sampling", LINEAR)
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(("heads", "size"), [(1, (64, 64)), (3, (52, 83)), (2, (33, 100))])
def test_autograd_of_the_real_module_is_the_effective_map(
    rate: int, sampling: str, heads: int, size: tuple[int, int]
) -> None:
    model = network(rate, heads, sampling)
    attention = model.get_submodule("stages.0.blocks.0.attn")
    assert isinstance(attention, SAA)
    seen: list[Tensor] = []
    handle = attention.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach().clone()))
    layer = captured(model, torch.randn(1, 3, *size))
    handle.remove()
    E = whole_map(layer)
    torch.testing.assert_close(E.sum(2), torch.ones(E.shape[:2]))
    for head in range(heads):
        expected = linear_in_its_values(attention, head, seen[0])
        scale = attention.norm.weight[0] / (attention.norm.running_var[0] + attention.norm.eps).sqrt()
        torch.testing.assert_close(E[head] * scale, expected, rtol=1e-4, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(RATES),
    st.integers(1, 3),
    st.sampled_from(KEYS["sampling"].choices),
    st.integers(32, 60),
    st.integers(32, 60),
    st.integers(0, 99),
)
def test_factors_say_what_the_whole_map_says(
    rate: int, heads: int, sampling: str, height: int, width: int, seed: int
) -> None:
    layer = captured(network(rate, heads, sampling, seed), torch.randn(1, 3, height, width))
    E = whole_map(layer)
    torch.testing.assert_close(E.sum(2), torch.ones(E.shape[:2]))
    torch.testing.assert_close(layer.received(), E.mean(1))
    mass = torch.rand(2, layer.block.pixels)
    torch.testing.assert_close(layer.carry(mass), mass @ E.mean(0), rtol=1e-4, atol=1e-5)
    pixels = torch.tensor([layer.block.pixels - 1, 0, layer.block.pixels // 2])
    torch.testing.assert_close(layer.rows(pixels), E[:, pixels])
    found = numbers.compute_numbers(layer)
    entropy = torch.special.entr(E).sum(2)
    torch.testing.assert_close(found["support"], entropy.exp().mean(1), rtol=1e-4, atol=1e-4)
    y, x = (
        torch.arange(layer.block.pixels) // layer.block.width * 4.0,
        torch.arange(layer.block.pixels) % layer.block.width * 4.0,
    )
    apart = ((y[:, None] - y) ** 2 + (x[:, None] - x) ** 2).sqrt()
    torch.testing.assert_close(found["distance"], (E * apart).sum(2).mean(1), rtol=1e-4, atol=1e-2)
    ranked = E.sort(2, descending=True).values
    for name, share in numbers.TOPS.items():
        top = ranked[:, :, : max(1, round(share * layer.block.pixels))].sum(2).mean(1)
        torch.testing.assert_close(found[name], top, rtol=1e-4, atol=1e-5)
    if heads > 1:
        others = [torch.minimum(E[0], E[h]).sum(1).mean() for h in range(1, heads)]
        torch.testing.assert_close(found["overlap"][0], torch.stack(others).mean(), rtol=1e-4, atol=1e-5)
    else:
        assert found["overlap"].isnan().all()


def test_chunks_do_not_change_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = captured(network(2, 3, "adaptive"), torch.randn(1, 3, 50, 66))
    whole, mass = numbers.compute_numbers(layer), torch.rand(1, layer.block.pixels)
    received, carried = layer.received(), layer.carry(mass)
    monkeypatch.setattr("saevit.attention.effective.LIMIT", 2000)
    monkeypatch.setattr("saevit.attention.numbers.CHUNK", 3000)
    torch.testing.assert_close(layer.received(), received)
    torch.testing.assert_close(layer.carry(mass), carried)
    for name, value in numbers.compute_numbers(layer).items():
        torch.testing.assert_close(value, whole[name], rtol=1e-4, atol=1e-5, equal_nan=True)


def test_large_maps_are_measured_on_an_even_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = captured(network(4, 1, "adaptive"), torch.randn(1, 3, 128, 128))
    every = numbers.compute_numbers(layer)
    monkeypatch.setattr("saevit.attention.numbers.MOST_QUERIES", 300)
    queries = numbers.pick_queries(layer)
    assert len(queries) == 256
    some = numbers.compute_numbers(layer)
    torch.testing.assert_close(some["distance"], every["distance"], rtol=0.05, atol=0)
    torch.testing.assert_close(some["top_5"], every["top_5"], rtol=0.05, atol=0)


def test_sparsity_is_what_the_design_says() -> None:
    layer = captured(network(8, 1, "adaptive"), torch.randn(1, 3, 224, 224))
    assert (layer.block.pixels, layer.block.tokens) == (3136, 49)
    assert layer.block.sparsity == pytest.approx(1 - (49 / 3136) ** 2)


def test_dense_attention_is_the_layers_own_where_every_pixel_is_a_token() -> None:
    model = network(1, 3, "adaptive")
    with torch.no_grad(), capture(model, features=True) as recording:
        model(torch.randn(1, 3, 64, 80))
    layer = recording.layers()[0]
    found = cut_pattern(layer, model.get_submodule(layer.block.path))
    assert found.dense is not None
    np.testing.assert_allclose(found.dense, found.sampled, rtol=1e-4, atol=1e-5)
