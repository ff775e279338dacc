"""A file that computes something else is refused, whatever the image and the batch it shows in."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from saevit.errors import MeasureError
from saevit.export import verify

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)
NAMED = verify.images(3, (32, 40), MEAN, STD)
MODEL = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 40, 5)).eval()


def exact(x: Tensor) -> np.ndarray:
    with torch.inference_mode():
        return MODEL(x).numpy()


def off(factor: float, where: Callable[[Tensor], bool]) -> verify.Run:
    """A runtime that is wrong by a factor for some batches."""
    return lambda x: exact(x) * (factor if where(x) else 1)


@pytest.mark.parametrize("batch", [None, 1, 3, 20])
def test_the_same_network_has_no_difference(batch: int | None) -> None:
    found = verify.verified(MODEL, exact, NAMED, batch)
    assert [one.image for one in found] == list(NAMED)
    assert all(one.worst == one.absolute == 0 and one.limit == verify.LIMIT for one in found)


@pytest.mark.parametrize(
    ("where", "batch"),
    [
        (lambda x: True, None),
        (lambda x: len(x) == 7, None),
        (lambda x: len(x) == 1, None),
        (lambda x: bool((x == 0).all()), 1),
        (lambda x: float(x.min()) <= -100, 2),
        (lambda x: float(x.std()) > 9, 2),
    ],
)
def test_a_difference_anywhere_is_refused(where: Callable[[Tensor], bool], batch: int | None) -> None:
    with pytest.raises(MeasureError, match=r"^what was read back is off by 0\.001 of the outputs"):
        verify.verified(MODEL, off(1.001, where), NAMED, batch)
    verify.verified(MODEL, off(1.00001, where), NAMED, batch)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(MeasureError, match="is off by inf"):
        verify.verified(MODEL, lambda x: np.full_like(exact(x), value), NAMED, 1)


def test_one_class_that_is_off_shows_although_the_norm_hides_it() -> None:
    wanted = np.full(10**6, 1.0)
    y = wanted.copy()
    y[3] += 5e-4
    found = verify.difference("noise", y, wanted)
    assert found.relative < verify.LIMIT < found.of_largest
    assert found.absolute == pytest.approx(5e-4)


def test_images_reach_the_ends_of_what_is_normalised() -> None:
    for i in range(3):
        assert float(NAMED["black, normalised"][i, 0, 0]) == pytest.approx(-MEAN[i] / STD[i])
        assert float(NAMED["white, normalised"][i, 0, 0]) == pytest.approx((1 - MEAN[i]) / STD[i])
    assert {tuple(image.shape) for image in NAMED.values()} == {(3, 32, 40)}
    assert torch.equal(NAMED["noise"], verify.images(3, (32, 40), MEAN, STD)["noise"])


class Sharp(nn.Module):
    """Moved by rounding: a small difference of large numbers."""

    def forward(self, x: Tensor) -> Tensor:
        mean = x.flatten(1).mean(1, keepdim=True)
        return mean / 3 * 1e4 - mean * 1e4 / 3 + mean * 1e-3


def test_where_rounding_alone_moves_outputs_that_much_is_allowed() -> None:
    model = Sharp()

    def run(x: Tensor) -> np.ndarray:
        return model(x.double()).float().numpy()

    found = {one.image: one for one in verify.verified(model, run, NAMED, 1)}
    assert found["white, normalised"].worst > verify.LIMIT
    assert found["white, normalised"].limit > 2 * found["white, normalised"].worst
    with pytest.raises(MeasureError, match=r"^what was read back is off by 2"):
        verify.verified(model, lambda x: run(x) * 3, NAMED, 1)


@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels_than_the_mean_has_take_its_mean(channels: int) -> None:
    image = verify.images(channels, (32, 32), MEAN, STD)["black, normalised"]
    assert image.shape == (channels, 32, 32)
    assert float(image[0, 0, 0]) == pytest.approx(-0.4 / 0.25)


@given(st.integers(1, 9), st.integers(1, 20))
def test_every_name_stands_in_a_full_batch(count: int, size: int) -> None:
    names = [str(i) for i in range(count)]
    batches = verify.cycled(names, size)
    assert {name for batch in batches for name in batch} == set(names)
    assert all(len(batch) == size for batch in batches)
    assert len(batches) == -(-count // size)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5), st.floats(1e-3, 1e3))
def test_relative_figures_do_not_depend_on_the_scale(values: list[float], scale: float) -> None:
    wanted = np.array(values) + 1
    y = wanted * 1.01
    one, other = (verify.difference("", y * s, wanted * s) for s in (1.0, scale))
    assert one.relative == pytest.approx(other.relative, rel=1e-6)
    assert one.of_largest == pytest.approx(other.of_largest, rel=1e-6)
