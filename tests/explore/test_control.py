"""Random variants at equal cost, in a small space."""

from collections import Counter
from dataclasses import replace

import pytest

from saevit.explore.control import EQUAL, draw_control
from saevit.explore.exploration import Exploration, count_answer
from saevit.explore.question import Question, Search, read_limit
from saevit.explore.search import answer
from saevit.explore.space import read_space
from saevit.variant import parse
from tests.explore.spaces import BASE

CHOICES = {"dims3": "16:64:8", "depths3": "1:4", "ratios2": "1,2,3", "ratios3": "1,2,3", "ratios4": "1,2,3"}
LIMIT = read_limit("--max-params", "params", "0.2")


@pytest.fixture(scope="module")
def found() -> Exploration:
    """The front of a few hundred variants within a limit."""
    question = Question(space=read_space(BASE, CHOICES), img_size=(64, 64), limits=(LIMIT,), top=6)
    return count_answer(answer(Search(question=question, method="exhaustive")))


def test_each_variant_is_paired_with_another_one_of_equal_macs_within_the_limits(found: Exploration) -> None:
    pairs = draw_control(found, found.top)
    assert len(pairs) >= 3
    assert [row for row, _ in pairs] == [row for row in found.top if row in [row for row, _ in pairs]]
    for row, other in pairs:
        assert abs(other.macs / row.macs - 1) <= EQUAL
        assert other.params <= 0.2e6
        assert parse(other.model)
    others = [other.model for _, other in pairs]
    assert not {row.model for row in found.top} & set(others)
    assert max(Counter(others).values()) == 1


def test_the_seed_decides_which_are_drawn(found: Exploration) -> None:
    assert draw_control(found, found.top) == draw_control(found, found.top)
    assert draw_control(found, found.top) != draw_control(found, found.top, seed=1)


def test_a_variant_without_equals_is_in_no_pair(found: Exploration) -> None:
    costly = replace(found.top[0], model="another", macs=10 * found.top[0].macs)
    assert draw_control(found, [costly]) == []
