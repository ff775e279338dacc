"""Image files of every kind as they look: upright, 8-bit RGB; or one line that says why not."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from saevit.errors import OptionError, need

if TYPE_CHECKING:
    from PIL import Image

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
ORIENTATION = 0x0112  # EXIF tag


class UnreadableImage(OptionError):  # noqa: N818 - says what the image is
    """An image that turned out broken, too large or forbidden when it was read."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)  # both, so that it survives the way from a worker process
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path} {self.reason}"


def read_image(file: Path | IO[bytes], name: str) -> tuple["Image.Image", list[str]]:
    """Read an image upright and as RGB, with what was done to it where it is more than a copy.

    Args:
        file: a file of any format that Pillow reads.
        name: what an error calls it.

    Raises:
        UnreadableImage: it is no image, broken, forbidden, or too large to be read.
    """
    with opened(file, name) as image:
        return upright_rgb(image)


@contextmanager
def opened(file: Path | IO[bytes], name: str) -> Iterator["Image.Image"]:
    """Open an image, and say in one line what goes wrong while it is open.

    Raises:
        UnreadableImage: it is no image, broken, forbidden, or too large to be read.
    """
    module: Any = need("PIL.Image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on metadata, and on sizes below its limit
            with module.open(file) as image:
                yield image
    except module.DecompressionBombError as error:
        pixels, limit = (f"{int(n):,}" for n in re.findall(r"\d+", str(error))[:2])
        raise UnreadableImage(
            name, f"has {pixels} pixels, at most {limit} are read: shrink it first"
        ) from error
    except module.UnidentifiedImageError as error:
        reason = "is not an image that Pillow can read: give PNG, JPEG, WebP, ..."
        raise UnreadableImage(name, reason) from error
    except UnreadableImage:
        raise
    except MemoryError as error:
        raise UnreadableImage(name, "does not fit in memory: shrink it first") from error
    except Exception as error:  # Pillow's decoders raise all kinds on broken files
        if isinstance(error, OSError) and error.strerror:  # the file system; decoders give no number
            raise UnreadableImage(name, f"cannot be read: {error.strerror}") from error
        said = str(error).partition("\n")[0] or type(error).__name__
        raise UnreadableImage(name, f"is broken: {said}") from error


def upright_rgb(image: "Image.Image") -> tuple["Image.Image", list[str]]:
    """Turn an open image upright and to RGB, and say what was done."""
    ops: Any = need("PIL.ImageOps")
    frames = getattr(image, "n_frames", 1)
    notes = [f"first of {frames} frames"] if frames > 1 else []
    if image.getexif().get(ORIENTATION, 1) != 1:
        ops.exif_transpose(image, in_place=True)  # its other way copies images that are upright
        notes.append("turned upright by its EXIF orientation")
    rgb, how = to_rgb(image)
    return rgb, [*notes, *how]


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
        raise ValueError("it has pixels that are not finite numbers")
    low, high = float(values.min()), float(values.max())
    grey = (values - low) * (255 / (high - low)) if high > low else np.zeros_like(values)
    converted: Image.Image = module.fromarray(grey.round().astype(np.uint8)).convert("RGB")
    return converted
