"""What each key changes: these modules of the network and these of their costs, and no other."""

import re
from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any, NamedTuple

import pytest

from saevit.count.cost import Cost, count_modules
from saevit.count.model_costs import build_skeleton
from saevit.count.torch_counter import count_torch
from saevit.variant import VariantSpec

BASE = VariantSpec(
    dims=(16, 24, 32, 48),
    depths=(1, 2, 3, 2),
    num_heads=(1, 2, 2, 3),
    ratios=(2, 2, 3, 3),
    rates=(8, 4, 2, 1),
    attn_blocks=(1, 1, 2, 2),
    key_dim=8,
)
IMG_SIZE = (95, 64)


class Change(NamedTuple):
    """Keys that change; the modules that do, without stage and block; by module the costs' initials."""

    keys: dict[str, Any]
    modules: str
    costs: dict[str, str]


SCORE = {"attn.sample.score": "pma"}
RECOVERY = "attn.recover attn.recover.dw"
ATTENTION = "attn attn.norm attn.sample attn.sample.score attn.qkv attn.attend attn.proj " + RECOVERY
OF_ATTENTION = {
    **{"": "e", "attn.norm": "pe", "attn.sample": "e", **SCORE, "attn.recover.dw": "pma"},
    **{"attn.qkv": "pma", "attn.attend": "ma", "attn.proj": "pma"},
}
STEM = {"stem.conv1.conv": "pma", "stem.conv1.norm": "pe", "stem.act": "e", "stem.conv2.conv": "pm"}
AGGREGATES = "ffn ffn.aggregate ffn.aggregate.conv ffn.aggregate.norm ffn.act_a ffn.redistribute"
OF_AGGREGATES = {
    **{"ffn.aggregate.conv": "pma", "ffn.aggregate.norm": "pe"},
    **{"ffn.act_a": "e", "ffn.redistribute": "pe"},
}
CHANGES = [
    Change({"key_dim": 16}, "attn.qkv", {"attn.qkv": "pma", "attn.attend": "m"}),
    Change({"num_heads": (2, 4, 4, 6)}, "attn.qkv", {"attn.qkv": "pma", "attn.attend": "m"}),
    Change({"num_heads": (2, 4, 4, 6), "key_dim": 4}, "", {}),  # as many keys in all
    Change({"kernel": 5}, "ffn.local.conv", {"ffn.local.conv": "pm"}),
    Change({"act": "gelu"}, "stem.act ffn.act ffn.act_a", {}),
    Change({"drop_path_rate": 0.1}, "drop_path", {}),
    Change({"stem": 24}, "stem.conv1.conv stem.conv1.norm stem.conv2.conv", STEM),
    Change({"sampling": "mix"}, "attn.sample attn.sample.score", {"attn.sample": "pe", **SCORE}),
    Change({"sampling": "average"}, "attn.sample attn.sample.score", {"attn.sample": "e", **SCORE}),
    Change({"sampling": "stride"}, "attn.sample attn.sample.score", {"attn.sample": "e", **SCORE}),
    Change({"ffn": "mlp"}, AGGREGATES, OF_AGGREGATES),
    Change(
        {"local": "none"},
        "ffn.local ffn.local.conv ffn.local.norm",
        {"ffn.local": "pe", "ffn.local.conv": "pma", "ffn.local.norm": "pe"},
    ),
    Change(
        {"attention": "dense"},
        "attn.sample attn.sample.score " + RECOVERY,
        {
            **{"attn.sample": "e", **SCORE, "attn.recover.dw": "pma"},
            **{"attn.qkv": "ma", "attn.attend": "ma", "attn.proj": "ma"},
        },
    ),
    Change({"attention": "none"}, ATTENTION, OF_ATTENTION),
    Change({"attn_blocks": (9, 1, 3, 9)}, ATTENTION, OF_ATTENTION),  # one more, in the third stage alone
    Change({"attn_blocks": (1, 1, 2, 9)}, "", {}),  # of two blocks, two
]


def within_block(paths: Iterable[str]) -> set[str]:
    """Leave stage and block out of paths."""
    return {re.sub(r"^stages\.\d\.blocks\.\d\.?", "", path) for path in paths}


def modules(spec: VariantSpec) -> dict[str, tuple[Any, ...]]:
    """Return the kind and the sizes of each module of a network."""
    named = build_skeleton(spec).named_modules()
    return {path: (type(m), m.extra_repr(), getattr(m, "drop_prob", None)) for path, m in named}


def differing(before: dict[str, Any], after: dict[str, Any], absent: Any = None) -> set[str]:
    """Return the paths with another value, a path that one lacks among them."""
    paths = before.keys() | after.keys()
    return within_block(p for p in paths if before.get(p, absent) != after.get(p, absent))


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: ",".join(map(str, change.keys.items())))
def test_a_key_changes_its_modules_alone(change: Change) -> None:
    spec = replace(BASE, **change.keys)
    assert differing(modules(BASE), modules(spec)) == set(change.modules.split())
    costs = [count_modules(each, IMG_SIZE) for each in (BASE, spec)]
    found: dict[str, str] = {}
    for field in fields(Cost):
        amounts = [{path: getattr(cost, field.name) for path, cost in each.items()} for each in costs]
        for path in differing(*amounts, absent=0):
            found[path] = found.get(path, "") + field.name[0]
    assert found == change.costs


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: ",".join(map(str, change.keys.items())))
def test_the_count_changes_as_the_network_does(change: Change) -> None:
    spec = replace(BASE, **change.keys)
    counted = count_torch(build_skeleton(spec), (1, 3, *IMG_SIZE))
    costs = count_modules(spec, IMG_SIZE)
    assert counted.macs == {path: cost.macs for path, cost in costs.items() if cost.macs}
    assert counted.activations == {path: cost.activations for path, cost in costs.items() if cost.activations}
    assert sum(counted.apart.values()) == sum(cost.elementwise for cost in costs.values())
