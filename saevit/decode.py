"""Data of files as exact types: JSON and dataclasses, with errors that name the field and the rule."""

import json
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from saevit.errors import SaevitError
from saevit.text import abbreviated, printable

if TYPE_CHECKING:
    from pydantic import TypeAdapter

LARGEST = 1e300  # so that a product with a unit stays finite
DEEPEST = 20  # levels of nesting
T = TypeVar("T")


class DecodeError(SaevitError, ValueError):
    """Data that do not have the expected form: one line that names the field, its value and the rule."""


def parse_json(text: str | bytes) -> Any:
    """Parse JSON whose numbers are finite and bounded, and whose text has no control characters.

    Raises:
        DecodeError: it is not such JSON.
    """
    try:
        data = json.loads(text, parse_constant=refuse_constant)
    except RecursionError:
        raise DecodeError(f"nested deeper than {DEEPEST} levels") from None
    except ValueError as error:  # UnicodeDecodeError and whole numbers of thousands of digits too
        raise DecodeError(f"is not JSON: {printable(str(error))}") from error
    check_values(data)
    return data


def refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which JSON does not have."""
    raise DecodeError(f"{name} is not a finite number")


def check_values(data: Any, field: str = "", depth: int = 0, *, bits: int = 63) -> None:
    """Refuse numbers of more bits or beyond 1e300, text with control characters, and endless nesting.

    Raises:
        DecodeError: names the field, such as `subjects.0.name`.
    """
    if depth > DEEPEST:
        raise DecodeError(f"{field or 'data'}: nested deeper than {DEEPEST} levels")
    if isinstance(data, dict):
        for key, value in data.items():
            check_values(str(key), field, depth + 1)
            check_values(value, f"{field}.{key}".lstrip("."), depth + 1, bits=bits)
    elif isinstance(data, list | tuple):
        for i, value in enumerate(data):
            check_values(value, f"{field}.{i}".lstrip("."), depth + 1, bits=bits)
    elif isinstance(data, str):
        if printable(data) != data:
            raise DecodeError(f"{field or 'text'}: {abbreviated(data)} has control characters")
    elif isinstance(data, int):
        if abs(data) >= 2**bits:
            raise DecodeError(f"{field or 'number'}: a whole number beyond {bits + 1} bits")
    elif isinstance(data, float) and not abs(data) <= LARGEST:
        raise DecodeError(f"{field or 'number'}: {data} is not a finite number up to {LARGEST}")


def decode(kind: type[T], data: Any, *, bits: int = 63) -> T:
    """Build a dataclass from plain data (dicts, lists, text, numbers) of exactly its fields' types.

    Text is not read as a number, nor 1 as a bool; a list becomes a tuple where the field is one. Keys that
    the class does not have are ignored, because later versions may write them. Its own checks apply.

    Args:
        kind: the class.
        data: what to build it from.
        bits: how long whole numbers may be.

    Raises:
        DecodeError: names the field, its value and the rule.
    """
    from pydantic import ValidationError

    check_values(data, bits=bits)
    try:
        found: T = _adapter(cast(Any, kind)).validate_json(json.dumps(data, default=str), strict=True)
        return found
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        is_whole = first["type"] in ("missing", "value_error")  # the input is all that holds the field
        field = ".".join(map(str, first["loc"])) or ("" if is_whole else "data")
        value = "" if is_whole else f" = {abbreviated(repr(first['input']))}"
        rule = first["msg"].removeprefix("Value error, ")
        raise DecodeError(f"{printable(field)}{value}: {printable(rule)}".lstrip(" :=")) from error


@cache
def _adapter(kind: Any) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
