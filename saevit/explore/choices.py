"""Choices of a key from text: lists, ranges, and four values per choice for keys with one per stage."""

from decimal import Decimal
from typing import Any

from saevit.errors import OptionError, SpecError, nearest
from saevit.text import abbreviated, read_number
from saevit.variant import KEYS, NUM_STAGES

PER_STAGE = ("dims", "depths", "heads", "ratios", "rates", "attn_blocks")  # keys with a value for each stage
STAGE_KEYS = {f"{key}{i + 1}": (key, i) for i in range(NUM_STAGES) for key in PER_STAGE}
MOST_CHOICES = 100_000  # of one key

Values = tuple[Any, ...]


def read_choices(key: str, text: str) -> Values:
    """Return the choices of a key in the order given, each once.

    `0.5,1,1.5` is three choices, and `24:64:8` a range that includes its end; the default step is 1. A key
    with four values takes `8-4-2-1,4-2-2-1` or `8,4,2,1;4,2,2,1`; a single value is for all stages. A key
    with the number of a stage (`dims1`) takes single values.

    Raises:
        OptionError: an unknown key, or text that is neither a list nor a range.
    """
    if key not in KEYS and key not in STAGE_KEYS:
        raise OptionError(f"{abbreviated(repr(key))} is not a key: {nearest(key, (*KEYS, *STAGE_KEYS))}")
    is_joined = key in PER_STAGE and ";" in text
    texts: list[str] = []
    for item in split_list(key, text.replace(",", "-"), ";") if is_joined else split_list(key, text, ","):
        texts += expand_range(key, item)
        if len(texts) > MOST_CHOICES:
            raise OptionError(f"{key} has more than {MOST_CHOICES:,} choices: take fewer, or longer steps")
    return tuple(dict.fromkeys(read_value(key, one) for one in texts))


def split_list(key: str, text: str, separator: str) -> list[str]:
    """Split a list, and refuse empty items."""
    items = [item.strip() for item in text.split(separator)]
    if not all(items):
        raise OptionError(f"{key}={abbreviated(text)}: a choice is empty, write {key}=a{separator}b")
    return items


def expand_range(key: str, item: str) -> list[str]:
    """Return the values of `low:high:step` as text, or the item itself."""
    if ":" not in item:
        return [item]
    given = f"{key}={abbreviated(item)}"
    ends = item.split(":") if item.count(":") == 2 else [*item.split(":"), "1"]
    try:
        for end in ends:
            read_number(end)
        low, high, step = map(Decimal, ends)
    except ValueError:
        raise OptionError(
            f"{given} is not a range of numbers up to 1e300: low:high:step, for example 24:64:8"
        ) from None
    if step <= 0 or high < low:
        raise OptionError(f"{given}: a range goes up, low:high:step with a step above 0")
    steps = (high - low) / step
    if steps >= MOST_CHOICES:
        raise OptionError(f"{given} is {steps:.3g} choices: at most {MOST_CHOICES:,}, take a longer step")
    return [format((low + i * step).normalize(), "f") for i in range(int(steps) + 1)]


def read_value(key: str, text: str) -> Any:
    """Read one choice as the grammar reads the key; a key of one stage takes one value."""
    if key not in STAGE_KEYS:
        return KEYS[key].read(key, text)
    whole, _ = STAGE_KEYS[key]
    try:
        values = KEYS[whole].read(key, text)
    except SpecError:
        values = ()
    if not values or len(set(values)) > 1:
        raise OptionError(
            f"{key}={abbreviated(text)} is not a number: one stage has one value, for example {key}=24:64:8"
        )
    return values[0]
