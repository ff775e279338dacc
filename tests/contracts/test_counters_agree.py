"""The promise behind every printed MAC: four independent counters, one integer, module by module."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saevit.count.cost import count_modules, count_network
from saevit.count.model_costs import build_skeleton
from saevit.count.torch_counter import count_torch
from saevit.variant import PRESETS, VariantSpec
from tests.counters import COUNTERS
from tests.strategies import img_sizes, specs

EXAMPLES = 20  # random variants and sizes
SHARDS, MANY = 6, 60  # test-slow takes 360 more, in parts that run side by side


def closed_form(spec: VariantSpec, img_size: tuple[int, int]) -> dict[str, int]:
    """The MACs that analytic says, by path."""
    return {path: cost.macs for path, cost in count_modules(spec, img_size).items() if cost.macs}


def check_counters(spec: VariantSpec, img_size: tuple[int, int]) -> None:
    """Count one variant four times."""
    model = build_skeleton(spec)
    expected = closed_form(spec, img_size)
    assert count_network(spec, img_size).params == sum(p.numel() for p in model.parameters())
    for name, counter in COUNTERS.items():
        count = counter(model, (1, spec.in_chans, *img_size))
        assert count.macs == expected, name
        assert count.uncounted == {}, name


@settings(max_examples=EXAMPLES, deadline=None)
@given(spec=specs(), img_size=img_sizes())
def test_four_counters_give_the_same_integers(spec: VariantSpec, img_size: tuple[int, int]) -> None:
    check_counters(spec, img_size)


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
@settings(max_examples=MANY, deadline=None)
@given(spec=specs(), img_size=img_sizes())
def test_four_counters_give_the_same_integers_on_hundreds(
    shard: int, spec: VariantSpec, img_size: tuple[int, int]
) -> None:
    check_counters(spec, img_size)


@settings(max_examples=30, deadline=None)
@given(specs(), img_sizes(), st.integers(1, 3))
def test_activations_and_elementwise_work(
    spec: VariantSpec, img_size: tuple[int, int], batch_size: int
) -> None:
    count = count_torch(build_skeleton(spec), (batch_size, spec.in_chans, *img_size))
    total = count_network(spec, img_size)
    assert count.total == batch_size * total.macs
    assert sum((count.activations or {}).values()) == batch_size * total.activations
    assert sum(count.apart.values()) == batch_size * total.elementwise


@pytest.mark.parametrize("name", PRESETS)
def test_presets_at_224(name: str) -> None:
    model = build_skeleton(PRESETS[name])
    expected = closed_form(PRESETS[name], (224, 224))
    for counter in COUNTERS.values():
        assert counter(model, (1, 3, 224, 224)).macs == expected
