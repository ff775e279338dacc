"""The dynamic programme finds what looking at every variant finds; planted faults show that this is seen."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from saevit.errors import OptionError
from saevit.explore import dynamic
from saevit.explore.costs import Evaluator
from saevit.explore.dynamic import OneTable, Programmer
from saevit.explore.exploration import count_answer
from saevit.explore.question import (
    QUANTITIES,
    Limit,
    Question,
    Search,
    compute_loss,
    read_band,
    read_limit,
)
from saevit.explore.search import Answer, answer
from saevit.explore.space import read_space
from saevit.explore.sweep import evaluate
from tests.explore.drawn import OBJECTIVE_SETS, draw_query
from tests.explore.spaces import BASE, IMG_SIZE, make_latency

SMALL = (2_000, 8_000)
Patch = pytest.MonkeyPatch


@cache
def by_looking(query: Question) -> Answer:
    return answer(Search(question=query, method="exhaustive"))


def losses_at(query: Question, places: tuple[int, ...]) -> list[tuple[float, ...]]:
    """The losses of variants, each of which is a network that keeps the limits."""
    if not places:
        return []
    evaluator = Evaluator(query.space, query.img_size, query.partials, query.latency)
    drawn = evaluate(evaluator, np.array(places))
    kept = np.logical_and.reduce([drawn.valid, *(limit.kept(drawn.sums) for limit in query.limits)])
    assert kept.all()
    assert drawn.rising.all() or not query.rising
    columns = [compute_loss(name, drawn.sums, drawn.factor) for name in query.objectives]
    return [tuple(row) for row in np.stack(columns, axis=1).tolist()]


def check_programme(query: Question) -> None:
    """Compare the two methods: the front in its order, ties once, counts, and the best of the front."""
    every, found = by_looking(query), answer(Search(question=query, method="dp"))
    assert losses_at(query, found.front) == losses_at(query, every.front)
    assert len(set(found.front)) == len(found.front)
    assert (found.findings.seen, found.findings.nearest) == (query.space.size, None)
    assert not found.is_counted
    if found.front:
        seen = count_answer(found)
        wanted = sorted(
            (row.value(query.rank) for row in seen.front), reverse=QUANTITIES[query.rank].better == "max"
        )
        assert [row.value(query.rank) for row in seen.top] == wanted[: query.top]
        best = count_answer(every)
        if query.rank in query.objectives:  # the best of all is on the front
            assert seen.top[0].value(query.rank) == best.top[0].value(query.rank)


@pytest.mark.parametrize("seed", range(len(OBJECTIVE_SETS)), ids=lambda seed: "-".join(OBJECTIVE_SETS[seed]))
def test_programme_finds_the_front_of_all(seed: int) -> None:
    check_programme(draw_query(seed, 10_000, 20_000))


@pytest.mark.parametrize("seed", range(9))
def test_programme_finds_the_front_of_all_by_latency(seed: int) -> None:
    query = draw_query(seed, 10_000, 100_000)
    latency, other = (
        make_latency(query.space),
        ("params", "most-gmacs", "capacity", "most-params")[seed // 2 % 4],
    )
    places = np.random.default_rng(seed).integers(0, query.space.size, 300)
    seen = evaluate(Evaluator(query.space, IMG_SIZE, ("latency",), latency), places)
    high = float(np.quantile(seen.sums["latency"][seen.valid], 0.7))
    limit = Limit(quantity="latency", text="latency", high=high)
    objectives = ("latency", other) if seed % 2 else ("params", "traffic")
    asked = {"objectives": objectives, "rank": objectives[0], "latency": latency}
    check_programme(replace(query, limits=(*query.limits, limit)[-2:], **asked))


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(20))
def test_programme_finds_the_front_of_all_in_larger_spaces(shard: int) -> None:
    for seed in range(1000 + 20 * shard, 1020 + 20 * shard):
        check_programme(draw_query(seed, 10_000, 100_000))


def test_questions_are_not_trivial() -> None:
    """What the faults below are seen by: limits of every kind, bands, fronts of many variants."""
    queries = [draw_query(seed, *SMALL) for seed in range(60)]
    limits = [limit for query in queries for limit in query.limits]
    assert {limit.quantity for limit in limits} >= {"gmacs", "memory", "traffic", "effectiveness"}
    off_objectives = [limit for q in queries for limit in q.limits if limit.quantity not in q.objectives]
    assert len(off_objectives) > 20
    assert sum(limit.low > -np.inf for limit in limits) > 10
    assert sum(query.rising for query in queries) > 10
    assert np.mean([len(by_looking(query).front) for query in queries]) > 5
    assert {axis.key for query in queries for axis in query.space.axes} >= {"attention", "ffn", "kernel"}


def wrapped(owner: Any, name: str, change: Callable[..., Any]) -> Callable[[Patch], None]:
    """Return a fault: a function whose result (or, of a constructor, object) is changed."""
    before = getattr(owner, name)

    def faulty(*arguments: Any) -> Any:
        result = before(*arguments)
        changed = change(arguments[0] if name == "__init__" else result, *arguments)
        return None if name == "__init__" else changed

    return lambda patch: patch.setattr(owner, name, faulty)


def swap_ends(table: OneTable, *_: Any) -> None:
    table.least, table.most = table.most, table.least


def turn_first_sign(programmer: Programmer, *_: Any) -> None:
    name, sign = programmer.signs[0]
    programmer.signs[0] = (name, -sign)


def forget_lower_ends(programmer: Programmer, *_: Any) -> None:
    programmer.signs = list(dict(reversed(programmer.signs)).items())


def forget_last_sign(programmer: Programmer, *_: Any) -> None:
    programmer.signs = programmer.signs[: max(1, len(programmer.signs) - 1)]


def ends_without_the_last_stage(table: OneTable, *_: Any) -> None:
    table.least = [table.least[1], table.least[2], *table.least[2:]]
    table.least[0] = {
        name: np.resize(each, len(table.most[0][name])) for name, each in table.least[0].items()
    }
    table.least[1] = {
        name: np.resize(each, len(table.most[1][name])) for name, each in table.least[1].items()
    }


def worst_end(_: float, table: OneTable, i: int, name: str, kind: int, limit: Limit) -> float:
    return float((table.least if name == "logs" else table.most)[i][name][kind])


def strictly(_: Any, limit: Limit, best: Any) -> Any:
    if limit.quantity == "effectiveness":
        return dynamic.limit_value(limit, best) < limit.high * (1 - 1e-6)
    return dynamic.limit_value(limit, best) < limit.high


FAULTS = {
    "least and most are swapped": wrapped(OneTable, "__init__", swap_ends),
    "the worst ending for the best": wrapped(OneTable, "_end", worst_end),
    "an ending a little too dear": wrapped(OneTable, "_end", lambda end, *_: end * 1.02 + 1),
    "the ending after other channels": lambda patch: patch.setattr(
        OneTable, "_end", lambda self, i, name, kind, limit: float(self.least[i][name][-1])
    ),
    "endings of a stage too few": wrapped(OneTable, "__init__", ends_without_the_last_stage),
    "an end that is met breaks its limit": wrapped(dynamic, "could_keep", strictly),
    "nothing keeps a limit": wrapped(dynamic, "could_keep", lambda kept, *_: kept & False),
    "the first useful choice is lost": wrapped(OneTable, "_useful", lambda kept, *_: kept[1:]),
    "the last useful choice is lost": wrapped(OneTable, "_useful", lambda kept, *_: kept[:-1]),
    "one choice of equal channels is useful": wrapped(OneTable, "_useful", lambda kept, *_: kept[:1]),
    "more is better in the first partial": wrapped(Programmer, "__init__", turn_first_sign),
    "lower ends of bands are forgotten": wrapped(Programmer, "__init__", forget_lower_ends),
    "one partial does not compete": wrapped(Programmer, "__init__", forget_last_sign),
    "every partial of a limit is harmless": wrapped(OneTable, "_harmless", lambda *_: np.inf),
    "harmless a little too early": wrapped(OneTable, "_harmless", lambda end, *_: end + 0.2 * abs(end)),
    "every ending is effective": wrapped(OneTable, "_surely_effective", lambda *_: True),
    "peaks add up": lambda patch: patch.setattr(dynamic, "join_partials", lambda name, a, b: a + b),
    "channels may fall": lambda patch: patch.setattr(
        OneTable,
        "_allowed",
        lambda self, i: np.broadcast_to(self.tables.valid[i][0], self.tables.rises[i][0].shape),
    ),
    "a path of choices ends a row too early": lambda patch: patch.setattr(
        dynamic, "options_of", lambda steps, row, before=dynamic.options_of: before(steps, max(0, row - 1))
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen(fault: str, monkeypatch: Patch) -> None:
    queries = [draw_query(seed, *SMALL) for seed in range(4 * len(OBJECTIVE_SETS))]
    if "effective" in fault:  # seldom decides: look at all that ask for it
        queries = [q for q in queries if any(limit.quantity == "effectiveness" for limit in q.limits)]
    FAULTS[fault](monkeypatch)
    for query in queries:
        by_looking(query)
        try:
            check_programme(query)
        except Exception:  # whatever it is that goes wrong
            return
    pytest.fail("all fronts are right")


def fewest_beginnings(query: Question, patch: Patch) -> int:
    """Return the least number of beginnings with which the programme still answers."""
    low, high = 0, 10**6
    while high - low > 1:
        middle = (low + high) // 2
        patch.setattr(dynamic, "MOST_BEGINNINGS", middle)
        try:
            answer(Search(question=query, method="dp"))
            high = middle
        except OptionError:
            low = middle
    return high


def test_beginnings_that_break_a_limit_are_dropped_at_once(monkeypatch: Patch) -> None:
    choices = {f"{key}{i}": "1:4" for key in ("depths", "ratios") for i in range(1, 5)}
    space = read_space(BASE, choices)
    limits = (read_limit("--max-gmacs", "gmacs", "0.006"), read_band("--gmacs-band", "gmacs", "0.006±10%"))
    for limit in limits:
        query = Question(space=space, img_size=IMG_SIZE, objectives=("params", "capacity"), limits=(limit,))
        needed = fewest_beginnings(query, monkeypatch)
        monkeypatch.setattr(dynamic, "could_keep", lambda limit, best: np.isfinite(best["macs"]))
        assert fewest_beginnings(query, monkeypatch) > 3 * needed
        monkeypatch.undo()
