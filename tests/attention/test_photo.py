"""Image files of every kind: read as they look, or refused in one line."""

import os
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from saevit.attention.findings import Photo
from saevit.attention.photo import (
    crop_middle,
    list_images,
    locate_query,
    make_input,
    pixels_inside,
    read_photo,
)
from saevit.checkpoint import About
from saevit.errors import OptionError
from saevit.images import UnreadableImage

SIZE = (32, 32)


def picture(width: int = 60, height: int = 40) -> Image.Image:
    """Red above, blue below, with a green left edge."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, :, 0] = 255
    pixels[height // 2 :, :, 2] = 255
    pixels[:, : width // 4] = (0, 255, 0)
    return Image.fromarray(pixels)


def corner(photo: Photo, y: int, x: int) -> list[int]:
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
    photo = read_photo(tmp_path / "a.png", SIZE)
    assert photo.size == (60, 40)
    assert corner(photo, 2, 20) == [255, 0, 0]
    assert corner(photo, 29, 20) == [0, 0, 255]
    assert corner(photo, 16, 1) == [0, 255, 0]
    assert bool(photo.notes) == (orientation > 1)


def entry(kind: int, count: int, value: bytes, tag: int = 0x0112) -> bytes:
    """An entry of little-endian EXIF."""
    return struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")


JUNK = entry(2, 9, b"\xff" * 4, 0x010F), entry(9, 1, struct.pack("<i", -7), 0xA001)
ORIENTATIONS = {
    "six": (entry(3, 1, b"\6"), True),
    "six, LONG": (entry(4, 1, b"\6"), True),
    "six behind broken entries": (b"".join(JUNK) + entry(3, 1, b"\6"), True),
    "six before broken entries": (entry(3, 1, b"\6") + b"".join(JUNK), True),
    "one": (entry(3, 1, b"\1"), False),
    "zero": (entry(3, 1, b"\0"), False),
    "nine": (entry(3, 1, b"\x09"), False),
    "text": (entry(2, 2, b"6"), False),
    "rational": (entry(5, 1, b"\6"), False),
    "none": (b"", False),
    "cut off": (entry(3, 1, b"\6")[:7], False),
}


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
@pytest.mark.parametrize("name", ORIENTATIONS)
def test_the_orientation_is_read_whatever_else_is_broken(name: str, ending: str, tmp_path: Path) -> None:
    entries, turns = ORIENTATIONS[name]
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", -(-len(entries) // 12)) + entries + bytes(4)
    stored = picture().transpose(Image.Transpose.ROTATE_90) if turns else picture()
    stored.save(tmp_path / f"a.{ending}", exif=exif)
    photo = read_photo(tmp_path / f"a.{ending}", SIZE)
    assert photo.size == (60, 40)
    assert (np.abs(np.array(corner(photo, 2, 20)) - (255, 0, 0)) < 9).all()
    assert ("turned upright by its EXIF orientation" in photo.notes) is turns


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])  # Pillow maps files of the first and the last
def test_orientation_of_tiff(mode: str, orientation: int, tmp_path: Path) -> None:
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = picture().convert(mode)
    turned = stored.transpose(Image.Transpose(back[orientation])) if orientation in back else stored
    turned.save(tmp_path / "a.tif", tiffinfo={0x0112: orientation})
    photo = read_photo(tmp_path / "a.tif", (40, 60))
    assert (photo.pixels == np.asarray(stored.convert("RGB"))).all()
    assert ("turned upright by its EXIF orientation" in photo.notes) is (orientation in back)


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
    photo = read_photo(name, SIZE)
    assert photo.pixels.shape == (32, 32, 3)
    assert abs(int(photo.pixels[16, 16].mean()) - (255 if mode == "1" else 128)) <= 3


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (40, 40), (255, 0, 0, 0)).save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png", SIZE)
    assert corner(photo, 5, 5) == [255, 255, 255]
    assert photo.notes == ("transparency laid on white",)


@pytest.mark.parametrize(
    ("dtype", "ending"), [(np.uint16, "png"), (np.uint16, "tif"), (np.int32, "tif"), (np.float32, "tif")]
)
def test_deep_grey_is_stretched(dtype: type, ending: str, tmp_path: Path) -> None:
    values = np.linspace(1000, 60000, 64 * 64).reshape(64, 64).astype(dtype)
    Image.fromarray(values).save(tmp_path / f"a.{ending}")
    photo = read_photo(tmp_path / f"a.{ending}", (64, 64))
    assert (int(photo.pixels.min()), int(photo.pixels.max())) == (0, 255)
    assert (np.diff(photo.pixels[:, 0, 0].astype(int)) >= 0).all()
    assert "stretched" in photo.notes[0]


def test_values_that_are_no_numbers(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(OptionError, match="not finite"):
        read_photo(tmp_path / "a.tif", SIZE)


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_the_first_frame_of_an_animation(ending: str, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("#ff0000", "#0000ff", "#00ff00")]
    frames[0].save(tmp_path / f"a.{ending}", save_all=True, append_images=frames[1:], lossless=True)
    photo = read_photo(tmp_path / f"a.{ending}", SIZE)
    assert corner(photo, 9, 9) == [255, 0, 0]
    assert "first of 3 frames" in photo.notes


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (3000, 2), (32, 32)])
def test_every_shape_is_read(size: tuple[int, int], tmp_path: Path) -> None:
    Image.new("RGB", size, (10, 200, 30)).save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png", (48, 32))
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
        "empty.png": "empty.png is not a PNG, JPEG, WebP, GIF, BMP or TIFF image: convert it",
        "text.png": "text.png is not a PNG, JPEG, WebP, GIF, BMP or TIFF image: convert it",
        "giant.png": "giant.png has 400,000,000 pixels, at most 178,956,970 are read: shrink it first",
    }.items():
        with pytest.raises(OptionError, match=message) as caught:
            read_photo(tmp_path / name, SIZE)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["EPS", "PDF", "ICNS", "ICO", "PPM", "TGA", "JPEG2000", "PCX", "DDS", "SGI"])
def test_other_formats_are_refused_whatever_their_name(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(64, 64).save(tmp_path / "a.png", kind)
    monkeypatch.setattr("subprocess.Popen", None)  # what calls a program fails otherwise
    monkeypatch.setattr("shutil.which", None)
    with pytest.raises(OptionError, match="is not a PNG, JPEG, WebP, GIF, BMP or TIFF image"):
        read_photo(tmp_path / "a.png", SIZE)


@pytest.mark.parametrize("chunk", ["zTXt", "iTXt", "iCCP"])
def test_a_png_may_carry_much_text(chunk: str, tmp_path: Path) -> None:
    between = {"zTXt": b"\0\0", "iTXt": b"\0\1\0\0\0", "iCCP": b"\0\0"}[chunk]
    body = chunk.encode() + b"name" + between + zlib.compress(bytes(3_000_000))
    picture().save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    more = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    (tmp_path / "a.png").write_bytes(data[:33] + more + data[33:])  # 33: behind the header
    assert read_photo(tmp_path / "a.png", SIZE).size == (60, 40)


def test_a_huge_range_of_values(tmp_path: Path) -> None:
    Image.fromarray(np.array([[-3e38, 3e38], [0, 0]], np.float32)).save(tmp_path / "a.tif")
    assert read_photo(tmp_path / "a.tif", SIZE).pixels.max() == 255


def test_folders_and_files(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg"):
        picture().save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "folder.png").mkdir()
    for name in (".hidden.png", "._a.jpg", "none/._a.jpg"):
        (tmp_path / name).write_bytes(b"a resource fork")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "gone_too.png").symlink_to("nowhere")
    (tmp_path / "circle").symlink_to("circle")
    assert [p.name for p in list_images([tmp_path])] == ["a.jpg", "b.png"]
    for name, message in {
        "none": "contains no image",
        "gone.png": "does not exist",
        "gone_too.png": "does not exist",
        "a.jpg/b.png": "does not exist",
        "circle": "circle cannot be used: Too many levels of symbolic links",
        "x" * 300: "cannot be used: File name too long",
        "a\0b": r"a\\x00b cannot be used: ",
    }.items():
        with pytest.raises(OptionError, match=message):
            list_images([tmp_path / name])


@pytest.mark.parametrize("name", ["pipe", "/dev/zero", "folder", "gone"])
def test_what_is_no_regular_file_is_refused_at_once(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UnreadableImage, match=r"is not a regular file|cannot be read: No such file"):
        read_photo(tmp_path / name, SIZE)


@pytest.mark.parametrize("where", ["stat", "iterdir"])
def test_a_closed_folder_is_one_line(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, where, closed)
        with pytest.raises(OptionError, match=r"closed cannot be (used|read): Permission denied$"):
            list_images([tmp_path / "closed"] if where == "stat" else [made(tmp_path / "closed")])


def made(folder: Path) -> Path:
    """Make a folder."""
    folder.mkdir()
    return folder


def check_middle(width: int, height: int, H: int, W: int) -> None:
    """The box is in the image as Pillow sees it, in fp32 too, and has the input's shape."""
    left, top, right, bottom = crop_middle((width, height), (H, W))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert np.float32(left) >= 0
    assert np.float32(top) >= 0
    assert np.float32(right) <= np.float32(width)
    assert np.float32(bottom) <= np.float32(height)
    assert (right - left) * H == pytest.approx((bottom - top) * W)
    assert (left, right) == (0, width) or (top, bottom) == (0, height)
    assert left == pytest.approx(width - right)
    assert top == pytest.approx(height - bottom)


