"""Files that appear only when they are complete."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from saevit.errors import OptionError


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it; a device or pipe is written directly.

    Until the rename an existing file stays as it was, and nothing half-written is left behind.

    Raises:
        OptionError: the disk or the folder refuses.
    """
    try:
        if path.exists() and not path.is_file():
            write(path)
            return
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".saevit-", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OptionError(f"{path} cannot be written: {error.strerror or error}") from error


def _umask() -> int:
    """Return the mask that new files obey; it can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
