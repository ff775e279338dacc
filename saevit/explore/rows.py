"""Variants as rows: every cost of one, counted by the functions that count one variant."""

from dataclasses import dataclass

from saevit.count.cost import count_network, count_peak, count_traffic
from saevit.errors import OptionError
from saevit.explore import capacity
from saevit.explore.limits import Limit
from saevit.explore.quantities import FLOAT_BYTES, QUANTITIES
from saevit.explore.query import Query
from saevit.explore.sweep import LARGEST, Answer, Job, answer
from saevit.variant import VariantSpec

LOOKED_AT = 2**18  # variants of a sample that explains an empty front


@dataclass(frozen=True, kw_only=True)
class Row:
    """One variant: MACs, numbers, elements, bytes (fp32), and the capacity score with its rho."""

    model: str
    macs: int
    params: int
    activations: int
    peak_bytes: int
    traffic_bytes: int
    capacity: float
    effectiveness: float

    @property
    def weight_bytes(self) -> int:
        """What the parameters weigh."""
        return FLOAT_BYTES * self.params

    def value(self, quantity: str) -> float:
        """Return a quantity in the unit of its label."""
        fields = {
            "gmacs": "macs",
            "memory": "peak_bytes",
            "traffic": "traffic_bytes",
            "weights": "weight_bytes",
        }
        return float(getattr(self, fields.get(quantity, quantity))) / QUANTITIES[quantity].unit


def row_of(spec: VariantSpec, img_size: tuple[int, int]) -> Row:
    """Return the row of a variant for one image of H x W."""
    cost = count_network(spec, img_size)
    logs, layers = capacity.of(spec)
    return Row(
        model=str(spec),
        macs=cost.macs,
        params=cost.params,
        activations=cost.activations,
        peak_bytes=FLOAT_BYTES * count_peak(spec, img_size),
        traffic_bytes=FLOAT_BYTES * count_traffic(spec, img_size),
        capacity=float(capacity.entropy(logs, capacity.last_factor(spec.stages[-1].dim, img_size))),
        effectiveness=float(capacity.effectiveness(logs, layers)),
    )


@dataclass(frozen=True, kw_only=True)
class Exploration:
    """An answer in rows."""

    answer: Answer
    base: Row
    front: tuple[Row, ...]  # in the order of the first objective
    top: tuple[Row, ...]  # the best first; of the front where the method does not rank every variant

    @property
    def query(self) -> Query:
        """What was asked."""
        return self.answer.job.query


def exploration_of(found: Answer) -> Exploration:
    """Return an answer in rows.

    Raises:
        OptionError: nothing keeps the limits; says which one excludes most, and what comes nearest.
    """
    query = found.job.query
    if not found.front:
        raise OptionError(why_empty(found))
    front = tuple(row_of(query.space.spec_at(place), query.img_size) for place in found.front)
    top = tuple(row_of(query.space.spec_at(place), query.img_size) for place in found.top)
    if found.kept is None:  # dynamic programming
        sign = -1 if QUANTITIES[query.rank].better == "max" else 1
        top = tuple(sorted(front, key=lambda row: sign * row.value(query.rank)))[: query.top]
    base = row_of(query.space.base, query.img_size)
    return Exploration(answer=found, base=base, front=front, top=top)


def why_empty(found: Answer) -> str:
    """Say in one line which limit excludes most, and by how much the nearest variant misses."""
    query = found.job.query
    if found.kept is None and query.space.size < LARGEST:
        found = answer(Job(query=query, method="sample", samples=LOOKED_AT))
        if found.front:  # cannot be, unless the methods disagree
            raise AssertionError("a sample keeps the limits, and the dynamic programme found nothing")
    networks = found.seen - found.invalid
    sampled = "" if found.seen == query.space.size else f" ({found.seen:,} looked at)"
    head = f"no variant of {query.space.size:,}{sampled} keeps all limits"
    if not networks:
        return f"{head}: no combination is a network, heads must divide dims"
    if found.kept is None:
        return f"{head} ({', '.join(limit.text for limit in query.limits)})"
    counts = [(count, limit.text) for count, limit in zip(found.excluded, query.limits, strict=True)]
    if query.rising:
        counts.append((found.falling, "--monotone"))
    most, text = max(counts)
    head += f": {text} excludes most, {100 * most / networks:.4g} %"
    if found.nearest is None:
        return head
    spec = query.space.spec_at(found.nearest[1])
    row = row_of(spec, query.img_size)
    misses = [missed(limit, row) for limit in query.limits if missed(limit, row)]
    return f"{head}; nearest is {row.model}, which misses {' and '.join(misses)}"


def missed(limit: Limit, row: Row) -> str:
    """Say by how much a row misses a limit; empty if it does not."""
    unit = QUANTITIES[limit.quantity].unit
    value = row.value(limit.quantity)
    if value * unit > limit.high:
        return f"{limit.text} by {100 * (value * unit / limit.high - 1):,.1f} % ({value:.4g})"
    if value * unit < limit.low:
        return f"{limit.text} by {100 * (1 - value * unit / limit.low):,.1f} % ({value:.4g})"
    return ""
