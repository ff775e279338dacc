"""How module paths become the lines of a breakdown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saevit.count.breakdown_lines import By, assign_values, group_modules, name_line
from saevit.count.model_costs import count_variant
from saevit.variant import parse

VIT = [
    *("patch_embed.proj", "blocks.0.norm1", "blocks.0.attn.qkv", "blocks.0.mlp.fc1"),
    *("blocks.1.norm1", "blocks.1.attn.qkv", "norm", "head"),
]
SEQUENTIAL = ["stem.0", "stem.1", "stages.0.0.conv", "stages.0.1.conv", "stages.1.0.conv", "head.fc"]
paths = st.lists(st.lists(st.sampled_from(["a", "b", "0", "1"]), min_size=1, max_size=4).map(".".join))


def test_variant() -> None:
    lines = count_variant(parse("saevit_tiny:depths=1-2-1-1"), (64, 64)).paths
    assert group_modules(lines, "stage") == ("stem", "stages.0", "stages.1", "stages.2", "stages.3", "head")
    assert group_modules(lines, "block")[:5] == (
        *("stem", "stages.0.blocks.0", "stages.1.downsample", "stages.1.blocks.0", "stages.1.blocks.1"),
    )
    assert group_modules(lines, "module") == lines


def test_a_plain_transformer_has_its_blocks_as_stages() -> None:
    expected = ("patch_embed", "blocks.0", "blocks.1", "norm", "head")
    assert group_modules(VIT, "stage") == expected
    assert group_modules(VIT, "block") == expected


def test_nested_lists_open_one_level_at_a_time() -> None:
    assert group_modules(SEQUENTIAL, "stage") == ("stem", "stages.0", "stages.1", "head")
    assert group_modules(SEQUENTIAL, "block") == ("stem", "stages.0.0", "stages.0.1", "stages.1.0", "head")


@given(paths, st.sampled_from(["stage", "block", "module"]))
def test_nothing_is_lost(found: list[str], by: str) -> None:
    values = {path: 2**i for i, path in enumerate(dict.fromkeys(found))}
    assert sum(assign_values(values, group_modules(found, by)).values()) == sum(values.values())  # type: ignore[arg-type]


def test_the_nearest_line_takes_it_and_the_rest_has_no_name() -> None:
    assert assign_values({"a.b.c": 1, "a": 2, "d": 4, "": 8}, ["a", "a.b"]) == {"a": 2, "a.b": 1, "": 12}


@pytest.mark.parametrize(
    ("path", "by", "name"),
    [
        ("stages.0", "stage", "stage 1"),
        ("stages.2.blocks.0", "block", "stage 3, block 1"),
        ("stages.1.0", "block", "stage 2, block 1"),
        ("stages.3.downsample", "block", "stage 4, downsample"),
        ("stages.2.blocks.0", "module", "stages.2.blocks.0"),
        ("stages.2.blocks.0.attn.qkv", "block", "stages.2.blocks.0.attn.qkv"),
        ("layer1", "stage", "layer1"),
        ("", "stage", "(elsewhere)"),
    ],
)
def test_a_reader_counts_stages_and_blocks_from_one(path: str, by: By, name: str) -> None:
    assert name_line(path, by) == name
