"""Find the images of class folders: whatever lies in a class folder, at any depth, is of that class."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import NamedTuple

from saevit.files import unusable
from saevit.images import ENDINGS
from saevit.text import printable


class ImageFile(NamedTuple):
    """One image in a class folder."""

    class_name: str
    name: str  # from the folder of the classes on
    path: Path
    size: int  # bytes


@dataclass(frozen=True, kw_only=True)
class Found:
    """What lies in one folder of class folders."""

    classes: tuple[str, ...]  # names of the folders, in natural order (2 before 10), empty ones too
    files: tuple[ImageFile, ...]  # by class and then by name
    problems: tuple[str, ...]  # folders and links that could not be followed, one line each
    others: int  # files that are no images by their ending
    loose: int  # images that lie beside the class folders, in none of them


def scan(folder: Path) -> Found:
    """Find the images in each folder of `folder`; links are followed, hidden files left aside.

    Raises:
        OptionError: the folder cannot be read.
    """
    problems: list[str] = []
    classes = folders_in(folder)
    files: list[ImageFile] = []
    others = 0
    for path in classes:
        for file, size in files_in(path, os.path.realpath(folder), problems):
            if file.suffix.lower() in ENDINGS:
                files.append(ImageFile(path.name, file.relative_to(folder).as_posix(), file, size))
            else:
                others += 1
    beside = set(visible(folder)).difference(classes)
    loose = sum(path.suffix.lower() in ENDINGS for path in beside)
    return Found(
        classes=tuple(path.name for path in classes),
        files=tuple(files),
        problems=tuple(problems),
        others=others + len(beside) - loose,
        loose=loose,
    )


def folders_in(folder: Path) -> list[Path]:
    """Return the visible folders in a folder, in natural order.

    Raises:
        OptionError: the folder cannot be read.
    """
    try:
        return [path for path in visible(folder) if is_folder(path)]
    except OSError as error:
        raise unusable(folder, error, "read") from error


def is_folder(path: Path) -> bool:
    """Tell whether a path leads to a folder; a link that leads nowhere does not."""
    try:
        return S_ISDIR(path.stat().st_mode)
    except PermissionError:  # what it is cannot be told
        raise
    except OSError:
        return False


def visible(folder: Path) -> list[Path]:
    """Return what is in a folder, in natural order, hidden files left aside."""
    return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=natural_key)


def natural_key(path: Path) -> tuple[list[str | int], str]:
    """Return a key that puts 2 before 10; what differs in case alone is in the order of its letters."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], path.name


def files_in(folder: Path, above: str, problems: list[str]) -> Iterator[tuple[Path, int]]:
    """Yield the files below a folder by name, with their sizes; a link to a folder above it would never end.

    Args:
        folder: a class folder.
        above: the real path of the one that it is in.
        problems: takes a line for each that cannot be followed.
    """
    waiting: list[tuple[Path, tuple[str, ...]]] = [(folder, (above,))]  # with the folders above
    while waiting:
        path, parents = waiting.pop()
        shown = printable(str(path))
        try:
            status = path.stat()
            if S_ISREG(status.st_mode):
                yield path, status.st_size
            elif not S_ISDIR(status.st_mode):
                raise FileNotFoundError
            elif (real := os.path.realpath(path)) in parents:
                problems.append(f"{shown} is a link to a folder above it")
            else:
                waiting += [(inner, (*parents, real)) for inner in reversed(visible(path))]
        except FileNotFoundError:
            problems.append(f"{shown} is a link to nothing, or no file")
        except OSError as error:
            problems.append(str(unusable(path, error, "read")))
