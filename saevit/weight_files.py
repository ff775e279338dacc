"""Contents of a file of weights: tensors and plain data, read without running code that the file names."""

import io
import json
import re
import warnings
import zipfile
from collections import OrderedDict
from typing import Any, Self

import torch

from saevit.errors import need
from saevit.text import abbreviated, printable

EXPANSION = 4  # an archive may unpack to at most four times its size; torch.save does not compress
MAX_HEADER = 100_000_000  # bytes; the limit of safetensors
CHUNK = 2**20
# Classes of objects that training scripts save beside the weights; torch does not list those of old files.
OLD_CLASSES = ["argparse.Namespace", "collections.defaultdict", "pathlib.PosixPath", "numpy.dtype"]
OLD_CLASSES += ["numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"]

KINDS = (  # the beginning of a file, in lower case and without blanks, and its kind
    (rb"version https://git-lfs", "a pointer of Git LFS: `git lfs pull` fetches the file"),
    (rb"<!doctype html|<html", "an HTML page, as a server may send instead of a file"),
    (rb"<", "an XML file"),
    (rb"\x1f\x8b|bzh|\xfd7zxz|7z\xbc\xaf", "a compressed archive: unpack it first"),
    (rb"\x89png|\xff\xd8\xff|gif8|%pdf", "an image or a PDF"),
    (rb"\x89hdf|gguf|\x93numpy", "an HDF5, GGUF or NumPy file"),
    (rb"\x08[\x03-\x10][\x12:]", "an ONNX graph"),
    (rb"\xff\xfe|\xfe\xff", "text in UTF-16"),
)


class Inert(list[object]):
    """Replaces an object of any other class: accepts its contents and does nothing."""

    def __init__(self, *arguments: object) -> None:
        super().__init__()

    def __setstate__(self, state: object) -> None:
        """Ignore it."""


class Entries:
    """Replaces a dictionary of any class by a plain one with the same contents."""

    def __new__(cls, *arguments: object) -> Self:
        return OrderedDict()  # type: ignore[return-value]  # torch fills no other class


def read_contents(data: bytes) -> tuple[Any, dict[str, str]]:
    """Return nested data with tensors, and the texts in the header of a .safetensors file.

    The kind of file is recognised by its bytes, not by its name.

    Raises:
        ValueError: the file is damaged or holds no weights; describes it.
    """
    length = int.from_bytes(data[:8], "little")
    if data[8:9] == b"{" and length <= MAX_HEADER:
        if length > len(data) - 8:
            raise ValueError(f"it is cut off after {len(data):,} bytes")
        tensors = need("safetensors.torch").load(data)  # checks the header too
        return tensors, json.loads(data[8 : 8 + length]).get("__metadata__") or {}
    if data.startswith(b"PK"):
        check_archive(data)
        names = torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data))
        return unpickle(data, names), {}
    if data.startswith(b"\x80"):  # as torch wrote before 1.6
        return unpickle(data, OLD_CLASSES), {}
    raise ValueError(f"it is {describe(data)}")


def unpickle(data: bytes, names: list[str]) -> Any:
    """Return what torch.save wrote, with empty objects in place of the classes `names`."""
    replacements = [(Entries if "dict" in name.rpartition(".")[2].lower() else Inert, name) for name in names]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(replacements):  # type: ignore[arg-type]
            warnings.simplefilter("ignore")  # remarks on old protocols
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # damaged pickles raise errors of any type
        if any(word in str(error) for word in ("GLOBAL", "reduce", "Can only")):
            raise ValueError("it holds more than tensors, and code in a file is not run") from error
        reason = "" if "Weights only" in str(error) else f": {describe_error(error)}"
        raise ValueError(f"it is damaged: {type(error).__name__}{reason}") from error


def check_archive(data: bytes) -> None:
    """Refuse an archive that torch.save did not write, that is damaged, or that unpacks to far more bytes."""
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
    """Describe a file without weights by its beginning."""
    if not data:
        return "empty"
    begin = data[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for pattern, kind in KINDS:
        if re.match(pattern, begin):
            return kind
    if not any(data[:4096]):
        return "only zeros"
    text = data[:512].decode("utf-8", "replace").rstrip("\ufffd").strip()
    if text and all(c.isspace() or (c.isprintable() and c != "\ufffd") for c in text):
        return f"text that begins with {abbreviated(text.splitlines()[0], 40)!r}"
    return f"of an unknown kind, it begins with the bytes {data[:8].hex(' ')}"


def describe_error(error: Exception) -> str:
    """Return the first line of an error's message."""
    return printable(str(error).partition("\n")[0]) or type(error).__name__
