"""Interpolated times of parts, and the coefficients of the fit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saevit.errors import OptionError
from saevit.explore.latency_model import (
    LatencyModel,
    LatencyPart,
    PartGroup,
    UsedPart,
    find_gap,
    fit_coefficients,
    interpolate,
    list_variant_parts,
    make_grids,
)
from saevit.explore.question import Question
from saevit.explore.space import make_space
from tests.explore.spaces import BASE, latency_of, make_latency

FFN = PartGroup("ffn", 2, (("act", "relu"),))
Numbers = st.lists(st.integers(1, 99), min_size=1, max_size=5, unique=True)


@given(Numbers, Numbers, st.tuples(*[st.floats(0.1, 10)] * 4), st.integers(1, 99), st.integers(1, 99))
def test_times_are_exact_where_measured_and_linear_in_each_size(
    firsts: list[int], seconds: list[int], terms: tuple[float, ...], first: int, second: int
) -> None:
    def bilinear(x: float, y: float) -> float:
        a, b, c, d = terms
        return (
            a
            + b * x * (len(firsts) > 1)
            + c * y * (len(seconds) > 1)
            + d * x * y * (len(firsts) > 1 and len(seconds) > 1)
        )

    ((_, grid),) = make_grids({LatencyPart(FFN, x, y): bilinear(x, y) for x in firsts for y in seconds})
    assert float(interpolate(grid, first, second)) == pytest.approx(bilinear(first, second))
    table = interpolate(grid, np.array(firsts)[:, None], np.array(seconds))
    assert table == pytest.approx(np.array([[bilinear(x, y) for y in seconds] for x in firsts]))


def test_a_time_between_sizes_is_that_of_the_nearest_two() -> None:
    times = {
        LatencyPart(FFN, x, y): t for x, y, t in ((8, 16, 1.0), (8, 32, 3.0), (16, 32, 5.0), (32, 64, 9))
    }
    ((_, grid),) = make_grids(times)
    assert float(interpolate(grid, 8, 24)) == 2.0
    assert float(interpolate(grid, 12, 32)) == 4.0  # halfway between two first sizes
    assert float(interpolate(grid, 24, 0)) == 7.0  # one second size was measured with either
    assert float(interpolate(grid, 8, 0)) > 0  # never less than nothing


def test_the_fit_finds_the_coefficients_of_the_times() -> None:
    space = make_space(BASE, {"dims3": (16, 24, 32), "depths3": (1, 2, 3), "ratios4": (2.0, 3.0)})
    model, specs = make_latency(space), [space.spec_at(i) for i in range(space.size)]
    seconds = np.array([latency_of(spec) * 1e-9 for spec in specs])
    fitted = fit_coefficients(model.grid_of, specs, seconds)
    assert fitted == pytest.approx(model.coefficients, rel=1e-3)
    assert [model.predict(spec) for spec in specs] == pytest.approx(seconds, rel=1e-9)


def test_a_part_outside_of_the_measured_sizes_is_named() -> None:
    model = make_latency(make_space(BASE, {"dims3": (16, 32)}))
    group = next(part.group for part in list_variant_parts(BASE) if part.group[:2] == ("ffn", 2))
    assert find_gap(model.grid_of, UsedPart(group, 24, 80)) == ""
    assert (
        find_gap(model.grid_of, UsedPart(group, 40, 80))
        == "stage 3, ffn: channels 40 to 40, measured 16 to 32"
    )
    other = PartGroup("attention", 2, (("rate", 7),))
    assert find_gap(model.grid_of, UsedPart(other, 24, 1)) == "stage 3, attention: nothing with rate=7"
    wide = make_space(BASE, {"dims3": (64,)}).spec_at(0)
    assert model.predict(wide) is None


def test_latency_without_a_model_is_refused() -> None:
    with pytest.raises(OptionError, match=r"saevit explore --calibrate"):
        Question(space=make_space(BASE, {}), objectives=("latency",))
    assert Question(
        space=make_space(BASE, {}), objectives=("latency",), latency=LatencyModel((), (0.0, 1.0, 0.0))
    )
