"""Choose a learning rate for each model from a small grid, by short trainings."""

from collections.abc import Sequence
from dataclasses import dataclass

from saevit.runs.run import MeasuredTop1
from saevit.trials.schedule import list_networks
from saevit.trials.trial import Trial, TrialPlan

FACTORS = (1.0, 0.5, 2.0)  # multiples of the recipe's rate; the first one wins a tie


@dataclass(frozen=True, kw_only=True)
class ChosenRate:
    """The chosen learning rate of a model, with the results of the whole grid."""

    model: str
    lr: float
    epochs: int  # of each training in the grid
    top1s: dict[float, float]  # learning rate to validation top-1 in per cent

    def __str__(self) -> str:
        grid = ", ".join(f"{lr:.3g}: {top1:.2f} %" for lr, top1 in sorted(self.top1s.items()))
        return (
            f"learning rate {self.lr:.3g} of {self.model}: chosen by the validation images from trainings of "
            f"{self.epochs} epoch{'s' * (self.epochs > 1)} with seed 0 ({grid})"
        )


def list_rate_trials(models: Sequence[str], plan: TrialPlan) -> tuple[Trial, ...]:
    """Return a trial with seed 0 for each network and each rate of the grid, rate by rate."""
    rates = {model: plan.lr_of(Trial(model=model, seed=0)) for model in list_networks(models)}
    return tuple(
        Trial(model=model, seed=0, lr=factor * rate) for factor in FACTORS for model, rate in rates.items()
    )


def choose_rates(
    plan: TrialPlan, trials: Sequence[Trial], found: Sequence[MeasuredTop1]
) -> dict[str, ChosenRate]:
    """Return the rate with the highest top-1 for each model that has results."""
    top1s: dict[str, dict[float, float]] = {}
    for trial in trials:
        results = [one for one in found if plan.is_result(one, trial)]
        if results:
            top1s.setdefault(trial.model, {})[plan.lr_of(trial)] = 100 * results[-1].share.value
    return {
        model: ChosenRate(
            model=model, lr=max(values, key=lambda lr: values[lr]), epochs=plan.recipe.epochs, top1s=values
        )
        for model, values in top1s.items()
    }
