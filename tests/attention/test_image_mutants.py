"""Generated images: whole ones are read with the right pixels, damaged ones read or refused in one line."""

import io
import random
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from saevit.attention.photo import read_photo
from saevit.images import UnreadableImage, read_image

Pixels = NDArray[np.uint8]
LOSSY = {"quality": 95, "subsampling": 0}
# Pillow's format, its settings, and the modes that it stores.
KINDS: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("PNG", {}, ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    ("JPEG", LOSSY, ("L", "RGB", "CMYK")),
    ("JPEG", LOSSY | {"progressive": True}, ("L", "RGB", "CMYK")),
    ("WEBP", {"lossless": True}, ("RGB", "RGBA")),
    ("GIF", {}, ("1", "L", "P")),
    ("BMP", {}, ("1", "L", "P", "RGB")),
    ("TIFF", {}, ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F")),
    ("TIFF", {"compression": "tiff_lzw"}, ("1", "L", "P", "RGB", "RGBA", "CMYK")),
]
STORED = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transposition from upright to stored


@dataclass(frozen=True)
class Sample:
    """A whole image file, what it shows, and by how much a channel may differ on average."""

    kind: str
    data: bytes
    shows: Pixels
    tolerance: float


def sample(rng: random.Random) -> Sample:
    """Draw a picture, and encode it in one of the ways that cameras and programs do."""
    name, settings, modes = rng.choice(KINDS)
    mode, turn = rng.choice(modes), rng.choice(range(10))
    image, shows = drawn(mode, (rng.choice((1, 2, 7, 16, 61)), rng.choice((1, 3, 16, 40))), rng)
    more = dict(settings)
    if name in ("JPEG", "PNG", "WEBP") and rng.random() < 0.6:
        more["exif"] = exif(turn, rng)
    elif name == "TIFF" and mode not in ("I", "F") and 0 < turn < 9:
        more["tiffinfo"] = {0x0112: turn}
    if ("exif" in more or "tiffinfo" in more) and turn in STORED:
        image = image.transpose(Image.Transpose(STORED[turn]))
    if name in ("PNG", "GIF", "WEBP") and rng.random() < 0.2:
        more |= {"save_all": True, "append_images": [image, image.transpose(Image.Transpose.ROTATE_180)]}
    file = io.BytesIO()
    image.save(file, name, **more)
    return Sample(f"{name} {mode} {more}", file.getvalue(), shows, 8.0 if name == "JPEG" else 0.5)


def drawn(mode: str, size: tuple[int, int], rng: random.Random) -> tuple[Image.Image, Pixels]:
    """Return four patches of colour in a mode, and as they look, (H, W, 3)."""
    colours = np.array([[rng.randrange(256) for _ in range(4)] for _ in range(4)], np.uint8).reshape(2, 2, 4)
    patches = np.asarray(Image.fromarray(colours, "RGBA").resize(size, Image.Resampling.NEAREST))
    grey, alpha = patches[:, :, 0], patches[:, :, 3:] / 255
    if mode in ("I;16", "I", "F"):
        deep = grey.astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]) * 200 + 77
        low, high = int(grey.min()), int(grey.max())
        seen = (grey - low) / max(1, high - low) * 255
        return Image.fromarray(deep), np.repeat(seen.round().astype(np.uint8)[:, :, None], 3, 2)
    if mode in ("LA", "RGBA"):
        image = Image.fromarray(np.ascontiguousarray(patches[:, :, [0, 3]] if mode == "LA" else patches))
        solid = patches[:, :, [0, 0, 0] if mode == "LA" else [0, 1, 2]]
        return image, (solid * alpha + 255 * (1 - alpha)).round().astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(patches[:, :, :3]))
    image = image.quantize(8) if mode == "P" else image.convert(mode)
    return image, np.asarray(image.convert("RGB"))


def exif(orientation: int, rng: random.Random) -> bytes:
    """Return EXIF data with an orientation, and entries whose type, count and offset mean nothing."""
    order = rng.choice("<>")
    entries = [struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0)]
    for _ in range(rng.randrange(4)):
        tag = rng.choice((0x010F, 0x011A, 0x0132, 0x8298, 0x8769, 0x8825, 0xA005, rng.randrange(2**16)))
        if tag != 0x0112:
            count, offset = rng.choice((0, 1, 5, 2**31)), rng.choice((0, 8, 60, 2**32 - 7))
            entries.append(struct.pack(f"{order}HHII", tag, rng.randrange(15), count, offset))
    rng.shuffle(entries)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(entries))
    return b"Exif\0\0" + head + b"".join(entries) + bytes(4)


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Return a file with bytes changed, cut out, doubled or cut off, mostly in its head."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 10))):
        at = rng.randrange(min(len(found), rng.choice((64, len(found)))) or 1)
        way, length = rng.randrange(5), rng.randrange(1, 40)
        if way == 0:
            found[at : at + 1] = bytes([rng.randrange(256)])
        elif way == 1:
            found[at : at + 4] = rng.choice((b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"))
        elif way == 2:
            del found[at : at + length]
        elif way == 3:
            found[at:at] = found[at : at + length]
        else:
            del found[rng.randrange(len(found) + 1) :]
    return bytes(found)


COUNTS = [40, pytest.param(1000, marks=pytest.mark.slow)]


@pytest.mark.parametrize("count", COUNTS)
def test_whole_images_are_read_as_they_look(count: int, tmp_path: Path) -> None:
    rng = random.Random(15)
    for i in range(count):
        one, path = sample(rng), tmp_path / f"{i}{rng.choice(('.png', '.jpg', '.tif'))}"
        path.write_bytes(one.data)
        seen, _ = read_image(path, path.name)
        found = np.asarray(seen).astype(int)
        assert found.shape == one.shows.shape, one.kind
        assert np.abs(found - one.shows).mean() <= one.tolerance, one.kind
        assert read_photo(path, (32, 48)).pixels.shape == (32, 48, 3)


@pytest.mark.parametrize("count", COUNTS)
def test_damaged_images_are_read_or_refused_in_one_line(
    count: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rng, refusals = random.Random(16), []
    for i in range(count):
        path = tmp_path / f"{i}.png"
        path.write_bytes(damaged(sample(rng).data, rng))
        try:
            assert read_photo(path, (32, 48)).pixels.shape == (32, 48, 3)
        except UnreadableImage as error:
            refusals.append(str(error))
    assert 0.2 * count < len(refusals) < count
    assert all(line.isprintable() and line.startswith(str(tmp_path)) for line in refusals)
    assert capfd.readouterr() == ("", "")
