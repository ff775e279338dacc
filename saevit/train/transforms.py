"""timm's transforms from an image to the input of a network, for training and for evaluation."""

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

MODES = {1: "L", 3: "RGB"}  # number of channels to Pillow's mode
MAX_ASPECT = 64  # longer images are cropped
Transform = Callable[["Image"], Tensor]


def eval_transform(about: About, crop_pct: float = CROP_PCT) -> Transform:
    """Return timm's transform for evaluation: resize (bicubic), centre crop, normalise.

    The transform maps an image of any mode and size to a tensor (in_chans, H, W). `crop_pct` is a property of
    the data (see `ImageData`).
    """
    return make_transform(about, crop_pct=crop_pct)


def train_transform(about: About, recipe: Recipe) -> Transform:
    """Return timm's transform for training: random crop, flip, RandAugment, normalise, random erasing."""
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
    """Create a timm transform for images of any mode.

    Raises:
        OptionError: the network has neither 1 nor 3 input channels.
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
    # timm 1.0.31 posterizes to 0 bits if the random magnitude reaches 10, and Pillow 13 refuses 0 bits.
    for part in transform.transforms:
        for operation in (*getattr(part, "ops", ()), *chain(*getattr(part, "policy", ()))):
            if operation.name.startswith("Posterize"):
                operation.aug_fn = posterize
    return partial(apply_transform, MODES[about.in_chans], transform)


def posterize(image: "Image", bits: int, **_: object) -> "Image":
    """Posterize an image to at least one and at most eight bits per channel."""
    posterized: Image = need("PIL.ImageOps").posterize(image, min(max(bits, 1), 8))
    return posterized


def apply_transform(mode: str, transform: Any, image: "Image") -> Tensor:
    """Convert an image to grey or RGB, and transform it.

    The ends of a very long image, which the centre crop would remove, are cropped before. Otherwise resizing
    by the short side could fill the memory.
    """
    image = image if image.mode == mode else image.convert(mode)
    width, height = image.size
    w, h = min(width, MAX_ASPECT * height), min(height, MAX_ASPECT * width)
    if (w, h) != image.size:
        left, top = (width - w) // 2, (height - h) // 2
        image = image.crop((left, top, left + w, top + h))
    x: Tensor = transform(image)
    return x
