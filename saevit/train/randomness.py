"""Randomness that follows from what it is for, so that it is the same after a restart and in any worker."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derived(*key: int | str) -> int:
    """Return a seed of 32 bits for a key, such as (run's seed, "image", epoch, index)."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=4).digest(), "little")


@contextmanager
def seeded(*key: int | str) -> Iterator[None]:
    """Draw from the key's seed inside the block: Python, numpy and torch on the CPU; then put back."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 - what timm draws from
    seed = derived(*key)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.set_rng_state(before[2])
