"""The FFN against its formula, channel by channel."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from saevit.model.ciffn import CIFFN, MLP, Redistribute
from saevit.model.layers import ConvNorm
from saevit.variant import KEYS, NUM_GROUPS
from tests.model.networks import randomise


def drawn(layer: nn.Module) -> nn.Module:
    """The layer in eval mode and float64, every weight and statistic drawn."""
    for module in layer.modules():
        randomise(module, 0.5)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return layer.double().eval()


def pointwise(layer: ConvNorm, x: Tensor) -> Tensor:
    """BN of the channels mixed in each pixel."""
    return layer.norm(torch.einsum("dc,bchw->bdhw", layer.conv.weight[:, :, 0, 0], x))


def depth_wise(layer: ConvNorm | nn.BatchNorm2d, x: Tensor) -> Tensor:
    """BN of each channel's own convolution, window by window."""
    if isinstance(layer, nn.BatchNorm2d):
        return layer(x)
    weight = layer.conv.weight[:, 0]  # (C, k, k)
    k = weight.shape[1]
    windows = nn.functional.pad(x, (k // 2,) * 4).unfold(2, k, 1).unfold(3, k, 1)  # (B, C, H, W, k, k)
    return layer.norm(torch.einsum("bchwij,cij->bchw", windows, weight))


def test_redistribution_moves_each_channel_from_the_aggregate_of_its_group() -> None:
    layer = Redistribute(12)
    nn.init.normal_(layer.gamma)
    u, a = torch.randn(2, 12, 5, 4), torch.randn(2, 3, 5, 4)
    y = layer(u, a)
    for j in range(12):
        torch.testing.assert_close(y[:, j], u[:, j] + layer.gamma[j] * (u[:, j] - a[:, j // 4]))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 3),
    st.sampled_from(KEYS["act"].choices),
    st.sampled_from([3, 5]),
    st.booleans(),
)
def test_ciffn_follows_its_formula(dim: int, of_group: int, act: str, kernel: int, local: bool) -> None:
    layer = drawn(CIFFN(dim, NUM_GROUPS * of_group, act, "dwsconv" if local else "none", kernel))
    x = torch.randn(2, dim, 6, 5, dtype=torch.float64)
    t = depth_wise(layer.local, x)
    u, a = layer.act(pointwise(layer.fc1, t)), layer.act(pointwise(layer.aggregate, t))
    v = torch.zeros_like(u)
    for g in range(NUM_GROUPS):
        for j in range(g * of_group, (g + 1) * of_group):
            v[:, j] = u[:, j] + layer.redistribute.gamma[j] * (u[:, j] - a[:, g])
    torch.testing.assert_close(layer(x), pointwise(layer.fc2, v), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("local", ["dwsconv", "none"])
def test_gamma_of_zero_leaves_the_plain_ffn(local: str) -> None:
    layer, plain = drawn(CIFFN(4, 32, "relu", local, 3)), drawn(MLP(4, 32, "relu", local, 3))
    nn.init.zeros_(layer.redistribute.gamma)
    x = torch.randn(1, 4, 6, 6, dtype=torch.float64)
    assert not torch.allclose(layer(x), plain(x))
    plain.load_state_dict({name: layer.state_dict()[name] for name in plain.state_dict()})
    torch.testing.assert_close(layer(x), plain(x))


@pytest.mark.parametrize("ffn", [CIFFN, MLP])
def test_without_its_depth_wise_convolution_it_sees_one_pixel_at_a_time(ffn: type[MLP]) -> None:
    layer = drawn(ffn(4, 32, "relu", "none", 3))
    x = torch.randn(1, 4, 3, 3, dtype=torch.float64)
    torch.testing.assert_close(layer(x)[:, :, 1:2, 1:2], layer(x[:, :, 1:2, 1:2]))
