"""A calibration on a clock that only networks move: exact, stored, read back, and refused elsewhere."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from saevit.count.cost import count_network
from saevit.errors import OptionError
from saevit.explore import calibration
from saevit.explore.calibration import (
    Calibration,
    calibrate,
    correlate,
    draw_variants,
    fit_run,
    is_calibration,
)
from saevit.explore.latency_model import LatencyPart
from saevit.explore.latency_parts import EMPTY, REPEATS
from saevit.explore.space import Space, default_choices, make_space, read_space
from saevit.explore.stored_calibrations import describe_difference, find_calibration
from saevit.measure import timer
from saevit.measure.progress import NextStep
from saevit.runs.store import Writer, list_runs, read_run
from saevit.variant import PRESETS, VariantSpec
from tests.explore.spaces import BASE, latency_of, part_ns
from tests.measure.conftest import CONDITIONS as PLAIN
from tests.measure.conftest import Clock, Costly

SPACE = read_space(BASE, {"dims3": "16,32", "dims4": "32,48,64", "depths3": "1:3", "ratios2": "1,2"})
HERE = replace(PLAIN, img_size=(32, 32), batch_size=1, folded=True)
PASS = 1e-4  # seconds of an empty pass
SLOW = 100  # times the nanoseconds of a part: the clock counts as if it could not see single ones

Calibrate = Callable[..., Calibration]


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Calibrate:
    """Calibrate on networks whose time is that of the formula in `spaces`, times `noise`."""
    clock = Clock()
    monkeypatch.setattr(timer, "perf_counter", clock)

    def timed(noise: Callable[[str], float] = lambda name: 1.0, **arguments: Any) -> Calibration:
        def part(one: LatencyPart) -> Costly:
            copies = REPEATS.get(one.group.kind, 1)
            seconds = PASS + (0 if one == EMPTY else copies * part_ns(one) * SLOW * 1e-9)
            return Costly(clock, lambda batch: seconds)

        def whole(spec: VariantSpec, **_: bool) -> Costly:
            return Costly(clock, lambda batch: latency_of(spec) * SLOW * 1e-9 * noise(str(spec)))

        monkeypatch.setattr(calibration, "build_part", part)
        monkeypatch.setattr(calibration, "build_form", whole)
        arguments = {"rounds": 3, "min_time": 0.001, "variants": 12} | arguments
        return calibrate(arguments.pop("space", SPACE), arguments.pop("conditions", HERE), **arguments)

    return timed


def stored(timed: Calibrate, folder: Path, **arguments: Any) -> Calibration:
    with Writer(folder) as writer:
        found = timed(writer=writer, **arguments)
        writer.end()
    return found


def test_the_fit_predicts_variants_that_it_has_not_seen(timed: Calibrate) -> None:
    found = timed()
    assert len(found.held_out) == 12
    assert max(found.errors) < 1e-4
    assert found.stated_error < 1e-4
    assert found.share_within(0.05).value == 1
    assert found.model.coefficients == pytest.approx((100 * SLOW * 1e-9, 2.0, 5 * SLOW * 1e-9), rel=0.02)
    assert found.agreement is not None
    assert found.agreement.rho == pytest.approx(1)
    for one in found.held_out:
        spec = next(s for s in map(SPACE.spec_at, range(SPACE.size)) if str(s) == one.model)
        assert one.measured == pytest.approx(latency_of(spec) * SLOW * 1e-9)
        assert one.macs == count_network(spec, (32, 32)).macs


def test_a_held_out_variant_does_not_influence_its_own_prediction(timed: Calibrate) -> None:
    usual = timed()
    odd = usual.held_out[5].model
    found = timed(noise=lambda name: 3.0 if name == odd else 1.0)
    (one,) = (each for each in found.held_out if each.model == odd)
    assert one.predicted == pytest.approx(usual.held_out[5].measured, rel=1e-3)
    assert one.error == pytest.approx(1 / 3 - 1, rel=1e-3)
    assert found.share_within(0.5).hits < len(found.held_out)


def test_a_stored_calibration_is_read_back(timed: Calibrate, tmp_path: Path) -> None:
    found = stored(timed, tmp_path)
    (summary,) = list_runs(tmp_path)
    run = read_run(summary.path)
    assert is_calibration(run)
    again = fit_run(run)
    assert (again.model, again.held_out) == (found.model, found.held_out)
    read = find_calibration(tmp_path, HERE, run.environment, SPACE)
    assert read.model == found.model


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"runtime": "onnxruntime"}, "runtime eager, here onnxruntime"),
        ({"threads": 2}, "threads 1, here 2"),
        ({"dtype": "bf16"}, "dtype fp32, here bf16"),
        ({"batch_size": 8}, "batch_size 1, here 8"),
        ({"img_size": (64, 64)}, r"img_size \(32, 32\), here \(64, 64\)"),
        ({"device": "cuda"}, "device cpu, here cuda"),
    ],
)
def test_a_calibration_of_other_conditions_is_refused(
    timed: Calibrate, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    run = stored(timed, tmp_path).run
    with pytest.raises(OptionError, match=f"no calibration for .*; the newest one differs: {words}"):
        find_calibration(tmp_path, replace(HERE, **changes), run.environment, SPACE)


@pytest.mark.parametrize(
    ("runtime", "name", "value"),
    [
        ("eager", "cpu", "another processor"),
        ("eager", "torch", "1.0"),
        ("eager", "saevit", "0.1.0"),  # whose network was another one
        ("onnxruntime", "onnxruntime", "1.0"),
        ("executorch", "executorch", "1.0"),
    ],
)
def test_a_calibration_of_another_machine_or_version_is_refused(
    timed: Calibrate, tmp_path: Path, runtime: str, name: str, value: str
) -> None:
    found = stored(timed, tmp_path)
    other = replace(found.run.environment, **{name: value})
    found = replace(found, conditions=replace(HERE, runtime=runtime))
    difference = describe_difference(found, found.conditions, other)
    assert difference.endswith(f"here {value if name != 'saevit' else 1}")
    assert not describe_difference(found, found.conditions, found.run.environment)


def test_an_onnx_version_matters_only_to_its_own_runtime(timed: Calibrate, tmp_path: Path) -> None:
    run = stored(timed, tmp_path).run
    assert find_calibration(tmp_path, HERE, replace(run.environment, onnxruntime="1.0", openvino=None), SPACE)


def test_no_calibration_at_all_is_refused(timed: Calibrate, tmp_path: Path) -> None:
    run = timed().run
    with pytest.raises(OptionError, match=r"^no calibration for 32x32, batch 1, .* on this machine$"):
        find_calibration(tmp_path, HERE, run.environment, SPACE)


def test_the_newest_calibration_that_covers_the_space_is_used(timed: Calibrate, tmp_path: Path) -> None:
    wide = stored(timed, tmp_path)
    narrow = read_space(BASE, {"dims3": "24,32", "depths3": "1:3", "depths2": "1:3"})
    latest = stored(timed, tmp_path, space=narrow)
    environment = latest.run.environment
    assert find_calibration(tmp_path, HERE, environment, narrow).model == latest.model
    assert find_calibration(tmp_path, HERE, environment, SPACE).model == wide.model
    with pytest.raises(OptionError, match=r"differs: the calibration is of other variants \(stage 1, "):
        find_calibration(tmp_path, HERE, environment, read_space(BASE, {"dims1": "64,128"}))


def test_ctrl_c_keeps_the_finished_rounds(timed: Calibrate, tmp_path: Path) -> None:
    def stop(step: NextStep) -> None:
        if step.text.startswith("round 3"):
            raise KeyboardInterrupt

    found = stored(timed, tmp_path, on_progress=stop)
    assert (found.run.rounds, found.run.interrupted) == (2, True)
    assert max(found.errors) < 1e-4
    assert find_calibration(tmp_path, HERE, found.run.environment, SPACE).model == found.model


def test_ctrl_c_before_a_round_leaves_no_calibration(timed: Calibrate) -> None:
    def stop(step: NextStep) -> None:
        if step.text.startswith("preparing") and "(5 of" in step.text:
            raise KeyboardInterrupt

    with pytest.raises(OptionError, match=r"incomplete: .*interrupted before the first round"):
        timed(on_progress=stop)


def test_time_left_is_told_while_networks_are_prepared(timed: Calibrate) -> None:
    steps: list[NextStep] = []
    found = timed(on_progress=steps.append)
    count = len(found.run.timed)
    first = [step for step in steps if step.text.startswith("preparing")]
    assert [step.done for step in first] == [i / count for i in range(count)]
    assert first[0].eta is None
    assert all(step.eta is not None for step in first[1:])


def test_a_part_that_fails_is_named(timed: Calibrate, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(one: LatencyPart) -> None:
        raise ValueError("no kernel")

    real = calibration.list_timed

    def with_broken(*arguments: Any) -> Any:
        models = real(*arguments)
        return [*models[:-1], replace(models[-1], build=lambda: broken(EMPTY))]

    monkeypatch.setattr(calibration, "list_timed", with_broken)
    with pytest.raises(OptionError, match=r"incomplete: part:.*ValueError: no kernel"):
        timed()


def test_a_space_of_few_variants_is_refused(timed: Calibrate) -> None:
    with pytest.raises(OptionError, match="has 3 variants that differ: a calibration needs 8"):
        timed(space=read_space(BASE, {"depths3": "1:3"}))


def test_drawn_variants_spread_over_the_space() -> None:
    tiny = PRESETS["saevit_tiny"]
    choices = default_choices(tiny) | {"dims4": tuple(range(128, 641, 32)), "depths3": tuple(range(1, 9))}
    space = make_space(tiny, choices)
    drawn = draw_variants(space, 30, 0, (224, 224))
    macs = sorted(count_network(spec, (224, 224)).macs for spec in drawn)
    assert len(set(drawn)) == 30
    assert macs[-1] / macs[0] > 4
    steps = [b / a for a, b in pairwise(macs)]
    assert max(steps) < 1.35
    assert drawn == draw_variants(space, 30, 0, (224, 224)) != draw_variants(space, 30, 1, (224, 224))
    assert all(is_of(space, spec) for spec in drawn)


def is_of(space: Space, spec: VariantSpec) -> bool:
    stage = {f"{key}{i + 1}": getattr(spec, key)[i] for key in ("dims", "depths", "ratios") for i in range(4)}
    return all(stage[axis.key] in axis.values for axis in space.axes)


def test_the_interval_of_a_rank_correlation() -> None:
    found = correlate([1, 2, 3, 4, 5, 6, 7, 9, 8, 10], list(range(10)))
    assert found is not None
    assert found.low < found.rho < found.high <= 1
    assert found.rho == pytest.approx(1 - 6 * 2 / (10 * 99))
    wider = correlate([2, 1, 4, 3, 6, 5, 8, 7, 10, 9], list(range(10)))
    assert wider is not None
    assert wider.high - wider.low > found.high - found.low
    assert correlate([1, 2, 3], [1, 2, 3]) is None
    assert correlate([1.0] * 9, list(range(9))) is None
