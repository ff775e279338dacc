"""Convert image files to inputs of a network: upright, RGB, centre crop, resized and normalised."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from saevit.attention.findings import Photo, QueryPixel
from saevit.checkpoint import About
from saevit.errors import OptionError, need
from saevit.files import file_type, unusable
from saevit.images import ENDINGS, read_image
from saevit.models import IMAGENET_MEAN, IMAGENET_STD
from saevit.text import printable

if TYPE_CHECKING:
    from PIL import Image

GROUND, TOLERANCE = 0.9, 8  # minimum share of the border with equal brightness, tolerance in levels of 255


def list_images(paths: Iterable[Path]) -> list[Path]:
    """Return image files; replace each folder by its image files, sorted by name, without hidden files.

    Raises:
        OptionError: a path does not exist or cannot be read, or a folder has no images.
    """
    files: list[Path] = []
    for path in paths:
        kind = file_type(path)
        if kind == "folder":
            try:
                names = sorted(path.iterdir())
            except OSError as error:
                raise unusable(path, error, "read") from error
            images = [p for p in names if p.suffix.lower() in ENDINGS and not p.name.startswith(".")]
            inside = [p for p in images if file_type(p) == "file"]
            if not inside:
                raise OptionError(f"{printable(str(path))} contains no image ({', '.join(ENDINGS)})")
            files += inside
        elif kind == "missing":
            raise OptionError(f"{printable(str(path))} does not exist: name an image file")
        else:
            files.append(path)  # a device or pipe is refused when it is opened
    return files


def read_photo(path: Path, img_size: tuple[int, int]) -> Photo:
    """Read an image file as RGB, and crop and resize it to the input size (H, W).

    Raises:
        OptionError: the image cannot be decoded or is too large.
    """
    rgb, notes = read_image(path, str(path))
    return fit_image(rgb, img_size, printable(path.name), notes)


def fit_image(rgb: "Image.Image", img_size: tuple[int, int], name: str, notes: Sequence[str] = ()) -> Photo:
    """Crop the middle of an RGB image to the shape of the input (H, W), and resize it."""
    resampling: Any = need("PIL.Image").Resampling
    crop = crop_middle(rgb.size, img_size)
    H, W = img_size
    # Crop and resize in one call: resizing an image of 1 x 10,000 px before the crop takes much memory.
    resized = rgb.resize((W, H), resampling.BICUBIC, box=crop, reducing_gap=3.0)
    return Photo(
        name=name, size=(rgb.width, rgb.height), crop=crop, pixels=np.asarray(resized), notes=tuple(notes)
    )


def crop_middle(size: tuple[int, int], img_size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the largest centred box (left, top, right, bottom) in an image with the shape of the input.

    One side of the box equals that of the image, and the other side never exceeds the image by rounding.
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


def find_drawing(pixels: "np.ndarray") -> Tensor | None:
    """Return the distance of each pixel (H, W) from a plain ground, scaled to a maximum of 1.

    Returns None if the ground is not plain, that is, if less than 90 % of the border have one brightness.
    """
    grey = torch.from_numpy(np.array(pixels)).float().mean(2)
    border = torch.cat([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ground = border.median()
    distance = (grey - ground).abs()
    is_plain = ((border - ground).abs() <= TOLERANCE).float().mean() >= GROUND
    return distance / distance.max() if is_plain and distance.max() > TOLERANCE else None


def make_input(photo: Photo, about: About) -> Tensor:
    """Return the network's input, (1, in_chans, H, W): RGB, or its mean for one channel."""
    x = torch.from_numpy(np.array(photo.pixels)).permute(2, 0, 1).float() / 255
    x = (x - torch.tensor(about.mean)[:, None, None]) / torch.tensor(about.std)[:, None, None]
    return (x if about.in_chans == 3 else x.mean(0, keepdim=True))[None]


def describe_preparation(about: About) -> str:
    """Describe the preprocessing of images in words."""
    normalisation = (
        "the ImageNet mean and standard deviation"
        if (about.mean, about.std) == (IMAGENET_MEAN, IMAGENET_STD)
        else f"mean {about.mean[0]:g}, standard deviation {about.std[0]:g}"
    )
    return (
        f"cropped in the centre to the shape of the input, resized (bicubic), normalised with {normalisation}"
    )


def locate_query(query: tuple[int, int], photo: Photo) -> QueryPixel:
    """Locate a pixel of the image file in the input; raise OptionError if it is outside the crop."""
    left, top, right, bottom = photo.crop
    H, W = photo.pixels.shape[:2]
    columns, rows = pixels_inside(left, right), pixels_inside(top, bottom)
    x, y = query
    if not (columns[0] <= x <= columns[1] and rows[0] <= y <= rows[1]):
        raise OptionError(
            f"query {x},{y} is outside the centre crop of {photo.name}: "
            f"X must be {columns[0]} to {columns[1]}, and Y {rows[0]} to {rows[1]}"
        )
    return QueryPixel(image=query, input=(scale_pixel(x, left, right, W), scale_pixel(y, top, bottom, H)))


def scale_pixel(pixel: int, low: float, high: float, length: int) -> float:
    """Map the centre of a pixel from the interval [low, high] of the image to [0, length) of the input."""
    return min(max(0.0, (pixel + 0.5 - low) * length / (high - low)), math.nextafter(length, 0))


def pixels_inside(low: float, high: float) -> tuple[int, int]:
    """Return the first and the last pixel whose centre is in an interval; without one, the nearest pixel."""
    first, last = int(np.ceil(low - 0.5)), int(np.ceil(high - 0.5)) - 1
    return max(0, first), max(first, last)
