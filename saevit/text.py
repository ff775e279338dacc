"""Text of users and files: shown without control characters, and read as numbers of bounded size."""

import math
import unicodedata
from collections.abc import Sequence

MOST_DIGITS = 18  # of a whole number: every one of these fits in 64 bits
MOST_CHARACTERS = 40  # of a number with a fraction or an exponent
# Unicode's categories of control and format characters, surrogates and line separators.
UNPRINTABLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def printable(text: str) -> str:
    """Escape what a terminal, a table or a file must not receive: control characters, lone surrogates."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c.encode("unicode_escape", "surrogatepass").decode("ascii")  # such as \\n, \\x1b, \\udce9
        if unicodedata.category(c) in UNPRINTABLE
        else c
        for c in text
    )


def read_whole(text: str) -> int:
    """Read a whole number.

    Raises:
        ValueError: other text, or more than 18 digits.
    """
    stripped = text.strip()
    digits = stripped.removeprefix("-").removeprefix("+")
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > MOST_DIGITS:
        raise ValueError(f"{abbreviated(text)} is not a whole number of at most {MOST_DIGITS} digits")
    return int(stripped)


def read_number(text: str) -> float:
    """Read a finite number that a double holds without underflow.

    Raises:
        ValueError: other text, or a number beyond those.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"{abbreviated(text)} is not a number of at most {MOST_CHARACTERS} characters")
    if not text.isascii() or "_" in text:  # what Python reads, other programs do not
        raise ValueError(f"{printable(text)} is not a number written with digits 0 to 9")
    value = float(text)  # its error names the text
    if not math.isfinite(value) or 0 < abs(value) < 1e-300:
        raise ValueError(f"{text} is not a number between 1e-300 and 1e300")
    return value


def abbreviated(text: str, most: int = 60) -> str:
    """Return printable text of a bounded length for a message."""
    return printable(text if len(text) <= most else f"{text[:most]}...")


def list_first(texts: Sequence[str], most: int, separator: str = ", ") -> str:
    """Write the first texts and the number of the others: `a, b and 3 more`."""
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return separator.join(texts[:most]) + more


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """Write a count with its noun: 1 model, 2 models; `nouns` is an irregular plural."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"
