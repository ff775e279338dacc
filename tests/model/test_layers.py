"""Layers that are not SAEViT's own."""

import torch

from saevit.model.layers import Attend, DropPath


def test_drop_path_keeps_the_expectation() -> None:
    torch.manual_seed(0)
    layer = DropPath(0.25).train()
    y = layer(torch.ones(20_000, 1, 1, 1))
    assert len(y.unique()) == 2
    torch.testing.assert_close(y.unique(), torch.tensor([0, 1 / 0.75]))
    assert abs(y.mean().item() - 1) < 0.02


def test_drop_path_drops_whole_samples() -> None:
    torch.manual_seed(0)
    y = DropPath(0.5).train()(torch.ones(64, 3, 4, 4))
    assert all(len(sample.unique()) == 1 for sample in y)


def test_drop_path_does_nothing_in_eval() -> None:
    x = torch.randn(4, 3, 2, 2)
    assert torch.equal(DropPath(0.5).eval()(x), x)


def test_attend_is_softmax_attention_with_keys_narrower_than_values() -> None:
    q, k, v = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 7, 4), torch.randn(2, 3, 7, 9)
    expected = (q @ k.transpose(2, 3) / 2).softmax(3) @ v
    torch.testing.assert_close(Attend()(q, k, v), expected)
