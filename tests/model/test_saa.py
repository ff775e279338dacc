"""Sampling, attention and recovery, each against a loop that says the same in plain steps."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from saevit.model.saa import SAA, AdaptiveSampler, AverageSampler, StrideSampler, window_softmax

rates = st.integers(2, 6)
sides = st.integers(1, 13)


def cut(x: Tensor, r: int, i: int, j: int) -> Tensor:
    """The real pixels of one window, (B, C, up to r, up to r)."""
    return x[:, :, i * r : (i + 1) * r, j * r : (j + 1) * r]


def sampled(x: Tensor, r: int, of_window) -> Tensor:  # type: ignore[no-untyped-def]
    """One token a window by a plain loop."""
    h, w = -(-x.shape[2] // r), -(-x.shape[3] // r)
    rows = [torch.stack([of_window(cut(x, r, i, j)) for j in range(w)], -1) for i in range(h)]
    return torch.stack(rows, 2)


@settings(max_examples=40, deadline=None)
@given(rates, sides, sides)
def test_adaptive_sampling_is_a_weighted_mean_of_the_real_pixels(r: int, H: int, W: int) -> None:
    x = torch.randn(2, 5, H, W, dtype=torch.float64)
    sampler = AdaptiveSampler(5, r).double()

    def of_window(window: Tensor) -> Tensor:
        weights = sampler.score(window).flatten(2).softmax(2)
        return (window.flatten(2) * weights).sum(2)

    torch.testing.assert_close(sampler(x), sampled(x, r, of_window), rtol=1e-5, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(rates, sides, sides)
def test_average_sampling_is_the_mean_of_the_real_pixels(r: int, H: int, W: int) -> None:
    x = torch.randn(2, 3, H, W)
    torch.testing.assert_close(AverageSampler(r)(x), sampled(x, r, lambda window: window.mean((2, 3))))


@given(rates, sides, sides)
def test_stride_sampling_takes_the_corner(r: int, H: int, W: int) -> None:
    x = torch.randn(2, 3, H, W)
    assert torch.equal(StrideSampler(r)(x), sampled(x, r, lambda window: window[:, :, 0, 0]))


@given(rates, sides, sides)
def test_window_weights_sum_to_one_and_padding_has_none(r: int, H: int, W: int) -> None:
    weights = window_softmax(torch.randn(1, 1, H, W), r)  # (1, 1, h, r, w, r)
    torch.testing.assert_close(weights.sum((3, 5)), torch.ones_like(weights[:, :, :, 0, :, 0]))
    flat = weights.flatten(4, 5).flatten(2, 3)
    assert flat[:, :, H:].abs().sum() == 0
    assert flat[:, :, :, W:].abs().sum() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_huge_scores_stay_finite(dtype: torch.dtype) -> None:
    score = torch.tensor([6e4, -6e4, 0.0, 5.9e4]).reshape(1, 1, 2, 2).to(dtype)
    weights = window_softmax(score, 2)
    assert weights.dtype == torch.float32
    assert weights.isfinite().all()
    assert weights.flatten()[0] == 1


def test_a_uniform_window_is_averaged() -> None:
    x = torch.ones(1, 4, 8, 8)
    torch.testing.assert_close(AdaptiveSampler(4, 4)(x), torch.ones(1, 4, 2, 2))


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([1, 2, 3, 8]), sides, sides, st.sampled_from(["adaptive", "average", "stride"]))
def test_whole_layer_against_plain_steps(r: int, H: int, W: int, sampling: str) -> None:
    layer = SAA(6, 2, r, sampling).eval()
    x = torch.randn(2, 6, H, W)
    z = layer.sample(layer.norm(x))
    h, w = z.shape[2:]
    q, k, v = layer.qkv(z).flatten(2).chunk(3, dim=1)  # (B, C, n) each
    heads = []
    for part in (slice(0, 3), slice(3, 6)):
        scores = (q[:, part].transpose(1, 2) @ k[:, part]) / 3**0.5  # (B, n, n)
        heads.append(v[:, part] @ scores.softmax(2).transpose(1, 2))
    y = layer.proj(torch.cat(heads, 1).reshape(2, 6, h, w))
    if r > 1:
        kernel = layer.recover.weight[:, 0]  # (C, r, r)
        y = torch.einsum("bchw,cij->bchiwj", y, kernel).reshape(2, 6, h * r, w * r)[:, :, :H, :W]
    torch.testing.assert_close(layer(x), y, rtol=1e-4, atol=1e-5)


def test_rate_one_has_neither_score_nor_recovery() -> None:
    names = {name for name, _ in SAA(8, 2, 1, "adaptive").named_parameters()}
    assert names == {"norm.weight", "norm.bias", "qkv.weight", "qkv.bias", "proj.weight", "proj.bias"}
