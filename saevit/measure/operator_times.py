"""Time of every operator inside a runtime, by the runtime's own profile, and the cost of profiling."""

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain

import torch
from torch import nn

from saevit.count.breakdown_lines import find_line
from saevit.errors import MeasureError, OptionError
from saevit.measure.conditions import example_input, pin_threads, synchronizer
from saevit.measure.environment import environment
from saevit.measure.onnx_graph import read_graph
from saevit.measure.roofs import Roofs, find_roofs, make_product, make_triad
from saevit.measure.rounds import schedule_rounds
from saevit.measure.runtime_profiles import PROFILES, RunOperator
from saevit.measure.runtimes import find_runtime, write_graph
from saevit.measure.timer import time_call, warm_up
from saevit.runs.record import Conditions, Environment, utc_now
from saevit.runs.statistics import median


@dataclass(frozen=True, kw_only=True)
class OperatorGroup:
    """Operators of one kind, or of one part of the network."""

    name: str
    operators: int
    macs: int  # of one batch
    moved_bytes: int  # read and written, weights included, as if no cache held them
    seconds: float  # of one batch: the sum of the operators' medians
    samples: tuple[float, ...]  # of the sum of the operators

    @property
    def rate(self) -> float:
        """MACs per second."""
        return self.macs / self.seconds if self.seconds else 0.0

    @property
    def bandwidth(self) -> float:
        """Bytes per second."""
        return self.moved_bytes / self.seconds if self.seconds else 0.0

    def share_of_limit(self, roofs: Roofs) -> float:
        """Return the shortest time by the roofs relative to the measured time."""
        least = max(self.macs / roofs.macs, self.moved_bytes / roofs.bandwidth)
        return least / self.seconds if self.seconds else 0.0

    @property
    def intensity(self) -> float:
        """MACs per byte moved."""
        return self.macs / self.moved_bytes if self.moved_bytes else 0.0


@dataclass(frozen=True, kw_only=True)
class OperatorTimes:
    """Raw times of a runtime's operators, in seconds per forward pass of one batch.

    Operators have a sample for each profiled pass, all else has one for each round.
    """

    operators: tuple[RunOperator, ...]
    watched: tuple[float, ...]  # the whole forward pass with profiling
    plain: tuple[float, ...]  # the whole forward pass without, in the same rounds
    product: tuple[float, ...]  # the fastest product of two matrices in each round
    triad: tuple[float, ...]  # the fastest triad of arrays in each round
    graph_macs: int  # of all operators of the graph
    conditions: Conditions
    environment: Environment
    started: str  # ISO-8601, UTC

    @property
    def roofs(self) -> Roofs:
        """The limits of the machine, by the fastest product and triad of all rounds."""
        return find_roofs(min(self.product), min(self.triad))

    @property
    def total(self) -> OperatorGroup:
        """All operators together."""
        (group,) = group_operators(self.operators, lambda operator: "total")
        return group

    @property
    def kinds(self) -> tuple[OperatorGroup, ...]:
        """The operators by kind, those with the most time first."""
        groups = group_operators(self.operators, lambda operator: operator.kind)
        return tuple(sorted(groups, key=lambda group: group.seconds, reverse=True))

    def find_parts(self, lines: Iterable[str]) -> tuple[OperatorGroup, ...]:
        """Return the operators by part of the network, in its order; "" has what is in none."""
        order = (*lines, "")
        groups = group_operators(self.operators, lambda operator: find_line(operator.path, order))
        return tuple(sorted(groups, key=lambda group: order.index(group.name)))


def group_operators(
    operators: Iterable[RunOperator], name: Callable[[RunOperator], str]
) -> tuple[OperatorGroup, ...]:
    """Add up operators by a name."""
    groups: dict[str, list[RunOperator]] = {}
    for operator in operators:
        groups.setdefault(name(operator), []).append(operator)
    return tuple(
        OperatorGroup(
            name=key,
            operators=len(members),
            macs=sum(one.macs for one in members),
            moved_bytes=sum(one.moved_bytes for one in members),
            seconds=math.fsum(median(one.seconds) for one in members),
            samples=tuple(map(math.fsum, zip(*(one.seconds for one in members), strict=True))),
        )
        for key, members in groups.items()
    )


def check_profiled(runtimes: Iterable[str]) -> None:
    """Refuse, by an OptionError, runtimes of which none has a profile of its operators."""
    names = tuple(runtimes)
    if not any(name in PROFILES for name in names):
        raise OptionError(
            f"runtime {', '.join(names)} has no profile by operator: use --runtime {' or '.join(PROFILES)}"
        )


def time_operators(
    network: nn.Module,
    conditions: Conditions,
    *,
    channels: int = 3,
    rounds: int = 15,
    min_time: float = 0.1,
    seed: int = 0,
) -> OperatorTimes:
    """Time the operators of a runtime inside whole forward passes, and what the machine does at best.

    Args:
        network: as `place_network` returns it; both runtimes share the graph of one network.
        conditions: with a runtime of `PROFILES`.
        rounds: each takes a sample with profiling, without, of a product and of a triad, in shuffled order.
        min_time: seconds a sample without profiling lasts at least.

    Raises:
        OptionError: another runtime.
        MeasureError: the runtime cannot run the network, or its profile is not complete.
    """
    check_profiled([conditions.runtime])
    started, synchronize = utc_now(), synchronizer(conditions.device)
    with pin_threads(conditions.threads), torch.inference_mode():
        example = example_input(conditions, channels)
        plain = find_runtime(conditions.runtime).prepare(network, example, conditions)
        product, triad, data = make_product(), make_triad(), write_graph(network, example)
        graph, prepare = read_graph(data), PROFILES[conditions.runtime]
        calls = {call: warm_up(call, synchronize, min_time).calls for call in (plain, product, triad)}
        with prepare(graph, data, example.numpy(), conditions.threads) as profiled:
            sample: dict[str, Callable[[], float]] = {
                "watched": profiled.sample,
                "plain": lambda: time_call(plain, synchronize, min_time, calls[plain]).seconds,
                "product": lambda: time_fastest_call(product, synchronize, calls[product]),
                "triad": lambda: time_fastest_call(triad, synchronize, calls[triad]),
            }
            samples: dict[str, list[float]] = {name: [] for name in sample}
            for name in chain.from_iterable(schedule_rounds(tuple(sample), rounds, random.Random(seed))):
                if name == "plain":
                    plain()  # the caches hold data of the previous subject
                samples[name].append(sample[name]())
            operators = profiled.read()
    if len({len(one.seconds) for one in operators}) != 1:
        raise MeasureError(f"the profile of {conditions.runtime} is not complete: use fewer --rounds")
    return OperatorTimes(
        operators=operators,
        **{name: tuple(values) for name, values in samples.items()},
        graph_macs=sum(node.macs for node in graph.nodes.values()),
        conditions=conditions,
        environment=environment(),
        started=started,
    )


def time_fastest_call(call: Callable[[], object], synchronize: Callable[[], None], calls: int) -> float:
    """Return the time of the fastest call, the one that other programs interrupted least."""
    return min([time_call(call, synchronize, 0.0).seconds for _ in range(calls)])
