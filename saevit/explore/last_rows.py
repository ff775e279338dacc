"""The variants of the last exploration, which commands take as `@1`, `@2`, ...; one per line of a file."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from saevit.errors import OptionError
from saevit.files import expand, file_type, read_bytes, replace_file
from saevit.runs.store import default_folder

NAME = "last-exploration.txt"
ROW = re.compile(r"@([1-9][0-9]{0,5})")  # as a model


def find_file() -> Path:
    """Return the file, in the default store. Raises OptionError if there is no home folder."""
    folder = os.environ.get("SAEVIT_STORE")
    return (expand(folder) if folder else default_folder()) / NAME


def keep_rows(models: Sequence[str]) -> None:
    """Write the variants of an exploration in the order of their numbers.

    Raises:
        OptionError: the file cannot be written.
    """
    path = find_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"{path.parent} cannot be made: {error.strerror}") from error
    text = "".join(f"{model}\n" for model in models)
    replace_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_row(text: str) -> str:
    """Return the variant that `@N` names, or any other text unchanged.

    Raises:
        OptionError: there is no such row, or no exploration.
    """
    row = ROW.fullmatch(text)
    if not row:
        return text
    path = find_file()
    if file_type(path) == "missing":
        raise OptionError(f"{text} is a row of the last exploration, and there is none: run saevit explore")
    models = read_bytes(path).decode("utf-8", "replace").splitlines()
    if int(row[1]) > len(models):
        raise OptionError(f"{text}: the last exploration has the rows @1 to @{len(models)}")
    return models[int(row[1]) - 1]
