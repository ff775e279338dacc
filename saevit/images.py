"""Image files of every kind as they look: upright, 8-bit RGB; or one line that says why not."""

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
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")  # others may start programs, such as Ghostscript
ORIENTATION = 0x0112  # EXIF tag
MOST_TEXT = 2**26  # bytes of one text in a PNG; Pillow calls photographs with more than 1 MB of it broken
PIXELS_AT_ONCE = 2**20
WHOLE = {1: "B", 3: "H", 4: "I"}  # EXIF's types of whole numbers
UPRIGHT = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # the transposition, as Pillow numbers them
logging.getLogger("PIL").addHandler(logging.NullHandler())  # else its remarks on a file go to stderr


class UnreadableImage(OptionError):  # noqa: N818 - says what the image is
    """An image that turned out broken, too large or forbidden when it was read."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)  # both, so that it survives the way from a worker process
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{printable(self.path)} {self.reason}"


def read_image(file: Path | IO[bytes], name: str) -> tuple["Image.Image", list[str]]:
    """Read an image upright and as RGB, with what was done to it where it is more than a copy.

    Args:
        file: PNG, JPEG, WebP, GIF, BMP or TIFF, whatever its name ends in.
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
    png: Any = need("PIL.PngImagePlugin")
    png.MAX_TEXT_CHUNK = MOST_TEXT
    try:
        if isinstance(file, Path) and not stat.S_ISREG(file.stat().st_mode):
            raise UnreadableImage(name, "is no regular file: name an image file")  # a pipe would never end
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on metadata, and on sizes below its limit
            # Given a path, Pillow maps the file, and takes the sides of a turned TIFF the wrong way round.
            stream = file.open("rb") if isinstance(file, Path) else nullcontext(file)
            with stream as data, module.open(data, formats=FORMATS) as image:
                yield image
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
    except Exception as error:  # Pillow's decoders raise all kinds on broken files
        if isinstance(error, OSError) and error.strerror:  # the file system; decoders give no number
            raise UnreadableImage(name, f"cannot be read: {error.strerror}") from error
        said = abbreviated(str(error).partition("\n")[0]) or type(error).__name__
        raise UnreadableImage(name, f"is broken: {said}") from error


def upright_rgb(image: "Image.Image") -> tuple["Image.Image", list[str]]:
    """Turn an open image upright and to RGB, and say what was done."""
    frames = getattr(image, "n_frames", 1)
    notes = [f"first of {frames} frames"] if frames > 1 else []
    is_tiff = image.format == "TIFF"
    turned = turn_of(image) if is_tiff else None  # Pillow itself turns it while it decodes it
    with quiet_libtiff() if is_tiff else nullcontext():
        rgb, how = to_rgb(image)
    if (turn := turn_of(image)) is not None:
        rgb = rgb.transpose(need("PIL.Image").Transpose(turn))
    is_turned = (turned, turn) != (None, None)
    return rgb, notes + ["turned upright by its EXIF orientation"] * is_turned + how


@contextmanager
def quiet_libtiff() -> Iterator[None]:
    """Hold back what libtiff itself writes on stderr about a damaged file."""
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


def turn_of(image: "Image.Image") -> int | None:
    """Return the transposition that an image's metadata ask for, whatever else in them is broken."""
    try:
        found: Any = exif_orientation(image.info.get("exif") or b"")
        found = image.getexif().get(ORIENTATION) if found is None else found  # a TIFF's, or XMP
        return UPRIGHT.get(found)
    except Exception:  # of broken metadata Pillow raises all kinds
        return None


def exif_orientation(data: bytes) -> int | None:
    """Return the orientation in EXIF data; Pillow stops at the first entry that points nowhere."""
    data = data.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(data[:2], "=")
    with suppress(struct.error):
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, start)
        for at in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, length = struct.unpack_from(f"{order}HHI", data, at)
            if tag == ORIENTATION and length == 1 and kind in WHOLE:
                return int(struct.unpack_from(order + WHOLE[kind], data, at + 8)[0])
    return None


def to_rgb(image: "Image.Image") -> tuple["Image.Image", list[str]]:
    """Return the image as 8-bit RGB, and what was done where it is more than a copy."""
    module: Any = need("PIL.Image")
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return deep_grey(image), [f"mode {image.mode} stretched from its darkest to its brightest pixel"]
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
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