sides, targets = st.integers(1, 4000), st.integers(32, 2**14)


@given(sides, sides, targets, targets)
@example(1600, 900, 224, 224)
@example(1200, 900, 224, 224)
@example(178_956_970, 1, 224, 224)
@example(1, 178_956_970, 32, 2**14)
def test_the_crop_has_the_shape_of_the_input(width: int, height: int, H: int, W: int) -> None:
    check_middle(width, height, H, W)


@pytest.mark.parametrize("target", [32, 97, 224, 256, 299, 384, 1000])
def test_the_crop_is_inside_the_image_at_many_sizes(target: int) -> None:
    draw = np.random.default_rng(target)
    for width, height in draw.integers(1, 4001, (1000, 2)).tolist():
        check_middle(width, height, target, target)


@given(sides, sides, st.integers(32, 400), st.integers(32, 400), st.data())
def test_pixels_map_in_order_and_all_that_the_range_names(
    width: int, height: int, H: int, W: int, data: st.DataObject
) -> None:
    box = crop_middle((width, height), (H, W))
    pixels = np.zeros((H, W, 3), np.uint8)
    photo = Photo(name="a", size=(width, height), crop=box, pixels=pixels, notes=())
    (left, right), (top, bottom) = pixels_inside(box[0], box[2]), pixels_inside(box[1], box[3])
    assert 0 <= left <= right < width
    assert 0 <= top <= bottom < height
    columns = sorted({left, right, *data.draw(st.lists(st.integers(left, right), max_size=5))})
    across = [locate_query((x, bottom), photo).input[0] for x in columns]
    assert across == sorted(set(across))
    assert 0 <= across[0] <= across[-1] < W
    for x, y in ((left - 1, top), (right + 1, top), (left, top - 1), (left, bottom + 1)):
        with pytest.raises(OptionError, match=f"X must be {left} to {right}, and Y {top} to {bottom}"):
            locate_query((x, y), photo)


