"""Module times come from whole forwards, add up, and leave no hooks behind."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from torch import Tensor, nn

from saevit.errors import OptionError
from saevit.measure.breakdown import ModuleTimes, time_modules
from tests.measure.conftest import CONDITIONS, Clock


class Step(nn.Module):
    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__()
        self.work = work

    def forward(self, x: Tensor) -> Tensor:
        self.work()
        return x


class Net(nn.Module):
    """stem 1 s, body.0 2 s called twice, body.1 4 s, head bypassed."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.stem = Step(lambda: clock.pass_by(1.0))
        self.body = nn.Sequential(Step(lambda: clock.pass_by(2.0)), Step(lambda: clock.pass_by(4.0)))
        self.head = Step(lambda: clock.pass_by(8.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.head.forward(self.body(self.body[0](self.stem(x))))


def times(model: nn.Module, paths: list[str], **options: Any) -> ModuleTimes:
    return time_modules(model, paths, CONDITIONS, rounds=3, min_time=0.1, **options)


def test_each_module_has_its_seconds_per_forward(clock: Clock) -> None:
    result = times(Net(clock), ["stem", "body", "body.0", "body.1", ""])
    assert {path: set(samples) for path, samples in result.modules.items()} == {
        "stem": {1.0},
        "body": {6.0},
        "body.0": {4.0},  # called twice, once outside of body
        "body.1": {4.0},
        "": {17.0},
    }
    assert list(result.modules) == ["stem", "body", "body.0", "body.1", ""]
    assert result.watched == result.plain == (17.0,) * 3
    assert all(len(samples) == 3 for samples in result.modules.values())


def test_times_are_per_forward_however_many_fill_a_sample(clock: Clock) -> None:
    result = time_modules(Net(clock), ["stem"], CONDITIONS, rounds=2, min_time=100.0)
    assert result.modules["stem"] == pytest.approx((1.0, 1.0))


def test_a_module_whose_forward_is_bypassed_is_unknown_and_not_zero(clock: Clock) -> None:
    result = times(Net(clock), ["head", "stem"])
    assert list(result.modules) == ["stem"]


def test_the_cost_of_watching_shows(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait() -> None:
        clock.pass_by(0.25)

    monkeypatch.setattr("saevit.measure.breakdown.synchronizer", lambda device: wait)
    result = times(Net(clock), ["stem"])
    assert min(result.watched) > max(result.plain)


def test_the_model_comes_back_as_it_was_even_if_it_breaks(clock: Clock) -> None:
    broken = Net(clock).train()
    calls = [0]

    def breaks() -> None:
        calls[0] += 1
        clock.pass_by(1.0)
        if calls[0] > 4:
            raise RuntimeError("broke")

    broken.stem.work = breaks
    with pytest.raises(RuntimeError, match="broke"):
        times(broken, ["stem", "body"])
    assert broken.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in broken.modules())


def test_hooks_are_gone_after_each_watched_forward(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    model = Net(clock)
    monkeypatch.setattr("saevit.measure.breakdown.place_network", lambda model, conditions: model)

    def look() -> None:
        clock.pass_by(8.0)
        seen.append(len(model.stem._forward_hooks))

    model.head.work = look
    times(model, ["stem", "body"])
    assert set(seen) == {0, 1}  # plain and watched forwards
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize(
    ("paths", "change", "message"),
    [
        (["stm"], {}, "path 'stm' is not a module of this network: did you mean stem"),
        (["stem"], {"runtime": "compile"}, "runtime 'compile': modules can be timed only"),
    ],
)
def test_what_cannot_be_timed_is_refused(
    clock: Clock, paths: list[str], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        time_modules(Net(clock), paths, replace(CONDITIONS, **change))


def test_real_modules_take_less_than_their_parent() -> None:
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3))
    result = time_modules(model, ["", "0", "1", "2"], CONDITIONS, rounds=3, min_time=0.005)
    for number in range(3):
        parts = sum(result.modules[path][number] for path in "012")
        assert 0 < parts < result.modules[""][number] <= result.watched[number]
