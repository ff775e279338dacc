"""Labelled images as a map-style dataset that says where it is from, and images that turn out broken."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor
from torch.utils.data import Dataset

from saevit.images import UnreadableImage

if TYPE_CHECKING:
    from PIL.Image import Image

Split = Literal["train", "validation", "all"]
CROP_PCT = 0.875  # share of the resized side that evaluation keeps, timm's and ImageNet's usual one
MOST_NAMED = 5  # classes in one line


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageData(Dataset[tuple["Image", int]]):
    """Images with labels: `data[i]` is an upright RGB image, `(PIL.Image.Image, int)`.

    Reading raises UnreadableImage for an image that cannot be read.
    """

    name: str  # the source as the user named it
    split: Split
    class_names: tuple[str, ...]  # in the order of the labels
    labels: Sequence[int]
    fingerprint: str  # of class names and of images, whatever their order; see `fingerprint_of`
    statement: str  # one line for the user: what, how many, how split
    read: Callable[[int], "Image"]
    skipped: tuple[str, ...] = ()  # files left out on opening: one line each
    warnings: tuple[str, ...] = ()  # one line each, such as a class without images
    crop_pct: float = (
        CROP_PCT  # share of the resized side that evaluation keeps; 1 where objects fill the image
    )

    @property
    def num_classes(self) -> int:
        """Classes, those without an image included."""
        return len(self.class_names)

    @property
    def identity(self) -> "Identity":
        """What makes the data the same."""
        images = Counter(self.labels)
        counts = tuple((name, images[i]) for i, name in enumerate(self.class_names))
        return Identity(fingerprint=self.fingerprint, images=counts)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple["Image", int]:
        return self.read(index), self.labels[index]


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What makes data the same, and enough to say what changed."""

    fingerprint: str
    images: tuple[tuple[str, int], ...]  # each class with its number of images

    def changes(self, now: "Identity") -> str:
        """Say what is different now; empty: nothing."""
        if now == self:
            return ""
        old, new = dict(self.images), dict(now.images)
        gone, come = ([name for name in one if name not in other] for one, other in ((old, new), (new, old)))
        said = [f"{named(names)} {what}" for names, what in ((gone, "removed"), (come, "added")) if names]
        for name in old:
            if more := new.get(name, old[name]) - old[name]:
                what = "added to" if more > 0 else "removed from"
                said.append(f"{many(abs(more), 'image', 'images')} {what} class {name}")
        return ", ".join(said[:MOST_NAMED]) or "files with other names, sizes or classes"


def fingerprint_of(class_names: Sequence[str], images: Iterable[str]) -> str:
    """Return the SHA-256 of class names and images, each sorted.

    An image is what its source knows of it: in a folder its name from the split's folder on and its size in
    bytes, of the digits class and pixels, of a dataset of timm's readers number and class.
    """
    texts = (str(len(class_names)), *sorted(class_names), *sorted(images))
    return sha256("\0\0".join(texts).encode("utf-8", "surrogateescape")).hexdigest()


def named(classes: Sequence[str]) -> str:
    """Count classes and name the first ones."""
    first = ", ".join(classes[:MOST_NAMED])
    more = f" and {len(classes) - MOST_NAMED} more" if len(classes) > MOST_NAMED else ""
    return f"class {first}" if len(classes) == 1 else f"{len(classes)} classes ({first}{more})"


def many(number: int, one: str, more: str) -> str:
    """Write a number of things."""
    return f"{number:,} {one if number == 1 else more}"


@dataclass(frozen=True)
class Inputs(Dataset["tuple[Tensor, int] | UnreadableImage"]):
    """The same data as a network takes it; what cannot be read is returned as its error, not raised."""

    data: ImageData
    transform: Callable[["Image"], Tensor]

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> "tuple[Tensor, int] | UnreadableImage":
        try:
            image, label = self.data[index]
            return self.transform(image), label
        except UnreadableImage as error:
            return error
        except Exception as error:  # of Pillow's operations, whatever they do not take
            return UnreadableImage(f"{self.data.name}, image {index}", f"cannot be transformed: {error!r}")


def drop_unreadable(
    samples: Sequence["tuple[Tensor, int] | UnreadableImage"],
) -> tuple[Tensor, Tensor, tuple[UnreadableImage, ...]]:
    """Collate what `Inputs` gives: x (B, C, H, W), labels (B,) int64, and what was dropped.

    B is smaller by the number dropped; 0 (x of shape (0,)) where no image could be read.
    """
    good = [sample for sample in samples if not isinstance(sample, UnreadableImage)]
    dropped = tuple(sample for sample in samples if isinstance(sample, UnreadableImage))
    x = torch.stack([image for image, _ in good]) if good else torch.empty(0)
    return x, torch.tensor([label for _, label in good], dtype=torch.int64), dropped
