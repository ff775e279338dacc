"""What is known of one model: counts with their receipt, a breakdown, and measured latencies.

Only data. Every statistic that a table shows is a function of the raw samples kept here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from saevit.runs.record import Conditions, Dtype, Environment
from saevit.runs.statistics import Ratio, ratio

By = Literal["stage", "block", "module"]
BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the breakdown; counts are for one image, None is what does not apply."""

    path: str
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    tokens: int | None = None  # n, where attention runs inside
    params: int
    macs: int
    activations: int | None = None
    seconds: tuple[float, ...] = ()  # of one batch, one value a round

    @property
    def pixels(self) -> int | None:
        """N."""
        return None if self.height is None or self.width is None else self.height * self.width

    @property
    def sparsity(self) -> float | None:
        """Share of the dense N x N scores that is never computed: 1 - (n/N)^2."""
        return None if self.tokens is None or not self.pixels else 1 - (self.tokens / self.pixels) ** 2


@dataclass(frozen=True, kw_only=True)
class ReceiptLine:
    """What one counter says, whether it agrees with the first line path by path, and what it says unaided."""

    counter: str
    macs: int | None  # None: it failed, `notes` say why
    agrees: bool | None  # None: there is nothing to agree with
    differs_at: tuple[str, ...] = ()  # the first module paths where it does not agree
    out_of_box: int | float | None = None
    reasons: tuple[str, ...] = ()  # why out_of_box differs; each with its amount
    uncounted: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Raw timings of one configuration."""

    conditions: Conditions  # as run
    label: str  # unique in its run: the model, with the conditions where several share its name
    samples: tuple[float, ...] = ()  # seconds for one batch, one value a round
    notes: tuple[str, ...] = ()
    failure: str | None = None


@dataclass(frozen=True, kw_only=True)
class Timings:
    """One interleaved run: the latencies, what a twin of the first one showed, and on which machine.

    `stability.advice` says what to think of them.
    """

    latencies: tuple[Latency, ...]
    twin: tuple[float, ...]  # the first configuration once more in every round, under another name
    rounds: int
    min_time: float  # seconds that a sample lasts at least
    seed: int
    environment: Environment
    started: str
    load_before: float | None = None  # processes running or waiting, mean over the minute before
    interrupted: bool = False
    unkept: str | None = None  # why samples could not be stored
    breakdown: Conditions | None = None  # what the rows' times were measured with
    breakdown_total: tuple[float, ...] = ()  # seconds of the whole pass in the rounds that the rows are from
    breakdown_plain: tuple[float, ...] = ()  # the same without hooks: what looking costs

    @property
    def noise_floor(self) -> Ratio | None:
        """The twin against the first working configuration: how far equal things differ on this machine."""
        first = next((latency.samples for latency in self.latencies if latency.samples), ())
        return ratio(self.twin, first) if first and len(first) == len(self.twin) else None


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One model's costs for one image, and its speed. Units: numbers, MACs, elements, bytes, seconds."""

    model: str
    statement: str  # what the model is and is not
    img_size: tuple[int, int]
    dtype: Dtype
    params: int
    macs: int
    counted_by: str
    attention_macs: int | None  # the products q k^T and a v
    dense_attention_macs: int | None  # the same at r = 1 in every stage
    activations: int | None
    elementwise: int | None
    peak_bytes: int | None  # live activations of one image, weights apart
    by: By
    rows: tuple[Row, ...]
    receipt: tuple[ReceiptLine, ...]
    timings: Timings | None = None

    @property
    def weight_bytes(self) -> int:
        """What the parameters weigh in this precision."""
        return self.params * BYTES[self.dtype]

    @property
    def agreed(self) -> bool:
        """Do all counters that could count agree?"""
        return all(line.agrees is not False for line in self.receipt)
