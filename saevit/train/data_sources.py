"""Labelled images by the name of their source.

A source that needs no files is a function that returns `ImageData`, and one more entry of `IN_MEMORY`.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from saevit.errors import OptionError, need
from saevit.files import expand, file_type
from saevit.text import printable
from saevit.train.class_folders import open_class_folders
from saevit.train.image_data import ImageData, Split, hash_images, hold_out
from saevit.train.timm_data import open_timm_data, reader_prefix

if TYPE_CHECKING:
    from PIL.Image import Image

DIGITS = "digits"
DIGITS_MAX = 16  # the brightest value of a pixel


def open_data(source: str, split: Split, *, root: Path | None = None) -> ImageData:
    """Open one split of labelled images.

    Args:
        source: a name of `IN_MEMORY` (`digits`, from scikit-learn), a folder with train/ and val/ or
            with one folder per class, or `torch/NAME` or `hfds/NAME` for local data that timm's readers open.
        split: `train`, `validation` or `all`.
        root: `--data-dir`, the folder with the data of timm's readers.

    Raises:
        OptionError: the source does not exist or has no usable images.
        MissingPackageError: a package that the source needs is not installed.
    """
    if source in IN_MEMORY and root is None:
        return IN_MEMORY[source](split)
    folder, name = expand(source), printable(source)
    kind = file_type(folder)
    if kind != "folder" and reader_prefix(source):
        return open_timm_data(source, split, root)
    if root is not None:
        raise OptionError(f"--data-dir is for torch/NAME and hfds/NAME, not for --data {name}")
    if kind == "missing":
        names = " or ".join(IN_MEMORY)
        raise OptionError(f"--data {name} does not exist: name a folder of images, torch/NAME, or {names}")
    if kind != "folder":
        raise OptionError(f"--data {name} is not a folder: name one with a folder of images for each class")
    return open_class_folders(folder, split)


def open_digits(split: Split) -> ImageData:
    """Open scikit-learn's 1,797 digits of 8 x 8 px, with 20 % of each class held out (Alpaydin, UCI, 1998).

    Raises:
        MissingPackageError: scikit-learn is not installed.
    """
    bunch: Any = need("sklearn.datasets", "train").load_digits()
    labels = [int(label) for label in bunch.target]
    held_out = hold_out([str(i) for i in range(len(labels))], labels)
    chosen = [i for i, is_out in enumerate(held_out) if split == "all" or is_out == (split == "validation")]
    pixels = (bunch.images[chosen] * (255 / DIGITS_MAX)).round().astype(np.uint8)  # (N, 8, 8)
    class_names = tuple(str(name) for name in bunch.target_names)
    images = [f"{labels[i]} {image.tobytes().hex()}" for i, image in zip(chosen, pixels, strict=True)]
    return ImageData(
        name=DIGITS,
        split=split,
        class_names=class_names,
        labels=tuple(labels[i] for i in chosen),
        fingerprint=hash_images(class_names, images),
        statement=f"digits: {len(labels):,} handwritten digits of 8 x 8 px from scikit-learn, 10 classes; "
        f"{sum(held_out)} of them, 20 % of each class and always the same, are held out for validation",
        read=partial(read_digit, pixels),
        crop_pct=1.0,
    )


def read_digit(pixels: NDArray[np.uint8], index: int) -> "Image":
    """Return one digit, bright on dark, as an RGB image of 8 x 8 px."""
    image: Image = need("PIL.Image").fromarray(pixels[index]).convert("RGB")
    return image


# The sources that need no files, by name. A folder of the same name is written ./NAME.
IN_MEMORY: dict[str, Callable[[Split], ImageData]] = {DIGITS: open_digits}
