"""Files are decoded to exact types, or refused in one line that names the field."""

import contextlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saevit.decode import DecodeError, check_values, decode, parse_json


@dataclass(frozen=True)
class Inner:
    """One part."""

    size: tuple[int, int]
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True, kw_only=True)
class Outer:
    """All kinds of fields."""

    count: int
    share: float
    name: str
    is_on: bool
    note: str | None = None
    parts: tuple[Inner, ...] = field(default=())
    table: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"{self.count} is below 0")


GOOD = Outer(count=1, share=0.5, name="x", is_on=True, parts=(Inner((1, 2), "b"),), table={"a": 1.0})


def test_what_was_written_is_read() -> None:
    assert decode(Outer, parse_json(json.dumps(asdict(GOOD)))) == GOOD


def test_unknown_keys_are_ignored() -> None:
    assert decode(Outer, asdict(GOOD) | {"of_a_later_version": [1]}) == GOOD


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"count": "1"}, "count = '1'"),
        ({"count": True}, "count = True"),
        ({"count": 1.5}, r"count = 1\.5"),
        ({"count": -1}, "-1 is below 0"),
        ({"count": 10**400}, "count: a whole number beyond 64 bits"),
        ({"share": "0.5"}, "share = '0.5'"),
        ({"share": float("nan")}, "share: nan is not a finite number"),
        ({"share": 1e308}, r"share: 1e\+308 is not a finite number"),
        ({"name": 5}, "name = 5"),
        ({"name": "a\x1b"}, r"name: a\\x1b has control characters"),
        ({"name": "\ud800"}, r"name: \\ud800 has control characters"),
        ({"is_on": 1}, "is_on = 1"),
        ({"is_on": None}, "is_on = None"),
        ({"parts": [{"size": [1]}]}, r"parts\.0\.size\.1"),
        ({"parts": [{"size": [1, 2], "kind": "c"}]}, r"parts\.0\.kind = 'c'"),
        ({"parts": {"a": 1}}, "parts = "),
        ({"table": {"a": "x"}}, r"table\.a = 'x'"),
        ({"table": {"a\n": 1.0}}, "control characters"),
    ],
)
def test_other_types_are_refused_by_field(change: dict[str, Any], said: str) -> None:
    with pytest.raises(DecodeError, match=said) as caught:
        decode(Outer, asdict(GOOD) | change)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [None, 5, "x", [], [1], {}])
def test_other_data_is_refused(data: Any) -> None:
    with pytest.raises(DecodeError):
        decode(Outer, data)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff",
        b"NaN",
        b"[Infinity]",
        b"[1e999]",
        b"1" * 5000,
        b"[" * 10**5,
        b'"\\u0000"',
        b'"\\ud800"',
    ],
)
def test_text_that_is_no_plain_json_is_refused(text: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        parse_json(text)
    assert "\n" not in str(caught.value)


def test_nesting_without_end_is_refused() -> None:
    data: dict[str, Any] = {}
    data["data"] = data
    with pytest.raises(DecodeError, match="nested deeper"):
        check_values(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(asdict(GOOD))), JSON)
def test_any_value_in_any_field_is_read_or_refused(key: str, value: Any) -> None:
    with contextlib.suppress(DecodeError):
        found = decode(Outer, asdict(GOOD) | {key: value})
        assert json.loads(json.dumps(asdict(found)[key])) == json.loads(json.dumps(value)) or key == "parts"
