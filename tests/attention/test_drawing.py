"""The default image, and what counts as a drawing."""

import numpy as np
import pytest
import torch

from saevit.attention.drawing import SIDE, draw_scene
from saevit.attention.photo import find_drawing


def test_it_is_the_same_each_time_and_black_on_white() -> None:
    first, second = (np.asarray(draw_scene()) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (SIDE, SIDE, 3)
    assert (first.min(), first.max()) == (0, 255)
    assert (first[0] == 255).all()
    assert 0.1 < (first < 128).mean() < 0.5


@pytest.mark.parametrize("invert", [False, True])
def test_a_drawing_is_what_differs_from_the_ground(invert: bool) -> None:
    pixels = np.asarray(draw_scene())
    found = find_drawing(255 - pixels if invert else pixels)
    assert found is not None
    np.testing.assert_allclose(found, 1 - pixels.mean(2) / 255, atol=1e-6)


def test_a_photograph_and_an_empty_image_are_no_drawings() -> None:
    noise = torch.randint(0, 256, (40, 60, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert find_drawing(noise.numpy()) is None
    assert find_drawing(np.full((40, 60, 3), 200, np.uint8)) is None
