"""The largest value that fits, and what one step of each key costs."""

from dataclasses import replace

import pytest

from saevit.count.cost import count_network
from saevit.errors import OptionError
from saevit.explore.solve import SOLVABLE, find_sensitivity, solve
from saevit.explore.space import read_space
from saevit.variant import parse
from tests.explore.spaces import MIDDLE

SIZE = (224, 224)


@pytest.mark.parametrize("key", SOLVABLE)
@pytest.mark.parametrize("share", [0.96, 1.0, 1.4])
def test_the_largest_fits_and_the_next_does_not(key: str, share: float) -> None:
    target = int(count_network(MIDDLE, SIZE).macs * share)
    found = solve(MIDDLE, key, target, SIZE)
    assert found.row.macs <= target
    assert found.row.macs == count_network(parse(found.row.model), SIZE).macs
    assert found.next_row is not None
    assert found.next_row.macs > target
    assert found.next_row.macs == count_network(parse(found.next_row.model), SIZE).macs
    assert found.next_value is not None
    assert float(found.next_value) > float(found.value)


def test_a_budget_that_nothing_meets() -> None:
    with pytest.raises(OptionError, match=r"--target-gmacs 0.001 cannot be met by width: .*width=0.001"):
        solve(MIDDLE, "width", 10**6, SIZE)


def test_a_key_that_cannot_be_solved_for() -> None:
    with pytest.raises(OptionError, match="--solve widht is not possible: did you mean width"):
        solve(MIDDLE, "widht", 10**9, SIZE)
    with pytest.raises(OptionError, match="--solve rates1 is not possible"):
        solve(MIDDLE, "rates1", 10**9, SIZE)


def test_every_step_is_the_difference_of_two_counts() -> None:
    found = find_sensitivity(MIDDLE, SIZE)
    before = count_network(MIDDLE, SIZE)
    assert {step.key for step in found.steps} >= {
        "width",
        "depth",
        "stem",
        "key_dim",
        "kernel",
        "dims1",
        "depths4",
        "rates3",
        "attn_blocks3",
    }
    for step in found.steps:
        after = count_network(parse(step.row.model), SIZE)
        assert step.change(found.base, "macs") == after.macs - before.macs
        assert step.change(found.base, "params") == after.params - before.params
        assert step.change(found.base, "activations") == after.activations - before.activations
    largest = [
        max(abs(s.change(found.base, "macs")) for s in found.steps if s.key == k)
        for k in dict.fromkeys(step.key for step in found.steps)
    ]
    assert largest == sorted(largest, reverse=True)


def test_a_step_that_no_variant_takes_is_left_out() -> None:
    text = "saevit_tiny:dims=8,heads=1,depths=1,ratios=1,rates=1,attn_blocks=0,stem=8,key_dim=8,kernel=3"
    smallest = find_sensitivity(parse(text), SIZE)
    down = {step.key for step in smallest.steps if not step.up}
    assert not down & {"dims1", "depths1", "rates1", "attn_blocks1", "stem", "key_dim", "kernel"}


def test_a_step_that_costs_nothing_is_left_out() -> None:
    full = find_sensitivity(parse("saevit_tiny:depths=2,attn_blocks=9,local=none"), SIZE)
    assert not {step.key for step in full.steps} & {"attn_blocks1", "kernel"}
    plain = find_sensitivity(parse("saevit_tiny:attention=none"), SIZE)
    assert not {step.key for step in plain.steps} & {"attn_blocks1", "key_dim", "rates1"}


@pytest.mark.parametrize("rate", [1, 4])
def test_the_largest_width_of_a_stage_is_found_though_heads_follow_it(rate: int) -> None:
    base = replace(MIDDLE, rates=(rate,) * 4, attn_blocks=(9,) * 4)
    target = int(count_network(base, SIZE).macs * 1.3)
    found = solve(base, "dims3", target, SIZE)
    space = read_space(base, {"dims3": "8:1024:8"})
    fitting = [
        spec.dims[2]
        for spec in map(space.spec_at, range(space.size))
        if count_network(spec, SIZE).macs <= target
    ]
    assert found.value == str(max(fitting))
