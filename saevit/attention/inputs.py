"""Image files to inputs of a network: upright, RGB, cropped in the middle, resized and normalised."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from saevit.attention.facts import Photo, Query
from saevit.errors import OptionError, need
from saevit.files import file_type, unusable
from saevit.images import ENDINGS, opened, upright_rgb
from saevit.models import IMAGENET_MEAN, IMAGENET_STD
from saevit.text import printable

if TYPE_CHECKING:
    from PIL import Image

SHIPPED = "grace_hopper.jpg"  # public domain, in matplotlib's sample data
CROP = "cropped in the middle to the input's shape, resized (bicubic)"


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """Mean and standard deviation of each channel, of values in [0, 1]."""

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def __str__(self) -> str:
        if (self.mean, self.std) == (IMAGENET_MEAN, IMAGENET_STD):
            return "ImageNet mean and standard deviation"
        return f"mean {self.mean[0]:g}, standard deviation {self.std[0]:g}"


def shipped_photo() -> Path:
    """Return the photograph that matplotlib ships, for those who name no image.

    Raises:
        OptionError: this matplotlib was installed without its sample data.
    """
    spec = find_spec("matplotlib")  # not imported: that would obey the user's settings
    path = Path(spec.origin if spec and spec.origin else "").parent / "mpl-data" / "sample_data" / SHIPPED
    if not path.is_file():
        raise OptionError(f"matplotlib has no sample image {SHIPPED} here: name one with --image")
    return path


def found(paths: Iterable[Path]) -> list[Path]:
    """Return image files, a folder being all image files in it, by name; hidden files are no images.

    Raises:
        OptionError: a path that is no file or folder, or cannot be looked into; a folder without images.
    """
    files: list[Path] = []
    for path in paths:
        shown, kind = printable(str(path)), file_type(path)
        if kind == "folder":
            try:
                names = sorted(path.iterdir())
            except OSError as error:
                raise unusable(path, error, "read") from error
            images = [p for p in names if p.suffix.lower() in ENDINGS and not p.name.startswith(".")]
            inside = [p for p in images if file_type(p) == "file"]
            if not inside:
                raise OptionError(f"{shown} has no image in it: name a file ({', '.join(ENDINGS)})")
            files += inside
        elif kind == "missing":
            raise OptionError(f"{shown} does not exist: name an image file")
        else:
            files.append(path)  # what is no regular file is refused when it is opened
    return files


def load(path: Path, img_size: tuple[int, int]) -> Photo:
    """Read an image as the network will see it: its middle, of the input's shape and size (H, W), RGB.

    Args:
        path: a file of one of `image_files.FORMATS`.
        img_size: (H, W) of the input.

    Raises:
        OptionError: it is no image, broken, or too large to be read, in one line.
    """
    with opened(path, str(path)) as image:
        return seen(image, printable(path.name), img_size)


def seen(image: "Image.Image", name: str, img_size: tuple[int, int]) -> Photo:
    """Turn an open image upright, to RGB, and into the input's shape."""
    module: Any = need("PIL.Image")
    rgb, notes = upright_rgb(image)
    crop = middle(rgb.size, img_size)
    H, W = img_size
    # Cropping inside resize: an image of 1 x 10,000 px never becomes a giant one.
    resized = rgb.resize((W, H), module.Resampling.BICUBIC, box=crop, reducing_gap=3.0)
    return Photo(
        name=name, size=(rgb.width, rgb.height), crop=crop, pixels=np.asarray(resized), notes=tuple(notes)
    )


def middle(size: tuple[int, int], img_size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the largest box (left, top, right, bottom) of the input's shape in the middle of an image.

    One side of the box is the image's own, and the other cannot exceed it, even by rounding.
    """
    width, height = size
    H, W = img_size
    across, down = float(width), float(height)
    if width * H > height * W:
        across = height * W / H
    else:
        down = width * H / W
    left, top = (width - across) / 2, (height - down) / 2
    return left, top, width - left, height - top


def as_input(photo: Photo, normalisation: Normalisation, in_chans: int) -> Tensor:
    """Return the network's input, (1, in_chans, H, W): RGB, or its mean for one channel."""
    x = torch.from_numpy(np.array(photo.pixels)).permute(2, 0, 1).float() / 255
    x = (x - torch.tensor(normalisation.mean)[:, None, None]) / torch.tensor(normalisation.std)[:, None, None]
    return (x if in_chans == 3 else x.mean(0, keepdim=True))[None]


def place(query: tuple[int, int], photo: Photo) -> Query:
    """Find a pixel of the image as given in the network's input.

    Raises:
        OptionError: the network does not see it; names the range that it sees.
    """
    left, top, right, bottom = photo.crop
    H, W = photo.pixels.shape[:2]
    columns, rows = inside(left, right), inside(top, bottom)
    x, y = query
    if not (columns[0] <= x <= columns[1] and rows[0] <= y <= rows[1]):
        raise OptionError(
            f"query {x},{y} is outside what the network sees of {photo.name}, "
            f"{photo.size[0]} x {photo.size[1]} px: X {columns[0]} to {columns[1]}, Y {rows[0]} to {rows[1]}"
        )
    return Query(image=query, input=(within(x, left, right, W), within(y, top, bottom, H)))


def within(pixel: int, low: float, high: float, length: int) -> float:
    """Map a pixel's centre from an interval of the image to the input, [0, length); the ends are included."""
    return min(max(0.0, (pixel + 0.5 - low) * length / (high - low)), math.nextafter(length, 0))


def inside(low: float, high: float) -> tuple[int, int]:
    """Return the first and the last pixel whose centre is in an interval; at least one, the nearest."""
    first, last = int(np.ceil(low - 0.5)), int(np.ceil(high - 0.5)) - 1
    return max(0, first), max(first, last)
