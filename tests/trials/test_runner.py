"""Trials to the end, stopped, crashed, repeated, and with models that fail."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from saevit.errors import OptionError
from saevit.runs.evaluation import list_top1s
from saevit.train.run_folder import BEST, LOG, RECIPE, claim_folder
from saevit.trials.runner import TrialOutcome, run_trials
from saevit.trials.schedule import order_trials, schedule_trials
from saevit.trials.trial import TrialPlan
from tests.trials.squares_plan import MODELS, VARIANTS, Crash, Watcher, plan_in, results_in


def attempt(
    plan: TrialPlan, store: Path, watcher: Watcher, models: tuple[str, ...] = VARIANTS, seeds: int = 2
) -> TrialOutcome:
    """Run what the store lacks."""
    schedule = schedule_trials(plan, order_trials(models, seeds), list_top1s(store))
    return run_trials(schedule, store, watcher, watcher.is_stopped)


def test_trials_that_crash_at_ten_moments_give_the_same_results(tmp_path: Path) -> None:
    plan, store, whole = plan_in(tmp_path), tmp_path / "store", Watcher()
    attempt(plan, store, whole, MODELS)
    expected = results_in(store)
    assert len(expected) == 6
    broken, store = replace(plan, folder=tmp_path / "broken"), tmp_path / "other"
    rng = random.Random(7)
    for _ in range(10):
        watcher = Watcher(crash_at=rng.randint(1, whole.reports // 4))
        with pytest.raises(Crash):
            attempt(broken, store, watcher, MODELS)
    attempt(broken, store, Watcher(), MODELS)
    assert results_in(store) == expected


def test_stopped_trials_continue_with_the_same_results(tmp_path: Path) -> None:
    plan = plan_in(tmp_path)
    attempt(plan, tmp_path / "store", Watcher())
    stopped, store = replace(plan, folder=tmp_path / "stopped"), tmp_path / "other"
    outcomes = [attempt(stopped, store, Watcher(stop_at=count)) for count in (2, 3, 7, 9)]
    assert all(outcome.is_stopped for outcome in outcomes)
    assert not attempt(stopped, store, Watcher()).is_stopped
    assert results_in(store) == results_in(tmp_path / "store")


def test_repeated_trials_train_nothing_and_more_seeds_train_only_the_new_ones(tmp_path: Path) -> None:
    plan, store = plan_in(tmp_path), tmp_path / "store"
    first, again, more = Watcher(), Watcher(), Watcher()
    attempt(plan, store, first, seeds=1)
    attempt(plan, store, again, seeds=1)
    assert again.reports == 0
    attempt(plan, store, more, seeds=3)
    assert more.updates == 2 * first.updates
    assert sorted(seed for _, seed in results_in(store)) == [0, 0, 1, 1, 2, 2]


def test_a_finished_training_is_only_evaluated(tmp_path: Path) -> None:
    plan = plan_in(tmp_path)
    attempt(plan, tmp_path / "store", Watcher(), seeds=1)
    watcher = Watcher()
    attempt(plan, tmp_path / "other", watcher, seeds=1)
    assert watcher.updates == 0
    assert results_in(tmp_path / "other") == results_in(tmp_path / "store")


def test_a_result_has_its_seed_budget_data_and_checkpoint(tmp_path: Path) -> None:
    plan, store = plan_in(tmp_path), tmp_path / "store"
    attempt(plan, store, Watcher(), VARIANTS[:1], 1)
    (found,) = list_top1s(store)
    assert found.training is not None
    assert (found.training.seed, found.training.images, found.training.epochs) == (0, 36, 2)
    assert found.training.is_complete
    assert found.training.fingerprint == plan.train.fingerprint
    assert found.fingerprint == plan.validation.fingerprint
    (folder,) = {path.parent for path in (tmp_path / "runs").rglob(BEST)}
    assert {BEST, LOG, RECIPE} <= {path.name for path in folder.iterdir()}
    assert len(found.sha256) == 64


def test_a_model_that_fails_is_reported_once_and_the_others_finish(tmp_path: Path) -> None:
    plan, store, watcher = plan_in(tmp_path), tmp_path / "store", Watcher()
    models = ("timm:resnet18_of_nobody", f"{VARIANTS[0]},classes=7", VARIANTS[1])
    outcome = attempt(plan, store, watcher, models)
    reasons = {trial.model: reason for trial, reason in outcome.failures.items()}
    assert list(reasons) == list(models[:2])
    assert len(watcher.failures) == 2
    assert "7 classes" in reasons[models[1]]
    assert len(results_in(store)) == 2


def test_a_loss_that_is_not_finite_fails_one_model(tmp_path: Path) -> None:
    plan, watcher = plan_in(tmp_path), Watcher()
    wild = replace(plan, recipe=replace(plan.recipe, lr=1e6, clip_grad=0.0, opt="sgd"))
    outcome = attempt(wild, tmp_path / "store", watcher, VARIANTS[:1])
    (reason,) = outcome.failures.values()
    assert "the loss is nan" in reason


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    plan = plan_in(tmp_path)
    (trial,) = order_trials(VARIANTS[:1], 1)
    with claim_folder(plan.folder_of(trial)), pytest.raises(OptionError, match="in use by process"):
        attempt(plan, tmp_path / "store", Watcher(), VARIANTS[:1], 1)
