"""Rollout against the product of whole matrices."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saevit.attention.capture import capture
from saevit.attention.maps import cover_intervals, roll_out
from saevit.model.pyramid import build
from saevit.variant import parse


def test_rollout_is_the_product_of_the_blocks() -> None:
    model = build(parse("saevit_pico:dims=24,heads=2,depths=1-2-2-1,attn_blocks=2,rates=4-3-2-1"))
    with torch.no_grad(), capture(model) as recording:
        model(torch.randn(1, 3, 68, 90))
    layers = recording.layers()
    product = torch.eye(layers[-1].block.pixels)
    for i in reversed(range(len(layers))):
        E = layers[i].rows(torch.arange(layers[i].block.pixels)).mean(0)
        product = product @ (0.5 * torch.eye(len(E)) + 0.5 * E)
        if i and layers[i].block.stage != layers[i - 1].block.stage:
            a, b = layers[i].block, layers[i - 1].block
            product = product @ torch.kron(
                cover_intervals(a.height, a.stride[0], b.height, b.stride[0]),
                cover_intervals(a.width, a.stride[1], b.width, b.stride[1]),
            )
    torch.testing.assert_close(roll_out(layers, torch.eye(layers[-1].block.pixels)), product)
    torch.testing.assert_close(product.sum(1), torch.ones(len(product)))


@settings(deadline=None)
@given(st.integers(1, 40), st.sampled_from([4.0, 8.0, 16.0]))
def test_a_pixel_covers_the_pixels_below_it(fine: int, stride: float) -> None:
    shares = cover_intervals(-(-fine // 2), 2 * stride, fine, stride)
    for i, row in enumerate(shares):
        inside = [j for j in (2 * i, 2 * i + 1) if j < fine]
        assert row.nonzero().flatten().tolist() == inside
        torch.testing.assert_close(row.sum(), torch.tensor(1.0))
