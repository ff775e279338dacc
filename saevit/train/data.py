"""Open labelled images by the name that the user gives them."""

from pathlib import Path

from saevit.errors import OptionError
from saevit.files import expand, file_type
from saevit.images import UnreadableImage
from saevit.text import printable
from saevit.train.folders import open_folder
from saevit.train.image_data import ImageData, Inputs, Split, drop_unreadable
from saevit.train.timm_data import open_timm, prefix_of
from saevit.train.transform import channel_mode, eval_transform

__all__ = [
    "DIGITS",
    "ImageData",
    "Inputs",
    "Split",
    "UnreadableImage",
    "channel_mode",
    "drop_unreadable",
    "eval_transform",
    "open_data",
]

DIGITS = "digits"


def open_data(source: str, split: Split, *, root: Path | None = None) -> ImageData:
    """Open one split of labelled images.

    Args:
        source: `digits` (scikit-learn's), a folder with train/ and val/ or with class folders alone, or
            `torch/NAME` or `hfds/NAME` as timm's readers name data that lies here.
        split: `train`, `validation` or `all`.
        root: `--data-dir`, where data of timm's readers lies.

    Raises:
        OptionError: no such data or nothing in it, in one line that names what there is.
        MissingPackageError: a package that reads it is not installed.
    """
    if source == DIGITS and root is None:
        from saevit.train.digits import open_digits

        return open_digits(split)
    folder, shown = expand(source), printable(source)
    kind = file_type(folder)
    if kind != "folder" and prefix_of(source):
        return open_timm(source, split, root)
    if root is not None:
        raise OptionError(f"--data-dir is for torch/NAME and hfds/NAME: --data {shown} is none of them")
    if kind == "missing":
        raise OptionError(f"--data {shown} does not exist: name a folder of images, torch/NAME, or digits")
    if kind != "folder":
        raise OptionError(f"--data {shown} is not a folder: name one with a folder of images for each class")
    return open_folder(folder, split)
