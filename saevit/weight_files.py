"""What the bytes of a file of weights hold: tensors and plain data. Code that a file names is never run."""

import io
import json
import warnings
import zipfile
from collections import OrderedDict
from typing import Any, Self

import torch

from saevit.errors import need
from saevit.text import abbreviated, printable

EXPANSION = 4  # an archive may unpack to so many times its size; torch.save does not compress
LARGEST_HEADER = 100_000_000  # bytes; the library's own limit
CHUNK = 2**20

# How a file begins, in lower case and without blanks, and what it is then.
BEGINNINGS = (
    (b"version https://git-lfs", "a pointer of Git LFS: `git lfs pull` brings the file itself"),
    (b"<!doctype html", "an HTML page, such as a server sends in place of a file"),
    (b"<html", "an HTML page, such as a server sends in place of a file"),
    (b"<", "an XML file"),
    (b"\x89hdf", "an HDF5 file"),
    (b"gguf", "a GGUF file"),
    (b"\x93numpy", "a NumPy array"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
    (b"bzh", "a bzip2 archive: unpack it first"),
    (b"\xfd7zxz", "an xz archive: unpack it first"),
    (b"\x89png", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"%pdf", "a PDF"),
    (b"\xff\xfe", "text in UTF-16"),
    (b"\x08\x04\x12", "an ONNX graph"),  # the field of its version, 4 to 13, and that of its producer
    *((bytes((8, version, field)), "an ONNX graph") for version in range(5, 14) for field in (0x12, 0x3A)),
)


class Inert(list[object]):
    """Stands for an object of any class but tensors: it takes what a file gives it, and does nothing."""

    __hash__ = object.__hash__  # type: ignore[assignment]  # it may be a key

    def __init__(self, *given: object) -> None:
        super().__init__()

    def __setstate__(self, state: object) -> None:
        """Forget it."""


class Entries:
    """Stands for a dictionary of any class: what the file puts into it is kept in a plain one."""

    def __new__(cls, *given: object) -> Self:
        return OrderedDict()  # type: ignore[return-value]  # torch fills no other kind


def read_contents(data: bytes) -> tuple[Any, dict[str, str]]:
    """Return what is in a file: nested data with tensors, and the texts in the header of .safetensors.

    The bytes decide what kind of file it is, not its name.

    Raises:
        ValueError: it is none of weights, or damaged; says what it is.
    """
    length = int.from_bytes(data[:8], "little")
    if data[8:9] == b"{" and length <= LARGEST_HEADER:
        return read_safetensors(data, length)
    if data.startswith(b"PK"):
        check_archive(data)
        names = torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data))
        return unpickle(data, names), {}
    if data.startswith(b"\x80"):  # as torch wrote before 1.6
        return unpickle(data, ["argparse.Namespace"]), {}
    raise ValueError(f"it is {describe(data)}")


def read_safetensors(data: bytes, length: int) -> tuple[Any, dict[str, str]]:
    """Return the tensors and the texts of a .safetensors file."""
    if length > len(data) - 8:
        raise ValueError(f"it is cut off after {len(data):,} bytes")
    tensors = need("safetensors.torch").load(data)  # checks the header too
    return tensors, json.loads(data[8 : 8 + length]).get("__metadata__") or {}


def unpickle(data: bytes, names: list[str]) -> Any:
    """Return what torch.save wrote; objects of classes that torch does not load stand there empty.

    Args:
        data: the file.
        names: of those classes.
    """
    stand_ins = [(Entries if "dict" in name.rpartition(".")[2].lower() else Inert, name) for name in names]
    with warnings.catch_warnings(), torch.serialization.safe_globals(stand_ins):  # type: ignore[arg-type]
        warnings.simplefilter("ignore")  # remarks on old protocols
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def check_archive(data: bytes) -> None:
    """Refuse an archive that torch.save did not write, that is damaged, or that grows when it is unpacked."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = archive.infolist()
        names = [part.filename.rpartition("/")[2] for part in parts]
        if "constants.pkl" in names:
            raise ValueError("it is a TorchScript program: save model.state_dict() with torch.save")
        if "data.pkl" not in names:
            first = f", it begins with {abbreviated(parts[0].filename)}" if parts else ""
            raise ValueError(f"it is a zip archive that torch.save did not write{first}")
        if sum(part.file_size for part in parts) > EXPANSION * len(data):
            raise ValueError(f"it is a zip archive that unpacks to more than {EXPANSION} times its size")
        for part in parts:
            if part.CRC:  # torch can leave the checksums out
                with archive.open(part) as file:
                    while file.read(CHUNK):  # raises where the checksum differs
                        pass


def describe(data: bytes) -> str:
    """Say what a file is that holds no weights, by its beginning."""
    if not data:
        return "empty"
    begin = data[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for start, kind in BEGINNINGS:
        if begin.startswith(start):
            return kind
    if not any(data[:4096]):
        return "nothing but zeros"
    text = data[:512].decode("utf-8", "replace").rstrip("\ufffd").strip()
    if text and all(c.isspace() or (c.isprintable() and c != "\ufffd") for c in text):
        return f"text that begins with {abbreviated(text.splitlines()[0], 40)!r}"
    return f"of no kind that holds weights, it begins with the bytes {data[:8].hex(' ')}"


def reason_of(error: Exception) -> str:
    """Return the first line of an error, or what a library's long advice means."""
    text = str(error)
    if "Weights only load failed" in text:
        if "GLOBAL" in text or "reduce" in text or "Can only" in text:
            return "it holds more than tensors, and running a file's code is refused"
        return "its pickle is damaged"
    return printable(text.partition("\n")[0]) or type(error).__name__
