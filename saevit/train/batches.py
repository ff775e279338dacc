"""The batches of each process in each epoch, and random seeds; both depend on the recipe's seed only."""

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
    """The sizes that define an update of the weights: batch size, processes and accumulation steps."""

    batch_size: int  # of one process
    processes: int = 1
    accumulate: int = 1

    @property
    def per_step(self) -> int:
        """Count the images of one accumulation step in all processes."""
        return self.batch_size * self.processes

    @property
    def per_update(self) -> int:
        """Count the images of one update."""
        return self.per_step * self.accumulate


def check_image_count(count: int, sizes: BatchSizes) -> None:
    """Raise OptionError unless every process gets at least two images, as BatchNorm needs."""
    minimum = MIN_BATCH * sizes.processes
    if count < minimum:
        processes = f" for {sizes.processes} processes" if sizes.processes > 1 else ""
        raise OptionError(
            f"{count} training images are too few{processes}: BatchNorm needs {minimum} or more"
        )


def plan_epoch(count: int, sizes: BatchSizes, *, seed: int, epoch: int) -> list[Update]:
    """Return the updates of an epoch; every image is in exactly one of them.

    The order of the images depends on the seed and the epoch only. One process with batches of 2 B images and
    two processes with batches of B images therefore use the same images in each update. The last update may
    be smaller. If it has fewer than two images per process, it is merged into the update before it.
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
    """Split the images of an update evenly into accumulation steps, and each step evenly among processes."""
    steps = min(max(1, -(-len(indices) // sizes.per_step)), sizes.accumulate)
    steps = max(1, min(steps, len(indices) // (MIN_BATCH * sizes.processes)))
    return tuple(
        tuple(tuple(part) for part in split_evenly(step, sizes.processes))
        for step in split_evenly(indices, steps)
    )


def split_evenly(indices: list[int], parts: int) -> list[list[int]]:
    """Split a list into consecutive parts whose lengths differ by at most one."""
    return [indices[a:b] for a, b in pairwise(len(indices) * i // parts for i in range(parts + 1))]


def derive_seed(*key: int | str) -> int:
    """Return a 32-bit seed for a key, such as (seed of the recipe, "image", epoch, index)."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=4).digest(), "little")


@contextmanager
def use_seed(*key: int | str) -> Iterator[None]:
    """Seed the generators of Python, NumPy and torch (CPU) with the key, and restore their states afterwards.

    Random values in the block are therefore the same after a restart and in every worker process.
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
