"""Run the trials of `compare --train` and `explore --train-top`, and show their progress."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

import saevit
from saevit.measure.progress import NextStep, Tell
from saevit.report.units import write_share_interval
from saevit.text import plural
from saevit_cli import display, output
from saevit_cli.commands import train_view
from saevit_cli.commands.train_run import stop_requests

if TYPE_CHECKING:
    from saevit.comparing.accuracies import MeasuredOn
    from saevit.runs.evaluation import Evaluation
    from saevit.train.preparation import PreparedRun
    from saevit.train.state import Epoch, TrainingState
    from saevit.trials.halving import DroppedModel, RungsOutcome, RunTrials
    from saevit.trials.learning_rates import ChosenRate
    from saevit.trials.runner import TrialOutcome
    from saevit.trials.schedule import TrialSchedule
    from saevit.trials.trial import Trial, TrialPlan


class TrialProgress:
    """Shows a bar with the time left for all trials, and a line on stderr for each finished trial."""

    def __init__(self, schedule: "TrialSchedule", on_progress: Tell):
        self.on_progress, self.missing = on_progress, schedule.missing
        self.epochs = schedule.plan.recipe.epochs
        self.number, self.start, self.resumed = 0, 0.0, 0.0
        self.seconds: dict[str, float] = {}  # of a whole trial, by model
        self.warned: set[str] = set()

    def on_trial(self, trial: "Trial", prepared: "PreparedRun") -> None:
        """Show that a trial begins. Write its warnings, each once."""
        self.number, self.start, self.resumed = self.missing.index(trial), time.monotonic(), -1.0
        for warning in prepared.warnings:
            if warning not in self.warned:
                self.warned.add(warning)
                display.warn(warning)
        self.show(self.describe(trial), 0.0)

    def on_update(self, epoch: int, done: int, updates: int, images_per_s: float) -> None:
        """Move the bar."""
        trial = self.missing[self.number]
        share = (epoch - 1 + done / updates) / self.epochs
        if self.resumed < 0:
            self.resumed, self.start = share, time.monotonic()
        elif share > self.resumed:
            whole = (time.monotonic() - self.start) / (share - self.resumed)
            left = whole * (1 - share) + self.estimate_rest(trial, whole)
            text = f"{self.describe(trial)}, epoch {epoch}/{self.epochs}"
            self.show(text, share, left)

    def estimate_rest(self, trial: "Trial", whole: float) -> float:
        """Return the seconds that all later trials take, if this trial takes `whole` seconds."""
        known = self.seconds | {trial.model: whole}
        mean = sum(known.values()) / len(known)
        return sum(known.get(other.model, mean) for other in self.missing[self.number + 1 :])

    def on_epoch(self, row: "Epoch") -> None:
        """Do nothing, because the bar shows the epoch."""

    def on_trained(self, prepared: "PreparedRun", state: "TrainingState", folder: Path) -> None:
        """Write the learning curve and the page of the run."""
        with display.use_style(replace(display.STYLE.get(), quiet=True)):
            train_view.write_page(state, prepared, folder)
        self.seconds[state.run.model] = sum(row.seconds for row in state.rows)

    def on_evaluation(self, step: NextStep) -> None:
        """Show that the weights are evaluated."""
        self.show(f"{self.describe(self.missing[self.number])}, evaluating", 1.0)

    def show(self, text: str, share: float, left: float | None = None) -> None:
        """Move the bar: `share` is the finished part of the current trial, `left` is in seconds."""
        self.on_progress(NextStep(text=text, done=(self.number + share) / len(self.missing), eta=left))

    def on_result(self, trial: "Trial", result: "Evaluation") -> None:
        """Write the accuracy."""
        interval = write_share_interval(result.top1)
        display.say(f"{self.describe(trial)}: top-1 {100 * result.top1.value:.2f} % {interval}")

    def on_failure(self, trial: "Trial", reason: str) -> None:
        """Write the reason; the table will have it too."""
        display.say(f"{trial.model}, seed {trial.seed}, failed: {reason}")

    def describe(self, trial: "Trial") -> str:
        """Name a trial."""
        return f"trial {self.number + 1} of {len(self.missing)}: {trial.model}, seed {trial.seed}"


class RungProgress:
    """Announces each rung of successive halving, and keeps the schedule of the last one."""

    def __init__(self, on_progress: Tell, what: str, count: int = 1) -> None:
        self.on_progress, self.what, self.count, self.number = on_progress, what, count, 0
        self.schedule: TrialSchedule | None = None

    def __call__(self, schedule: "TrialSchedule") -> TrialProgress:
        """Write which trials will run, and return their observer."""
        self.number, self.schedule = self.number + 1, schedule
        rung = f"rung {self.number} of {self.count}: " if self.count > 1 else ""
        display.say(f"{rung}{describe_schedule(schedule, self.what)}")
        return TrialProgress(schedule, self.on_progress)


def train_candidates(
    models: Sequence[str], plan: "TrialPlan", given: Mapping[str, Any], store: Path | None
) -> "tuple[MeasuredOn, TrialOutcome]":
    """Train and evaluate the models that have no stored accuracy.

    Args:
        models: the models.
        plan: the terms of their trainings.
        given: the options `seeds`, `halve`, `tune_lr` and `engine`.
        store: the folder of stored runs; None is the default one.

    Returns:
        The accuracies of all models, and the outcome with the models that failed.

    Raises:
        typer.Exit: the user stopped the trials.
        SaevitError: another process runs the same trials, or the store cannot be used.
    """
    from saevit.comparing.accuracies import MeasuredOn
    from saevit.runs.evaluation import list_top1s
    from saevit.trials.halving import plan_rungs
    from saevit.trials.schedule import order_trials, select_results

    run_trials = choose_engine(given["engine"])
    rates = tune_rates(models, plan, store, run_trials) if given["tune_lr"] else {}
    trials = order_trials(models, given["seeds"], {model: rate.lr for model, rate in rates.items()})
    rungs = plan_rungs(plan) if given["halve"] else (plan,)
    outcome = run_visibly(trials, rungs, store, plural(given["seeds"], "seed"), run_trials)
    found = list_top1s(store, display.warn)
    results = select_results(plan, trials, found)
    for model in outcome.dropped:
        results += select_results(model.plan, [t for t in trials if t.model == model.model], found)
    results.sort(key=found.index)
    data = plan.validation
    measured = MeasuredOn.select(results, data.name, data.split, saevit.NETWORK, plan.terms)
    notes = (*map(str, rates.values()), *map(describe_dropped, outcome.dropped))
    return measured, replace(outcome, notes=notes)


def choose_engine(name: str) -> "RunTrials":
    """Return the function that runs trials: in this process, or on a Ray cluster."""
    if name == "ray":
        from saevit.trials.ray_engine import run_trials_on_ray

        return run_trials_on_ray
    from saevit.trials.runner import run_trials

    return run_trials


def tune_rates(
    models: Sequence[str], plan: "TrialPlan", store: Path | None, run_trials: "RunTrials"
) -> "dict[str, ChosenRate]":
    """Train each model with each rate of the grid at the smallest budget, and return the chosen rates."""
    from saevit.runs.evaluation import list_top1s
    from saevit.trials.halving import plan_rungs
    from saevit.trials.learning_rates import FACTORS, choose_rates, list_rate_trials

    short = plan_rungs(plan)[0]
    trials = list_rate_trials(models, short)
    run_visibly(trials, (short,), store, plural(len(FACTORS), "learning rate"), run_trials)
    return choose_rates(short, trials, list_top1s(store))


def run_visibly(
    trials: "Sequence[Trial]",
    rungs: "Sequence[TrialPlan]",
    store: Path | None,
    what: str,
    run_trials: "RunTrials",
) -> "RungsOutcome":
    """Run trials rung by rung with their progress; `what` says how often each model is trained.

    Raises:
        typer.Exit: the user stopped the trials; a line says how to continue.
    """
    from saevit.runs.evaluation import list_top1s
    from saevit.trials.halving import run_rungs
    from saevit.trials.schedule import schedule_trials

    with stop_requests() as is_stopped, display.show_progress() as on_progress:
        progress = RungProgress(on_progress, what, len(rungs))
        outcome = run_rungs(trials, rungs, store, progress, is_stopped, run_trials)
    if outcome.is_stopped:
        assert progress.schedule
        schedule = schedule_trials(progress.schedule.plan, progress.schedule.trials, list_top1s(store))
        done, count = len(schedule.stored), plural(len(schedule.trials), "trial")
        display.say(f"stopped after {done} of {count}: the same command continues")
        raise typer.Exit(output.INTERRUPTED)
    return outcome


def describe_dropped(dropped: "DroppedModel") -> str:
    """Write the budget after which a model was dropped, and the reason."""
    epochs = plural(dropped.plan.recipe.epochs, "epoch")
    return (
        f"{dropped.model} was dropped after trainings of {epochs}: its accuracy is resolved to be lower than "
        f"that of {' and '.join(dropped.better)}"
    )


def describe_schedule(schedule: "TrialSchedule", what: str) -> str:
    """Write the number of trials that will run (`what`: trainings of each model), and how many are stored."""
    plan, count = schedule.plan, len(schedule.trials)
    models = len({trial.model for trial in schedule.trials})
    epochs = f"{plural(plan.recipe.epochs, 'epoch')} of {len(plan.train):,} images each"
    of = f"{plural(models, 'model')} x {what}, {epochs}"
    if not schedule.missing:
        return f"{of}: all {count} trials are stored already"
    stored = len(schedule.stored)
    already = (
        f"; {stored} of {count} trials {'is' if stored == 1 else 'are'} stored already" if stored else ""
    )
    return f"training {of}{already}"
