"""Which images form which batch of which process, and seeds: pure functions of the recipe's seed."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from saevit.errors import OptionError

MIN_BATCH = 2  # images; batch statistics need two
Update = tuple[tuple[tuple[int, ...], ...], ...]  # [step][process] -> indices


@dataclass(frozen=True, kw_only=True)
class BatchSizes:
    """Numbers of images that form an update."""

    batch_size: int  # of one process
    processes: int = 1
    accumulate: int = 1

    @property
    def per_step(self) -> int:
        """Count the images of one step of all processes."""
        return self.batch_size * self.processes

    @property
    def per_update(self) -> int:
        """Count the images of one update."""
        return self.per_step * self.accumulate


def check_image_count(count: int, sizes: BatchSizes) -> None:
    """Refuse fewer images than every process needs for one batch."""
    least = MIN_BATCH * sizes.processes
    if count < least:
        raise OptionError(
            f"{count} training images are too few for {sizes.processes} processes: {least} or more are needed"
            if sizes.processes > 1
            else f"{count} training images are too few: BatchNorm needs {least} or more"
        )


def plan_epoch(count: int, sizes: BatchSizes, *, seed: int, epoch: int) -> list[Update]:
    """Return the updates of an epoch, with every image exactly once.

    The order depends on seed and epoch only, so one process with batches of 2 B and two processes with
    batches of B take the same images in each update. The last update is smaller if the images do not fill
    it; if it would leave a process with fewer than two images, it is joined to the update before it.
    """
    check_image_count(count, sizes)
    order = list(range(count))
    random.Random(derive_seed(seed, "order", epoch)).shuffle(order)
    starts = list(range(0, count, sizes.per_update))
    if len(starts) > 1 and count - starts[-1] < MIN_BATCH * sizes.processes:
        starts.pop()
    return [split_update(order[start:end], sizes) for start, end in pairwise([*starts, count])]


def count_updates(count: int, sizes: BatchSizes) -> int:
    """Count the updates of an epoch of `count` images."""
    full, rest = divmod(count, sizes.per_update)
    return full + (rest >= MIN_BATCH * sizes.processes or (full == 0 and rest > 0))


def split_update(indices: list[int], sizes: BatchSizes) -> Update:
    """Split the images of an update evenly into steps, and each step into processes."""
    steps = min(max(1, -(-len(indices) // sizes.per_step)), sizes.accumulate)
    steps = max(1, min(steps, len(indices) // (MIN_BATCH * sizes.processes)))
    return tuple(
        tuple(tuple(part) for part in split_evenly(step, sizes.processes))
        for step in split_evenly(indices, steps)
    )


def split_evenly(indices: list[int], parts: int) -> list[list[int]]:
    """Cut a list into parts whose lengths differ by at most one."""
    return [indices[a:b] for a, b in pairwise(len(indices) * i // parts for i in range(parts + 1))]


def derive_seed(*key: int | str) -> int:
    """Return a 32-bit seed for a key, such as (seed of the recipe, "image", epoch, index)."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=4).digest(), "little")


@contextmanager
def use_seed(*key: int | str) -> Iterator[None]:
    """Seed Python, numpy and torch on the CPU from the key inside the block, then restore their states.

    Random values are therefore the same after a restart and in any worker.
    """
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 - timm uses it
    seed = derive_seed(*key)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.set_rng_state(before[2])
