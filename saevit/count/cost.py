"""The counts of a variant: sums and maxima over the operations that `ops` lists, without torch."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import reduce
from itertools import groupby
from operator import attrgetter
from typing import Literal

from saevit.count.ops import Op, Part, Shape, Size, count_elements, describe_network, map_sizes, token_size
from saevit.variant import VariantSpec

Sum = Literal["params", "macs", "activations", "elementwise", "traffic"]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a network or a part of it costs for one image. Copies, views and padding are in no count."""

    params: int = 0
    macs: int = 0  # multiply-accumulates of contractions: convolution, linear, attention products
    activations: int = 0  # elements written by contractions
    elementwise: int = 0  # elements written by all else that computes: norm, activation, pooling, additions

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            params=self.params + other.params,
            macs=self.macs + other.macs,
            activations=self.activations + other.activations,
            elementwise=self.elementwise + other.elementwise,
        )


@dataclass(frozen=True, kw_only=True)
class StageTokens:
    """What sampling leaves of one stage's attention."""

    height: int
    width: int
    sampled: int  # n

    @property
    def pixels(self) -> int:
        """N."""
        return self.height * self.width

    @property
    def sparsity(self) -> float:
        """Share of the dense N x N scores that is never computed: 1 - (n/N)^2."""
        return 1 - (self.sampled / self.pixels) ** 2


def count_modules(spec: VariantSpec, img_size: tuple[int, int]) -> dict[str, Cost]:
    """Return what each module of the network costs for one image of H x W, by the path of the module.

    A path's cost is its own work only: `stages.0.blocks.1` holds the block's additions, not its children's.
    """
    costs: dict[str, Cost] = {}
    for path, op in list_ops(spec, img_size):
        cost = Cost(params=op.params, macs=op.macs, activations=op.activations, elementwise=op.elementwise)
        costs[path] = costs.get(path, Cost()) + cost
    return {path: cost for path, cost in costs.items() if cost != Cost()}


def count_network(spec: VariantSpec, img_size: tuple[int, int]) -> Cost:
    """Return the cost of the whole network for one image of H x W."""
    parts = describe_network(spec, img_size)
    return Cost(
        params=add_up(parts, "params"),
        macs=add_up(parts, "macs"),
        activations=add_up(parts, "activations"),
        elementwise=add_up(parts, "elementwise"),
    )


def count_traffic(spec: VariantSpec, img_size: tuple[int, int]) -> int:
    """Return the elements that the folded form reads and writes for one image of H x W, weights included.

    Every operator that computes reads its inputs and its weights once and writes its result once, as if no
    cache held anything between two operators; a convolution takes in the activation and the addition behind
    it. Copies, padding, views and the indices of a maximum are left out. So this is a property of the network
    and not of a machine: a runtime that fuses more moves less.
    """
    return int(add_up(describe_network(spec, img_size, "folded"), "traffic"))


def count_peak(spec: VariantSpec, img_size: tuple[int, int]) -> int:
    """Return the most activation elements in memory at once for one image of H x W, the image included.

    It follows eager PyTorch step by step: every operator writes a new tensor, a tensor lives until the last
    name that holds it goes, weights are counted apart. `peak.trace_peak` sees the same on the real network.
    In half precision the window's scores stay in fp32, as indices are int64 always; where sampling is the
    worst moment, twice the elements in bytes are then a little less than the truth.
    """
    return int(find_peak(describe_network(spec, img_size)))


def find_shapes(spec: VariantSpec, img_size: tuple[int, int]) -> dict[str, Shape]:
    """Return (channels, height, width) of what each module and its parents write for one image of H x W."""
    shapes: dict[str, Shape] = {}
    for path, op in list_ops(spec, img_size):
        names = path.split(".")
        shapes |= {".".join(names[:length]): op.out for length in range(1, len(names) + 1)}
    return shapes


def count_tokens(spec: VariantSpec, img_size: tuple[int, int]) -> tuple[StageTokens, ...]:
    """Return map size, pixels and sampled tokens of each stage for an image of H x W."""
    tokens = []
    for stage, (height, width) in zip(spec.stages, map_sizes(img_size), strict=True):
        rows, columns = token_size((height, width), stage.rate)
        tokens.append(StageTokens(height=height, width=width, sampled=rows * columns))
    return tuple(tokens)


def count_dense_attention(spec: VariantSpec, img_size: tuple[int, int]) -> int:
    """Return the MACs that the attention products alone would cost at r = 1 in every stage."""
    dense = replace(spec, attention="dense") if spec.attention != "none" else spec
    return sum(op.macs for path, op in list_ops(dense, img_size) if path.endswith(".attend"))


def list_ops(spec: VariantSpec, img_size: tuple[int, int]) -> Iterator[tuple[str, Op]]:
    """Yield every operation of the network with the path of the module that runs it."""
    for part in describe_network(spec, img_size):
        for path in part.paths:
            for op in part.ops:
                yield f"{path}.{op.path}" if op.path else path, op


# Over any parts, in ints or arrays.


def add_up(parts: Iterable[Part], name: Sum) -> Size:
    """Return the sum of one count over parts. Sizes that are arrays broadcast to one shape."""
    amount, sums = attrgetter(name), []
    for part in parts:
        amounts = [multiply(amount(op), op.times) for op in part.ops]
        sums.append(multiply(sum(each for each in amounts if each is not NOTHING), part.times))
    return sum(
        reversed(sums)
    )  # only the first part depends on the stage before: the largest array comes last


def find_peak(parts: Iterable[Part]) -> Size:
    """Return the most elements in memory while parts run."""
    peaks = []
    for _, group in groupby(
        parts, key=lambda part: id(part.held)
    ):  # the sum over `held` is the largest array
        alike = list(group)
        inside = [
            (count_elements(part.own) + take_largest(multiply(op.live, op.times) for op in part.ops))
            * (part.times > 0)
            for part in alike
        ]
        peaks.append(sum(map(count_elements, alike[0].held), take_largest(inside)))
    return take_largest(peaks)


NOTHING = 0  # the same object wherever Python's 0 is


def multiply(amount: Size, times: Size) -> Size:
    """Return a product, without a pass over an array for a factor of 1."""
    return amount if isinstance(times, int) and times == 1 else amount * times


def take_largest(sizes: Iterable[Size]) -> Size:
    """Return the largest size, element by element."""
    return reduce(lambda a, b: a + (b - a) * (b > a), sizes)
