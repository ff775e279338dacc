"""Numbers and fields as text, with units. MACs become FLOPs only here."""

from dataclasses import fields
from typing import Any

FLOPS_PER_MAC = 2
PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
ENDLESS = 1e15  # numbers from here on are written with an exponent
BINARY = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def digits(value: float, significant: int = 3) -> str:
    """Write a number with some significant digits; with an exponent if it would read 0 or be very long."""
    if value == 0:
        return "0"
    decimals = significant
    if 1 <= abs(value) < ENDLESS:
        decimals = max(0, significant - len(str(int(abs(value)))))
    return fixed(value, decimals, significant)


def fixed(value: float, decimals: int, significant: int = 2) -> str:
    """Write a number with some decimals; with an exponent if it would read 0 or be very long."""
    text = f"{value:z.{decimals}f}"
    is_lost = value and not text.strip("-0.")
    return f"{value:.{significant}g}" if is_lost or abs(value) >= ENDLESS else text


def interval(value: float, low: float, high: float) -> str:
    """Write a ratio with its interval."""
    texts = [fixed(ratio, 3) if ratio < 1e6 else f"{ratio:.3g}" for ratio in (value, low, high)]
    return "{} [{}, {}]".format(*texts)


def scaled(value: float) -> str:
    """Write a count with a decimal prefix: 5681756 -> 5.68 M."""
    for factor, prefix in PREFIXES:
        if factor <= abs(value) < ENDLESS:
            return f"{digits(value / factor)} {prefix}"
    return str(int(value)) if abs(value) < ENDLESS and value == int(value) else digits(value)


def giga(macs: float) -> str:
    """Write MACs as a number of GMACs with four decimals."""
    return fixed(macs / 1e9, 4)


def size(num_bytes: float) -> str:
    """Write bytes with a decimal prefix (1 MB = 10^6 bytes)."""
    for factor, unit in BINARY:
        if num_bytes >= factor:
            return f"{digits(num_bytes / factor)} {unit}"
    return f"{fixed(num_bytes, 0)} B"


def milliseconds(seconds: float) -> str:
    """Write seconds as a number of milliseconds."""
    return digits(seconds * 1e3)


def percent(share: float, decimals: int = 1) -> str:
    """Write a share in per cent; a share below 1 never reads 100."""
    text = fixed(share * 100, decimals) if abs(share) >= ENDLESS else f"{share * 100:z.{decimals}f}"
    if share < 1 and float(text) == 100:
        text = f"{100 - 10**-decimals:.{decimals}f}"
    return f"{text} %"


def thousands(value: int) -> str:
    """Write an exact integer: 806806688 -> 806,806,688."""
    return f"{value:,}"


def list_fields(record: Any) -> dict[str, str]:
    """Return the fields of a machine or of conditions as names and texts."""
    names = [field.name for field in fields(record)]
    return {
        name.removesuffix("_bytes").replace("_", " "): field_text(name, getattr(record, name))
        for name in names
    }


def field_text(name: str, value: Any) -> str:
    """Write the value of a field; `-` is not known."""
    if value is None or value == ():
        return "-"
    if name == "memory_bytes":
        return size(value)
    if name == "img_size":
        return " x ".join(map(str, value))
    return ", ".join(value) if isinstance(value, tuple) else str(value)
