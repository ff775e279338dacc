"""Transforms of timm from an image to the input of a network, for training and for evaluation."""

from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from torch import Tensor

from saevit.checkpoint import About
from saevit.errors import OptionError, need
from saevit.train.image_data import CROP_PCT
from saevit.train.recipe import Recipe

if TYPE_CHECKING:
    from PIL.Image import Image

MODES = {1: "L", 3: "RGB"}  # Pillow's mode for a number of channels
MAX_ASPECT = 64
Transform = Callable[["Image"], Tensor]


def eval_transform(about: About, crop_pct: float = CROP_PCT) -> Transform:
    """Return timm's transform for evaluation: resize (bicubic), crop in the middle, normalise.

    It maps an image of any mode and size to a tensor (in_chans, H, W); `crop_pct` is that of the `ImageData`.
    """
    return make_transform(about, crop_pct=crop_pct)


def train_transform(about: About, recipe: Recipe) -> Transform:
    """Return timm's transform for training with the recipe: crop, flip, RandAugment, normalise, erase."""
    return make_transform(
        about,
        is_training=True,
        scale=recipe.scale,
        ratio=recipe.ratio,
        hflip=recipe.hflip,
        color_jitter=recipe.color_jitter,
        auto_augment=recipe.aa or None,
        re_prob=recipe.reprob,
        re_mode="pixel",
    )


def make_transform(about: About, **settings: Any) -> Transform:
    """Create timm's transform with the settings, for images of any mode.

    Raises:
        OptionError: the network takes neither one channel nor three.
    """
    if about.in_chans not in MODES:
        raise OptionError(f"images have 1 channel (grey) or 3 (RGB), and the network takes {about.in_chans}")
    transform = need("timm.data").create_transform(
        input_size=(about.in_chans, *about.img_size),
        interpolation="bicubic",
        mean=about.mean,
        std=about.std,
        **settings,
    )
    # timm 1.0.31 posterizes to no bits when the drawn magnitude reaches 10, which Pillow 13 refuses.
    for part in transform.transforms:
        for operation in (*getattr(part, "ops", ()), *chain(*getattr(part, "policy", ()))):
            if operation.name.startswith("Posterize"):
                operation.aug_fn = posterize
    return partial(apply_transform, MODES[about.in_chans], transform)


def posterize(image: "Image", bits: int, **_: object) -> "Image":
    """Keep one to eight bits of each channel."""
    posterized: Image = need("PIL.ImageOps").posterize(image, min(max(bits, 1), 8))
    return posterized


def apply_transform(mode: str, transform: Any, image: "Image") -> Tensor:
    """Convert an image to grey or RGB, then transform it.

    The invisible ends of a very long image are cropped first: resized by its short side, it would fill the
    memory.
    """
    image = image if image.mode == mode else image.convert(mode)
    width, height = image.size
    w, h = min(width, MAX_ASPECT * height), min(height, MAX_ASPECT * width)
    if (w, h) != image.size:
        left, top = (width - w) // 2, (height - h) // 2
        image = image.crop((left, top, left + w, top + h))
    x: Tensor = transform(image)
    return x
