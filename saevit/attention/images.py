"""Image files to inputs of a network: upright, RGB, cropped in the middle, resized and normalised."""

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from saevit.errors import OptionError, need
from saevit.results.attention import Photo, Query

if TYPE_CHECKING:
    from PIL import Image

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SHIPPED = "grace_hopper.jpg"  # public domain, in matplotlib's sample data
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
ORIENTATION = 0x0112  # EXIF tag
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
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "sample_data" / SHIPPED
    if not path.is_file():
        raise OptionError(f"matplotlib has no sample image {SHIPPED} here: name one with --image")
    return path


def found(paths: Iterable[Path]) -> list[Path]:
    """Return image files, a folder being all image files in it, by name.

    Raises:
        OptionError: a path that is not there, or a folder without images.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in ENDINGS and p.is_file())
            if not inside:
                raise OptionError(f"{path} has no image in it: name a file ({', '.join(ENDINGS)})")
            files += inside
        elif not path.exists():
            raise OptionError(f"{path} does not exist: name an image file")
        elif not path.is_file():
            raise OptionError(f"{path} is not a file: name an image file")
        else:
            files.append(path)
    return files


def load(path: Path, img_size: tuple[int, int]) -> Photo:
    """Read an image as the network will see it: its middle, of the input's shape and size (H, W), RGB.

    Args:
        path: a file of any format that Pillow reads.
        img_size: (H, W) of the input.

    Raises:
        OptionError: it is no image, broken, or too large to be read, in one line.
    """
    module: Any = need("PIL.Image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on metadata, and on sizes below its limit
            with module.open(path) as image:
                return seen(image, path.name, img_size)
    except module.DecompressionBombError as error:
        pixels, limit = (f"{int(n):,}" for n in re.findall(r"\d+", str(error))[:2])
        raise OptionError(f"{path} has {pixels} pixels, at most {limit} are read: shrink it first") from error
    except module.UnidentifiedImageError as error:
        raise OptionError(
            f"{path} is not an image that Pillow can read: give PNG, JPEG, WebP, ..."
        ) from error
    except OptionError:
        raise
    except MemoryError as error:
        raise OptionError(f"{path} does not fit in memory: shrink it first") from error
    except Exception as error:  # Pillow's decoders raise all kinds on broken files
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise OptionError(f"{path} is broken: {reason}") from error


def seen(image: "Image.Image", name: str, img_size: tuple[int, int]) -> Photo:
    """Turn an open image upright, to RGB, and into the input's shape."""
    ops: Any = need("PIL.ImageOps")
    module: Any = need("PIL.Image")
    frames = getattr(image, "n_frames", 1)
    notes = [f"first of {frames} frames"] if frames > 1 else []
    if image.getexif().get(ORIENTATION, 1) != 1:
        ops.exif_transpose(image, in_place=True)  # its other way copies images that are upright
        notes.append("turned upright by its EXIF orientation")
    rgb, how = to_rgb(image)
    crop = middle(rgb.size, img_size)
    H, W = img_size
    # Cropping inside resize: an image of 1 x 10,000 px never becomes a giant one.
    resized = rgb.resize((W, H), module.Resampling.BICUBIC, box=crop, reducing_gap=3.0)
    return Photo(
        name=name,
        size=(rgb.width, rgb.height),
        crop=crop,
        pixels=np.asarray(resized),
        notes=(*notes, *how),
    )


def to_rgb(image: "Image.Image") -> tuple["Image.Image", list[str]]:
    """Return the image as 8-bit RGB, and what was done where it is more than a copy."""
    module: Any = need("PIL.Image")
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return deep_grey(image), [f"mode {image.mode} stretched from its darkest to its brightest pixel"]
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = module.new("RGBA", rgba.size, (255, 255, 255, 255))
        white.alpha_composite(rgba)
        return white.convert("RGB"), ["transparency laid on white"]
    if image.mode == "RGB":
        image.load()
        return image, []
    return image.convert("RGB"), [f"mode {image.mode} converted to RGB"]


def deep_grey(image: "Image.Image") -> "Image.Image":
    """Map 16- and 32-bit grey to 8 bits."""
    module: Any = need("PIL.Image")
    values = np.asarray(image).astype(np.float32)
    if not np.isfinite(values).all():
        raise OptionError("it has pixels that are not finite numbers")
    low, high = float(values.min()), float(values.max())
    grey = (values - low) * (255 / (high - low)) if high > low else np.zeros_like(values)
    converted: Image.Image = module.fromarray(grey.round().astype(np.uint8)).convert("RGB")
    return converted


def middle(size: tuple[int, int], img_size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the largest box (left, top, right, bottom) of the input's shape in the middle of an image."""
    width, height = size
    H, W = img_size
    scale = min(width / W, height / H)
    left, top = (width - W * scale) / 2, (height - H * scale) / 2
    return left, top, left + W * scale, top + H * scale


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
    x, y = query
    left, top, right, bottom = photo.crop
    H, W = photo.pixels.shape[:2]
    across, down = (x + 0.5 - left) * W / (right - left), (y + 0.5 - top) * H / (bottom - top)
    if not (0 <= across < W and 0 <= down < H):
        columns, rows = inside(left, right), inside(top, bottom)
        raise OptionError(
            f"query {x},{y} is outside what the network sees of {photo.name}, "
            f"{photo.size[0]} x {photo.size[1]} px: X {columns[0]} to {columns[1]}, Y {rows[0]} to {rows[1]}"
        )
    return Query(image=query, input=(across, down))


def inside(low: float, high: float) -> tuple[int, int]:
    """Return the first and the last pixel whose centre is in an interval."""
    first, last = int(np.ceil(low - 0.5)), int(np.ceil(high - 0.5)) - 1
    return max(0, first), max(first, last)
