"""Find the images of class folders: whatever lies in a class folder, at any depth, is of that class."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from timm.utils import natural_key

from saevit.errors import OptionError
from saevit.image_files import ENDINGS


@dataclass(frozen=True, kw_only=True)
class Found:
    """What lies in one folder of class folders."""

    classes: tuple[str, ...]  # names of the folders, in natural order (2 before 10), empty ones too
    files: tuple[tuple[str, Path], ...]  # class and image file, by class and then by name
    problems: tuple[str, ...]  # folders and links that could not be followed, one line each
    others: int  # files that are no images by their ending
    loose: int  # images that lie beside the class folders, in none of them


def scan(folder: Path) -> Found:
    """Find the images in each folder of `folder`; links are followed, hidden files left aside.

    Raises:
        OptionError: the folder cannot be read.
    """
    try:
        entries = sorted(folder.iterdir(), key=lambda path: natural_key(path.name))
    except OSError as error:
        raise OptionError(f"--data {printable(str(folder))} cannot be read: {error.strerror}") from error
    visible = [path for path in entries if not path.name.startswith(".")]
    classes = [path for path in visible if path.is_dir()]
    files: list[tuple[str, Path]] = []
    problems: list[str] = []
    others = 0
    for path in classes:
        for file in files_in(path, (os.path.realpath(folder),), problems):
            if file.suffix.lower() in ENDINGS:
                files.append((path.name, file))
            else:
                others += 1
    beside = [path for path in visible if not path.is_dir()]
    loose = sum(path.suffix.lower() in ENDINGS for path in beside)
    return Found(
        classes=tuple(path.name for path in classes),
        files=tuple(files),
        problems=tuple(problems),
        others=others + len(beside) - loose,
        loose=loose,
    )


def files_in(folder: Path, above: tuple[str, ...], problems: list[str]) -> Iterator[Path]:
    """Yield the files below a folder by name; a link to a folder above it would never end."""
    real = os.path.realpath(folder)
    if real in above:
        problems.append(f"{printable(str(folder))} is a link to a folder above it")
        return
    try:
        entries = sorted(folder.iterdir(), key=lambda path: natural_key(path.name))
    except OSError as error:
        problems.append(f"{printable(str(folder))} cannot be read: {error.strerror}")
        return
    for path in entries:
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from files_in(path, (*above, real), problems)
        elif path.is_file():
            yield path
        else:
            problems.append(f"{printable(str(path))} is a link to nothing, or no file")


def printable(text: str) -> str:
    """Write a name on one line of text, whatever bytes are in it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
