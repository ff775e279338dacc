"""Text to the choices of one key: lists, ranges, and four values a choice where a key has one per stage."""

from decimal import Decimal, InvalidOperation
from typing import Any

from saevit.errors import OptionError, SpecError, nearest
from saevit.parse import KEYS
from saevit.spec import NUM_STAGES

PER_STAGE = ("dims", "depths", "heads", "ratios", "rates", "attn_blocks")  # keys with a value for each stage
STAGE_KEYS = {f"{key}{i + 1}": (key, i) for i in range(NUM_STAGES) for key in PER_STAGE}
MOST_CHOICES = 100_000  # of one key

Values = tuple[Any, ...]


def read_choices(key: str, text: str) -> Values:
    """Return the choices of a key in the order given, each once.

    `0.5,1,1.5` is three choices and `24:64:8` a range with its end (the step is 1 where none stands). A key
    of the grammar that has four values takes `8-4-2-1,4-2-2-1`, or `8,4,2,1;4,2,2,1`; one value stands for
    all stages. A key with a stage's number (`dims1`) takes single values.

    Raises:
        OptionError: an unknown key, or text that is no list and no range.
    """
    if key not in KEYS and key not in STAGE_KEYS:
        raise OptionError(f"{key!r} is not a key: {nearest(key, (*KEYS, *STAGE_KEYS))}")
    if key in PER_STAGE:
        items = parts(key, text.replace(",", "-"), ";") if ";" in text else parts(key, text, ",")
        texts = [one for item in items for one in expanded(key, item)]
    else:
        texts = [one for item in parts(key, text, ",") for one in expanded(key, item)]
    return tuple(dict.fromkeys(read_value(key, one) for one in texts))


def parts(key: str, text: str, separator: str) -> list[str]:
    """Split a list, refusing a place that is empty."""
    items = [item.strip() for item in text.split(separator)]
    if not all(items):
        raise OptionError(f"{key}={text}: a choice is empty, write {key}=a{separator}b")
    return items


def expanded(key: str, item: str) -> list[str]:
    """Return the values of `low:high:step` as text, or the item itself."""
    if ":" not in item:
        return [item]
    try:
        low, high, step = map(Decimal, item.split(":") if item.count(":") == 2 else (*item.split(":"), "1"))
    except (InvalidOperation, ValueError):
        raise OptionError(f"{key}={item} is not a range: low:high:step, for example 24:64:8") from None
    if not (low.is_finite() and high.is_finite() and step.is_finite()) or step <= 0 or high < low:
        raise OptionError(f"{key}={item}: a range goes up, low:high:step with a step above 0")
    count = int((high - low) / step) + 1
    if count > MOST_CHOICES:
        raise OptionError(f"{key}={item} is {count:,} choices: at most {MOST_CHOICES:,}, take a longer step")
    return [format((low + i * step).normalize(), "f") for i in range(count)]


def read_value(key: str, text: str) -> Any:
    """Read one choice as the grammar reads the key; a stage's key takes one value."""
    if key not in STAGE_KEYS:
        return KEYS[key].read(key, text)
    whole, _ = STAGE_KEYS[key]
    try:
        values = KEYS[whole].read(key, text)
    except SpecError:
        values = ()
    if not values or len(set(values)) > 1:
        raise OptionError(f"{key}={text} is not a number: one stage has one value, for example {key}=24:64:8")
    return values[0]
