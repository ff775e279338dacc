"""Successive halving: its budgets, what it drops, and that an early end changes nothing."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from saevit.runs.accuracy_statistics import Hits
from saevit.runs.evaluation import list_top1s
from saevit.trials.halving import RungsOutcome, find_worse, plan_rungs, run_rungs
from saevit.trials.schedule import order_trials
from saevit.trials.trial import TrialPlan
from tests.trials.squares_plan import RECIPE, VARIANTS, Crash, Watcher, plan_in


def hits_of(*shares: float, images: int = 1000) -> list[list[bool]]:
    """Return hits of one model with these accuracies, one a seed."""
    return [[number < share * images for number in range(images)] for share in shares]


@pytest.mark.parametrize(
    ("epochs", "rungs"),
    [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (4, [1, 2, 4]), (20, [5, 10, 20]), (300, [75, 150, 300])],
)
def test_rungs_are_a_quarter_half_and_the_whole_budget(tmp_path: Path, epochs: int, rungs: list[int]) -> None:
    plans = plan_rungs(plan_in(tmp_path, recipe=replace(RECIPE, epochs=epochs)))
    assert [plan.recipe.epochs for plan in plans] == rungs
    assert len({plan.terms for plan in plans}) == len(rungs)


def test_only_models_that_are_resolved_to_be_worse_are_dropped() -> None:
    good, near, bad = hits_of(0.8, 0.801, 0.8), hits_of(0.79, 0.8, 0.8), hits_of(0.5, 0.501, 0.5)
    assert find_worse({"good": good, "bad": bad}) == {"bad": ("good",)}
    assert find_worse({"good": good, "near": near}) == {}
    assert find_worse({"bad": bad, "near": near, "good": good}) == {"bad": ("good", "near")}
    assert find_worse({"good": good, "bad": bad, "worse": hits_of(0.2, 0.201, 0.2)}) == {
        "worse": ("good", "bad")
    }


def test_nothing_is_dropped_on_one_seed_or_within_the_better_half() -> None:
    assert find_worse({"good": hits_of(0.9), "bad": hits_of(0.1)}) == {}
    assert find_worse({"alone": hits_of(0.1, 0.1)}) == {}
    assert find_worse({}) == {}


def drop_second(hits: Mapping[str, Hits]) -> dict[str, tuple[str, ...]]:
    """Drop the second of two models, as if it were resolved to be worse."""
    models = list(hits)
    return {models[1]: (models[0],)} if len(models) > 1 else {}


def climb(plan: TrialPlan, store: Path, watcher: Watcher) -> RungsOutcome:
    """Run all rungs of two variants."""
    trials = order_trials(VARIANTS, 1)
    return run_rungs(trials, plan_rungs(plan), store, lambda schedule: watcher, watcher.is_stopped)


def test_a_dropped_model_is_not_trained_with_larger_budgets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saevit.trials.halving.find_worse", drop_second)
    plan, store = plan_in(tmp_path, recipe=replace(RECIPE, epochs=4)), tmp_path / "store"
    outcome = climb(plan, store, Watcher())
    (dropped,) = outcome.dropped
    assert (dropped.model, dropped.plan.recipe.epochs, dropped.better) == (VARIANTS[1], 1, VARIANTS[:1])
    found = list_top1s(store)
    trained = [(one.training.epochs, "16-24" in one.model) for one in found if one.training]
    assert trained == [(1, False), (1, True), (2, False), (4, False)]
    assert all(one.training and one.training.is_complete for one in found)


def test_rungs_that_crash_continue_to_the_same_end(tmp_path: Path) -> None:
    plan, store, whole = plan_in(tmp_path, recipe=replace(RECIPE, epochs=2)), tmp_path / "store", Watcher()
    climb(plan, store, whole)
    broken, other = replace(plan, folder=tmp_path / "broken"), tmp_path / "other"
    with pytest.raises(Crash):
        climb(broken, other, Watcher(crash_at=2 * whole.reports // 3))
    assert climb(broken, other, Watcher(stop_at=1)).is_stopped
    climb(broken, other, Watcher())
    again = Watcher()
    climb(broken, other, again)
    assert again.reports == 0
    assert [(one.sha256, one.hits) for one in list_top1s(other)] == [
        (one.sha256, one.hits) for one in list_top1s(store)
    ]
