"""The parts of a space are those of its variants, and each is a piece of the folded form."""

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, assume, example, given, settings

from saevit.errors import OptionError
from saevit.explore.latency_model import LatencyPart, list_variant_parts
from saevit.explore.latency_parts import (
    EMPTY,
    MOST_PARTS,
    REPEATS,
    build_part,
    check_covers,
    choose_parts,
    describe_input,
    list_sizes,
    read_part,
    write_part,
)
from saevit.explore.space import Space, default_choices, make_space, read_space
from saevit.model.fold import fold
from saevit.model.pyramid import build
from saevit.variant import PRESETS, VariantSpec
from tests.explore.spaces import BASE, IMG_SIZE, make_latency, networks, spaces

TINY = PRESETS["saevit_tiny"]


def parts_of(spec: VariantSpec) -> set[LatencyPart]:
    used = list_variant_parts(spec)
    return {LatencyPart(part.group, int(part.first), int(part.second)) for part in used}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spaces(200))
@example(make_space(BASE, {"width": (0.5,), "heads3": (1, 2, 3)}))  # parts of invalid variants only
def test_sizes_are_those_of_all_variants(space: Space) -> None:
    found = {LatencyPart(group, *pair) for group, pairs in list_sizes(space).items() for pair in pairs}
    every = set().union(parts_of(space.base), *map(parts_of, networks(space).values()))
    assert every <= found
    if len(networks(space)) == space.size:
        assert {part.group.kind for part in found - every} <= {"attention"}  # that only some variants have
    assume(networks(space))
    model = make_latency(space)
    check_covers(model, space)
    assert all(model.predict(spec) is not None for spec in networks(space).values())


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_few_parts_are_timed_of_a_default_space(name: str) -> None:
    space = make_space(PRESETS[name], default_choices(PRESETS[name]))
    chosen = choose_parts(space)
    assert len(set(chosen)) == len(chosen) <= MOST_PARTS
    assert parts_of(PRESETS[name]) <= set(chosen)
    found = {LatencyPart(group, *pair) for group, pairs in list_sizes(space).items() for pair in pairs}
    assert set(chosen) <= found


def test_too_many_kinds_of_parts_are_refused_with_their_number() -> None:
    settings = {
        "act": "relu,gelu,silu",
        "kernel": "3,5",
        "key_dim": "8,16",
        "sampling": "adaptive,mix,stride",
    }
    dims = {f"dims{i}": "32:128:32" for i in range(1, 5)}
    with pytest.raises(OptionError, match=rf"have \d+ kinds of parts to time: at most {MOST_PARTS}"):
        choose_parts(read_space(BASE, settings | dims))


def test_a_calibration_of_other_variants_is_refused() -> None:
    model = make_latency(make_space(BASE, {"dims3": (16, 32)}))
    with pytest.raises(
        OptionError, match=r"of other variants \(stage 3, downsample: channels 16 to 48, measured 16 to 32\)"
    ):
        check_covers(model, make_space(BASE, {"dims3": (16, 48)}))
    with pytest.raises(OptionError, match=r"of other variants \(stage 3, ffn: nothing with .*multiple=1\)"):
        check_covers(model, make_space(BASE, {"dims3": (16, 24)}))
    check_covers(model, make_space(BASE, {"dims3": (16, 32), "depths1": (1, 2, 3)}))


@pytest.mark.parametrize("part", sorted({EMPTY, *parts_of(BASE), *parts_of(replace(TINY, num_classes=0))}))
def test_the_text_of_a_part_is_read_back(part: LatencyPart) -> None:
    assert read_part(write_part(part)) == part


@pytest.mark.parametrize("text", ["part:", "part:ffn", "part:ffn,stage=1,channels=8", "part:ffn,stage=x"])
def test_other_text_is_no_part(text: str) -> None:
    with pytest.raises(ValueError, match="part"):
        read_part(text)


def weights_of(network: torch.nn.Module) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in network.state_dict().values()]


@pytest.mark.parametrize(
    "spec",
    [BASE, replace(BASE, sampling="mix", ffn="mlp", local="none", kernel=5, act="gelu", num_classes=7)],
    ids=["default", "ablations"],
)
def test_parts_are_pieces_of_the_folded_network(spec: VariantSpec) -> None:
    """The weights of all parts, each as often as it is used, are those of the network."""
    whole, pieces = fold(build(spec)), list[tuple[int, ...]]()
    for used in list_variant_parts(spec):
        part = LatencyPart(used.group, int(used.first), int(used.second))
        network = build_part(part)
        weights = weights_of(network)
        copies = REPEATS.get(part.group.kind, 1)
        pieces += weights[: len(weights) // copies] * int(used.times)
        channels, size = describe_input(part, IMG_SIZE)
        out = network(torch.randn(1, channels, *size))
        if part.group.kind in ("ffn", "attention"):
            assert out.shape == (1, channels, *size)
    assert sorted(pieces) == sorted(weights_of(whole))
