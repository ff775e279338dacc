"""Trials as the user sees them: the line before, the progress, and the line after an early end."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

import saevit
from saevit.measure.progress import NextStep
from saevit.text import plural
from saevit_cli import display, output
from saevit_cli.commands import train_view
from saevit_cli.commands.train_run import stop_requests

if TYPE_CHECKING:
    from saevit.comparing.accuracies import MeasuredOn
    from saevit.runs.evaluation import Evaluation
    from saevit.train.preparation import PreparedRun
    from saevit.train.state import Epoch, TrainingState
    from saevit.trials.runner import TrialOutcome
    from saevit.trials.schedule import TrialSchedule
    from saevit.trials.trial import Trial, TrialPlan


class TrialProgress:
    """Shows trials: a bar with the time left of all of them, and a line on stderr for each that ends."""

    def __init__(self, schedule: "TrialSchedule", show: Callable[[str, float | None, float | None], None]):
        self.show, self.missing = show, schedule.missing
        self.epochs = schedule.plan.recipe.epochs
        self.number, self.start, self.resumed = 0, 0.0, 0.0
        self.seconds: dict[str, float] = {}  # of a whole trial, by model
        self.warned: set[str] = set()

    def on_trial(self, trial: "Trial", prepared: "PreparedRun") -> None:
        """Show that a trial begins, and its warnings, each once."""
        self.number, self.start, self.resumed = self.missing.index(trial), time.monotonic(), -1.0
        for warning in prepared.warnings:
            if warning not in self.warned:
                self.warned.add(warning)
                display.warn(warning)
        self.show(self.describe(trial), self.number / len(self.missing), None)

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
            self.show(text, (self.number + share) / len(self.missing), left)

    def estimate_rest(self, trial: "Trial", whole: float) -> float:
        """Return the seconds of the trials after this one, which takes `whole` seconds."""
        known = self.seconds | {trial.model: whole}
        mean = sum(known.values()) / len(known)
        return sum(known.get(other.model, mean) for other in self.missing[self.number + 1 :])

    def on_epoch(self, row: "Epoch") -> None:
        """Do nothing: the bar shows the epoch."""

    def on_trained(self, prepared: "PreparedRun", state: "TrainingState", folder: Path) -> None:
        """Write the learning curve and the page of the run."""
        with display.hide_notes():
            train_view.write_page(state, prepared, folder)
        self.seconds[state.run.model] = sum(row.seconds for row in state.rows)

    def on_evaluation(self, step: NextStep) -> None:
        """Show that the weights are evaluated."""
        text = f"{self.describe(self.missing[self.number])}, evaluating"
        self.show(text, (self.number + 1) / len(self.missing), None)

    def on_result(self, trial: "Trial", result: "Evaluation") -> None:
        """Write the accuracy."""
        low, high = (100 * end for end in result.top1.interval)
        display.say(f"{self.describe(trial)}: top-1 {100 * result.top1.value:.2f} % [{low:.1f}, {high:.1f}]")

    def on_failure(self, trial: "Trial", reason: str) -> None:
        """Write the reason; the table will have it too."""
        display.say(f"{trial.model}, seed {trial.seed}, failed: {reason}")

    def describe(self, trial: "Trial") -> str:
        """Name a trial."""
        return f"trial {self.number + 1} of {len(self.missing)}: {trial.model}, seed {trial.seed}"


def train_candidates(
    models: Sequence[str], plan: "TrialPlan", seeds: int, store: Path | None
) -> "tuple[MeasuredOn, TrialOutcome]":
    """Train and evaluate what the store lacks; return the accuracies, and which models failed.

    Raises:
        typer.Exit: the user stopped the trials.
        SaevitError: another process runs the same trials, or the store cannot be used.
    """
    from saevit.comparing.accuracies import MeasuredOn
    from saevit.runs.evaluation import list_top1s
    from saevit.trials.runner import run_trials
    from saevit.trials.schedule import order_trials, schedule_trials, select_results

    trials = order_trials(models, seeds)
    schedule = schedule_trials(plan, trials, list_top1s(store, display.warn))
    display.say(describe_schedule(schedule, seeds))
    with stop_requests() as is_stopped, display.show_progress() as show:
        outcome = run_trials(schedule, store, TrialProgress(schedule, show), is_stopped)
    found = list_top1s(store)
    if outcome.is_stopped:
        done = len(schedule_trials(plan, trials, found).stored)
        display.say(f"stopped after {done} of {plural(len(trials), 'trial')}: the same command continues")
        raise typer.Exit(output.INTERRUPTED)
    results, data = select_results(plan, trials, found), plan.validation
    measured = MeasuredOn.select(results, data.name, data.split, saevit.NETWORK, plan.terms)
    return measured, outcome


def describe_schedule(schedule: "TrialSchedule", seeds: int) -> str:
    """Return what will be trained, and what is stored already."""
    plan, count = schedule.plan, len(schedule.trials)
    of = f"{plural(count // seeds, 'model')} x {plural(seeds, 'seed')}"
    epochs = f"{plural(plan.recipe.epochs, 'epoch')} of {len(plan.train):,} images each"
    if not schedule.missing:
        return f"{of}, {epochs}: all {count} trials are stored already"
    stored = len(schedule.stored)
    already = (
        f"; {stored} of {count} trials {'is' if stored == 1 else 'are'} stored already" if stored else ""
    )
    return f"training {of}, {epochs}{already}"
