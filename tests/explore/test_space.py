"""Choices as text, the space's order and size, variants at places, heads that follow channels."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saevit.errors import OptionError, SpecError
from saevit.explore.space import default_choices, make_space, read_choices, read_space, toml_text
from saevit.variant import PRESETS, parse, resolve_dim, round_to_multiple
from tests.explore.spaces import BASE, spaces

TINY = PRESETS["saevit_tiny"]


@pytest.mark.parametrize(
    ("key", "text", "values"),
    [
        ("width", "0.5:1.5:0.25", (0.5, 0.75, 1.0, 1.25, 1.5)),
        ("width", "0.1:0.3:0.1", (0.1, 0.2, 0.3)),  # decimal, not binary, steps
        ("depth", "0.5,1,1.5", (0.5, 1.0, 1.5)),
        ("dims1", "24:40:8,64", (24, 32, 40, 64)),
        ("dims1", "24:30:8", (24,)),
        ("depths3", "2:4", (2, 3, 4)),
        ("ratios2", "2:3:0.5", (2.0, 2.5, 3.0)),
        ("rates", "8,4,2,1;4,2,2,1", ((8, 4, 2, 1), (4, 2, 2, 1))),
        ("rates", "8-4-2-1,4", ((8, 4, 2, 1), (4, 4, 4, 4))),
        ("ratios", "3,4", ((3.0,) * 4, (4.0,) * 4)),
        ("dims", "8:24:8", ((8,) * 4, (16,) * 4, (24,) * 4)),
        ("ffn", "ciffn,mlp", ("ciffn", "mlp")),
        ("kernel", "3,5,3", (3, 5)),
        ("attn_blocks", "1-1-3-2,2", ((1, 1, 3, 2), (2, 2, 2, 2))),
        ("attn_blocks3", "0:4:2", (0, 2, 4)),
    ],
)
def test_choices(key: str, text: str, values: tuple[object, ...]) -> None:
    assert read_choices(key, text) == values


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("dim1", "8", "'dim1' is not a key: did you mean dims1"),
        ("dims5", "8", "'dims5' is not a key"),
        ("width", "0.5,,1", "width=0.5,,1: a choice is empty"),
        ("width", "1:2:3:4", "width=1:2:3:4 is not a range"),
        ("width", "2:1", "a range goes up"),
        ("width", "1:2:0", "a range goes up"),
        ("width", "1:2:nan", "width=1:2:nan is not a range"),
        ("width", "0:1:0.000001", "at most 100,000"),
        ("dims1", "8-16-24-32", "one stage has one value"),
        ("dims1", "wide", "dims1=wide is not a number"),
        ("width", "wide", "width=wide is not a number"),
        ("rates", "8,4;2,1", "rates=8-4 has 2 values: give 4 values, one per stage, or one for all"),
        ("dims1", "0", "dims1=0 is out of range: nearest is 1"),
        ("act", "swish", "act=swish is not available: did you mean hardswish?"),
        ("heads2", "0", "heads2=0 is out of range"),
        ("kernel", "3:5", "kernel=4 is not available: choose from 3, 5"),
        ("attn_blocks1", "-1", "attn_blocks1=-1 is not a number"),
    ],
)
def test_a_wrong_choice_is_named(key: str, text: str, message: str) -> None:
    with pytest.raises((OptionError, SpecError)) as caught:
        read_space(TINY, {key: text})
    assert message in str(caught.value)


def test_a_stage_is_set_once() -> None:
    with pytest.raises(OptionError, match="dims1 and dims both set the dims of a stage"):
        read_space(TINY, {"dims": "48,96", "dims1": "48"})


def test_the_order_of_a_space() -> None:
    space = read_space(BASE, {"depths4": "1,2", "width": "1,2", "depths1": "1,2,3"})
    assert (space.size, space.shape) == (12, (2, 3, 1, 1, 2))
    seen = [space.choices_at(i) for i in range(12)]
    assert [c["width"] for c in seen] == [1.0] * 6 + [2.0] * 6
    assert [c["depths4"] for c in seen] == [1, 2] * 6
    for outside in (-1, 12):
        with pytest.raises(IndexError):
            space.spec_at(outside)


@given(spaces(), st.data())
def test_every_place_is_one_combination(space, data) -> None:
    assert space.size == math.prod(len(axis.values) for axis in space.axes)
    seen = [tuple(space.choices_at(i).values()) for i in range(space.size)]
    assert len(set(seen)) == space.size
    place = data.draw(st.integers(0, space.size - 1))
    try:
        spec = space.spec_at(place)
    except SpecError:
        return
    assert parse(str(spec)) == spec
    assert all(stage.dim % stage.num_heads == 0 for stage in spec.stages)


def test_a_huge_space_has_an_exact_size() -> None:
    texts = {f"{key}{i}": "1:64" for key in ("dims", "depths", "rates") for i in range(1, 5)}
    space = read_space(TINY, texts)
    assert space.size == 64**12 > 2**64
    assert space.spec_at(space.size - 1).dims == (64, 64, 64, 64)


def test_heads_follow_channels_unless_given() -> None:
    space = read_space(TINY, {"dims2": "80,96,104"})
    heads = [space.spec_at(i).num_heads for i in range(3)]
    wanted = TINY.dims[1] / TINY.num_heads[1]
    for spec_heads, dim in zip(heads, (80, 96, 104), strict=True):
        assert spec_heads[0] == TINY.num_heads[0]
        nearest = min(abs(dim / h - wanted) for h in range(1, dim + 1) if dim % h == 0)
        assert abs(dim / spec_heads[1] - wanted) == nearest
    given_heads = read_space(TINY, {"dims2": "80,96,104", "heads2": "4,5"})
    made = []
    for i in range(given_heads.size):
        try:
            made.append((given_heads.spec_at(i).dims[1], given_heads.spec_at(i).num_heads[1]))
        except SpecError:
            continue
    assert made == [(80, 4), (80, 5), (96, 4), (104, 4)]


def test_a_file_says_the_same_as_the_command_line() -> None:
    table = {"dims1": "24:64:8", "ratios": [3, 4], "rates": [[8, 4, 2, 1], [4, 2, 2, 1]], "depth": 0.5}
    assert {key: toml_text(key, value) for key, value in table.items()} == {
        "dims1": "24:64:8",
        "ratios": "3,4",
        "rates": "8-4-2-1,4-2-2-1",
        "depth": "0.5",
    }
    with pytest.raises(OptionError, match=r"ratios = \{'a': 1\}: give text"):
        toml_text("ratios", {"a": 1})


@pytest.mark.parametrize("name", PRESETS)
def test_around_a_preset_is_the_preset(name: str) -> None:
    space = make_space(PRESETS[name], default_choices(PRESETS[name]))
    assert 10**5 < space.size < 10**8
    for i, axis in enumerate([a for a in space.axes if a.key.startswith("dims")]):
        assert PRESETS[name].dims[i] in axis.values
        assert all(dim % 16 == 0 for dim in axis.values)  # runtimes compute these fastest


@given(st.floats(0.01, 5000), st.integers(1, 512))
def test_arrays_round_as_one_variant_does(value: float, multiple: int) -> None:
    arrays = np.array([value]), np.array([multiple])
    assert round_to_multiple(*arrays).tolist() == [round_to_multiple(value, multiple)]


@given(st.integers(1, 2**20), st.integers(1, 64), st.floats(0.01, 4))
def test_width_gives_multiples_of_8_that_heads_divide(dim: int, heads: int, width: float) -> None:
    found = resolve_dim(dim, heads, width)
    assert found % math.lcm(8, heads) == 0 if width != 1 else found == dim
    assert resolve_dim(np.array([dim]), np.array([heads]), np.array([width])).tolist() == [found]
