"""Trials on a Ray cluster of one machine."""

from pathlib import Path

import pytest

from saevit.errors import OptionError
from saevit.runs.evaluation import list_top1s
from saevit.train.run_folder import claim_folder
from saevit.trials.ray_engine import run_trials_on_ray
from saevit.trials.runner import run_trials
from saevit.trials.schedule import order_trials, schedule_trials
from tests.trials.squares_plan import VARIANTS, Watcher, plan_in, results_in

pytest.importorskip("ray")
pytestmark = pytest.mark.slow  # each of its worker processes imports torch


def test_ray_gives_the_results_of_this_process(tmp_path: Path) -> None:
    plan = plan_in(tmp_path)
    trials = order_trials((*VARIANTS, f"{VARIANTS[0]},classes=7"), 2)
    outcomes = []
    for run, store in ((run_trials, tmp_path / "one"), (run_trials_on_ray, tmp_path / "two")):
        outcomes.append(run(schedule_trials(plan, trials, list_top1s(store)), store, Watcher()))
        for folder in (tmp_path / "runs").rglob("last.pt"):
            folder.unlink()
    assert results_in(tmp_path / "one") == results_in(tmp_path / "two")
    assert {trial.model for trial in outcomes[0].failures} == {trial.model for trial in outcomes[1].failures}


def test_trials_on_ray_stop_and_continue(tmp_path: Path) -> None:
    plan, store = plan_in(tmp_path), tmp_path / "store"
    trials = order_trials(VARIANTS, 1)
    looks = iter([False, True])
    assert run_trials_on_ray(
        schedule_trials(plan, trials, []), store, Watcher(), lambda: next(looks, True)
    ).is_stopped
    again = run_trials_on_ray(schedule_trials(plan, trials, list_top1s(store)), store, Watcher())
    assert not again.is_stopped
    assert len(results_in(store)) == 2


def test_a_folder_in_use_is_refused_on_ray_too(tmp_path: Path) -> None:
    plan = plan_in(tmp_path)
    (trial,) = order_trials(VARIANTS[:1], 1)
    with claim_folder(plan.folder_of(trial)), pytest.raises(OptionError, match="in use by process"):
        run_trials_on_ray(schedule_trials(plan, (trial,), []), tmp_path / "store", Watcher())
