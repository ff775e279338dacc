"""What is read back from a file against the network that it was written from, image by image."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from saevit.errors import MeasureError

LIMIT = 1e-4  # of relative differences
SPREAD = 100.0  # so many times as much of what tells images apart
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
    of_spread: float  # norm of the difference over the norm by which images' outputs differ from their mean
    absolute: float  # largest difference
    is_judged: bool = True  # else it is told and no limit applies

    @property
    def worst(self) -> float:
        """The largest relative figure, by what each may be."""
        return max(self.relative, self.of_largest, self.of_spread / SPREAD)


def images(
    channels: int, img_size: tuple[int, int], mean: Sequence[float], std: Sequence[float]
) -> dict[str, Tensor]:
    """Return images (C, H, W) as a network may meet them, by name; the same on every call."""
    noise = noise_of(channels, img_size)
    shift, scale = (torch.tensor(values)[:, None, None] for values in (mean, std))
    return {
        "noise": noise.clamp(-RANGE, RANGE),
        f"noise x {RANGE:g}, cut at {RANGE:g}": (noise * RANGE).clamp(-RANGE, RANGE),
        "black, normalised": ((0 - shift) / scale).expand_as(noise),
        "white, normalised": ((1 - shift) / scale).expand_as(noise),
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


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What a network answers to images, in all batches that are tried."""

    images: Mapping[str, Tensor]
    judged: Collection[str]  # names of those within the limits
    batches: Sequence[tuple[Sequence[str], np.ndarray]]  # names of images, outputs (B, classes)
    spread: float  # norm by which outputs of the judged images differ from their mean


def reference(
    model: nn.Module, judged: Mapping[str, Tensor], told: Mapping[str, Tensor], batch: int | None
) -> Reference:
    """Run a network on all images.

    Args:
        model: on the CPU, in fp32.
        judged: images within the limit, as `images` gives them.
        told: images without one, as `extremes` gives them.
        batch: the one batch that files take; None is any, and 1 and 7 are tried.

    Raises:
        MeasureError: weights or outputs are not finite, or no output depends on the image: nothing can be
            verified.
    """
    for name, value in model.state_dict().items():
        if not value.isfinite().all():
            raise MeasureError(f"{name} of the network for inference is not finite: nothing can be verified")
    named, batches = {**judged, **told}, []
    for size in (batch,) if batch else (1, OTHER_BATCH):
        for names in cycled(list(named), size):
            with torch.inference_mode():
                outputs = model(torch.stack([named[name] for name in names])).numpy().astype(np.float64)
            check_finite("the network's output", names, outputs)
            batches.append((names, outputs))
    outputs_of = {name: y for names, outputs in batches for name, y in zip(names, outputs, strict=True)}
    all_judged = np.stack([outputs_of[name] for name in judged])
    spread = float(np.linalg.norm(all_judged - all_judged.mean(0), axis=1).mean())
    if not spread:
        raise MeasureError("the network's output is the same for every image: nothing can be verified")
    return Reference(images=named, judged=judged.keys(), batches=batches, spread=spread)


def verified(run: Run, expected: Reference) -> list[Difference]:
    """Compare a network with what was read back.

    Args:
        run: the file in its own runtime.
        expected: the network's own outputs.

    Raises:
        MeasureError: a difference above the limits, or outputs that are not finite.
    """
    found: dict[str, Difference] = {}
    for names, outputs in expected.batches:
        y = run(torch.stack([expected.images[name] for name in names])).astype(np.float64)
        check_finite("what was read back", names, y)
        for name, one, wanted in zip(names, y, outputs, strict=True):
            now = difference(name, one, wanted, expected.spread, is_judged=name in expected.judged)
            found[name] = max(now, found.get(name, now), key=lambda each: each.worst)
    check(found.values())
    return list(found.values())


def check_finite(what: str, names: Sequence[str], outputs: np.ndarray) -> None:
    """Refuse outputs (B, classes) that are not finite."""
    for name, y in zip(names, outputs, strict=True):
        if not np.isfinite(y).all():
            raise MeasureError(f"{what} is not finite for the image {name!r}: nothing was written")


def cycled(names: list[str], size: int) -> list[list[str]]:
    """Return batches in which every name stands at least once; the last begins anew where names run out."""
    return [[names[(i + j) % len(names)] for j in range(size)] for i in range(0, len(names), size)]


def difference(
    image: str, y: np.ndarray, expected: np.ndarray, spread: float, *, is_judged: bool = True
) -> Difference:
    """Compare one image's outputs, all of them finite."""
    off = np.abs(y - expected)
    return Difference(
        image=image,
        relative=share(float(np.linalg.norm(off)), float(np.linalg.norm(expected))),
        of_largest=share(float(off.max(initial=0)), float(np.abs(expected).max(initial=0))),
        of_spread=share(float(np.linalg.norm(off)), spread),
        absolute=float(off.max(initial=0)),
        is_judged=is_judged,
    )


def share(part: float, whole: float) -> float:
    """Return part / whole; nothing of nothing is no difference, and what cannot be told is all."""
    if part == 0:
        return 0.0
    return part / whole if whole and math.isfinite(part) else math.inf


def check(found: Collection[Difference]) -> None:
    """Refuse outputs that are off by more than rounding."""
    worst = max((one for one in found if one.is_judged), key=lambda one: one.worst)
    if worst.worst > LIMIT:
        raise MeasureError(
            f"what was read back is off by {worst.worst:.2g} of the outputs for the image {worst.image!r}, "
            f"the limit is {LIMIT:.2g}: nothing was written"
        )
