"""Data that timm's readers open where it lies here, torchvision's and Hugging Face's; never a download."""

import contextlib
import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saevit.errors import OptionError, need
from saevit.images import UnreadableImage, read_image, upright_rgb
from saevit.text import printable
from saevit.train.image_data import ImageData, Split, fingerprint_of

if TYPE_CHECKING:
    from PIL.Image import Image

PREFIXES = ("torch", "hfds")
STREAMS = ("hfids", "tfds", "wds")


def prefix_of(source: str) -> str | None:
    """Return the reader that a source names, such as `torch` of `torch/cifar10`; None is no reader's name."""
    prefix, slash, _ = source.partition("/")
    return prefix.lower() if slash and prefix.lower() in (*PREFIXES, *STREAMS) else None


def open_timm(source: str, split: Split, root: Path | None) -> ImageData:
    """Open `torch/NAME` (torchvision) or `hfds/NAME` (Hugging Face datasets) by `timm.data.create_dataset`.

    Args:
        source: `torch/NAME`, or `hfds/NAME` where NAME may be a folder of parquet or image files.
        split: `train` or `validation`; these sets bring their own.
        root: where it lies; for hfds its cache, None is the library's own.

    Raises:
        OptionError: it is not there, has no such split, or can only be read as a stream.
        MissingPackageError: a package that reads it is not installed.
    """
    prefix = prefix_of(source)
    if prefix in STREAMS:
        raise OptionError(
            f"--data {source} is read as a stream, and a split or a seed needs images by number: "
            "name torch/NAME, hfds/NAME or a folder"
        )
    if split == "all":
        raise OptionError(f"--split all: {source} brings its own splits, choose train or validation")
    if prefix == "torch" and root is None:
        raise OptionError(
            f"--data {source} needs --data-dir: the folder in which it lies, nothing is downloaded"
        )
    dataset = created(source, split, root)
    reader = getattr(dataset, "reader", None)
    names, labels = of_reader(reader) if reader is not None else of_torchvision(dataset, source)
    if not labels:
        raise OptionError(f"--data {source} has no images in its split {split}")
    return ImageData(
        name=source,
        split=split,
        class_names=names,
        labels=labels,
        fingerprint=fingerprint_of(names, [f"{i} {label}" for i, label in enumerate(labels)]),
        statement=f"{source}: {len(labels):,} images, {len(names)} classes; its own split {split}",
        read=partial(from_torchvision if reader is None else from_reader, dataset, source),
    )


def created(source: str, split: str, root: Path | None) -> Any:
    """Open it by timm."""
    name = printable(source)
    if source.lower().startswith("hfds/"):
        need("datasets")
    where = {} if root is None else {"root": str(root)}
    prefix, _, rest = source.partition("/")
    try:
        with offline():
            return need("timm.data").create_dataset(
                f"{prefix.lower()}/{rest}", split=split, download=False, search_split=False, **where
            )
    except OptionError:
        raise
    except Exception as error:  # each reader has errors of its own
        said = " ".join(str(error).split())[:200] or type(error).__name__
        place = f" in {printable(str(root))}" if root else ""
        raise OptionError(
            f"--data {name} cannot be opened{place}, and nothing is downloaded: {printable(said)}"
        ) from error


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Keep Hugging Face's packages from the network: theirs would download what is not there."""
    with contextlib.ExitStack() as stack:
        for module, name in (
            ("huggingface_hub.constants", "HF_HUB_OFFLINE"),
            ("datasets.config", "HF_HUB_OFFLINE"),
        ):
            with contextlib.suppress(ImportError):
                settings: Any = need(module)
                stack.callback(setattr, settings, name, getattr(settings, name))
                setattr(settings, name, True)
        yield


def of_reader(reader: Any) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return class names and labels of one of timm's readers."""
    labels = tuple(int(label) for label in reader.iter_targets())
    known = {int(index): str(name) for name, index in reader.class_to_idx.items()}
    count = 1 + max([*known, *labels], default=-1)
    return tuple(printable(known.get(i, str(i))) for i in range(count)), labels


def of_torchvision(dataset: Any, source: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return class names and labels of one of torchvision's datasets."""
    targets = getattr(dataset, "targets", None)
    if targets is None:
        raise OptionError(
            f"--data {source} does not list its labels: name torch/cifar10, torch/mnist, or a folder"
        )
    labels = tuple(int(label) for label in targets)
    given = getattr(dataset, "classes", None) or range(1 + max(labels, default=-1))
    return tuple(printable(name[0] if isinstance(name, tuple) else str(name)) for name in given), labels


def from_torchvision(dataset: Any, source: str, index: int) -> "Image":
    """Read an image through torchvision, which decodes it itself."""
    try:
        return upright_rgb(dataset[index][0])[0]
    except Exception as error:  # whatever its decoder raises
        said = str(error).partition("\n")[0] or type(error).__name__
        raise UnreadableImage(f"{source}, image {index}", f"is broken: {said}") from error


def from_reader(dataset: Any, source: str, index: int) -> "Image":
    """Read an image's bytes through timm; its dataset would put the next image in a broken one's place."""
    name = f"{source}, image {index}"
    try:
        file = dataset.reader[index][0]
    except OSError as error:
        raise UnreadableImage(name, f"cannot be read: {error.strerror or error}") from error
    with file if hasattr(file, "read") else io.BytesIO(file):
        return read_image(file, name)[0]
