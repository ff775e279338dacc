"""Sampling, attention and recovery, each against a loop that says the same in plain steps."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from saevit.model.saa import (
    SAA,
    AdaptiveSampler,
    AverageSampler,
    MixSampler,
    Recover,
    StrideSampler,
    window_softmax,
)
from saevit.variant import KEYS
from tests.model.networks import randomise

rates = st.integers(2, 6)
sides = st.integers(1, 13)


def windows_of(x: Tensor, r: int, of_window: Callable[[Tensor], Tensor]) -> Tensor:
    """One token a window, by a loop over the real pixels of each, (B, C, up to r, up to r)."""
    h, w = -(-x.shape[2] // r), -(-x.shape[3] // r)

    def cut(i: int, j: int) -> Tensor:
        return x[:, :, i * r : (i + 1) * r, j * r : (j + 1) * r]

    rows = [torch.stack([of_window(cut(i, j)) for j in range(w)], -1) for i in range(h)]
    return torch.stack(rows, 2)


def image(C: int, H: int, W: int) -> Tensor:
    return torch.randn(2, C, H, W, dtype=torch.float64)


@settings(max_examples=40, deadline=None)
@given(rates, sides, sides)
def test_adaptive_sampling_is_a_weighted_mean_of_the_real_pixels(r: int, H: int, W: int) -> None:
    x, sampler = image(5, H, W), AdaptiveSampler(5, r).double()

    def of_window(window: Tensor) -> Tensor:
        weights = sampler.score(window).flatten(2).softmax(2)
        return (window.flatten(2) * weights).sum(2)

    torch.testing.assert_close(sampler(x), windows_of(x, r, of_window))


@settings(max_examples=40, deadline=None)
@given(rates, sides, sides)
def test_mix_sampling_is_a_mean_and_a_maximum_of_the_real_pixels(r: int, H: int, W: int) -> None:
    x, sampler = image(3, H, W), MixSampler(3, r).double()
    randomise(sampler, 0.5)

    def of_window(window: Tensor) -> Tensor:
        return sampler.alpha * window.mean((2, 3)) + sampler.beta * window.amax((2, 3)) + sampler.bias

    torch.testing.assert_close(sampler(x), windows_of(x, r, of_window))


def test_mix_sampling_starts_as_the_mean() -> None:
    x = image(3, 7, 9)
    torch.testing.assert_close(MixSampler(3, 4).double()(x), AverageSampler(3, 4)(x))


@settings(max_examples=40, deadline=None)
@given(rates, sides, sides)
def test_average_sampling_is_the_mean_of_the_real_pixels(r: int, H: int, W: int) -> None:
    x = image(3, H, W)
    torch.testing.assert_close(AverageSampler(3, r)(x), windows_of(x, r, lambda window: window.mean((2, 3))))


@given(rates, sides, sides)
def test_stride_sampling_takes_the_corner(r: int, H: int, W: int) -> None:
    x = image(3, H, W)
    assert torch.equal(StrideSampler(3, r)(x), windows_of(x, r, lambda window: window[:, :, 0, 0]))


@given(rates, sides, sides)
def test_window_weights_are_those_of_a_loop_and_padding_has_none(r: int, H: int, W: int) -> None:
    score = image(1, H, W) * 3
    weights = window_softmax(score, r)
    assert weights.shape == score.shape  # no pixel of padding is in it
    expected = torch.zeros_like(score)
    for i in range(0, H, r):
        for j in range(0, W, r):
            real = score[:, 0, i : i + r, j : j + r]
            share = real.flatten(1).softmax(1).view(real.shape)
            expected[:, 0, i : i + r, j : j + r] = share
    torch.testing.assert_close(weights, expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_huge_scores_stay_finite(dtype: torch.dtype) -> None:
    score = torch.tensor([6e4, -6e4, 0.0, 5.9e4]).reshape(1, 1, 2, 2).to(dtype)
    weights = window_softmax(score, 2)
    assert weights.dtype == dtype
    assert weights.flatten().tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("r", [2, 3, 4, 8])
def test_recovery_is_a_transposed_convolution_with_a_box_convolved_with_its_kernel(r: int) -> None:
    layer = Recover(5, r).double()
    randomise(layer.dw, 0.5)
    y = image(5, 6, 4)
    box = torch.ones(5, 1, r, r, dtype=torch.float64)
    # The transposed convolution of the box with the flipped 3x3 is their full convolution.
    kernel = nn.functional.conv_transpose2d(
        box.transpose(0, 1), layer.dw.weight.flip(2, 3), groups=5
    ).transpose(0, 1)
    assert kernel.shape == (5, 1, r + 2, r + 2)
    expected = nn.functional.conv_transpose2d(y, kernel, layer.dw.bias, stride=r, padding=1, groups=5)
    torch.testing.assert_close(layer(y, (6 * r, 4 * r)), expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(rates, sides, sides)
def test_recovery_gives_each_pixel_the_token_of_its_window(r: int, H: int, W: int) -> None:
    layer = Recover(3, r).double()
    nn.init.dirac_(layer.dw.weight, groups=3)  # the 3x3 passes its middle on
    nn.init.zeros_(layer.dw.bias)
    y = image(3, -(-H // r), -(-W // r))
    recovered = layer(y, (H, W))
    for i in range(H):
        for j in range(W):
            assert torch.equal(recovered[:, :, i, j], y[:, :, i // r, j // r])


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([1, 2, 3, 8]),
    sides,
    sides,
    st.sampled_from(KEYS["sampling"].choices),
    st.sampled_from([(1, 4), (2, 3), (3, 1)]),
)
def test_the_layer_against_plain_steps(
    r: int, H: int, W: int, sampling: str, heads_and_key: tuple[int, int]
) -> None:
    heads, e = heads_and_key
    layer = SAA(6, heads, e, r, sampling).double().eval()
    for module in layer.modules():
        randomise(module, 0.5)
    x = image(6, H, W)
    z = layer.sample(layer.norm(x))
    h, w = z.shape[2:]
    qkv = torch.einsum("oc,bchw->bohw", layer.qkv.weight[:, :, 0, 0], z) + layer.qkv.bias[:, None, None]
    channels, d = iter(qkv.flatten(2).unbind(1)), 6 // heads  # (B, n) each
    found = []
    for _ in range(heads):
        q, k, v = (torch.stack([next(channels) for _ in range(size)], 1) for size in (e, e, d))
        scores = q.transpose(1, 2) @ k / e**0.5  # (B, n, n)
        found.append(v @ scores.softmax(2).transpose(1, 2))
    y = layer.proj(torch.cat(found, 1).reshape(2, 6, h, w))
    if r > 1:
        wide = torch.zeros_like(x)
        for i in range(H):
            for j in range(W):
                wide[:, :, i, j] = y[:, :, i // r, j // r]
        dw = layer.recover.dw
        y = nn.functional.conv2d(wide, dw.weight, dw.bias, padding=1, groups=6)
    assert next(channels, None) is None
    torch.testing.assert_close(layer(x), y, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("sampling", KEYS["sampling"].choices)
def test_rate_one_has_neither_sampling_nor_recovery(sampling: str) -> None:
    names = {name for name, _ in SAA(8, 2, 4, 1, sampling).named_parameters()}
    assert names == {"norm.weight", "norm.bias", "qkv.weight", "qkv.bias", "proj.weight", "proj.bias"}
