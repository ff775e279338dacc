"""The FFN against its formula."""

import torch
import torch.nn.functional as F

from saevit.model.ciffn import CIFFN, MLP, Redistribute


def test_redistribution_follows_its_formula() -> None:
    layer = Redistribute(6)
    torch.nn.init.normal_(layer.gamma)
    u = torch.randn(2, 6, 5, 4)
    w, b = layer.decompose.weight[0, :, 0, 0], layer.decompose.bias
    aggregate = F.gelu(torch.einsum("c,bchw->bhw", w, u) + b)
    expected = u + layer.gamma * (u - aggregate[:, None])
    torch.testing.assert_close(layer(u), expected)


def test_ciffn_follows_its_formula() -> None:
    layer = CIFFN(4, 8).eval()
    x = torch.randn(2, 4, 7, 5)
    u = F.gelu(layer.dw(layer.fc1(layer.norm(x))))
    torch.testing.assert_close(layer(x), layer.fc2(layer.redistribute(u)))


def test_gamma_of_zero_leaves_a_convolutional_ffn() -> None:
    layer = CIFFN(4, 8).eval()
    torch.nn.init.zeros_(layer.redistribute.gamma)
    x = torch.randn(1, 4, 6, 6)
    torch.testing.assert_close(layer(x), layer.fc2(F.gelu(layer.dw(layer.fc1(layer.norm(x))))))


def test_mlp_sees_one_pixel_at_a_time() -> None:
    layer = MLP(4, 8).eval()
    x = torch.randn(1, 4, 3, 3)
    torch.testing.assert_close(layer(x)[:, :, 1:2, 1:2], layer(x[:, :, 1:2, 1:2]))
