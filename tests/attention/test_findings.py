"""Properties of blocks and maps, against loops."""

from dataclasses import replace
from itertools import product
from math import hypot
from statistics import fmean

import pytest

from saevit.attention.findings import AttentionBlock

BLOCK = AttentionBlock(
    stage=1,
    number=1,
    path="stages.0.blocks.0.attn",
    height=4,
    width=4,
    stride=(4.0, 4.0),
    rate=2,
    sampling="adaptive",
    groups=1,
    queries=4,
    keys=4,
)


@pytest.mark.parametrize(
    ("height", "width", "stride"), [(1, 1, (4.0, 4.0)), (3, 5, (16.0, 8.0)), (7, 7, (32.0, 32.0))]
)
def test_uniform_distance_is_the_mean_over_all_pairs(
    height: int, width: int, stride: tuple[float, float]
) -> None:
    pixels = [(y * stride[0], x * stride[1]) for y, x in product(range(height), range(width))]
    expected = fmean(hypot(a[0] - b[0], a[1] - b[1]) for a, b in product(pixels, pixels))
    block = replace(BLOCK, height=height, width=width, stride=stride)
    assert block.uniform_distance == pytest.approx(expected)
