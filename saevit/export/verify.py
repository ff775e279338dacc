"""What is read back from a file against the network that it was written from, image by image."""

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from saevit.errors import MeasureError

LIMIT = 1e-4  # of both relative differences
# An image may make attention so sharp that rounding alone moves the outputs. There, this many times what
# rounding to fp32 moves them in the network itself is allowed.
OF_ROUNDING = 10
LARGE = 100.0  # some 40 times the range of normalised images
OTHER_BATCH = 7

Run = Callable[[Tensor], np.ndarray]
"""Computes images (B, C, H, W) in a file's own runtime, as (B, classes)."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How far one image's outputs are off, the worst of all batches that it was in."""

    image: str
    relative: float  # norm of the difference over norm of the outputs
    of_largest: float  # largest difference over largest output
    absolute: float  # largest difference
    rounding: float = 0.0  # the larger relative figure of the network itself, fp32 against float64

    @property
    def worst(self) -> float:
        """The larger relative figure."""
        return max(self.relative, self.of_largest)

    @property
    def limit(self) -> float:
        """What the larger relative figure may be."""
        return max(LIMIT, OF_ROUNDING * self.rounding)


def images(
    channels: int, img_size: tuple[int, int], mean: Sequence[float], std: Sequence[float]
) -> dict[str, Tensor]:
    """Return images (C, H, W) at the ends of what a network may meet, by name; the same on every call."""
    shape = (channels, *img_size)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    of_channel = [of_channels(values, channels) for values in (mean, std)]
    return {
        "noise": noise,
        "black, normalised": ((0 - of_channel[0]) / of_channel[1]).expand(shape),
        "white, normalised": ((1 - of_channel[0]) / of_channel[1]).expand(shape),
        "zeros": torch.zeros(shape),
        "ones": torch.ones(shape),
        f"constant {LARGE:g}": torch.full(shape, LARGE),
        f"constant {-LARGE:g}": torch.full(shape, -LARGE),
        "noise x 10": noise * 10,
    }


def of_channels(values: Sequence[float], channels: int) -> Tensor:
    """Return a value for each channel, (C, 1, 1): their mean where they are of another number of channels."""
    given = torch.tensor(values)
    return (given if len(given) == channels else given.mean().expand(channels))[:, None, None]


def verified(model: nn.Module, run: Run, named: Mapping[str, Tensor], batch: int | None) -> list[Difference]:
    """Compare a network with what was read back.

    Args:
        model: on the CPU, in fp32.
        run: the file in its own runtime.
        named: images, as `images` gives them.
        batch: the one batch that the file takes; None is any, and 1 and 7 are tried.

    Raises:
        MeasureError: a difference above its limit, or outputs that are not finite where the network's are.
    """
    found: dict[str, Difference] = {}
    for size in (batch,) if batch else (1, OTHER_BATCH):
        for names in cycled(list(named), size):
            x = torch.stack([named[name] for name in names])
            with torch.inference_mode():
                expected = model(x).numpy().astype(np.float64)
            for name, y, wanted in zip(names, run(x).astype(np.float64), expected, strict=True):
                now = difference(name, y, wanted)
                if name not in found or now.worst > found[name].worst:
                    found[name] = now
    own = rounding(model, named)
    compared = [replace(one, rounding=own[name]) for name, one in found.items()]
    check(compared)
    return compared


def rounding(model: nn.Module, named: Mapping[str, Tensor]) -> dict[str, float]:
    """Return how far a network in fp32 is off itself in float64, by image."""
    exact, found = copy.deepcopy(model).double(), {}
    with torch.inference_mode():
        for name, image in named.items():
            y, wanted = model(image[None])[0], exact(image[None].double())[0]
            found[name] = difference(name, y.double().numpy(), wanted.numpy()).worst
    return {name: off if math.isfinite(off) else 0.0 for name, off in found.items()}


def cycled(names: list[str], size: int) -> list[list[str]]:
    """Return batches in which every name stands at least once; the last begins anew where names run out."""
    return [[names[(i + j) % len(names)] for j in range(size)] for i in range(0, len(names), size)]


def difference(image: str, y: np.ndarray, expected: np.ndarray) -> Difference:
    """Compare one image's outputs; values that are not finite have to be the same."""
    same = (y == expected) | (np.isnan(y) & np.isnan(expected))
    off = np.where(same, 0.0, np.abs(y - expected))
    scale = np.where(np.isfinite(expected), expected, 0.0)
    return Difference(
        image=image,
        relative=share(float(np.linalg.norm(off)), float(np.linalg.norm(scale))),
        of_largest=share(float(off.max(initial=0)), float(np.abs(scale).max(initial=0))),
        absolute=float(off.max(initial=0)),
    )


def share(part: float, whole: float) -> float:
    """Return part / whole; nothing of nothing is no difference, and what cannot be told is all."""
    if part == 0:
        return 0.0
    return part / whole if whole and math.isfinite(part) else math.inf


def check(found: Iterable[Difference]) -> None:
    """Refuse outputs that are off."""
    worst = max(found, key=lambda one: one.worst / one.limit)
    if worst.worst > worst.limit:
        raise MeasureError(
            f"what was read back is off by {worst.worst:.2g} of the outputs for the image {worst.image!r}, "
            f"the limit is {worst.limit:.2g}: nothing was written"
        )
