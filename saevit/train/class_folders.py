"""Image folders: train/ and val/ with one folder per class in each, or class folders without a split."""

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, NamedTuple

from saevit.errors import DataError, OptionError
from saevit.files import as_text, unusable
from saevit.images import ENDINGS, read_image
from saevit.text import plural, printable
from saevit.train.image_data import ImageData, Split, hash_images, hold_out, list_classes

if TYPE_CHECKING:
    from PIL.Image import Image

# Names of the splits' folders in any case; if a folder has several, the first is used.
TRAIN_NAMES = ("train", "training")
VALIDATION_NAMES = ("val", "valid", "validation", "test", "testing", "eval")


class ImageFile(NamedTuple):
    """One image in a class folder."""

    class_name: str
    name: str  # relative to the folder of the classes
    path: Path
    size: int  # bytes


@dataclass(frozen=True, kw_only=True)
class FolderScan:
    """The contents of a folder of class folders."""

    classes: tuple[str, ...]  # folder names in natural order (2 before 10), including empty classes
    files: tuple[ImageFile, ...]  # sorted by class, then by name
    problems: tuple[str, ...]  # folders and links that cannot be read, one line each
    others: int  # number of files that have no image extension
    loose: int  # number of images outside the class folders


def open_class_folders(folder: Path, split: Split) -> ImageData:
    """Open one split of an image folder.

    Without train/ and val/, 20 % of each class are held out for validation (see `hold_out`). Labels are in
    the natural order of the class names, as in timm. A class without images keeps its label.
    """
    source = printable(str(folder))
    train, validation = find_splits(folder, source)
    scan, description = select_images(folder, train, validation, split, source)
    check_images(scan, split, source)
    label_of = {name: i for i, name in enumerate(scan.classes)}
    labels = tuple(label_of[file.class_name] for file in scan.files)
    classes = tuple(printable(name) for name in scan.classes)
    return ImageData(
        name=as_text(folder.resolve()),
        split=split,
        class_names=classes,
        labels=labels,
        fingerprint=hash_images(classes, [f"{file.name}\0{file.size}" for file in scan.files]),
        statement=f"{source}: {plural(len(labels), 'image')}, "
        f"{plural(len(classes), 'class', 'classes')}; {description}",
        read=partial(read_file, tuple(file.path for file in scan.files)),
        skipped=scan.problems,
        warnings=(
            *list_unused_folders(folder, train, validation),
            *list_warnings(scan, [name for i, name in enumerate(classes) if i not in set(labels)], split),
        ),
    )


def find_splits(folder: Path, source: str) -> tuple[Path | None, Path | None]:
    """Return the folders of the training and the validation images; both are None without a split.

    A folder with the name of a split is a class if it contains no folders.
    """
    folders = list_folders(folder)
    train, validation = (
        [path for name in names for path in folders if path.name.lower() == name]
        for names in (TRAIN_NAMES, VALIDATION_NAMES)
    )
    used = [*train[:1], *validation[:1]]
    splits = {*train, *validation}
    is_split = len(used) == 2 or splits == set(folders) or any(map(list_folders, splits))
    if not (used and is_split):
        for path in folders:
            check_class_folder(path, source)
        return None, None
    for path in used:
        if not list_folders(path):
            raise DataError(
                f"{source}: {printable(path.name)}/ has no class folders: put the images of each "
                "class into a folder in it, or rename it"
            )
    return next(iter(train), None), next(iter(validation), None)


def check_class_folder(folder: Path, source: str) -> None:
    """Raise DataError if a class folder contains both splits, because it is then a separate dataset."""
    names: list[str] = []
    with contextlib.suppress(OptionError):  # the scan for images reports an unreadable folder
        names = [path.name.lower() for path in list_folders(folder)]
    if {*TRAIN_NAMES}.intersection(names) and {*VALIDATION_NAMES}.intersection(names):
        raise DataError(
            f"{source}: {printable(folder.name)}/ contains the folders of two splits, so it is "
            f"not a class: use --data {printable(str(folder))}, or put the class folders into train/ and val/"
        )


def select_images(
    folder: Path, train: Path | None, validation: Path | None, split: Split, source: str
) -> tuple[FolderScan, str]:
    """Return the images of a split, and a phrase for the user that says where they are from."""
    if train is None and validation is None:
        return split_classes(scan_folder(folder), split)
    if train is None and validation is not None:
        if split == "train":
            raise DataError(f"{source} has {validation.name}/ but no train/: there are no training images")
        return scan_folder(validation), f"from {validation.name}/"
    assert train is not None
    train_scan = scan_folder(train)
    if validation is None:
        return split_classes(train_scan, split)
    if split == "train":
        return train_scan, f"from {train.name}/, with {validation.name}/ for validation"
    val_scan = scan_folder(validation)
    if unknown := sorted({file.class_name for file in val_scan.files}.difference(train_scan.classes)):
        raise DataError(
            f"{source}: {list_classes([printable(name) for name in unknown])} in {validation.name}/ "
            f"and not in {train.name}/: add training images of every class, or remove the class"
        )
    if split == "validation":
        return replace(val_scan, classes=train_scan.classes), f"from {validation.name}/"
    both = FolderScan(
        classes=train_scan.classes,
        files=train_scan.files + val_scan.files,
        problems=train_scan.problems + val_scan.problems,
        others=train_scan.others + val_scan.others,
        loose=train_scan.loose + val_scan.loose,
    )
    return both, f"from {train.name}/ and {validation.name}/"


