"""From an image to what a network takes, as it is evaluated."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from saevit.errors import OptionError, need
from saevit.train.image_data import CROP_PCT

if TYPE_CHECKING:
    from PIL.Image import Image

MODES = {1: "L", 3: "RGB"}
INTERPOLATION = "bicubic"
MOST_ASPECT = 64


class Input(Protocol):
    """What a network takes: `saevit.checkpoint.About` is one."""

    @property
    def img_size(self) -> tuple[int, int]:
        """Height and width, px."""

    @property
    def mean(self) -> tuple[float, ...]:
        """Subtracted from each channel, of values in [0, 1]."""

    @property
    def std(self) -> tuple[float, ...]:
        """Divides each channel after that."""

    @property
    def in_chans(self) -> int:
        """Channels: 1 (grey) or 3 (RGB)."""


def channel_mode(in_chans: int) -> str:
    """Return Pillow's mode for a number of channels.

    Raises:
        OptionError: images have one channel or three.
    """
    if in_chans not in MODES:
        raise OptionError(f"images have 1 channel (grey) or 3 (RGB), and the network takes {in_chans}")
    return MODES[in_chans]


def eval_transform(about: Input, crop_pct: float = CROP_PCT) -> Callable[["Image"], Tensor]:
    """Return timm's evaluation transform: resized (bicubic), cropped in the middle, normalised.

    Args:
        about: img_size (H, W), mean, std and in_chans of the network.
        crop_pct: share of the resized side that the crop keeps; `ImageData.crop_pct`.

    Returns:
        A function from an image of any mode and size to a tensor (in_chans, H, W).

    Raises:
        OptionError: the network takes neither one channel nor three.
    """
    mode = channel_mode(about.in_chans)
    inner = need("timm.data").create_transform(
        input_size=(about.in_chans, *about.img_size),
        interpolation=INTERPOLATION,
        mean=about.mean,
        std=about.std,
        crop_pct=crop_pct,
    )
    return partial(converted, mode, inner)


def converted(mode: str, inner: Any, image: "Image") -> Tensor:
    """Convert an image to grey or RGB, then transform it."""
    x: Tensor = inner(without_ends(image if image.mode == mode else image.convert(mode)))
    return x


def without_ends(image: "Image") -> "Image":
    """Cut off what is never seen of a very long image: resized by its short side it would fill the memory."""
    width, height = image.size
    w, h = min(width, MOST_ASPECT * height), min(height, MOST_ASPECT * width)
    left, top = (width - w) // 2, (height - h) // 2
    return image if (w, h) == image.size else image.crop((left, top, left + w, top + h))
