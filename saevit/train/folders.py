"""Folders of images: train/ and val/ with class folders in each, or class folders alone."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from saevit.errors import OptionError
from saevit.files import as_text
from saevit.images import ENDINGS, read_image
from saevit.text import printable
from saevit.train.folder_scan import Found, ImageFile, folders_in, scan
from saevit.train.held_out import held_out
from saevit.train.image_data import ImageData, Split, fingerprint_of, many, named

if TYPE_CHECKING:
    from PIL.Image import Image

# Names of the splits' folders in any case; of several the first is taken.
TRAIN = ("train", "training")
VALIDATION = ("val", "valid", "validation", "test", "testing", "eval")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which folder is which split; neither: there are class folders alone."""

    train: Path | None = None
    validation: Path | None = None
    aside: tuple[str, ...] = ()  # folders beside them, which are not read


@dataclass(frozen=True, kw_only=True)
class Side:
    """The images of one split."""

    classes: tuple[str, ...]  # of the whole data
    files: tuple[ImageFile, ...]
    found: tuple[Found, ...]  # what they were taken from
    split: str  # how they were chosen: the end of a sentence about the data


def open_folder(folder: Path, split: Split) -> ImageData:
    """Open a folder; class folders alone are split by name, 20 % of each class for validation.

    Classes are in natural order (2 before 10), as timm has them; a class without images keeps its place.

    Raises:
        OptionError: no class folders, no images, a single class to learn, or classes for validation that
            training lacks.
    """
    shown = printable(str(folder))
    layout = layout_of(folder, shown)
    side = side_of(folder, layout, split, shown)
    refuse(side, split, shown)
    number = {name: i for i, name in enumerate(side.classes)}
    labels = tuple(number[file.class_name] for file in side.files)
    classes = tuple(printable(name) for name in side.classes)
    empty = [name for i, name in enumerate(classes) if i not in set(labels)]
    return ImageData(
        name=as_text(folder.resolve()),
        split=split,
        class_names=classes,
        labels=labels,
        fingerprint=fingerprint_of(classes, [f"{file.name}\0{file.size}" for file in side.files]),
        statement=f"{shown}: {many(len(labels), 'image', 'images')}, "
        f"{many(len(classes), 'class', 'classes')}; {side.split}",
        read=partial(image_of, tuple(file.path for file in side.files)),
        skipped=tuple(problem for found in side.found for problem in found.problems),
        warnings=tuple(warnings_of(side, layout, empty, split)),
    )


def layout_of(folder: Path, shown: str) -> Layout:
    """Find the folders of the splits; a class may be called `train` too, but has no folders in it.

    Raises:
        OptionError: a split's folder has no class folders, or class folders have the splits in them.
    """
    folders = folders_in(folder)
    train, validation = (
        [path for name in names for path in folders if path.name.lower() == name]
        for names in (TRAIN, VALIDATION)
    )
    taken = [*train[:1], *validation[:1]]
    splits = {*train, *validation}
    is_split = len(taken) == 2 or splits == set(folders) or any(map(folders_in, splits))
    if not (taken and is_split):
        for path in folders:
            refuse_splits_within(path, shown)
        return Layout()
    for path in taken:
        if not folders_in(path):
            raise OptionError(
                f"--data {shown}: {printable(path.name)}/ has no class folders: put the images of each class "
                "into a folder of its own in it, or rename it"
            )
    aside = tuple(printable(path.name) for path in folders if path not in taken)
    return Layout(train=next(iter(train), None), validation=next(iter(validation), None), aside=aside)


def refuse_splits_within(folder: Path, shown: str) -> None:
    """Refuse a folder that would be read as a class and has both splits in it."""
    names: list[str] = []
    with contextlib.suppress(OptionError):  # what cannot be read is said when its images are looked for
        names = [path.name.lower() for path in folders_in(folder)]
    if {*TRAIN}.intersection(names) and {*VALIDATION}.intersection(names):
        raise OptionError(
            f"--data {shown}: {printable(folder.name)}/ has folders of both splits in it, so it is no class: "
            f"name it, --data {printable(str(folder))}, or put class folders into those of the splits"
        )


