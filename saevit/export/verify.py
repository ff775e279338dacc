"""What is read back from a file against the network that it was written from, image by image."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from saevit.errors import MeasureError

LIMIT = 1e-4  # of both relative differences
RANGE = 4.0  # standard deviations within which images are judged
LARGE = 100.0
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
    is_finite: bool = True  # where the network's outputs are
    is_judged: bool = True  # else it is told and no limit applies

    @property
    def worst(self) -> float:
        """The larger relative figure."""
        return max(self.relative, self.of_largest)


def images(
    channels: int, img_size: tuple[int, int], mean: Sequence[float], std: Sequence[float]
) -> dict[str, Tensor]:
    """Return images (C, H, W) as a network may meet them, by name; the same on every call."""
    noise = noise_of(channels, img_size)
    of_channel = [of_channels(values, channels) for values in (mean, std)]
    return {
        "noise": noise.clamp(-RANGE, RANGE),
        f"noise x {RANGE:g}, cut at {RANGE:g}": (noise * RANGE).clamp(-RANGE, RANGE),
        "black, normalised": ((0 - of_channel[0]) / of_channel[1]).expand_as(noise),
        "white, normalised": ((1 - of_channel[0]) / of_channel[1]).expand_as(noise),
        **{name: torch.full_like(noise, value) for name, value in (("zeros", 0.0), ("ones", 1.0))},
        **{f"constant {value:g}": torch.full_like(noise, value) for value in (RANGE, -RANGE)},
    }


def extremes(channels: int, img_size: tuple[int, int]) -> dict[str, Tensor]:
    """Return images (C, H, W) far beyond what is normalised, by name: rounding alone may move the outputs."""
    noise = noise_of(channels, img_size)
    constants = {f"constant {value:g}": torch.full_like(noise, value) for value in (LARGE, -LARGE)}
    return {**constants, "noise x 10": noise * 10}


def noise_of(channels: int, img_size: tuple[int, int]) -> Tensor:
    """Return noise (C, H, W), the same on every call."""
    return torch.randn((channels, *img_size), generator=torch.Generator().manual_seed(0))


def of_channels(values: Sequence[float], channels: int) -> Tensor:
    """Return a value for each channel, (C, 1, 1): their mean where they are of another number of channels."""
    given = torch.tensor(values)
    return (given if len(given) == channels else given.mean().expand(channels))[:, None, None]


def verified(
    model: nn.Module,
    run: Run,
    judged: Mapping[str, Tensor],
    told: Mapping[str, Tensor],
    batch: int | None,
) -> list[Difference]:
    """Compare a network with what was read back.

    Args:
        model: on the CPU, in fp32.
        run: the file in its own runtime.
        judged: images within the limit, as `images` gives them.
        told: images without one, as `extremes` gives them.
        batch: the one batch that the file takes; None is any, and 1 and 7 are tried.

    Raises:
        MeasureError: a difference above the limit, or outputs that are not finite where the network's are.
    """
    found: dict[str, Difference] = {}
    named = {**judged, **told}
    for size in (batch,) if batch else (1, OTHER_BATCH):
        for names in cycled(list(named), size):
            x = torch.stack([named[name] for name in names])
            with torch.inference_mode():
                expected = model(x).numpy().astype(np.float64)
            for name, y, wanted in zip(names, run(x).astype(np.float64), expected, strict=True):
                now = difference(name, y, wanted, is_judged=name in judged)
                found[name] = max(now, found.get(name, now), key=lambda one: (not one.is_finite, one.worst))
    check(found.values())
    return list(found.values())


def cycled(names: list[str], size: int) -> list[list[str]]:
    """Return batches in which every name stands at least once; the last begins anew where names run out."""
    return [[names[(i + j) % len(names)] for j in range(size)] for i in range(0, len(names), size)]


def difference(image: str, y: np.ndarray, expected: np.ndarray, *, is_judged: bool = True) -> Difference:
    """Compare one image's outputs; values that are not finite have to be the same."""
    same = (y == expected) | (np.isnan(y) & np.isnan(expected))
    with np.errstate(invalid="ignore"):  # infinity less infinity
        off = np.where(same, 0.0, np.abs(y - expected))
    scale = np.where(np.isfinite(expected), expected, 0.0)
    return Difference(
        image=image,
        relative=share(float(np.linalg.norm(off)), float(np.linalg.norm(scale))),
        of_largest=share(float(off.max(initial=0)), float(np.abs(scale).max(initial=0))),
        absolute=float(off.max(initial=0)),
        is_finite=bool(np.isfinite(y[np.isfinite(expected)]).all()),
        is_judged=is_judged,
    )


def share(part: float, whole: float) -> float:
    """Return part / whole; nothing of nothing is no difference, and what cannot be told is all."""
    if part == 0:
        return 0.0
    return part / whole if whole and math.isfinite(part) else math.inf


def check(found: Collection[Difference]) -> None:
    """Refuse outputs that are off, or not finite where the network's are."""
    for one in found:
        if not one.is_finite:
            raise MeasureError(
                f"what was read back is not finite for the image {one.image!r}, where the network's outputs "
                "are: nothing was written"
            )
    worst = max((one for one in found if one.is_judged), key=lambda one: one.worst)
    if worst.worst > LIMIT:
        raise MeasureError(
            f"what was read back is off by {worst.worst:.2g} of the outputs for the image {worst.image!r}, "
            f"the limit is {LIMIT:.2g}: nothing was written"
        )
