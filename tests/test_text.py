"""Text from elsewhere: escaped for display, and read as bounded numbers."""

import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saevit.text import abbreviated, printable, read_number, read_whole

ANY = st.text(st.characters(exclude_categories=()))  # lone surrogates too


@given(ANY)
def test_printable_text_has_no_control_characters(text: str) -> None:
    shown = printable(text)
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    shown.encode("utf-8")
    assert printable(shown) == shown


@pytest.mark.parametrize("text", ["plain", "数据 é", "price $5 {x} 50 %"])
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert printable(text) == text


def test_the_escape_names_the_character() -> None:
    assert printable("a\x1b[2J\n\udce9\u202e") == r"a\x1b[2J\n\udce9\u202e"


@given(st.integers(-(10**18) + 1, 10**18 - 1))
def test_whole_numbers_are_read(number: int) -> None:
    assert read_whole(str(number)) == number


@pytest.mark.parametrize(
    "text", ["", "x", "1.0", "1e3", "9" * 19, "9" * 5000, "\u0661", "1_0", "--1", "0x1", "+-1"]
)
def test_other_text_is_no_whole_number(text: str) -> None:
    with pytest.raises(ValueError, match="is not a whole number") as caught:
        read_whole(text)
    assert len(str(caught.value)) < 150


@given(st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False))
def test_numbers_are_read(number: float) -> None:
    if number and abs(number) < 1e-300:
        return
    assert read_number(repr(number)) == number


@pytest.mark.parametrize(
    "text", ["", "x", "nan", "inf", "-inf", "1e999", "1e-320", "9" * 400, "1e" + "9" * 50]
)
def test_other_text_is_no_number(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - float's own message or ours
        read_number(text)


def test_long_text_is_abbreviated() -> None:
    assert len(abbreviated("x" * 10_000)) < 70
    assert math.isfinite(read_number("0"))
