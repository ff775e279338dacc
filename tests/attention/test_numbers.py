"""Similarity inside windows against a loop over pairs, and attention to a drawing."""

from dataclasses import replace
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saevit.attention.capture import capture
from saevit.attention.effective import Scores
from saevit.attention.numbers import compute_drawn, compute_similarities, suggest_rate
from saevit.model.pyramid import build
from saevit.variant import parse


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 5), st.integers(1, 9), st.integers(1, 9))
def test_similarity_is_the_mean_over_pairs(r: int, H: int, W: int) -> None:
    x = torch.randn(3, H, W)
    means = []
    for i in range(0, H, r):
        for j in range(0, W, r):
            pixels = x[:, i : i + r, j : j + r].flatten(1).unbind(1)
            pairs = [torch.cosine_similarity(a, b, 0) for a, b in combinations(pixels, 2)]
            means += [torch.stack(pairs).mean()] if pairs else []
    expected = float(torch.stack(means).mean()) if means else 1.0
    assert compute_similarities(x, r)[r] == pytest.approx(expected, abs=1e-5)


def test_a_uniform_map_is_wholly_redundant() -> None:
    found = compute_similarities(torch.ones(4, 16, 16), 1)
    assert all(value == pytest.approx(1) for value in found.values())
    assert suggest_rate(found, 0.9) == 16


def test_the_suggestion_stops_at_the_first_rate_that_is_too_coarse() -> None:
    assert suggest_rate({2: 0.99, 3: 0.95, 4: 0.8, 6: 0.91}, 0.9) == 3
    assert suggest_rate({2: 0.5}, 0.9) == 1


def test_its_own_rate_is_among_those_tried() -> None:
    assert 7 in compute_similarities(torch.randn(2, 14, 14), 7)
    assert max(compute_similarities(torch.randn(2, 5, 7), 1)) == 6


@pytest.mark.parametrize("size", [(32, 32), (40, 52)])  # the second one reaches over the edge of the input
def test_attention_to_a_drawing_is_relative_to_its_area(size: tuple[int, int]) -> None:
    model = build(parse("saevit_pico:dims=8-8-16-16,heads=2,depths=1,rates=1"))
    with torch.no_grad(), capture(model) as recording:
        model(torch.zeros(1, 3, *size))
    layer = recording.layers()[0]
    H, W = layer.block.height, layer.block.width
    drawing = torch.zeros(size)
    drawing[:, :12] = 1  # three columns of the map, whose stride is 4
    uniform = replace(layer, scores=Scores(q=torch.zeros(1, 2, H * W, 1), k=torch.zeros(1, 2, H * W, 1)))
    torch.testing.assert_close(compute_drawn(uniform, drawing), torch.ones(2))
    bias = torch.zeros(1, 2, H * W, H * W)
    bias[:, 1].view(1, H * W, H, W)[..., 3:] = -100  # the second head attends to the drawing only
    focused = replace(layer, scores=replace(uniform.scores, bias=bias))
    torch.testing.assert_close(compute_drawn(focused, drawing), torch.tensor([1, W / 3]))
    assert compute_drawn(layer, None).isnan().all()
