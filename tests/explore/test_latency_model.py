"""Interpolated times of parts, and the coefficients of the fit."""

from dataclasses import replace

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


@given(Numbers, Numbers, st.floats(0.1, 10), st.floats(0, 3), st.floats(0, 3), *[st.integers(1, 99)] * 2)
def test_times_that_are_a_power_of_each_size_are_exact(
    firsts: list[int], seconds: list[int], factor: float, rise: float, slope: float, first: int, second: int
) -> None:
    def time_of(x: float, y: float) -> float:
        return factor * x ** (rise * (len(firsts) > 1)) * y ** (slope * (len(seconds) > 1))

    ((_, grid),) = make_grids({LatencyPart(FFN, x, y): time_of(x, y) for x in firsts for y in seconds})
    assert float(interpolate(grid, first, second)) == pytest.approx(time_of(first, second))
    table = interpolate(grid, np.array(firsts)[:, None], np.array(seconds))
    assert table == pytest.approx(np.array([[time_of(x, y) for y in seconds] for x in firsts]))


def test_a_time_between_sizes_is_that_of_the_nearest_two() -> None:
    times = {
        LatencyPart(FFN, x, y): t for x, y, t in ((8, 16, 1.0), (8, 64, 4.0), (32, 64, 16.0), (72, 64, 9))
    }
    ((_, grid),) = make_grids(times)
    assert float(interpolate(grid, 8, 32)) == pytest.approx(2.0)
    assert float(interpolate(grid, 16, 64)) == pytest.approx(8.0)  # between two first sizes
    assert float(interpolate(grid, 48, 4)) == pytest.approx(12.0)  # one second size was measured with either


def test_widths_in_whole_blocks_are_timed_apart() -> None:
    """Runtimes compute 16 channels at once: 136 channels take longer than 144 (docs/log.md, 2026-11-27)."""

    def list_parts(width: int) -> dict[tuple[str, int], PartGroup]:
        spec = replace(BASE, dims=(16, 32, width, 96))
        return {part.group[:2]: part.group for part in list_variant_parts(spec)}

    whole, broken = list_parts(144), list_parts(136)
    changed = {("downsample", 2), ("ffn", 2), ("attention", 2), ("downsample", 3)}
    assert {key for key in whole if whole[key] != broken[key]} == changed
    grids = dict(
        make_grids(
            {
                **{LatencyPart(whole["ffn", 2], size, 2 * size): 2.0 * size for size in (96, 192)},
                **{LatencyPart(broken["ffn", 2], size, 2 * size): 3.0 * size for size in (104, 184)},
            }
        )
    )
    assert float(interpolate(grids[whole["ffn", 2]], 144, 288)) == pytest.approx(288)
    assert float(interpolate(grids[broken["ffn", 2]], 136, 272)) == pytest.approx(408)


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