@pytest.mark.parametrize(
    "size", [(1600, 900), (1200, 900), (900, 1600), (1, 1), (1, 4000), (4000, 1), (3, 2)]
)
@pytest.mark.parametrize("target", [(224, 224), (97, 97), (299, 299), (32, 320)])
def test_pictures_of_every_shape_are_resized(
    size: tuple[int, int], target: tuple[int, int], tmp_path: Path
) -> None:
    Image.new("RGB", size, (10, 200, 30)).save(tmp_path / "a.png")
    pixels = read_photo(tmp_path / "a.png", target).pixels
    assert pixels.shape == (*target, 3)
    assert (pixels == (10, 200, 30)).all()


def test_queries_are_pixels_of_the_image_as_given(tmp_path: Path) -> None:
    picture(60, 40).save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png", (20, 20))  # 40 x 40 px in the middle, from x = 10
    assert locate_query((10, 0), photo).input == pytest.approx((0.25, 0.25))
    assert locate_query((49, 39), photo).input == pytest.approx((19.75, 19.75))
    assert locate_query((30, 20), photo).input == pytest.approx((10.25, 10.25))
    for query in ((9, 0), (50, 0), (30, 40), (60, 40)):
        with pytest.raises(OptionError, match="X must be 10 to 49, and Y 0 to 39"):
            locate_query(query, photo)


def test_inputs_are_normalised(tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), (255, 0, 51)).save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png", (32, 48))
    about = About(model="", num_classes=1, img_size=(32, 48), mean=(0.5, 0.5, 0.2), std=(0.5, 0.25, 1.0))
    x = make_input(photo, about)
    assert x.shape == (1, 3, 32, 48)
    torch.testing.assert_close(x[0, :, 7, 7], torch.tensor([1.0, -2.0, 0.0]))
    assert make_input(photo, replace(about, in_chans=1)).shape == (1, 1, 32, 48)
