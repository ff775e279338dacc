"""Which image goes into which batch of which process: a pure function of seed and epoch."""

import random
from dataclasses import dataclass
from itertools import pairwise

from saevit.errors import OptionError
from saevit.train.randomness import derived

LEAST = 2  # images of a batch; the statistics of one are none


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How many images make an update."""

    batch_size: int  # of one process
    processes: int = 1
    accumulate: int = 1

    @property
    def together(self) -> int:
        """Images of one step of all processes."""
        return self.batch_size * self.processes

    @property
    def images(self) -> int:
        """Images of one update."""
        return self.together * self.accumulate


Update = tuple[tuple[tuple[int, ...], ...], ...]  # [step][process] -> indices


def check(count: int, sizes: Sizes) -> None:
    """Refuse fewer images than every process needs for one batch."""
    least = LEAST * sizes.processes
    if count < least:
        raise OptionError(
            f"{count} training images are too few for {sizes.processes} processes: at least {least}"
            if sizes.processes > 1
            else f"{count} training images are too few: batch statistics need at least {least}"
        )


def epoch_of(count: int, sizes: Sizes, *, seed: int, epoch: int) -> list[Update]:
    """Return the updates of an epoch; every image stands in it exactly once.

    The order depends on seed and epoch alone, so one process with batches of 2 B sees what two with B see.
    What does not fill an update is the last, smaller one; where it would leave a process with fewer than two
    images, it joins the update before it.
    """
    check(count, sizes)
    order = list(range(count))
    random.Random(derived(seed, "order", epoch)).shuffle(order)
    starts = list(range(0, count, sizes.images))
    if len(starts) > 1 and count - starts[-1] < LEAST * sizes.processes:
        starts.pop()
    return [shared(order[start:end], sizes) for start, end in zip(starts, [*starts[1:], count], strict=True)]


def updates_in(count: int, sizes: Sizes) -> int:
    """Return how many updates an epoch has."""
    full, rest = divmod(count, sizes.images)
    return full + (rest >= LEAST * sizes.processes or (full == 0 and rest > 0))


def shared(indices: list[int], sizes: Sizes) -> Update:
    """Share an update's images out over steps and processes, as evenly as can be."""
    steps = min(max(1, -(-len(indices) // sizes.together)), sizes.accumulate)
    steps = max(1, min(steps, len(indices) // (LEAST * sizes.processes)))
    parts = split(indices, steps)
    return tuple(tuple(tuple(part) for part in split(step, sizes.processes)) for step in parts)


def split(indices: list[int], parts: int) -> list[list[int]]:
    """Cut a list into parts whose lengths differ by one at most."""
    ends = [len(indices) * i // parts for i in range(parts + 1)]
    return [indices[a:b] for a, b in pairwise(ends)]
