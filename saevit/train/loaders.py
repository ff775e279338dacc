"""From an epoch's plan to batches on their way to the network, the same for any number of workers."""

import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from saevit.checkpoint import About
from saevit.errors import need
from saevit.train.data import ImageData, Inputs, UnreadableImage, channel_mode, drop_unreadable
from saevit.train.randomness import seeded
from saevit.train.recipe import Recipe
from saevit.train.transform import converted

if TYPE_CHECKING:
    from PIL.Image import Image

Sample = tuple[Tensor, int] | UnreadableImage
Batch = tuple[Tensor, Tensor, tuple[UnreadableImage, ...]]  # x (B, C, H, W), labels (B,), what was dropped
Key = tuple[int, int]  # epoch, index


@dataclass(frozen=True, kw_only=True)
class Augmented(Dataset[Sample]):
    """Training images by (epoch, index): what is random about one follows from these and the seed."""

    data: ImageData
    transform: Callable[["Image"], Tensor]
    seed: int

    def __getitem__(self, key: Key) -> Sample:
        epoch, index = key
        with seeded(self.seed, "image", epoch, index):
            return Inputs(self.data, self.transform)[index]


def train_transform(about: About, recipe: Recipe) -> Callable[["Image"], Tensor]:
    """Return timm's training transform of the recipe: crop, mirror, RandAugment, normalise, erase."""
    inner = need("timm.data").create_transform(
        input_size=(about.in_chans, *about.img_size),
        is_training=True,
        scale=recipe.scale,
        ratio=recipe.ratio,
        hflip=recipe.hflip,
        color_jitter=recipe.color_jitter,
        auto_augment=recipe.aa or None,
        interpolation="bicubic",
        mean=about.mean,
        std=about.std,
        re_prob=recipe.reprob,
        re_mode="pixel",
    )
    keep_a_bit(inner)
    return partial(converted, channel_mode(about.in_chans), inner)


def keep_a_bit(inner: Any) -> None:
    """Let RandAugment's strongest posterizing keep one bit.

    timm 1.0.31 asks for none where the drawn magnitude reaches 10, which Pillow 13 refuses.
    """
    for transform in inner.transforms:
        for operation in getattr(transform, "ops", ()):
            if operation.name.startswith("Posterize"):
                operation.aug_fn = posterized


def posterized(image: "Image", bits: int, **_: object) -> "Image":
    """Return the image with so many bits of each channel, one to eight."""
    found: Image = need("PIL.ImageOps").posterize(image, min(max(bits, 1), 8))
    return found


class Plan:
    """The batches that one loader gives next; the loader and its workers stay, the plan changes."""

    def __init__(self) -> None:
        self.batches: Sequence[Sequence[Any]] = ()

    def __iter__(self) -> Iterator[list[Any]]:
        return iter([list(batch) for batch in self.batches])

    def __len__(self) -> int:
        return len(self.batches)


@dataclass(frozen=True, kw_only=True)
class Loader:
    """Batches of a dataset in an order that is given each time."""

    plan: Plan
    inner: DataLoader[Sample]

    def batches(self, plan: Sequence[Sequence[Any]]) -> Generator[Batch, None, None]:
        """Yield one batch for each list of keys."""
        self.plan.batches = plan
        yield from self.inner


def loader(data: Dataset[Sample], *, workers: int, device: torch.device) -> Loader:
    """Return a loader with this many worker processes; 0 reads in this one."""
    plan = Plan()
    inner = DataLoader(
        data,
        batch_sampler=plan,
        num_workers=workers,
        collate_fn=drop_unreadable,
        pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
        worker_init_fn=leave_interrupts if workers else None,
    )
    return Loader(plan=plan, inner=inner)


def leave_interrupts(worker: int) -> None:
    """Let Ctrl-C reach the process that trains, which ends its workers; each computes with one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
