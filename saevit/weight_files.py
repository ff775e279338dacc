"""What the bytes of a file of weights hold: tensors and plain data. Code that a file names is never run."""

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

EXPANSION = 4  # an archive may unpack to so many times its size; torch.save does not compress
LARGEST_HEADER = 100_000_000  # bytes; the library's own limit
CHUNK = 2**20
# What training scripts put beside the weights; of old files torch does not list the classes.
OLD_CLASSES = ["argparse.Namespace", "collections.defaultdict", "pathlib.PosixPath", "numpy.dtype"]
OLD_CLASSES += ["numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"]

KINDS = (  # how a file begins, in lower case and without blanks, and what it is then
    (rb"version https://git-lfs", "a pointer of Git LFS: `git lfs pull` brings the file itself"),
    (rb"<!doctype html|<html", "an HTML page, such as a server sends in place of a file"),
    (rb"<", "an XML file"),
    (rb"\x1f\x8b|bzh|\xfd7zxz|7z\xbc\xaf", "a compressed archive: unpack it first"),
    (rb"\x89png|\xff\xd8\xff|gif8|%pdf", "an image or a PDF"),
    (rb"\x89hdf|gguf|\x93numpy", "an HDF5, GGUF or NumPy file"),
    (rb"\x08[\x03-\x10][\x12:]", "an ONNX graph"),
    (rb"\xff\xfe|\xfe\xff", "text in UTF-16"),
)


class Inert(list[object]):
    """Stands for an object of any class but tensors: it takes what a file gives it, and does nothing."""

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
    """Return what torch.save wrote; objects of the classes `names` stand there empty."""
    stand_ins = [(Entries if "dict" in name.rpartition(".")[2].lower() else Inert, name) for name in names]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(stand_ins):  # type: ignore[arg-type]
            warnings.simplefilter("ignore")  # remarks on old protocols
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # damaged pickles raise all kinds
        if any(word in str(error) for word in ("GLOBAL", "reduce", "Can only")):
            raise ValueError("it holds more than tensors, and running a file's code is refused") from error
        reason = "" if "Weights only" in str(error) else f": {reason_of(error)}"
        raise ValueError(f"it is damaged: {type(error).__name__}{reason}") from error


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
    for pattern, kind in KINDS:
        if re.match(pattern, begin):
            return kind
    if not any(data[:4096]):
        return "nothing but zeros"
    text = data[:512].decode("utf-8", "replace").rstrip("\ufffd").strip()
    if text and all(c.isspace() or (c.isprintable() and c != "\ufffd") for c in text):
        return f"text that begins with {abbreviated(text.splitlines()[0], 40)!r}"
    return f"of no kind that holds weights, it begins with the bytes {data[:8].hex(' ')}"


def reason_of(error: Exception) -> str:
    """Return the first line of an error."""
    return printable(str(error).partition("\n")[0]) or type(error).__name__
