"""Image files of every kind: read as they look, or refused in one line."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from saevit.attention import images
from saevit.attention.images import Normalisation, as_input, found, load, middle, place
from saevit.errors import OptionError

SIZE = (32, 32)


def picture(width: int = 60, height: int = 40) -> Image.Image:
    """Red above, blue below, with a green left edge."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, :, 0] = 255
    pixels[height // 2 :, :, 2] = 255
    pixels[:, : width // 4] = (0, 255, 0)
    return Image.fromarray(pixels)


def corner(photo: images.Photo, y: int, x: int) -> list[int]:
    """The colour at a pixel of the input."""
    return [int(v) for v in photo.pixels[y, x]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int, tmp_path: Path) -> None:
    back = {
        2: 0,
        3: 3,
        4: 1,
        5: 5,
        6: 2,
        7: 6,
        8: 4,
    }  # the transposition that each undoes, as Pillow numbers them
    stored = picture().transpose(Image.Transpose(back[orientation])) if orientation > 1 else picture()
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    photo = load(tmp_path / "a.png", SIZE)
    assert photo.size == (60, 40)
    assert corner(photo, 2, 20) == [255, 0, 0]
    assert corner(photo, 29, 20) == [0, 0, 255]
    assert corner(photo, 16, 1) == [0, 255, 0]
    assert bool(photo.notes) == (orientation > 1)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "LAB"])
def test_modes(mode: str, tmp_path: Path) -> None:
    grey = Image.new("RGB", (40, 40), (128, 128, 128))
    images_ = {
        "1": Image.new("1", (40, 40), 1),
        "LAB": Image.new("LAB", (40, 40), (137, 128, 128)),
        "P": grey.quantize(2),
    }
    name = tmp_path / ("a.tif" if mode in ("CMYK", "YCbCr", "LAB") else "a.png")
    images_.get(mode, grey.convert(mode) if mode not in images_ else grey).save(name)
    photo = load(name, SIZE)
    assert photo.pixels.shape == (32, 32, 3)
    assert abs(int(photo.pixels[16, 16].mean()) - (255 if mode == "1" else 128)) <= 3


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (40, 40), (255, 0, 0, 0)).save(tmp_path / "a.png")
    photo = load(tmp_path / "a.png", SIZE)
    assert corner(photo, 5, 5) == [255, 255, 255]
    assert photo.notes == ("transparency laid on white",)


@pytest.mark.parametrize(
    ("dtype", "ending"), [(np.uint16, "png"), (np.uint16, "tif"), (np.int32, "tif"), (np.float32, "tif")]
)
def test_deep_grey_is_stretched(dtype: type, ending: str, tmp_path: Path) -> None:
    values = np.linspace(1000, 60000, 64 * 64).reshape(64, 64).astype(dtype)
    Image.fromarray(values).save(tmp_path / f"a.{ending}")
    photo = load(tmp_path / f"a.{ending}", (64, 64))
    assert (int(photo.pixels.min()), int(photo.pixels.max())) == (0, 255)
    assert (np.diff(photo.pixels[:, 0, 0].astype(int)) >= 0).all()
    assert "stretched" in photo.notes[0]


def test_values_that_are_no_numbers(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(OptionError, match="not finite"):
        load(tmp_path / "a.tif", SIZE)


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_the_first_frame_of_an_animation(ending: str, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("#ff0000", "#0000ff", "#00ff00")]
    frames[0].save(tmp_path / f"a.{ending}", save_all=True, append_images=frames[1:], lossless=True)
    photo = load(tmp_path / f"a.{ending}", SIZE)
    assert corner(photo, 9, 9) == [255, 0, 0]
    assert "first of 3 frames" in photo.notes


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (3000, 2), (32, 32)])
def test_every_shape_is_read(size: tuple[int, int], tmp_path: Path) -> None:
    Image.new("RGB", size, (10, 200, 30)).save(tmp_path / "a.png")
    photo = load(tmp_path / "a.png", (48, 32))
    assert photo.pixels.shape == (48, 32, 3)
    assert corner(photo, 40, 3) == [10, 200, 30]


def giant_png(path: Path, side: int) -> None:
    """A PNG that says it is side x side, and has nothing in it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    )


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    whole = tmp_path / "whole.jpg"
    picture().save(whole)
    (tmp_path / "half.jpg").write_bytes(whole.read_bytes()[:-40])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("not an image")
    giant_png(tmp_path / "giant.png", 20_000)
    for name, message in {
        "half.jpg": "half.jpg is broken: image file is truncated",
        "empty.png": "empty.png is not an image",
        "text.png": "text.png is not an image",
        "giant.png": "giant.png has 400,000,000 pixels, at most 178,956,970 are read: shrink it first",
    }.items():
        with pytest.raises(OptionError, match=message) as caught:
            load(tmp_path / name, SIZE)
        assert "\n" not in str(caught.value)


def test_folders_and_files(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg"):
        picture().save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "none").mkdir()
    assert [p.name for p in found([tmp_path])] == ["a.jpg", "b.png"]
    for name, message in {"none": "has no image in it", "gone.png": "does not exist"}.items():
        with pytest.raises(OptionError, match=message):
            found([tmp_path / name])


def test_the_shipped_photograph_is_there() -> None:
    assert load(images.shipped_photo(), SIZE).size == (512, 600)


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(32, 300), st.integers(32, 300))
def test_the_crop_has_the_shape_of_the_input(width: int, height: int, H: int, W: int) -> None:
    left, top, right, bottom = middle((width, height), (H, W))
    assert left >= -1e-9
    assert right <= width + 1e-9
    assert (right - left) * H == pytest.approx((bottom - top) * W)
    assert right - left == pytest.approx(width) or bottom - top == pytest.approx(height)
    assert left == pytest.approx(width - right)


def test_queries_are_pixels_of_the_image_as_given(tmp_path: Path) -> None:
    picture(60, 40).save(tmp_path / "a.png")
    photo = load(tmp_path / "a.png", (20, 20))  # 40 x 40 px in the middle, from x = 10
    assert place((10, 0), photo).input == pytest.approx((0.25, 0.25))
    assert place((49, 39), photo).input == pytest.approx((19.75, 19.75))
    assert place((30, 20), photo).input == pytest.approx((10.25, 10.25))
    for query in ((9, 0), (50, 0), (30, 40), (60, 40)):
        with pytest.raises(OptionError, match="X 10 to 49, Y 0 to 39"):
            place(query, photo)


def test_inputs_are_normalised(tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), (255, 0, 51)).save(tmp_path / "a.png")
    photo = load(tmp_path / "a.png", (32, 48))
    x = as_input(photo, Normalisation(mean=(0.5, 0.5, 0.2), std=(0.5, 0.25, 1.0)), 3)
    assert x.shape == (1, 3, 32, 48)
    torch.testing.assert_close(x[0, :, 7, 7], torch.tensor([1.0, -2.0, 0.0]))
    assert as_input(photo, Normalisation(), 1).shape == (1, 1, 32, 48)
