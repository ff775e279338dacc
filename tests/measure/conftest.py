"""A clock that only models move, so that timings are exact and tests are quick."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from saevit.measure import breakdown, timer
from saevit.runs.record import Conditions

CONDITIONS = Conditions(
    img_size=(8, 8),
    batch_size=4,
    dtype="fp32",
    device="cpu",
    runtime="eager",
    threads=1,
    memory_format="contiguous",
)


class Clock:
    """Time in seconds that passes only when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


class Costly(nn.Module):
    """A model whose forward takes as long as `cost(batch)` says."""

    def __init__(self, clock: Clock, cost: Callable[[int], float]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

        def work(batch: int) -> None:  # a function, which copies of the model share
            clock.pass_by(cost(batch))

        self.work: Callable[[int], None] = work

    def forward(self, x: Tensor) -> Tensor:
        self.work(x.shape[0])
        return x * self.weight


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(timer, "perf_counter", fake)
    monkeypatch.setattr(breakdown, "perf_counter", fake)
    return fake
