"""Write numbers with units, fields, and names of models as text."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from saevit.runs.statistics import Ratio, Share
from saevit.text import printable

FLOPS_PER_MAC = 2
PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
ENDLESS = 1e15  # larger numbers are written with an exponent

CLASSES = re.compile(r"[,:]classes=(\d+)$")  # at the end of a model
LIBRARIES = ("timm:", "birder:")  # prefixes of the models of other libraries
LONGEST = 26
TAIL = 10


def digits(value: float, significant: int = 3) -> str:
    """Write a number with significant digits, or with an exponent if it would read 0 or be very long."""
    if value == 0:
        return "0"
    decimals = significant
    if 1 <= abs(value) < ENDLESS:
        decimals = max(0, significant - len(str(int(abs(value)))))
    return fixed(value, decimals, significant)


def fixed(value: float, decimals: int, significant: int = 2) -> str:
    """Write a number with fixed decimals, or with an exponent if it would read 0 or be very long."""
    text = f"{value:z.{decimals}f}"
    is_lost = value and not text.strip("-0.")
    return f"{value:.{significant}g}" if is_lost or abs(value) >= ENDLESS else text


def interval(value: float, low: float, high: float) -> str:
    """Write a ratio with its interval."""
    return f"{write_number(value)} {bounds(low, high)}"


def bounds(low: float, high: float) -> str:
    """Write an interval of ratios."""
    return f"[{write_number(low)}, {write_number(high)}]"


def write_number(ratio: float) -> str:
    """Write a ratio with three decimals."""
    return fixed(ratio, 3) if ratio < 1e6 else f"{ratio:.3g}"


def write_ratio_interval(time: Ratio) -> str:
    """Write a ratio with its interval: two decimals, or three if a number would round to 1."""
    values = (time.median, time.low, time.high)
    decimals = 3 if any(round(value, 2) == 1 for value in values) else 2
    texts = [f"{value:.{decimals}f}" if 0.01 <= value < 100 else digits(value) for value in values]
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
    for factor, prefix in PREFIXES:
        if num_bytes >= factor:
            return f"{digits(num_bytes / factor)} {prefix}B"
    return f"{fixed(num_bytes, 0)} B"


def milliseconds(seconds: float) -> str:
    """Write seconds as a number of milliseconds."""
    return digits(seconds * 1e3)


def percent(share: float, decimals: int = 1) -> str:
    """Write a share in per cent; a share below 1 is never rounded to 100 %."""
    text = fixed(share * 100, decimals) if abs(share) >= ENDLESS else f"{share * 100:z.{decimals}f}"
    if share < 1 and float(text) == 100:
        text = f"{100 - 10**-decimals:.{decimals}f}"
    return f"{text} %"


def write_pixels(img_size: tuple[int, int]) -> str:
    """Write an input size (H, W): `224 x 224 px`."""
    return f"{img_size[0]} x {img_size[1]} px"


def write_share_interval(share: Share, decimals: int = 1) -> str:
    """Write Wilson's interval of a share in per cent: `[96.8, 99.4]`."""
    low, high = (f"{100 * end:.{decimals}f}" for end in share.interval)
    return f"[{low}, {high}]"


def list_fields(record: Any) -> dict[str, str]:
    """Return the fields of an environment or of conditions: name to text."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return {n.removesuffix("_bytes").replace("_", " "): field_text(n, value) for n, value in values.items()}


def field_text(name: str, value: Any) -> str:
    """Write the value of a field; an unknown value is `-`."""
    if value is None or value == ():
        return "-"
    if name == "memory_bytes":
        return size(value)
    if name == "img_size":
        return " x ".join(map(str, value))
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def find_common_classes(models: Iterable[str]) -> int | None:
    """Return the number of classes if all of two or more models name the same number, else None."""
    numbers = [match[1] if (match := CLASSES.search(model)) else "" for model in models]
    return int(numbers[0]) if len(numbers) > 1 and len(set(numbers)) == 1 and numbers[0] else None


def bare_names(models: Iterable[str]) -> dict[str, str]:
    """Return a name for each model without the prefix of its library, and without its tag if that is unique.

    A number of classes that all models share is left out. Variants, the claims of the paper (`saevit_...`)
    and factories (`module:name`) keep the rest of their name.
    """
    parts = {m: m.partition(" (") for m in models}  # name, and what is special about its configuration
    bare = {m: m.partition(":")[2] if m.startswith(LIBRARIES) else m for m, *_ in parts.values()}
    if find_common_classes(bare):
        bare = {m: CLASSES.sub("", name) for m, name in bare.items()}
    heads = {
        m: name if name.startswith("saevit_") or ":" in name else name.partition(".")[0]
        for m, name in bare.items()
    }
    count = Counter(heads.values())
    shown = {m: head if count[head] == 1 else bare[m] for m, head in heads.items()}
    return {label: printable("".join((shown[m], *rest))) for label, (m, *rest) in parts.items()}


def short_names(models: Iterable[str]) -> dict[str, str]:
    """Return a unique short name for each model.

    Long names of `bare_names` are shortened in the middle, because variants differ at their ends; a
    configuration in brackets is kept. Equal names get a number.
    """
    parts = {model: name.partition(" (") for model, name in bare_names(models).items()}
    short = {model: "".join((cut(name), *rest)) for model, (name, *rest) in parts.items()}
    equal = {name for name, times in Counter(short.values()).items() if times > 1}
    numbers = dict.fromkeys(equal, 0)
    for model, name in short.items():
        if name in equal:
            numbers[name] += 1
            short[model] = f"{name} #{numbers[name]}"
    return short


def cut(name: str, longest: int = LONGEST) -> str:
    """Shorten a name to at most `longest` characters, with an ellipsis in the middle."""
    if len(name) <= longest:
        return name
    return f"{name[: longest - TAIL - 1]}\N{HORIZONTAL ELLIPSIS}{name[-TAIL:]}"
