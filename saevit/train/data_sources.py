"""Open labelled images by the name of their source: digits, icons, a folder, or a dataset of timm's readers.

To add a source without files, write a function that returns `ImageData`, and add it to `IN_MEMORY`.
"""

import contextlib
import io
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from saevit.errors import DataError, OptionError, need
from saevit.files import ICONS, expand, file_type
from saevit.images import UnreadableImage, read_image, upright_rgb
from saevit.measure.progress import Tell
from saevit.text import printable
from saevit.train.class_folders import open_class_folders
from saevit.train.icons import ICON_SIZE, open_icons
from saevit.train.image_data import ImageData, Split, hash_images, hold_out

if TYPE_CHECKING:
    from PIL.Image import Image

DIGITS = "digits"
DIGITS_MAX = 16  # the brightest value of a pixel
PREFIXES = ("torch", "hfds")
STREAM_PREFIXES = ("hfids", "tfds", "wds")
OFFLINE_MODULES = ("huggingface_hub.constants", "datasets.config")  # each with HF_HUB_OFFLINE


def open_data(
    source: str,
    split: Split,
    *,
    root: Path | None = None,
    size: int = ICON_SIZE,
    tell: Tell = lambda step: None,
) -> ImageData:
    """Open one split of labelled images.

    Args:
        source: a name of `IN_MEMORY` (`digits`, from scikit-learn), `icons:FILE` with the npm package
            @iconify/json, a folder with train/ and val/ or with one folder per class, or `torch/NAME` or
            `hfds/NAME` for local data that timm's readers open.
        split: `train`, `validation` or `all`.
        root: `--data-dir`, the folder with the data of timm's readers.
        size: side in px of rendered icons; images of other sources have a fixed size.
        tell: called with the progress of rendering icons.

    Raises:
        OptionError: the source does not exist or has no usable images.
        MissingPackageError: a package that the source needs is not installed.
    """
    if source in IN_MEMORY and root is None:
        return IN_MEMORY[source](split)
    if source.startswith(ICONS) and root is None:
        return open_icons(expand(source.removeprefix(ICONS)), split, size=size, tell=tell)
    folder, name = expand(source), printable(source)
    kind = file_type(folder)
    if kind != "folder" and reader_prefix(source):
        return open_timm_data(source, split, root)
    if root is not None:
        raise OptionError(f"--data-dir is for torch/NAME and hfds/NAME, not for --data {name}")
    if kind == "missing":
        names = ", ".join((*IN_MEMORY, f"{ICONS}FILE"))
        raise DataError(f"{name} does not exist: name a folder of images, torch/NAME, or {names}")
    if kind != "folder":
        raise DataError(f"{name} is not a folder: name a folder with one folder of images per class")
    return open_class_folders(folder, split)


def open_digits(split: Split) -> ImageData:
    """Open scikit-learn's 1,797 digits of 8 x 8 px, 20 % of each class held out (Alpaydin, UCI, 1998)."""
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
        statement=f"digits: {len(labels):,} handwritten digits of scikit-learn, 8 x 8 px, 10 classes; a "
        f"fixed 20 % of each class ({sum(held_out)} images) is held out for validation",
        read=partial(read_digit, pixels),
        crop_pct=1.0,
    )


def read_digit(pixels: NDArray[np.uint8], index: int) -> "Image":
    """Return one digit, bright on dark, as an RGB image of 8 x 8 px."""
    image: Image = need("PIL.Image").fromarray(pixels[index]).convert("RGB")
    return image


# The sources without files, by name. To read a folder of the same name, write ./NAME.
IN_MEMORY: dict[str, Callable[[Split], ImageData]] = {DIGITS: open_digits}


def reader_prefix(source: str) -> str | None:
    """Return the prefix that names a timm reader, such as `torch` in `torch/cifar10`; None without one."""
    prefix, slash, _ = source.partition("/")
    return prefix.lower() if slash and prefix.lower() in (*PREFIXES, *STREAM_PREFIXES) else None


