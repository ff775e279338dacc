"""Text to variant and back."""

import re
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saevit.errors import SpecError
from saevit.variant import KEYS, PRESETS, VariantSpec, parse, with_values
from tests.strategies import specs

TINY = PRESETS["saevit_tiny"]


@given(specs())
def test_round_trip(spec: VariantSpec) -> None:
    assert parse(str(spec)) == spec


@given(specs(), st.floats(0.01, 100), st.floats(0.01, 100), st.floats(0.125, 64))
def test_round_trip_of_any_number(spec: VariantSpec, width: float, depth: float, ratio: float) -> None:
    spec = replace(spec, width=width, depth=depth, ratios=(ratio, 1, 2.5, ratio))
    assert parse(str(spec)) == spec


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_its_name(name: str) -> None:
    assert str(PRESETS[name]) == name
    assert parse(name) == PRESETS[name]


@given(st.permutations(["width=1.25", "depth=0.5", "rates=4", "ffn=mlp"]))
def test_order_of_keys_is_free(items: list[str]) -> None:
    assert (
        str(parse("saevit_small:" + ",".join(items))) == "saevit_small:width=1.25,depth=0.5,rates=4,ffn=mlp"
    )


def test_a_default_value_is_not_written() -> None:
    assert str(parse("saevit_tiny:rates=8-4-2-1,width=1.0")) == "saevit_tiny"


def test_one_value_stands_for_all_stages() -> None:
    assert parse("saevit_tiny:rates=2").rates == (2, 2, 2, 2)


def test_every_new_value_is_written() -> None:
    text = "saevit_tiny:attn_blocks=9,stem=20,key_dim=7,kernel=5,act=silu,sampling=mix"
    spec = parse(text)
    assert (spec.attn_blocks, spec.stem, spec.key_dim, spec.kernel) == ((9, 9, 9, 9), 20, 7, 5)
    assert str(spec) == text


def test_spaces_are_forgiven() -> None:
    assert parse(" saevit_tiny: width = 0.5 , rates=2 ") == parse("saevit_tiny:width=0.5,rates=2")


def test_every_field_has_a_key() -> None:
    assert sorted(key.field for key in KEYS.values()) == sorted(field.name for field in fields(VariantSpec))


def test_with_values_replaces() -> None:
    assert with_values(parse("saevit_tiny:width=0.5"), {"width": "2", "classes": "10"}) == replace(
        TINY, width=2.0, num_classes=10
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("saevit_tny", "'saevit_tny' is not a preset: did you mean saevit_tiny"),
        ("resnet50", "'resnet50' is not a preset: choose from saevit_pico, "),
        ("", "'empty text' is not a preset: choose from"),
        ("saevit_tiny:", "'saevit_tiny:' ends after its colon: add key=value, or write saevit_tiny"),
        ("saevit_tiny:widht=2", "'widht' is not a key: did you mean width"),
        ("saevit_tiny:width", "'width' is not key=value"),
        ("saevit_tiny:width=", "'width=' is not key=value"),
        ("saevit_tiny:=2", "'' is not a key: choose from width, depth"),
        ("saevit_tiny:width=1,,depth=1", "'' is not key=value"),
        ("saevit_tiny:width=1,width=2", "'width' is given twice (1 and 2): keep one"),
        ("saevit_tiny:width=wide", "width=wide is not a number: for example width=0.5"),
        ("saevit_tiny:rates=8-4-x-1", "rates=x is not a whole number"),
        ("saevit_tiny:rates=8.5", "rates=8.5 is not a whole number"),
        ("saevit_tiny:rates=0", "rates[0]=0 is out of range: nearest is 1"),
        ("saevit_tiny:rates=3-3", "rates=3-3 has 2 values"),
        ("saevit_tiny:width=nan", "width=nan is not a number"),
        ("saevit_tiny:attn_every=2", "'attn_every' is not a key"),
        ("saevit_tiny:attn_blocks=1-2", "attn_blocks=1-2 has 2 values"),
        ("saevit_tiny:kernel=4", "kernel=4 is not available: choose from 3, 5"),
        ("saevit_tiny:kernel=three", "kernel=three is not a whole number: for example kernel=2"),
        ("saevit_tiny:sampling=max", "sampling=max is unknown"),
    ],
)
def test_refuses(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)) as caught:
        parse(text)
    assert "\n" not in str(caught.value)
