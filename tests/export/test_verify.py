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
from saevit.export.formats import Runner

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)
JUDGED, EXTREMES = verify.make_images(3, (32, 40), MEAN, STD), verify.make_extremes(3, (32, 40))
MODEL = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 40, 5)).eval()


def differences_of(run: Runner, batch: int | None = 1, model: nn.Module = MODEL) -> list[verify.Difference]:
    """What comparing shows."""
    return list(verify.compare_outputs(run, verify.compute_reference(model, JUDGED, EXTREMES, batch)))


def exact(x: Tensor) -> np.ndarray:
    with torch.inference_mode():
        return MODEL(x).numpy()


def off(factor: float, where: Callable[[Tensor], bool]) -> Runner:
    """A runtime that is wrong by a factor for some batches."""
    return lambda x: exact(x) * (factor if where(x) else 1)


@pytest.mark.parametrize("batch", [None, 1, 3, 20])
def test_the_same_network_has_no_difference(batch: int | None) -> None:
    found = differences_of(exact, batch)
    assert [(one.image, one.is_judged) for one in found] == [
        *((name, True) for name in JUDGED),
        *((name, False) for name in EXTREMES),
    ]
    assert all(one.worst == one.absolute == one.of_spread == 0 for one in found)


@pytest.mark.parametrize(
    ("where", "batch"),
    [
        (lambda x: True, None),
        (lambda x: len(x) == 7, None),
        (lambda x: len(x) == 1, None),
        (lambda x: bool((x == 0).all()), 1),
        (lambda x: bool((x == -4).all()), 1),
        (lambda x: 3.9 < float(x.max()) <= 4 and float(x.std()) > 2, 1),
    ],
)
def test_a_difference_anywhere_is_refused(where: Callable[[Tensor], bool], batch: int | None) -> None:
    with pytest.raises(
        MeasureError, match=r"^the file's outputs differ by 0\.001 \(relative\) from the network's"
    ):
        differences_of(off(1.001, where), batch)
    differences_of(off(1.00001, where), batch)


def test_beyond_four_deviations_a_difference_is_told_and_not_judged() -> None:
    def is_extreme(x: Tensor) -> bool:
        return float(x.abs().max()) > 4.5

    found = {one.image: one for one in differences_of(off(1.5, is_extreme))}
    assert {name for name, one in found.items() if one.worst > verify.LIMIT} == set(EXTREMES)
    assert found["noise x 10"].relative == pytest.approx(0.5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("beyond", [0.0, 50.0])
@pytest.mark.parametrize("batch", [None, 1])
def test_outputs_that_are_not_finite_are_refused_for_any_image(
    value: float, beyond: float, batch: int | None
) -> None:
    def run(x: Tensor) -> np.ndarray:
        y = exact(x).copy()
        y[x.flatten(1).amax(1).numpy() >= beyond, 1] = value
        return y

    with pytest.raises(MeasureError, match=r"^the file's output is not finite for the image '"):
        differences_of(run, batch)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, 3e38])
@pytest.mark.parametrize("place", ["weight", "extreme", "buffer"])
def test_a_network_whose_own_outputs_are_not_finite_is_refused(value: float, place: str) -> None:
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(3 * 32 * 40), nn.Linear(3 * 32 * 40, 5)).eval()
    with torch.no_grad():
        if place == "weight":
            model[2].weight[1, 7] = value
        elif place == "buffer":
            model[1].running_mean[5] = value
    model = nn.Sequential(model, Overflow(value)) if place == "extreme" else model
    with pytest.raises(
        MeasureError, match=r"(not finite|the same for every).*: nothing (was written|can be)"
    ):
        verify.compute_reference(model, JUDGED, EXTREMES, 1)


class Overflow(nn.Module):
    """Of a value, twice, where the input is large."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x.abs() > 10, x * 0 + self.value * 2, x)


def test_a_network_that_sees_nothing_cannot_be_verified() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 40, 5)).eval()
    nn.init.zeros_(model[1].weight)
    with pytest.raises(MeasureError, match="the same for every image: nothing can be verified"):
        verify.compute_reference(model, JUDGED, EXTREMES, None)


@pytest.mark.parametrize("batch", [None, 3])
def test_a_file_that_sees_nothing_is_refused_although_its_outputs_are_near(batch: int | None) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 40, 5)).eval()
    with torch.no_grad():
        model[1].weight /= 1e3
        model[1].bias.fill_(1e4)
        constant = model(torch.zeros(1, 3, 32, 40)).numpy()
    with pytest.raises(MeasureError, match=r"differ by 0\.0\d+ \(relative\) from the network's"):
        differences_of(lambda x: np.repeat(constant, len(x), 0), batch, model)


def test_one_class_that_is_off_shows_although_the_norm_hides_it() -> None:
    wanted = np.full(10**6, 1.0)
    y = wanted.copy()
    y[3] += 5e-4
    found = verify.measure_difference("noise", y, wanted, 1.0)
    assert found.relative < verify.LIMIT < found.of_largest
    assert found.absolute == pytest.approx(5e-4)


def test_images_reach_the_ends_of_what_is_normalised() -> None:
    for i in range(3):
        assert float(JUDGED["black, normalised"][i, 0, 0]) == pytest.approx(-MEAN[i] / STD[i])
        assert float(JUDGED["white, normalised"][i, 0, 0]) == pytest.approx((1 - MEAN[i]) / STD[i])
    assert {tuple(image.shape) for image in (JUDGED | EXTREMES).values()} == {(3, 32, 40)}
    assert torch.equal(JUDGED["noise"], verify.make_images(3, (32, 40), MEAN, STD)["noise"])
    assert max(float(image.abs().max()) for image in JUDGED.values()) == verify.RANGE == 4
    assert min(float(image.abs().max()) for image in EXTREMES.values()) > 4 * verify.RANGE


@given(st.integers(1, 9), st.integers(1, 20))
def test_every_name_stands_in_a_full_batch(count: int, size: int) -> None:
    names = [str(i) for i in range(count)]
    batches = verify.fill_batches(names, size)
    assert {name for batch in batches for name in batch} == set(names)
    assert all(len(batch) == size for batch in batches)
    assert len(batches) == -(-count // size)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5), st.floats(1e-3, 1e3))
def test_relative_figures_do_not_depend_on_the_scale(values: list[float], scale: float) -> None:
    wanted = np.array(values) + 1
    y = wanted * 1.01
    one, other = (verify.measure_difference("", y * s, wanted * s, s) for s in (1.0, scale))
    assert one.relative == pytest.approx(other.relative, rel=1e-6)
    assert one.of_largest == pytest.approx(other.of_largest, rel=1e-6)
    assert one.of_spread == pytest.approx(other.of_spread, rel=1e-6)
