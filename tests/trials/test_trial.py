"""Plans: budgets, terms and folders."""

from dataclasses import replace
from pathlib import Path

from saevit.runs.evaluation import list_top1s
from saevit.trials.runner import run_trials
from saevit.trials.schedule import schedule_trials, select_results
from saevit.trials.trial import Trial
from tests.trials.squares_plan import RECIPE, VARIANTS, Watcher, plan_in

TRIAL = Trial(model=VARIANTS[0], seed=0)


def test_images_are_rounded_up_to_whole_epochs(tmp_path: Path) -> None:
    budgets = [plan_in(tmp_path, images=images).recipe.epochs for images in (1, 18, 19, 36, 37)]
    assert budgets == [1, 1, 2, 2, 3]


def test_terms_are_the_budget_the_recipe_and_the_precision(tmp_path: Path) -> None:
    plan = plan_in(tmp_path)
    others = [
        replace(plan, recipe=replace(RECIPE, epochs=3)),
        replace(plan, recipe=replace(RECIPE, mixup=0.1)),
        replace(plan, run=replace(plan.run, amp="bf16")),
    ]
    assert len({one.terms for one in (plan, *others)}) == 4
    assert replace(plan, recipe=replace(RECIPE, seed=5), workers=3).terms == plan.terms


def test_a_folder_is_of_one_model_seed_rate_and_plan(tmp_path: Path) -> None:
    plan = plan_in(tmp_path)
    folders = {
        plan.folder_of(TRIAL),
        plan.folder_of(replace(TRIAL, seed=1)),
        plan.folder_of(replace(TRIAL, model=VARIANTS[1])),
        plan.folder_of(replace(TRIAL, lr=0.5)),
        replace(plan, recipe=replace(RECIPE, epochs=5)).folder_of(TRIAL),
    }
    assert len(folders) == 5


def test_only_results_of_the_same_plan_and_rate_count(tmp_path: Path) -> None:
    plan, store = plan_in(tmp_path), tmp_path / "store"
    run_trials(schedule_trials(plan, [TRIAL], []), store, Watcher())
    found = list_top1s(store)
    assert plan.is_result(found[0], TRIAL)
    assert select_results(plan, [replace(TRIAL, seed=1)], found) == found  # a seed more of the same network
    for other in (replace(TRIAL, lr=0.5), replace(TRIAL, model=VARIANTS[1])):
        assert not select_results(plan, [other], found)
    longer = replace(plan, recipe=replace(RECIPE, epochs=3))
    assert not select_results(longer, [TRIAL], found)