def open_timm_data(source: str, split: Split, root: Path | None) -> ImageData:
    """Open `torch/NAME` (torchvision) or `hfds/NAME` (Hugging Face datasets) with `timm.data.create_dataset`.

    NAME of hfds may be a folder of parquet or image files. `root` is the cache of hfds (None: its default).
    """
    prefix = reader_prefix(source)
    if prefix in STREAM_PREFIXES:
        raise DataError(
            f"{source} is a stream, which cannot be read by index: use torch/NAME, hfds/NAME or a folder"
        )
    if split == "all":
        raise OptionError(f"--split all: {source} defines its own splits, choose train or validation")
    if prefix == "torch" and root is None:
        raise DataError(f"{source} needs --data-dir, the folder with the data: nothing is downloaded")
    dataset = create_dataset(source, split, root)
    reader = getattr(dataset, "reader", None)
    names, labels = read_labels(reader) if reader is not None else read_torchvision_labels(dataset, source)
    if not labels:
        raise DataError(f"{source} has no images in its split {split}")
    return ImageData(
        name=source,
        split=split,
        class_names=names,
        labels=labels,
        fingerprint=hash_images(names, [f"{i} {label}" for i, label in enumerate(labels)]),
        statement=f"{source}: {len(labels):,} images, {len(names)} classes; its own split {split}",
        read=partial(read_torchvision_image if reader is None else read_reader_image, dataset, source),
    )


def create_dataset(source: str, split: str, root: Path | None) -> Any:
    """Create the timm dataset of a source, without network access."""
    prefix, _, rest = source.partition("/")
    if prefix.lower() == "hfds":
        need("datasets")
    where = {} if root is None else {"root": str(root)}
    try:
        with hub_offline():
            return need("timm.data").create_dataset(
                f"{prefix.lower()}/{rest}", split=split, download=False, search_split=False, **where
            )
    except OptionError:
        raise
    except Exception as error:  # each reader raises its own errors
        reason = printable(" ".join(str(error).split())[:200] or type(error).__name__)
        place = f" in {printable(str(root))}" if root else ""
        raise DataError(
            f"{printable(source)} cannot be opened{place}, and nothing is downloaded: {reason}"
        ) from error


@contextlib.contextmanager
def hub_offline() -> Iterator[None]:
    """Switch the Hugging Face packages to offline mode, so that they download no data."""
    with contextlib.ExitStack() as stack:
        for module in OFFLINE_MODULES:
            with contextlib.suppress(ImportError):
                settings: Any = need(module)
                stack.callback(setattr, settings, "HF_HUB_OFFLINE", settings.HF_HUB_OFFLINE)
                settings.HF_HUB_OFFLINE = True
        yield


def read_labels(reader: Any) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the class names and the labels of a timm reader."""
    labels = tuple(int(label) for label in reader.iter_targets())
    names = {int(index): str(name) for name, index in reader.class_to_idx.items()}
    count = 1 + max([*names, *labels], default=-1)
    return tuple(printable(names.get(i, str(i))) for i in range(count)), labels


def read_torchvision_labels(dataset: Any, source: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the class names and the labels of a torchvision dataset."""
    targets = getattr(dataset, "targets", None)
    if targets is None:
        raise DataError(f"{source} does not list its labels: name torch/cifar10, torch/mnist, or a folder")
    labels = tuple(int(label) for label in targets)
    names = getattr(dataset, "classes", None) or range(1 + max(labels, default=-1))
    return tuple(printable(name[0] if isinstance(name, tuple) else str(name)) for name in names), labels


def read_torchvision_image(dataset: Any, source: str, index: int) -> "Image":
    """Read an image through a torchvision dataset, which decodes it."""
    try:
        return upright_rgb(dataset[index][0])[0]
    except Exception as error:  # its decoders raise errors of any type
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UnreadableImage(f"{source}, image {index}", f"is broken: {reason}") from error


def read_reader_image(dataset: Any, source: str, index: int) -> "Image":
    """Read an image through a timm reader. (timm's dataset would replace a broken image by the next one.)"""
    name = f"{source}, image {index}"
    try:
        file = dataset.reader[index][0]
    except OSError as error:
        raise UnreadableImage(name, f"cannot be read: {error.strerror or error}") from error
    with file if hasattr(file, "read") else io.BytesIO(file):
        return read_image(file, name)[0]
