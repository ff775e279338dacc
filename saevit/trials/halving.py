"""Successive halving: train with growing budgets, and drop models that are significantly worse."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from saevit.runs.accuracy_statistics import Hits, compare_hits
from saevit.runs.evaluation import list_top1s
from saevit.runs.run import MeasuredTop1
from saevit.trials.runner import TrialObserver, TrialOutcome, run_trials
from saevit.trials.schedule import TrialSchedule, schedule_trials
from saevit.trials.trial import Trial, TrialPlan

RunTrials = Callable[[TrialSchedule, Path | None, TrialObserver, Callable[[], bool]], TrialOutcome]
SHARES = (0.25, 0.5, 1.0)  # of the budget; smaller budgets do not predict the order of models of equal cost


@dataclass(frozen=True, kw_only=True)
class DroppedModel:
    """A model that later rungs do not train."""

    model: str
    plan: TrialPlan  # of the last rung of the model
    better: tuple[str, ...]  # the better half of the models, which are all significantly better


@dataclass(frozen=True, kw_only=True)
class RungsOutcome(TrialOutcome):
    """The outcome of all rungs."""

    dropped: tuple[DroppedModel, ...] = ()


def plan_rungs(plan: TrialPlan) -> tuple[TrialPlan, ...]:
    """Return a plan for each share of the budget, rounded up to whole epochs."""
    epochs = dict.fromkeys(math.ceil(share * plan.recipe.epochs) for share in SHARES)
    return tuple(replace(plan, recipe=replace(plan.recipe, epochs=count)) for count in epochs)


def run_rungs(
    trials: Sequence[Trial],
    rungs: Sequence[TrialPlan],
    store: Path | None,
    watch: Callable[[TrialSchedule], TrialObserver],
    is_stopped: Callable[[], bool] = lambda: False,
    run_trials: RunTrials = run_trials,
) -> RungsOutcome:
    """Run the trials of all rungs. After each rung, drop the models that are worse (see `find_worse`).

    Args:
        trials: trials of all models, in the order of `order_trials`.
        rungs: plans with growing budgets.
        store: the folder of stored runs; None is the default one.
        watch: called before each rung; returns the observer of its trials.
        is_stopped: returns True after a request to stop.
        run_trials: `run_trials`, or `run_trials_on_ray`.

    Raises:
        OptionError: another process uses the folder of a run, or the store cannot be written.
    """
    failures: dict[Trial, str] = {}
    dropped: dict[str, DroppedModel] = {}
    for rung in rungs:
        out = dropped.keys() | {trial.model for trial in failures}
        left = [trial for trial in trials if trial.model not in out]
        schedule = schedule_trials(rung, left, list_top1s(store))
        outcome = run_trials(schedule, store, watch(schedule), is_stopped)
        failures |= outcome.failures
        if outcome.is_stopped:
            return RungsOutcome(failures=failures, is_stopped=True, dropped=tuple(dropped.values()))
        if rung is not rungs[-1]:
            worse = find_worse(collect_hits(rung, left, list_top1s(store)))
            dropped |= {
                model: DroppedModel(model=model, plan=rung, better=better) for model, better in worse.items()
            }
    return RungsOutcome(failures=failures, dropped=tuple(dropped.values()))


def collect_hits(
    plan: TrialPlan, trials: Sequence[Trial], found: Sequence[MeasuredTop1]
) -> dict[str, list[tuple[bool, ...]]]:
    """Return the hits of each model that has results: one row of bools (per image) for each seed."""
    hits: dict[str, list[tuple[bool, ...]]] = {}
    for trial in trials:
        results = [one for one in found if plan.is_result(one, trial)]
        if results:
            hits.setdefault(trial.model, []).append(results[-1].hits)
    return hits


def find_worse(hits: Mapping[str, Hits]) -> dict[str, tuple[str, ...]]:
    """Return the models that are significantly worse than every model of the better half, and that half.

    With a single seed no difference is significant, so no model is returned.
    """
    ranked = sorted(hits, key=lambda model: -sum(map(sum, hits[model])) / len(hits[model]))
    half = math.ceil(len(ranked) / 2)
    best = tuple(ranked[:half])
    return {
        model: best
        for model in ranked[half:]
        if all(compare_hits(hits[model], hits[other]).verdict == "lower" for other in best)
    }
