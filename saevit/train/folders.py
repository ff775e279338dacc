"""Folders of images: train/ and val/ with class folders in each, or class folders alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from saevit.errors import OptionError
from saevit.image_files import ENDINGS, read_image
from saevit.train.folder_scan import Found, printable, scan
from saevit.train.held_out import held_out
from saevit.train.image_data import ImageData, Split

if TYPE_CHECKING:
    from PIL.Image import Image

TRAIN = ("train", "training")
VALIDATION = ("val", "validation", "valid", "eval", "test")
MOST_NAMED = 5  # classes in one line


@dataclass(frozen=True, kw_only=True)
class Side:
    """The images of one split."""

    classes: tuple[str, ...]  # of the whole data
    files: tuple[tuple[str, Path], ...]
    found: tuple[Found, ...]  # what they were taken from
    split: str  # how they were chosen: the end of a sentence about the data


def open_folder(folder: Path, split: Split) -> ImageData:
    """Open a folder; class folders alone are split by name, 20 % of each class for validation.

    Classes are in natural order (2 before 10), as timm has them; a class without images keeps its place.

    Raises:
        OptionError: no folder, no class folders, no images, a single class to learn, or classes for
            validation that training lacks.
    """
    shown = printable(str(folder))
    if not folder.is_dir():
        raise OptionError(f"--data {shown} is not a folder: name one with a folder of images for each class")
    side = side_of(folder, split, shown)
    refuse(side, split, shown)
    number = {name: i for i, name in enumerate(side.classes)}
    labels = tuple(number[name] for name, _ in side.files)
    classes = tuple(printable(name) for name in side.classes)
    empty = [name for i, name in enumerate(classes) if i not in set(labels)]
    return ImageData(
        name=str(folder.resolve()),
        split=split,
        class_names=classes,
        labels=labels,
        statement=f"{shown}: {many(len(labels), 'image', 'images')}, "
        f"{many(len(classes), 'class', 'classes')}; {side.split}",
        read=partial(image_of, tuple(path for _, path in side.files)),
        skipped=tuple(problem for found in side.found for problem in found.problems),
        warnings=tuple(warnings_of(side, empty, split)),
    )


def side_of(folder: Path, split: Split, shown: str) -> Side:
    """Choose the images of a split."""
    train, validation = part(folder, TRAIN), part(folder, VALIDATION)
    if train is None and validation is None:
        return of_classes(scan(folder), folder, split)
    if train is None and validation is not None:
        if split == "train":
            raise OptionError(f"--data {shown} has {validation.name}/ but no train/: nothing to train on")
        return whole(scan(validation), f"those of {validation.name}/")
    assert train is not None
    learned = scan(train)
    if validation is None:
        return of_classes(learned, train, split)
    if split == "train":
        return whole(learned, f"those of {train.name}/, with {validation.name}/ for validation")
    tested = scan(validation)
    filled = {name for name, _ in tested.files}
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


def part(folder: Path, names: Sequence[str]) -> Path | None:
    """Return the folder of a split; a class may be called `train` too, but has no folders in it."""
    for name in names:
        path = folder / name
        try:
            if path.is_dir() and any(inner.is_dir() for inner in path.iterdir()):
                return path
        except OSError as error:
            raise OptionError(f"--data {printable(str(path))} cannot be read: {error.strerror}") from error
    return None


def whole(found: Found, split: str) -> Side:
    """Take everything of a folder."""
    return Side(classes=found.classes, files=found.files, found=(found,), split=split)


def of_classes(found: Found, folder: Path, split: Split) -> Side:
    """Split class folders by the names of their files."""
    if split == "all":
        return whole(found, "all there are")
    names = [path.relative_to(folder).as_posix() for _, path in found.files]
    number = {name: i for i, name in enumerate(found.classes)}
    out = held_out(names, [number[name] for name, _ in found.files])
    files = tuple(
        pair for pair, is_out in zip(found.files, out, strict=True) if is_out == (split == "validation")
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
    if split == "train" and len({name for name, _ in side.files}) < 2:
        raise OptionError(
            f"--data {shown} has images of one class only, {printable(side.files[0][0])!r}: "
            "there is nothing to learn, add a second class"
        )


def warnings_of(side: Side, empty: Sequence[str], split: Split) -> list[str]:
    """Say what a user may not expect, one line each."""
    found = []
    if empty:
        found.append(f"{named(empty)} without an image ({split}); each keeps its place among the classes")
    if loose := sum(one.loose for one in side.found):
        found.append(f"{many(loose, 'image', 'images')} beside the class folders, in none of them: left out")
    if others := sum(one.others for one in side.found):
        found.append(
            f"{many(others, 'file', 'files')} without the ending of an image ({', '.join(ENDINGS)}): left out"
        )
    return found


def named(classes: Sequence[str]) -> str:
    """Count classes and name the first ones."""
    first = ", ".join(classes[:MOST_NAMED])
    more = f" and {len(classes) - MOST_NAMED} more" if len(classes) > MOST_NAMED else ""
    return f"class {first}" if len(classes) == 1 else f"{len(classes)} classes ({first}{more})"


def many(number: int, one: str, more: str) -> str:
    """Write a number of things."""
    return f"{number:,} {one if number == 1 else more}"


def image_of(files: Sequence[Path], index: int) -> "Image":
    """Read one image."""
    return read_image(files[index], printable(str(files[index])))[0]
