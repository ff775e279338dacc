"""Image files read as upright 8-bit RGB, or an error of one line."""

import logging
import math
import os
import re
import stat
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from saevit.errors import OptionError, need
from saevit.text import abbreviated, printable

if TYPE_CHECKING:
    from PIL import Image

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")  # for others Pillow runs programs, as Ghostscript
ORIENTATION = 0x0112  # EXIF tag
MAX_TEXT = 2**26  # bytes of one text in a PNG; Pillow's limit of 1 MB refuses some photographs
PIXELS_AT_ONCE = 2**20
INTEGERS = {1: "B", 3: "H", 4: "I"}  # integer types of EXIF, as struct writes them
UPRIGHT = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # orientation to Pillow's number of the transposition
logging.getLogger("PIL").addHandler(logging.NullHandler())  # its warnings would go to stderr


class UnreadableImage(OptionError):  # noqa: N818 - describes the image
    """An image that is broken, too large, or may not be read."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)  # both, so that a worker process can send it
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{printable(self.path)} {self.reason}"


def read_image(file: Path | IO[bytes], name: str) -> tuple["Image.Image", list[str]]:
    """Read an image as upright RGB; return it with a note about each conversion.

    Args:
        file: PNG, JPEG, WebP, GIF, BMP or TIFF, with any name.
        name: for error messages.

    Raises:
        UnreadableImage: it is not an image, broken, too large, or may not be read.
    """
    module: Any = need("PIL.Image")
    png: Any = need("PIL.PngImagePlugin")
    png.MAX_TEXT_CHUNK = MAX_TEXT
    try:
        if isinstance(file, Path) and not stat.S_ISREG(file.stat().st_mode):
            raise UnreadableImage(name, "is not a regular file: name an image file")  # a pipe may never end
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow, about metadata and about sizes below its limit
            # Given a path, Pillow maps the file, and swaps the sides of a rotated TIFF.
            stream = file.open("rb") if isinstance(file, Path) else nullcontext(file)
            with stream as data, module.open(data, formats=FORMATS) as image:
                return upright_rgb(image)
    except module.DecompressionBombError as error:
        pixels, limit = (f"{int(n):,}" for n in re.findall(r"\d+", str(error))[:2])
        raise UnreadableImage(
            name, f"has {pixels} pixels, at most {limit} are read: shrink it first"
        ) from error
    except module.UnidentifiedImageError as error:
        reason = "is not a PNG, JPEG, WebP, GIF, BMP or TIFF image: convert it to one of these"
        raise UnreadableImage(name, reason) from error
    except UnreadableImage:
        raise
    except MemoryError as error:
        raise UnreadableImage(name, "does not fit in memory: shrink it first") from error
    except Exception as error:  # Pillow's decoders raise errors of any type
        if isinstance(error, OSError) and error.strerror:  # from the file system; decoders have no strerror
            raise UnreadableImage(name, f"cannot be read: {error.strerror}") from error
        reason = abbreviated(str(error).partition("\n")[0]) or type(error).__name__
        raise UnreadableImage(name, f"is broken: {reason}") from error


def upright_rgb(image: "Image.Image") -> tuple["Image.Image", list[str]]:
    """Rotate an open image upright and convert it to RGB; return it with a note about each conversion."""
    frames = getattr(image, "n_frames", 1)
    notes = [f"first of {frames} frames"] if frames > 1 else []
    is_tiff = image.format == "TIFF"
    rotated = find_transposition(image) if is_tiff else None  # Pillow rotates a TIFF while it decodes it
    with quiet_libtiff() if is_tiff else nullcontext():
        rgb, conversions = convert_to_rgb(image)
    if (transposition := find_transposition(image)) is not None:
        rgb = rgb.transpose(need("PIL.Image").Transpose(transposition))
    if (rotated, transposition) != (None, None):
        notes.append("turned upright by its EXIF orientation")
    return rgb, notes + conversions


@contextmanager
def quiet_libtiff() -> Iterator[None]:
    """Suppress what libtiff writes to stderr about a damaged file."""
    try:
        stderr = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    try:
        with Path(os.devnull).open("wb") as null:
            os.dup2(null.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def find_transposition(image: "Image.Image") -> int | None:
    """Return the transposition in an image's metadata, even if other metadata are broken."""
    try:
        orientation: Any = read_orientation(image.info.get("exif") or b"")
        if orientation is None:  # in the tags of a TIFF, or in XMP
            orientation = image.getexif().get(ORIENTATION)
        return UPRIGHT.get(orientation)
    except Exception:  # Pillow raises errors of any type for broken metadata
        return None


def read_orientation(data: bytes) -> int | None:
    """Return the orientation in EXIF data; Pillow would stop at the first invalid entry."""
    data = data.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(data[:2], "=")
    with suppress(struct.error):
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, start)
        for at in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, length = struct.unpack_from(f"{order}HHI", data, at)
            if tag == ORIENTATION and length == 1 and kind in INTEGERS:
                return int(struct.unpack_from(order + INTEGERS[kind], data, at + 8)[0])
    return None


def convert_to_rgb(image: "Image.Image") -> tuple["Image.Image", list[str]]:
    """Return the image as 8-bit RGB, with a note about the conversion if there was one."""
    module: Any = need("PIL.Image")
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return stretch_grey(image), [f"mode {image.mode} stretched from its darkest to its brightest pixel"]
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = module.new("RGBA", rgba.size, (255, 255, 255, 255))
        white.alpha_composite(rgba)
        return white.convert("RGB"), ["transparency laid on white"]
    if image.mode == "RGB":
        image.load()
        return image, []
    return image.convert("RGB"), [f"mode {image.mode} converted to RGB"]


def stretch_grey(image: "Image.Image") -> "Image.Image":
    """Map 16- and 32-bit grey linearly to 8 bits, from its darkest to its brightest pixel."""
    module: Any = need("PIL.Image")
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    if not math.isfinite(high - low):
        raise ValueError("it has pixels that are not finite numbers")
    grey, rows = np.empty(values.shape, np.uint8), max(1, PIXELS_AT_ONCE // values.shape[1])
    for top in range(0, len(values), rows):
        part = values[top : top + rows].astype(np.float64)
        grey[top : top + rows] = ((part - low) / ((high - low) or 1) * 255).round()
    converted: Image.Image = module.fromarray(grey).convert("RGB")
    return converted
