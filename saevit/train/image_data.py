"""Labelled images as a map-style dataset that says where it is from, and images that turn out broken."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor
from torch.utils.data import Dataset

from saevit.image_files import UnreadableImage

if TYPE_CHECKING:
    from PIL.Image import Image

Split = Literal["train", "validation", "all"]
CROP_PCT = 0.875  # share of the resized side that evaluation keeps, timm's and ImageNet's usual one


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageData(Dataset[tuple["Image", int]]):
    """Images with labels: `data[i]` is an upright RGB image, `(PIL.Image.Image, int)`.

    Reading raises UnreadableImage for an image that cannot be read.
    """

    name: str  # the source as the user named it
    split: Split
    class_names: tuple[str, ...]  # in the order of the labels
    labels: Sequence[int]
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

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple["Image", int]:
        return self.read(index), self.labels[index]


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
        except UnreadableImage as error:
            return error
        return self.transform(image), label


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