def split_classes(scan: FolderScan, split: Split) -> tuple[FolderScan, str]:
    """Select the images of a split from class folders that have no split of their own."""
    if split == "all":
        return scan, "all images"
    label_of = {name: i for i, name in enumerate(scan.classes)}
    held_out = hold_out(
        [file.name for file in scan.files], [label_of[file.class_name] for file in scan.files]
    )
    pairs = zip(scan.files, held_out, strict=True)
    files = tuple(file for file, is_out in pairs if is_out == (split == "validation"))
    return replace(scan, files=files), (
        f"a fixed 20 % of each class ({sum(held_out):,} of {len(held_out):,} images) is for validation, "
        "because there is no train/ and val/"
    )


def check_images(scan: FolderScan, split: Split, source: str) -> None:
    """Raise DataError unless there are class folders with images, and two classes or more for training."""
    images = f"images ({', '.join(ENDINGS)})"
    if not scan.classes:
        contents = f"{plural(scan.loose, 'image')} and " if scan.loose else ""
        raise DataError(
            f"{source} has {contents}no class folders: put the {images} of each class into a folder"
        )
    if not scan.files:
        problem = f"; {scan.problems[0]}" if scan.problems else ""
        folders = plural(len(scan.classes), "class folder")
        raise DataError(f"{source} has no {images} in its {folders}{problem}")
    if split == "train" and len({file.class_name for file in scan.files}) < 2:
        raise DataError(
            f"{source} has images of one class only, '{printable(scan.files[0].class_name)}': "
            "training needs two or more classes, add a second one"
        )


def list_unused_folders(folder: Path, train: Path | None, validation: Path | None) -> list[str]:
    """Return a warning that names the folders beside train/ and val/, which are not read."""
    used = [path for path in (train, validation) if path]
    unused = [printable(path.name) for path in list_folders(folder) if used and path not in used]
    read, verb = " and ".join(f"{path.name}/" for path in used), "are" if len(used) > 1 else "is"
    return [f"only {read} {verb} read; ignored: {', '.join(unused)}"] if unused else []


def list_warnings(scan: FolderScan, empty: Sequence[str], split: Split) -> Iterator[str]:
    """Yield warnings about classes without images and about files that are not read."""
    if empty:
        yield f"no {split} images of {list_classes(empty)}; the labels of the other classes do not change"
    if scan.loose:
        yield f"{plural(scan.loose, 'image')} outside the class folders: ignored"
    if scan.others:
        files = plural(scan.others, "file")
        yield f"{files} without the extension of an image ({', '.join(ENDINGS)}): ignored"


def read_file(files: Sequence[Path], index: int) -> "Image":
    """Read one image."""
    return read_image(files[index], printable(str(files[index])))[0]


def scan_folder(folder: Path) -> FolderScan:
    """Find the images at any depth in each class folder. Follow links and skip hidden files."""
    problems: list[str] = []
    classes = list_folders(folder)
    files: list[ImageFile] = []
    others = 0
    for path in classes:
        for file, size in walk_files(path, os.path.realpath(folder), problems):
            if file.suffix.lower() in ENDINGS:
                files.append(ImageFile(path.name, file.relative_to(folder).as_posix(), file, size))
            else:
                others += 1
    beside = set(list_visible(folder)).difference(classes)
    loose = sum(path.suffix.lower() in ENDINGS for path in beside)
    return FolderScan(
        classes=tuple(path.name for path in classes),
        files=tuple(files),
        problems=tuple(problems),
        others=others + len(beside) - loose,
        loose=loose,
    )


def list_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder in natural order, without hidden folders and broken links."""
    folders = []
    try:
        for path in list_visible(folder):
            try:
                if S_ISDIR(path.stat().st_mode):
                    folders.append(path)
            except PermissionError:
                raise
            except OSError:  # a broken link
                continue
    except OSError as error:
        raise unusable(folder, error, "read") from error
    return folders


def list_visible(folder: Path) -> list[Path]:
    """Return the contents of a folder without hidden files, in natural order (2 before 10)."""

    def natural_key(path: Path) -> tuple[list[str | int], str]:
        parts = re.split(r"(\d+)", path.name.lower())
        return [int(part) if i % 2 else part for i, part in enumerate(parts)], path.name

    return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=natural_key)


def walk_files(folder: Path, above: str, problems: list[str]) -> Iterator[tuple[Path, int]]:
    """Yield the files below a class folder in natural order, with their sizes in bytes.

    Args:
        folder: the class folder.
        above: the real path of its parent; a link to a folder above the link is not followed.
        problems: receives one line for each path that cannot be read.
    """
    waiting: list[tuple[Path, tuple[str, ...]]] = [(folder, (above,))]  # each with its parent folders
    while waiting:
        path, parents = waiting.pop()
        name = printable(str(path))
        try:
            status = path.stat()
            if S_ISREG(status.st_mode):
                yield path, status.st_size
            elif not S_ISDIR(status.st_mode):
                raise FileNotFoundError
            elif (real := os.path.realpath(path)) in parents:
                problems.append(f"{name} is a link to a folder above it")
            else:
                waiting += [(inner, (*parents, real)) for inner in reversed(list_visible(path))]
        except FileNotFoundError:
            problems.append(f"{name} is a broken link or not a regular file")
        except OSError as error:
            problems.append(str(unusable(path, error, "read")))
