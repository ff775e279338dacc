"""Files: what a path is, reading of bounded size, replacing by a rename, and one owner for an output."""

import contextlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import unquote_to_bytes

from saevit.errors import OptionError
from saevit.text import printable

FileType = Literal["file", "folder", "other", "missing"]  # other: a device, a pipe, a socket
MIB = 2**20
TEMPORARY = ".saevit-"  # how the names of unfinished files begin
ICONS = "icons:"  # before the path of a package of icons, where a source of images is named
ADDRESS = "file://"  # before the path of a name with unprintable characters, each written as %XX


def expand(text: str) -> Path:
    """Return a path with `~` expanded, or the one that `as_text` wrote."""
    if text.startswith(ADDRESS):
        return Path(os.fsdecode(unquote_to_bytes(text.removeprefix(ADDRESS))))
    path = Path(text)
    with contextlib.suppress(RuntimeError):  # no such user or no home: the path stays as it is written
        path = path.expanduser()
    return path


def as_text(path: Path) -> str:
    """Write an absolute path as text without unprintable characters, which `expand` reads back."""
    text = str(path)
    return text if printable(text) == text else path.as_uri()


def name_source(source: str) -> str:
    """Return a short name of labelled images: `icons` for icons:FILE, else the last part of a path."""
    return ICONS[:-1] if source.startswith(ICONS) else Path(source).name or source


def to_file_name(text: str, longest: int = 100) -> str:
    """Return a text as a file name of at most `longest` characters: letters, digits, `.`, `_` and `-`."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-.")[:longest]


def file_type(path: Path) -> FileType:
    """Return what a path leads to, through links.

    Raises:
        OptionError: the path cannot be looked up: a closed folder, a name too long, a circle of links.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except (OSError, ValueError) as error:  # ValueError: a null character
        raise unusable(path, error) from error
    return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"


def unusable(path: Path, error: Exception, what: str = "used") -> OptionError:
    """Return the one-line error for a path that the system refuses."""
    reason = getattr(error, "strerror", None) or str(error)
    return OptionError(f"{printable(str(path))} cannot be {what}: {reason}")


def read_bytes(path: Path, *, most: int = 256 * MIB) -> bytes:
    """Read a regular file of bounded size.

    Raises:
        OptionError: it is missing, no regular file, larger than `most` bytes, or cannot be read.
    """
    found = file_type(path)
    if found != "file":
        kinds = {"missing": "does not exist", "folder": "is a folder", "other": "is no regular file"}
        raise OptionError(f"{printable(str(path))} {kinds[found]}: name a regular file")
    try:
        size = path.stat().st_size
        if size > most:
            raise OptionError(f"{printable(str(path))} has {size:,} bytes: at most {most:,} are read")
        return path.read_bytes()
    except OSError as error:
        raise unusable(path, error, "read") from error


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it; a device or pipe is written directly.

    Until the rename an existing file stays as it was, and nothing half-written is left behind. A link keeps
    its name: the file that it leads to is replaced. An existing file's permissions stay.

    Raises:
        OptionError: the disk or the folder refuses.
    """
    import tempfile

    kind = file_type(path)
    try:
        if kind == "other":
            write(path)
            return
        target = path.resolve()
        mode = target.stat().st_mode & 0o777 if kind == "file" else 0o666 & ~_umask()
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=_beginning(target), suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            temporary.chmod(mode)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise unusable(path, error, "written") from error


@contextmanager
def owned(path: Path) -> Iterator[None]:
    """Own an output file or folder while the block runs: a second process that opens it gets an error.

    The lock is a hidden file beside a file, or within a folder that exists. A process that dies leaves the
    file but not the lock: the next one takes it over, and removes what `replace_file` left unfinished.

    Raises:
        OptionError: another process owns it, or the lock file cannot be made.
    """
    target = path.resolve()
    lock = target / f"{TEMPORARY}lock" if target.is_dir() else target.parent / f"{_beginning(target)}lock"
    try:
        handle = _locked(lock)
        owner = lock.read_text() if handle is None else ""
        for left in target.parent.glob(f"{_beginning(target)}*") if handle is not None else ():
            if left != lock:
                left.unlink(missing_ok=True)
    except OSError as error:
        raise unusable(path, error, "written") from error
    if handle is None:
        raise OptionError(
            f"{printable(str(path))} is in use by process {printable(owner)}: wait until it ends"
        )
    _held.add(handle)
    try:
        with contextlib.suppress(OSError):  # a full disk: the number is only for a message
            os.write(handle, str(os.getpid()).encode())
        yield
    finally:
        _held.discard(handle)
        lock.unlink(missing_ok=True)  # while it is locked, so that no process locks a removed file
        os.close(handle)


def _beginning(target: Path) -> str:
    """Return the prefix of an output's hidden files, of a fixed length."""
    import hashlib

    return f"{TEMPORARY}{hashlib.blake2b(os.fsencode(target.name), digest_size=6).hexdigest()}-"


def _locked(lock: Path) -> int | None:
    """Return the descriptor of a lock file that this process has locked; None: another process has."""
    import fcntl

    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock.exists() and lock.stat().st_ino == os.fstat(handle).st_ino:
                os.ftruncate(handle, 0)
                return handle
        except BlockingIOError:
            os.close(handle)
            return None
        os.close(handle)  # its owner removed the file in between


_held: set[int] = set()  # descriptors of the lock files that this process has locked


def _release_in_child() -> None:
    """Close them in a forked process, which would keep the locks when this one is killed."""
    while _held:
        os.close(_held.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_in_child)


def _umask() -> int:
    """Return the mask that new files obey; it can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
