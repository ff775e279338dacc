"""Read SVG drawings from the npm package @iconify/json: from the .tgz file or from its unpacked folder."""

import gzip
import hashlib
import io
import json
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from saevit.errors import DataError, OptionError
from saevit.files import ICONS, MIB, file_type, read_bytes, unusable
from saevit.text import abbreviated, printable

PACKAGE = "@iconify/json"
WAY_OUT = f"get it with: npm pack {PACKAGE}"
LICENCES = frozenset({"MIT", "Apache-2.0", "ISC", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0"})  # SPDX
CATEGORIES = frozenset({"Emoji", "Flags / Maps", "Logos", "Programming"})  # excluded categories of sets
LEFT_OUT = re.compile("emoji|devicon")  # excluded sets that have no category
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")  # of sets and icons, the rule of Iconify
MAX_FILE, MAX_PACKAGE = 256 * MIB, 2048 * MIB  # bytes, unpacked
MAX_SIDE = 1e4  # units of a drawing
MAX_BODY, MAX_ELEMENTS, MAX_REFERENCES = 2**15, 64, 16
SHAPES = frozenset(
    (
        *("path", "g", "circle", "rect", "ellipse", "line", "polyline", "polygon"),
        *("defs", "mask", "clipPath", "linearGradient", "radialGradient", "stop"),
    )
)
REFUSED = re.compile(r"href|style|&|<[!?]")  # could load files, cause endless references, or hide tags


class Drawing(NamedTuple):
    """The body of an SVG image and its view box."""

    body: str
    left: float
    top: float
    width: float
    height: float

    @property
    def is_safe(self) -> bool:
        """Tell whether it has a bounded number of plain shapes, and no animation, text or external file."""
        tags = re.findall(r"<([^\s/>]*)", self.body)
        sides = (self.left, self.top, self.width, self.height)
        return (
            all(type(side) in (int, float) and abs(side) <= MAX_SIDE for side in sides)
            and min(self.width, self.height) > 0
            and len(self.body) <= MAX_BODY
            and len(tags) <= 2 * MAX_ELEMENTS
            and self.body.count("url(") <= MAX_REFERENCES
            and SHAPES.issuperset(filter(None, tags))  # a closing tag has no name here
            and not REFUSED.search(self.body)
        )

    def write_svg(self, size: int) -> str:
        """Write the drawing in black, centred in a square of `size` pixels."""
        side = max(self.width, self.height)
        x, y = self.left - (side - self.width) / 2, self.top - (side - self.height) / 2
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{size}" height="{size}" '
            f'viewBox="{x} {y} {side} {side}">{self.body.replace("currentColor", "#000")}</svg>'
        )


def hash_package(path: Path) -> str:
    """Return the SHA-256 of the .tgz file, or of the files of the folder that `read_folder` reads.

    Raises:
        OptionError: the path does not exist, is neither a file nor a folder, or cannot be read.
    """
    kind, digest = file_type(path), hashlib.sha256()
    if kind not in ("file", "folder"):
        problem = "does not exist" if kind == "missing" else "is neither a file nor a folder"
        raise DataError(f"{ICONS}{printable(str(path))} {problem}: {WAY_OUT}")
    try:
        if kind == "file":
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unusable(path, error, "read") from error
    for name, data in read_folder(path):
        digest.update(f"{name} {len(data)}\n".encode() + data)
    return digest.hexdigest()


def read_icon_sets(path: Path) -> dict[str, dict[str, Drawing]]:
    """Read the icon sets with a permissive licence, except emoji, flags and logos: set to name to drawing.

    Raises:
        DataError: the path is not the package, or the package is damaged.
    """
    source = f"{ICONS}{printable(str(path))}"
    sets: dict[str, dict[str, Drawing]] = {}
    is_package = False
    try:
        for name, data in read_folder(path) if file_type(path) == "folder" else read_archive(path):
            content = json.loads(data)
            if name == "package.json":
                is_package = as_table(content).get("name") == PACKAGE
            elif drawings := read_drawings(Path(name).stem, as_table(content)):
                sets[Path(name).stem] = drawings
    except (EOFError, zlib.error, tarfile.TarError, ValueError, RecursionError, gzip.BadGzipFile) as error:
        if isinstance(error, OptionError):
            raise
        reason = abbreviated(str(error).partition("\n")[0])
        raise DataError(f"{source} is damaged, incomplete or no .tgz file ({reason}): {WAY_OUT}") from error
    except OSError as error:
        raise unusable(path, error, "read") from error
    if not (is_package and sets):
        what = "has no icon sets" if is_package else f"is not the npm package {PACKAGE}"
        raise DataError(f"{source} {what}: {WAY_OUT}")
    return dict(sorted(sets.items()))


def read_folder(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of package.json and of each file json/NAME.json in a folder."""
    for file in (path / "package.json", *sorted((path / "json").glob("*.json"))):
        if file_type(file) == "file" and not LEFT_OUT.search(file.name):
            yield file.relative_to(path).as_posix(), read_bytes(file, most=MAX_FILE)


def read_archive(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of the same files in a .tgz file, in one pass over the file."""
    with gzip.GzipFile(path) as stream, tarfile.open(fileobj=BoundedStream(stream), mode="r|") as archive:
        for member in archive:
            name = member.name.removeprefix("package/")
            if not re.fullmatch(r"package\.json|json/[a-z0-9-]+\.json", name) or LEFT_OUT.search(name):
                continue
            if member.isreg() and member.size <= MAX_FILE and (file := archive.extractfile(member)):
                yield name, file.read()
        while stream.read(MIB):  # read to the end, so that gzip verifies the checksum
            pass


class BoundedStream(io.RawIOBase):
    """A stream that stops with an error after `MAX_PACKAGE` unpacked bytes (a gzip bomb)."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self.stream, self.left = stream, MAX_PACKAGE

    def read(self, count: int = -1) -> bytes:
        """Read at most `count` bytes."""
        self.left -= count
        if self.left < 0:
            raise tarfile.ReadError(f"more than {MAX_PACKAGE:,} bytes unpacked")
        return self.stream.read(count)


def read_drawings(name: str, content: Mapping[str, Any]) -> dict[str, Drawing]:
    """Return the drawings of a set by name; empty if its licence or its category is excluded."""
    info = as_table(content.get("info"))
    is_free = as_table(info.get("license")).get("spdx") in LICENCES
    if not is_free or info.get("category") in CATEGORIES or not NAME.fullmatch(name):
        return {}
    drawings = {}
    for key, icon in as_table(content.get("icons")).items():
        values = {**content, **as_table(icon)}
        sides = (
            values.get("left", 0),
            values.get("top", 0),
            values.get("width", 16),
            values.get("height", 16),
        )
        body = as_table(icon).get("body")
        if isinstance(body, str) and NAME.fullmatch(key) and not as_table(icon).get("hidden"):
            drawings[key] = Drawing(body, *sides)
    return drawings


def as_table(value: object) -> Mapping[str, Any]:
    """Return the value if it is a JSON object, else an empty object."""
    return value if isinstance(value, dict) else {}
