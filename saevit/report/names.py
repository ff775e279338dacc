"""Short names of models for tables and figures."""

from collections import Counter
from collections.abc import Iterable

from saevit.text import printable

PREFIXES = ("timm:", "birder:")  # of other libraries' models
LONGEST = 26
TAIL = 10


def short_names(models: Iterable[str]) -> dict[str, str]:
    """Return a short name for each model, no two the same.

    Short names have no prefix of a library, and no tag if the name alone is unambiguous. Long names are cut
    in the middle, because variants differ at their ends; names that are then equal get a number.
    """
    heads = {model: head_of(model) for model in dict.fromkeys(models)}
    count = Counter(heads.values())
    short = {m: cut(printable(head if count[head] == 1 else bare(m))) for m, head in heads.items()}
    equal = {name for name, times in Counter(short.values()).items() if times > 1}
    numbers = dict.fromkeys(equal, 0)
    for model, name in short.items():
        if name in equal:
            numbers[name] += 1
            short[model] = f"{name} #{numbers[name]}"
    return short


def head_of(model: str) -> str:
    """Return a library's name without prefix and tag; the text of a variant does not change."""
    return bare(model).partition(".")[0] if model.startswith(PREFIXES) else model


def bare(model: str) -> str:
    """Return a library's name without prefix."""
    return model.partition(":")[2] if model.startswith(PREFIXES) else model


def cut(name: str, longest: int = LONGEST) -> str:
    """Return a name of at most `longest` characters."""
    if len(name) <= longest:
        return name
    return f"{name[: longest - TAIL - 1]}\N{HORIZONTAL ELLIPSIS}{name[-TAIL:]}"
