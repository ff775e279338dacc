"""An answer as rows: one row per variant with all its costs, from the functions that count one variant."""

import math
from dataclasses import dataclass

from saevit.count.cost import count_network, count_peak, count_traffic
from saevit.errors import OptionError
from saevit.explore import capacity
from saevit.explore.calibration import Calibration
from saevit.explore.collector import LARGEST
from saevit.explore.latency_model import NANO, LatencyModel
from saevit.explore.question import FLOAT_BYTES, QUANTITIES, Limit, Question, Search
from saevit.explore.search import Answer, answer
from saevit.notebook import NotebookResult
from saevit.variant import VariantSpec

SAMPLED = 2**18  # variants of a sample that explains an empty front


@dataclass(frozen=True, kw_only=True)
class CountedVariant:
    """One variant: MACs, numbers, elements, bytes (fp32), the capacity score with its rho, seconds."""

    model: str
    img_size: tuple[int, int]
    macs: int
    params: int
    activations: int
    peak_bytes: int
    traffic_bytes: int
    capacity: float
    effectiveness: float
    latency: float | None = None  # predicted, seconds per batch; None: not asked for, or not calibrated

    @property
    def weight_bytes(self) -> int:
        """Bytes of the parameters."""
        return FLOAT_BYTES * self.params

    @property
    def latency_ns(self) -> float:
        """Predicted latency in nanoseconds, NaN where there is none."""
        return math.nan if self.latency is None else self.latency * NANO

    def value(self, quantity: str) -> float:
        """Return a quantity in the unit of its label."""
        fields = {
            "gmacs": "macs",
            "most-gmacs": "macs",
            "most-params": "params",
            "memory": "peak_bytes",
            "traffic": "traffic_bytes",
            "weights": "weight_bytes",
            "latency": "latency_ns",
        }
        return float(getattr(self, fields.get(quantity, quantity))) / QUANTITIES[quantity].unit


def count_variant(
    spec: VariantSpec, img_size: tuple[int, int], latency: LatencyModel | None = None
) -> CountedVariant:
    """Return the row of a variant for one image of H x W, with the latency that a model predicts."""
    cost = count_network(spec, img_size)
    logs, layers = capacity.sum_layers(spec)
    return CountedVariant(
        model=str(spec),
        img_size=img_size,
        macs=cost.macs,
        params=cost.params,
        activations=cost.activations,
        peak_bytes=FLOAT_BYTES * count_peak(spec, img_size),
        traffic_bytes=FLOAT_BYTES * count_traffic(spec, img_size),
        capacity=float(capacity.entropy(logs, capacity.last_factor(spec.stages[-1].dim, img_size))),
        effectiveness=float(capacity.effectiveness(logs, layers)),
        latency=latency.predict(spec) if latency else None,
    )


@dataclass(frozen=True, kw_only=True)
class Exploration(NotebookResult):
    """An answer in rows."""

    answer: Answer
    base: CountedVariant
    front: tuple[CountedVariant, ...]  # in the order of the first objective
    top: tuple[CountedVariant, ...]  # the best first; only of the front after dynamic programming
    calibration: Calibration | None = None  # that latency is predicted from

    @property
    def question(self) -> Question:
        """The question that is answered."""
        return self.answer.search.question


def count_answer(found: Answer, calibration: Calibration | None = None) -> Exploration:
    """Return an answer in rows. Raises OptionError, with the reason, if no variant keeps the limits."""
    question = found.search.question
    if not found.front:
        raise OptionError(explain_empty(found))
    front, top = (
        tuple(
            count_variant(question.space.spec_at(index), question.img_size, question.latency)
            for index in indices
        )
        for indices in (found.front, found.top)
    )
    if not found.is_counted:
        sign = -1 if QUANTITIES[question.rank].better == "max" else 1
        top = tuple(sorted(front, key=lambda row: sign * row.value(question.rank)))[: question.top]
    base = count_variant(question.space.base, question.img_size, question.latency)
    return Exploration(answer=found, base=base, front=front, top=top, calibration=calibration)


def explain_empty(found: Answer) -> str:
    """Return one line: which limit excludes most, and by how much the nearest variant misses."""
    question = found.search.question
    if not found.is_counted and question.space.size < LARGEST:
        found = answer(Search(question=question, method="sample", samples=SAMPLED))
        assert not found.front, "a sample keeps the limits, but dynamic programming found no variant"
    findings = found.findings
    networks = findings.seen - findings.invalid
    sampled = "" if findings.seen == question.space.size else f" ({findings.seen:,} looked at)"
    head = f"no variant of {question.space.size:,}{sampled} keeps all limits"
    if not networks:
        return f"{head}: no combination is a network, heads must divide dims"
    if not found.is_counted:
        return f"{head} ({', '.join(limit.text for limit in question.limits)})"
    counts = [
        (count, limit.text) for count, limit in zip(findings.excluded, question.limits, strict=True)
    ] + [(findings.falling, "--monotone")] * question.rising
    most, text = max(counts)
    head += f": {text} excludes most, {100 * most / networks:.4g} %"
    if findings.nearest is None:
        return head
    row = count_variant(question.space.spec_at(findings.nearest[1]), question.img_size, question.latency)
    misses = [text for limit in question.limits if (text := describe_miss(limit, row))]
    return f"{head}; nearest is {row.model}, which misses {' and '.join(misses)}"


def describe_miss(limit: Limit, row: CountedVariant) -> str:
    """Return by how much a variant misses a limit; empty if it keeps it."""
    value = row.value(limit.quantity)
    exact = value * QUANTITIES[limit.quantity].unit
    if exact > limit.high:
        return f"{limit.text} by {100 * (exact / limit.high - 1):,.1f} % ({value:.4g})"
    if exact < limit.low:
        return f"{limit.text} by {100 * (1 - exact / limit.low):,.1f} % ({value:.4g})"
    return ""
