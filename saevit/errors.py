"""The errors that users see, and the import of optional packages."""

import difflib
from collections.abc import Iterable
from importlib import import_module
from types import ModuleType

MOST_NAMED = 20  # choices that one line can hold


class SaevitError(Exception):
    """An error for the user: one line that names the value, the rule and the nearest valid choice."""


class SpecError(SaevitError, ValueError):
    """A variant that cannot exist, or text that is no variant."""


class OptionError(SaevitError, ValueError):
    """A setting (size, batch, device, precision, path, ...) that cannot be used here."""


class DataError(OptionError):
    """A source of images that cannot be used.

    Args:
        problem: the source and what is wrong with it, without the option that names the source.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"--data {self.problem}"


class MemoryLimitError(SaevitError):
    """A model or batch that by its exact count cannot fit in this machine's memory."""


class MissingPackageError(SaevitError, ImportError):
    """A package that is absent, or installed but broken."""


class MeasureError(SaevitError):
    """A model that could not be built or run."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type if the message is empty."""
    return str(error).strip().partition("\n")[0].rstrip(".:") or type(error).__name__


def name_and_line(error: BaseException) -> str:
    """Return an error's type and the first line of its message."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def nearest(word: str, choices: Iterable[str]) -> str:
    """Return the end of an error line: the choices nearest to `word`; where none is near, all or a few.

    The choices that begin with `word` are nearer than those that resemble it.
    """
    names = list(dict.fromkeys(choices))
    longer = sorted((name for name in names if word and name.startswith(word)), key=len)
    close = longer[:3] or difflib.get_close_matches(word, names, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(close) + "?"
    if len(names) > MOST_NAMED:
        return "nearest are " + ", ".join(difflib.get_close_matches(word, names, n=3, cutoff=0))
    return "choose from " + ", ".join(names)


def need(module: str, extra: str | None = None) -> ModuleType:
    """Import an optional or fragile package, or say in one line how to get it.

    Raises:
        MissingPackageError: it is not installed, or it is torchvision built for another torch.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise  # installed but broken: the message about installing would mislead
        target = f"'saevit[{extra}]'" if extra else package
        raise MissingPackageError(f"{package} is not installed: pip install {target}") from error
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        raise MissingPackageError(
            f"{module} cannot be imported, because torchvision was built for another torch ({error}): "
            "install torch and torchvision together, from the same place"
        ) from error