def side_of(folder: Path, layout: Layout, split: Split, shown: str) -> Side:
    """Choose the images of a split."""
    train, validation = layout.train, layout.validation
    if train is None and validation is None:
        return of_classes(scan(folder), split)
    if train is None and validation is not None:
        if split == "train":
            raise OptionError(f"--data {shown} has {validation.name}/ but no train/: nothing to train on")
        return whole(scan(validation), f"those of {validation.name}/")
    assert train is not None
    learned = scan(train)
    if validation is None:
        return of_classes(learned, split)
    if split == "train":
        return whole(learned, f"those of {train.name}/, with {validation.name}/ for validation")
    tested = scan(validation)
    filled = {file.class_name for file in tested.files}
    if unknown := [printable(name) for name in sorted(filled.difference(learned.classes))]:
        raise OptionError(
            f"--data {shown}: {named(unknown)} in {validation.name}/ and not in {train.name}/: "
            "a network cannot know a class that it was never shown, remove or add it"
        )
    if split == "validation":
        return Side(
            classes=learned.classes, files=tested.files, found=(tested,), split=f"those of {validation.name}/"
        )
    return Side(
        classes=learned.classes,
        files=(*learned.files, *tested.files),
        found=(learned, tested),
        split=f"those of {train.name}/ and {validation.name}/",
    )


def whole(found: Found, split: str) -> Side:
    """Take everything of a folder."""
    return Side(classes=found.classes, files=found.files, found=(found,), split=split)


def of_classes(found: Found, split: Split) -> Side:
    """Split class folders by the names of their files."""
    if split == "all":
        return whole(found, "all there are")
    number = {name: i for i, name in enumerate(found.classes)}
    out = held_out([file.name for file in found.files], [number[file.class_name] for file in found.files])
    files = tuple(
        file for file, is_out in zip(found.files, out, strict=True) if is_out == (split == "validation")
    )
    what = (
        f"{sum(out):,} of {len(out):,}, 20 % of each class and always the same, are for validation, "
        "as there is no train/ and val/"
    )
    return Side(classes=found.classes, files=files, found=(found,), split=what)


def refuse(side: Side, split: Split, shown: str) -> None:
    """Refuse what nothing can be learned from or tested on."""
    images = f"images ({', '.join(ENDINGS)})"
    if not side.classes:
        loose = sum(found.loose for found in side.found)
        have = f"{many(loose, 'image', 'images')} and no class folders" if loose else "no class folders"
        raise OptionError(
            f"--data {shown} has {have}: put the {images} of each class into a folder of its own"
        )
    if not side.files:
        problems = [problem for found in side.found for problem in found.problems]
        why = f"; {problems[0]}" if problems else ""
        folders = many(len(side.classes), "class folder", "class folders")
        raise OptionError(f"--data {shown} has no {images} in its {folders}{why}")
    if split == "train" and len({file.class_name for file in side.files}) < 2:
        raise OptionError(
            f"--data {shown} has images of one class only, '{printable(side.files[0].class_name)}': "
            "there is nothing to learn, add a second class"
        )


def warnings_of(side: Side, layout: Layout, empty: Sequence[str], split: Split) -> list[str]:
    """Say what a user may not expect, one line each."""
    found = []
    if layout.aside:
        read = [f"{path.name}/" for path in (layout.train, layout.validation) if path]
        found.append(f"{' and '.join(read)} are read; left aside: {', '.join(layout.aside)}")
    if empty:
        found.append(f"{named(empty)} without an image ({split}); each keeps its place among the classes")
    if loose := sum(one.loose for one in side.found):
        found.append(f"{many(loose, 'image', 'images')} beside the class folders, in none of them: left out")
    if others := sum(one.others for one in side.found):
        found.append(
            f"{many(others, 'file', 'files')} without the ending of an image ({', '.join(ENDINGS)}): left out"
        )
    return found


def image_of(files: Sequence[Path], index: int) -> "Image":
    """Read one image."""
    return read_image(files[index], printable(str(files[index])))[0]
