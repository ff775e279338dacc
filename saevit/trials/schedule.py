"""The order of trials, and their lookup among stored accuracies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from saevit.comparing.accuracies import network_key
from saevit.runs.run import MeasuredTop1
from saevit.trials.trial import Trial, TrialPlan


@dataclass(frozen=True, kw_only=True, eq=False)
class TrialSchedule:
    """Trials in the order in which they run. Trials with a stored accuracy do not run again."""

    plan: TrialPlan
    trials: tuple[Trial, ...]
    stored: frozenset[Trial]

    @property
    def missing(self) -> tuple[Trial, ...]:
        """Return the trials that have no stored accuracy."""
        return tuple(trial for trial in self.trials if trial not in self.stored)


def list_networks(models: Sequence[str]) -> tuple[str, ...]:
    """Return one model of each network: the first one, if several models have the same network."""
    networks: dict[str, str] = {}
    for model in models:
        networks.setdefault(network_key(model), model)
    return tuple(networks.values())


def order_trials(
    models: Sequence[str], seeds: int, rates: Mapping[str, float] = MappingProxyType({})
) -> tuple[Trial, ...]:
    """Return a trial for each network and each seed, seed by seed.

    After an early stop, all networks therefore have nearly the same number of seeds. `rates` has the learning
    rates of models that do not use the rate of the recipe.
    """
    networks = list_networks(models)
    return tuple(
        Trial(model=model, seed=seed, lr=rates.get(model)) for seed in range(seeds) for model in networks
    )


def schedule_trials(plan: TrialPlan, trials: Sequence[Trial], found: Sequence[MeasuredTop1]) -> TrialSchedule:
    """Return the schedule of trials, after a lookup among all stored accuracies."""
    stored = {trial for trial in trials if any(plan.is_result(one, trial) for one in found)}
    return TrialSchedule(plan=plan, trials=tuple(trials), stored=frozenset(stored))


def select_results(
    plan: TrialPlan, trials: Sequence[Trial], found: Sequence[MeasuredTop1]
) -> list[MeasuredTop1]:
    """Return the stored accuracies of the networks of the trials, including those of other seeds."""
    return [
        one
        for one in found
        if one.training
        and any(
            plan.is_result(one, Trial(model=trial.model, seed=one.training.seed, lr=trial.lr))
            for trial in trials
        )
    ]
