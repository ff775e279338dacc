"""Labelled images with a fingerprint, and a deterministic validation split for data that have none."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

from saevit.text import list_first, plural

if TYPE_CHECKING:
    from PIL.Image import Image

Split = Literal["train", "validation", "all"]
CROP_PCT = 0.875  # timm's `crop_pct` for ImageNet: input size over the size after resizing
VALIDATION_SHARE = 0.2
MAX_NAMED = 5  # classes in one line


@dataclass(frozen=True, kw_only=True)
class DataIdentity:
    """The fingerprint of data and the number of images per class, which describe a later change."""

    fingerprint: str
    images: tuple[tuple[str, int], ...]  # class name, number of images

    def changes(self, now: "DataIdentity") -> str:
        """Describe how the data `now` differ from these; empty if they are the same."""
        if now == self:
            return ""
        old, new = dict(self.images), dict(now.images)
        removed, added = [name for name in old if name not in new], [name for name in new if name not in old]
        changed = ((removed, "removed"), (added, "added"))
        lines = [f"{list_classes(names)} {what}" for names, what in changed if names]
        for name in old:
            if more := new.get(name, old[name]) - old[name]:
                what = "added to" if more > 0 else "removed from"
                lines.append(f"{plural(abs(more), 'image')} {what} class {name}")
        return ", ".join(lines[:MAX_NAMED]) or "files with other names, sizes or classes"


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageData:
    """Labelled images: `data[i]` returns an upright RGB image and its label, `(PIL.Image.Image, int)`.

    Raises:
        UnreadableImage: by indexing, if the image cannot be read.
    """

    name: str  # the source as the user named it
    split: Split
    class_names: tuple[str, ...]  # in the order of the labels
    labels: Sequence[int]
    fingerprint: str  # see `hash_images`
    statement: str  # one line for the user: source, counts, split
    read: Callable[[int], "Image"]
    skipped: tuple[str, ...] = ()  # files that were skipped when the data were opened, one line each
    warnings: tuple[str, ...] = ()  # one line each
    crop_pct: float = CROP_PCT  # for evaluation; 1 for objects that fill the image

    @property
    def num_classes(self) -> int:
        """Count the classes, including those without an image."""
        return len(self.class_names)

    @property
    def identity(self) -> DataIdentity:
        """Return the identity of the data, to detect later changes."""
        images = Counter(self.labels)
        counts = tuple((name, images[i]) for i, name in enumerate(self.class_names))
        return DataIdentity(fingerprint=self.fingerprint, images=counts)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple["Image", int]:
        return self.read(index), self.labels[index]


def hash_images(class_names: Sequence[str], images: Iterable[str]) -> str:
    """Return the fingerprint of data: the SHA-256 of the sorted class names and the sorted images.

    Each image is described by a text: its path in the split's folder and its size in bytes (folders), its
    class and pixels (digits), or its index and class (timm's readers).
    """
    texts = (str(len(class_names)), *sorted(class_names), *sorted(images))
    return sha256("\0\0".join(texts).encode("utf-8", "surrogateescape")).hexdigest()


def hold_out(keys: Sequence[str], labels: Sequence[int], share: float = VALIDATION_SHARE) -> list[bool]:
    """Mark the images that are held out for validation: a `share` of each class, rounded.

    In each class these are the images whose key (a file name or a number) has the lowest SHA-256. The split
    depends on the keys only, so it is the same on every machine. A class with one image is used for training;
    of a larger class, training and validation get at least one image each.
    """
    members: defaultdict[int, list[int]] = defaultdict(list)
    for index, label in enumerate(labels):
        members[label].append(index)
    hashes = [sha256(key.encode("utf-8", "surrogateescape")).digest() for key in keys]
    is_held_out = [False] * len(labels)
    for indices in members.values():
        if len(indices) > 1:
            count = min(max(round(share * len(indices)), 1), len(indices) - 1)
            for index in sorted(indices, key=lambda i: (hashes[i], i))[:count]:
                is_held_out[index] = True
    return is_held_out


def list_classes(names: Sequence[str]) -> str:
    """Write the number of classes and the names of the first ones."""
    first = list_first(names, MAX_NAMED)
    return f"class {first}" if len(names) == 1 else f"{len(names)} classes ({first})"
