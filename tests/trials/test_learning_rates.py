"""The learning rate of each model, from a grid that is the same for all."""

from dataclasses import replace
from pathlib import Path

from saevit.runs.evaluation import list_top1s
from saevit.runs.statistics import Share
from saevit.trials.learning_rates import choose_rates, list_rate_trials
from saevit.trials.runner import run_trials
from saevit.trials.schedule import order_trials, schedule_trials
from tests.trials.squares_plan import RECIPE, VARIANTS, Watcher, plan_in


def test_each_model_has_the_same_grid(tmp_path: Path) -> None:
    plan = plan_in(tmp_path, recipe=replace(RECIPE, lr=0.002))
    trials = list_rate_trials(VARIANTS, plan)
    assert [(trial.model, trial.lr) for trial in trials] == [
        (model, rate) for rate in (0.002, 0.001, 0.004) for model in VARIANTS
    ]
    assert {trial.seed for trial in trials} == {0}


def test_the_rate_with_the_highest_accuracy_is_chosen_and_trained_with(tmp_path: Path) -> None:
    plan = plan_in(tmp_path, recipe=replace(RECIPE, epochs=1, lr=0.002))
    store, trials = tmp_path / "store", list_rate_trials(VARIANTS[:1], plan)
    run_trials(schedule_trials(plan, trials, []), store, Watcher())
    found = list_top1s(store)
    assert [one.training.lr for one in found if one.training] == [0.002, 0.001, 0.004]
    shares = [Share(hits=hits, total=12) for hits in (6, 5, 7)]
    altered = [replace(one, share=share) for one, share in zip(found, shares, strict=True)]
    rate = choose_rates(plan, trials, altered)[VARIANTS[0]]
    assert rate.lr == 0.004
    assert "chosen by the validation images" in str(rate)
    assert choose_rates(plan, trials, altered[:2])[VARIANTS[0]].lr == 0.002
    equal = [replace(one, share=shares[0]) for one in found]
    assert choose_rates(plan, trials, equal)[VARIANTS[0]].lr == 0.002  # that of the recipe
    (chosen,) = order_trials(VARIANTS[:1], 1, {VARIANTS[0]: rate.lr})
    assert schedule_trials(plan, [chosen], found).missing == ()


def test_a_rate_that_fails_does_not_fail_the_others(tmp_path: Path) -> None:
    plan = plan_in(tmp_path, recipe=replace(RECIPE, epochs=1, lr=0.002))
    trials = (replace(list_rate_trials(VARIANTS[:1], plan)[0], lr=1e6), *list_rate_trials(VARIANTS[:1], plan))
    wild = replace(plan, recipe=replace(plan.recipe, opt="sgd", clip_grad=0.0, warmup_epochs=0.0))
    outcome = run_trials(schedule_trials(wild, trials, []), tmp_path / "store", Watcher())
    assert [trial.lr for trial in outcome.failures] == [1e6]
    assert len(list_top1s(tmp_path / "store")) == 3
