"""Labelled images with a fingerprint, and the fixed validation split of data without one."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

from saevit.text import plural

if TYPE_CHECKING:
    from PIL.Image import Image

Split = Literal["train", "validation", "all"]
CROP_PCT = 0.875  # share of the resized side that evaluation keeps, the default of timm and ImageNet
VALIDATION_SHARE = 0.2
MAX_NAMED = 5  # classes in one line


@dataclass(frozen=True, kw_only=True)
class DataIdentity:
    """Identifies data, with enough detail to describe a change."""

    fingerprint: str
    images: tuple[tuple[str, int], ...]  # each class with its number of images

    def changes(self, now: "DataIdentity") -> str:
        """Describe how `now` differs; empty if it does not."""
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
    """Images with labels: `data[i]` is an upright RGB image and its label, `(PIL.Image.Image, int)`.

    Indexing raises UnreadableImage if the image cannot be read.
    """

    name: str  # the source as the user named it
    split: Split
    class_names: tuple[str, ...]  # in the order of the labels
    labels: Sequence[int]
    fingerprint: str  # see `hash_images`
    statement: str  # one line for the user: source, counts, split
    read: Callable[[int], "Image"]
    skipped: tuple[str, ...] = ()  # files skipped when the data were opened, one line each
    warnings: tuple[str, ...] = ()  # one line each
    crop_pct: float = CROP_PCT  # share of the resized side that evaluation keeps; 1 if objects fill the image

    @property
    def num_classes(self) -> int:
        """Count the classes, including those without an image."""
        return len(self.class_names)

    @property
    def identity(self) -> DataIdentity:
        """Return what a later opening of the same data is compared with."""
        images = Counter(self.labels)
        counts = tuple((name, images[i]) for i, name in enumerate(self.class_names))
        return DataIdentity(fingerprint=self.fingerprint, images=counts)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple["Image", int]:
        return self.read(index), self.labels[index]


def hash_images(class_names: Sequence[str], images: Iterable[str]) -> str:
    """Return the fingerprint of data: the SHA-256 of class names and images, each sorted.

    An image is a text from its source: for a folder, the name below the split's folder and the size in bytes;
    for the digits, class and pixels; for timm's readers, index and class.
    """
    texts = (str(len(class_names)), *sorted(class_names), *sorted(images))
    return sha256("\0\0".join(texts).encode("utf-8", "surrogateescape")).hexdigest()


def hold_out(keys: Sequence[str], labels: Sequence[int], share: float = VALIDATION_SHARE) -> list[bool]:
    """Mark the images held out for validation: `share` of each class, rounded.

    In each class the images whose key (a file name or a number) has the lowest SHA-256 are held out. The
    split therefore depends only on the keys, and is the same on every machine. A class of one image keeps it
    for training; in a larger class, each side gets at least one image.
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
    """Write the number of classes and the first names."""
    first = ", ".join(names[:MAX_NAMED])
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f"class {first}" if len(names) == 1 else f"{len(names)} classes ({first}{more})"
