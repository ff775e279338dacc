"""One fixed split of data that brings none: the same on every machine and with every version of a library."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

SHARE = 0.2


def held_out(keys: Sequence[str], labels: Sequence[int], share: float = SHARE) -> list[bool]:
    """Say of each image whether it is held out for validation: `share` of each class, rounded.

    In each class those whose key (a file's name, a number) has the lowest SHA-256 are held out, so the choice
    depends on nothing but the names. A class of one image keeps it for training; of two or more, each side
    gets at least one.
    """
    members: defaultdict[int, list[int]] = defaultdict(list)
    for index, label in enumerate(labels):
        members[label].append(index)
    chosen = [False] * len(labels)
    for indices in members.values():
        if len(indices) < 2:
            continue
        number = min(max(round(share * len(indices)), 1), len(indices) - 1)
        order = sorted(
            indices, key=lambda i: (hashlib.sha256(keys[i].encode("utf-8", "surrogateescape")).digest(), i)
        )
        for index in order[:number]:
            chosen[index] = True
    return chosen
