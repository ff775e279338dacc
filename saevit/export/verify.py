"""Verification of exported files: their outputs against those of the network, image by image."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from saevit.errors import MeasureError
from saevit.export.formats import Runner
from saevit.runs.record import Dtype

LIMIT = 1e-4  # of relative differences, in fp32
LIMITS: dict[Dtype, float] = {
    "fp32": LIMIT,
    "fp16": 1e-2,
    "int8": 0.3,  # shows only that the file is of this network; its accuracy says how good it is
}
SPREAD = 100.0  # the limit is this much higher relative to the spread of outputs between images
RANGE = 4.0  # standard deviations; the limit applies to images within
LARGE = 100.0
OTHER_BATCH = 7


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Difference of one image's outputs, the largest of all batches that contained it."""

    image: str
    relative: float  # norm of the difference over norm of the outputs
    of_largest: float  # largest difference over largest output
    of_spread: float  # norm of the difference over the norm by which images' outputs differ from their mean
    absolute: float  # largest difference
    is_judged: bool = True  # whether the limit applies

    @property
    def worst(self) -> float:
        """The figure that the limit applies to."""
        return max(self.relative, self.of_largest, self.of_spread / SPREAD)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Outputs of a network for all images, in every batch that is tried."""

    images: Mapping[str, Tensor]
    judged: Collection[str]  # names of the images that the limit applies to
    batches: Sequence[tuple[Sequence[str], np.ndarray]]  # names of images, outputs (B, classes)
    spread: float  # mean norm by which the outputs of judged images differ from their mean


def make_images(
    channels: int, img_size: tuple[int, int], mean: Sequence[float], std: Sequence[float]
) -> dict[str, Tensor]:
    """Return named images (C, H, W) within the range of normalised images; the same on every call."""
    noise = make_noise(channels, img_size)
    shift, scale = (torch.tensor(values)[:, None, None] for values in (mean, std))
    constants = {"zeros": 0.0, "ones": 1.0, f"constant {RANGE:g}": RANGE, f"constant {-RANGE:g}": -RANGE}
    return {
        "noise": noise.clamp(-RANGE, RANGE),
        f"noise x {RANGE:g}, cut at {RANGE:g}": (noise * RANGE).clamp(-RANGE, RANGE),
        "black, normalised": ((0 - shift) / scale).expand_as(noise),
        "white, normalised": ((1 - shift) / scale).expand_as(noise),
        **{name: torch.full_like(noise, value) for name, value in constants.items()},
    }


def make_extremes(channels: int, img_size: tuple[int, int]) -> dict[str, Tensor]:
    """Return named images (C, H, W) far outside that range, where rounding alone may change the outputs."""
    noise = make_noise(channels, img_size)
    constants = {f"constant {value:g}": torch.full_like(noise, value) for value in (LARGE, -LARGE)}
    return {**constants, "noise x 10": noise * 10}


def make_noise(channels: int, img_size: tuple[int, int]) -> Tensor:
    """Return noise (C, H, W), the same on every call."""
    return torch.randn((channels, *img_size), generator=torch.Generator().manual_seed(0))


def compute_reference(
    model: nn.Module, judged: Mapping[str, Tensor], extremes: Mapping[str, Tensor], batch: int | None
) -> Reference:
    """Run a network on all images.

    Args:
        model: on the CPU, in fp32.
        judged: images that the limit applies to, see `make_images`.
        extremes: images that it does not apply to, see `make_extremes`.
        batch: the only batch size that the files accept; None is any, and 1 and 7 are tried.

    Raises:
        MeasureError: weights or outputs are not finite, or all outputs are equal: nothing can be verified.
    """
    for name, value in model.state_dict().items():
        if not value.isfinite().all():
            raise MeasureError(f"{name} of the network for inference is not finite: nothing can be verified")
    images, batches = {**judged, **extremes}, []
    for size in (batch,) if batch else (1, OTHER_BATCH):
        for names in fill_batches(list(images), size):
            with torch.inference_mode():
                outputs = model(torch.stack([images[name] for name in names])).numpy().astype(np.float64)
            check_finite("the network's output", names, outputs)
            batches.append((names, outputs))
    by_name = {name: y for names, outputs in batches for name, y in zip(names, outputs, strict=True)}
    of_judged = np.stack([by_name[name] for name in judged])
    spread = float(np.linalg.norm(of_judged - of_judged.mean(0), axis=1).mean())
    if not spread:
        raise MeasureError("the network's output is the same for every image: nothing can be verified")
    return Reference(images=images, judged=judged.keys(), batches=batches, spread=spread)


def compare_outputs(runner: Runner, expected: Reference, limit: float = LIMIT) -> tuple[Difference, ...]:
    """Compare the outputs of a file with those of its network.

    Raises:
        MeasureError: a difference is above the limit, or outputs are not finite.
    """
    largest: dict[str, Difference] = {}
    for names, outputs in expected.batches:
        y = runner(torch.stack([expected.images[name] for name in names])).astype(np.float64)
        check_finite("the file's output", names, y)
        for name, one, wanted in zip(names, y, outputs, strict=True):
            now = measure_difference(name, one, wanted, expected.spread, is_judged=name in expected.judged)
            largest[name] = max(now, largest.get(name, now), key=lambda each: each.worst)
    worst = max((one for one in largest.values() if one.is_judged), key=lambda one: one.worst)
    if worst.worst > limit:
        raise MeasureError(
            f"the file's outputs differ by {worst.worst:.2g} (relative) from the network's for the image "
            f"{worst.image!r}, above the limit of {limit:.2g}: the file was not written"
        )
    return tuple(largest.values())


def check_finite(what: str, names: Sequence[str], outputs: np.ndarray) -> None:
    """Refuse outputs (B, classes) that are not finite."""
    for name, y in zip(names, outputs, strict=True):
        if not np.isfinite(y).all():
            raise MeasureError(f"{what} is not finite for the image {name!r}: nothing was written")


def fill_batches(names: list[str], size: int) -> list[list[str]]:
    """Return full batches that contain every name; the last one starts again with the first names."""
    return [[names[(i + j) % len(names)] for j in range(size)] for i in range(0, len(names), size)]


def measure_difference(
    image: str, y: np.ndarray, expected: np.ndarray, spread: float, *, is_judged: bool = True
) -> Difference:
    """Compare the outputs of one image, all of them finite."""
    off = np.abs(y - expected)
    norm, absolute = float(np.linalg.norm(off)), float(off.max(initial=0))
    return Difference(
        image=image,
        relative=divide(norm, float(np.linalg.norm(expected))),
        of_largest=divide(absolute, float(np.abs(expected).max(initial=0))),
        of_spread=divide(norm, spread),
        absolute=absolute,
        is_judged=is_judged,
    )


def divide(part: float, total: float) -> float:
    """Return part / total: 0 if the part is 0, else infinity if the total is 0 or the part overflowed."""
    if part == 0:
        return 0.0
    return part / total if total and math.isfinite(part) else math.inf
