"""The handwritten digits that scikit-learn ships: real data without a download."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from saevit.errors import need
from saevit.train.held_out import held_out
from saevit.train.image_data import ImageData, Split, fingerprint_of

if TYPE_CHECKING:
    from PIL.Image import Image

BRIGHTEST = 16  # the set counts dark pixels in 4 x 4 blocks of a scan


def open_digits(split: Split) -> ImageData:
    """Return 1,797 digits of 8 x 8 px, 20 % of each class held out (E. Alpaydin, C. Kaynak, UCI, 1998).

    Raises:
        MissingPackageError: scikit-learn is not installed.
    """
    bunch: Any = need("sklearn.datasets", "train").load_digits()
    labels = [int(label) for label in bunch.target]
    validation = held_out([str(i) for i in range(len(labels))], labels)
    kept = [i for i, out in enumerate(validation) if split == "all" or out == (split == "validation")]
    pixels = (bunch.images[kept] * (255 / BRIGHTEST)).round().astype(np.uint8)  # (N, 8, 8)
    statement = (
        f"digits: {len(labels):,} handwritten digits of 8 x 8 px that scikit-learn ships, 10 classes; "
        f"{sum(validation)} of them, 20 % of each class and always the same, held out for validation"
    )
    class_names = tuple(str(name) for name in bunch.target_names)
    images = [f"{labels[i]} {image.tobytes().hex()}" for i, image in zip(kept, pixels, strict=True)]
    return ImageData(
        name="digits",
        split=split,
        class_names=class_names,
        labels=tuple(labels[i] for i in kept),
        fingerprint=fingerprint_of(class_names, images),
        statement=statement,
        read=partial(digit, pixels),
        crop_pct=1.0,
    )


def digit(pixels: NDArray[np.uint8], index: int) -> "Image":
    """Return one digit, bright on dark, as an RGB image of 8 x 8 px."""
    module: Any = need("PIL.Image")
    image: Image = module.fromarray(pixels[index]).convert("RGB")
    return image
