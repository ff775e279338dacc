"""A variant is checked when it is made, and each error names what is accepted; text to variant and back."""

import re
from dataclasses import FrozenInstanceError, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saevit.errors import SpecError
from saevit.variant import KEYS, PRESETS, VariantSpec, parse, set_values
from tests.strategies import specs

SPEC = VariantSpec(
    dims=(48, 96, 192, 384),
    depths=(1, 2, 6, 3),
    num_heads=(1, 2, 3, 6),
    ratios=(3, 3, 3, 4),
    rates=(8, 4, 2, 1),
    attn_blocks=(1, 1, 3, 2),
)


TINY = PRESETS["saevit_tiny"]


@given(specs())
def test_stages_are_buildable(spec: VariantSpec) -> None:
    for stage, dim in zip(spec.stages, spec.dims, strict=True):
        assert stage.dim % stage.num_heads == 0
        assert stage.depth >= 1
        assert stage.hidden_dim % 16 == 0
        if spec.width == 1:
            assert stage.dim == dim  # a width of 1 never rounds what was asked for
        else:
            assert stage.dim % 8 == 0


@given(specs())
def test_the_last_blocks_of_a_stage_carry_attention(spec: VariantSpec) -> None:
    for stage, given_blocks in zip(spec.stages, spec.attn_blocks, strict=True):
        assert len(stage.attends) == stage.depth
        assert stage.attends == tuple(sorted(stage.attends))
        wanted = 0 if spec.attention == "none" else min(given_blocks, stage.depth)
        assert sum(stage.attends) == stage.attn_blocks == wanted


def test_attn_blocks_count_from_the_end_and_are_at_most_all() -> None:
    spec = replace(SPEC, depths=(1, 2, 5, 3), attn_blocks=(4, 0, 2, 3))
    assert [stage.attends for stage in spec.stages] == [
        (True,),
        (False, False),
        (False, False, False, True, True),
        (True, True, True),
    ]


def test_width_rounds_to_a_multiple_of_8_that_the_heads_divide() -> None:
    assert [stage.dim for stage in replace(SPEC, width=1.25).stages] == [64, 120, 240, 480]
    assert [stage.dim for stage in replace(SPEC, width=0.01).stages] == [8, 8, 24, 24]


def test_width_multiplies_the_stem() -> None:
    assert [replace(SPEC, width=w, stem=20).stem_dim for w in (0.01, 0.5, 1, 1.3)] == [8, 8, 20, 24]


def test_hidden_channels_are_whole_groups() -> None:
    assert [stage.hidden_dim for stage in replace(SPEC, ratios=(2.2, 0.125, 2.7, 3)).stages] == [
        *[112, 16, 512, 1152]
    ]


def test_depth_keeps_one_block() -> None:
    assert [stage.depth for stage in replace(SPEC, depth=0.1).stages] == [1, 1, 1, 1]
    assert [stage.depth for stage in replace(SPEC, depth=1.5).stages] == [2, 3, 9, 5]


def test_dense_attention_samples_nothing() -> None:
    assert [stage.rate for stage in replace(SPEC, attention="dense").stages] == [1, 1, 1, 1]


def test_frozen_and_hashable() -> None:
    with pytest.raises(FrozenInstanceError):
        SPEC.width = 2.0  # type: ignore[misc]
    assert len({SPEC, replace(SPEC), replace(SPEC, width=2.0)}) == 2


def test_lists_become_tuples() -> None:
    assert replace(SPEC, rates=[8, 4, 2, 1]) == SPEC  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rates": (0, 4, 2, 1)}, "rates1=0 is out of range: nearest is 1"),
        ({"rates": (3, 3)}, "rates=3-3 has 2 values: give 4 values, one per stage, or one"),
        ({"rates": 3}, "rates=3 is not a sequence: give 4 values, one per stage"),
        ({"rates": (1.5, 1, 1, 1)}, "rates1=1.5 is not a whole number: choose from 1 to 256"),
        ({"rates": (257, 1, 1, 1)}, "rates1=257 is out of range: nearest is 256"),
        (
            {"num_heads": (5, 2, 3, 6)},
            "heads1=5 does not divide dims1=48: nearest are 4 or 6 heads, or 50",
        ),
        ({"num_heads": (1, 2, 3, 0)}, "heads4=0 is out of range: nearest is 1"),
        ({"width": float("nan")}, "width=nan is not a number"),
        ({"width": float("inf")}, "width=inf is out of range: nearest is 1024"),
        ({"width": 0.0}, "width=0 must be above 0"),
        ({"width": True}, "width=True is not a number"),
        ({"depth": 0}, "depth=0 must be above 0"),
        ({"depth": -1}, "depth=-1 must be above 0"),
        ({"dims": (2**20, 96, 192, 384), "width": 2.0}, "at most 1048576, that is width=1"),
        ({"depths": (4096, 2, 6, 2), "depth": 2.0}, "at most 4096, that is depth=1"),
        ({"depths": (0, 2, 6, 2)}, "depths1=0 is out of range: nearest is 1"),
        ({"ratios": (0, 3, 3, 3)}, "ratios1=0 is out of range: nearest is 0.125"),
        ({"attn_blocks": (-1, 1, 1, 1)}, "attn_blocks1=-1 is out of range: nearest is 0"),
        ({"attn_blocks": (1, 1)}, "attn_blocks=1-1 has 2 values: give 4 values, one per stage, or one"),
        ({"stem": 0}, "stem=0 is out of range: nearest is 1"),
        ({"stem": 2**20, "width": 2.0}, "at most 1048576, that is width=1"),
        ({"key_dim": 0}, "key_dim=0 is out of range: nearest is 1"),
        ({"key_dim": 8.0}, "key_dim=8.0 is not a whole number: choose from 1 to 4096"),
        ({"kernel": 4}, "kernel=4 is not available: choose from 3, 5"),
        ({"kernel": True}, "kernel=True is not available: choose from 3, 5"),
        ({"act": "swish"}, "act=swish is not available: did you mean hardswish?"),
        ({"attention": "sparse"}, "attention=sparse is not available: choose from saa, dense, none"),
        ({"sampling": "avg"}, "sampling=avg is not available: did you mean average?"),
        ({"ffn": None}, "ffn=None is not available"),
        ({"num_classes": -1}, "num_classes=-1 is out of range: nearest is 0"),
        ({"in_chans": 0}, "in_chans=0 is out of range: nearest is 1"),
        ({"drop_path_rate": 1.0}, "drop_path_rate=1 is out of range: nearest is 0.99"),
    ],
)
def test_refuses(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)) as caught:
        replace(SPEC, **changes)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


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
    assert set_values(parse("saevit_tiny:width=0.5"), {"width": "2", "classes": "10"}) == replace(
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
        ("saevit_tiny:rates=0", "rates1=0 is out of range: nearest is 1"),
        ("saevit_tiny:rates=3-3", "rates=3-3 has 2 values"),
        ("saevit_tiny:width=nan", "width=nan is not a number"),
        ("saevit_tiny:attn_every=2", "'attn_every' is not a key"),
        ("saevit_tiny:attn_blocks=1-2", "attn_blocks=1-2 has 2 values"),
        ("saevit_tiny:kernel=4", "kernel=4 is not available: choose from 3, 5"),
        ("saevit_tiny:kernel=three", "kernel=three is not a whole number: for example kernel=2"),
        ("saevit_tiny:sampling=max", "sampling=max is not available"),
    ],
)
def test_refuses_text(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)) as caught:
        parse(text)
    assert "\n" not in str(caught.value)
