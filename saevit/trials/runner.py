"""Running trials one after another: train or continue, evaluate the final weights, store the accuracy."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, TypeVar

import torch

from saevit.comparing.accuracies import network_key
from saevit.comparing.comparison import Comparison
from saevit.errors import OptionError, SaevitError, name_and_line
from saevit.loading import load_network
from saevit.measure.conditions import resolve_device
from saevit.measure.progress import NextStep
from saevit.runs.evaluation import Evaluation, keep_evaluation
from saevit.runs.store import Writer
from saevit.text import printable
from saevit.train.accuracy import EvalPlan, evaluate_network
from saevit.train.loop import Observer, train_network
from saevit.train.preparation import PreparedRun, prepare_run
from saevit.train.processes import Processes
from saevit.train.run_folder import BEST, LAST, claim_folder, read_state
from saevit.train.state import TrainingState
from saevit.trials.schedule import TrialSchedule
from saevit.trials.trial import Trial, TrialPlan

T = TypeVar("T")


class TrialsStopped(Exception):  # noqa: N818 - says what happened
    """The user asked for an end; the state of the trial is saved."""


class TrialObserver(Observer, Protocol):
    """Receives the progress of trials, and that of the training of each."""

    def on_trial(self, trial: Trial, prepared: PreparedRun) -> None:
        """Handle a trial before its training."""

    def on_trained(self, prepared: PreparedRun, state: TrainingState, folder: Path) -> None:
        """Handle a trial whose training is complete; more files may be written into its folder."""

    def on_evaluation(self, step: NextStep) -> None:
        """Handle a step of the evaluation."""

    def on_result(self, trial: Trial, result: Evaluation) -> None:
        """Handle a trial whose accuracy is stored."""

    def on_failure(self, trial: Trial, reason: str) -> None:
        """Handle a trial that failed."""


@dataclass(frozen=True, kw_only=True)
class TrialOutcome:
    """Why trials failed, and whether the user stopped them."""

    failures: dict[Trial, str] = field(default_factory=dict)
    is_stopped: bool = False
    notes: tuple[str, ...] = ()  # on what was chosen by accuracies, a line each

    def add_reasons(self, comparison: Comparison) -> Comparison:
        """Return a comparison with the notes, in which each model that failed has its reason."""
        reasons = {network_key(t.model): f"not trained: {reason}" for t, reason in self.failures.items()}
        candidates = (
            replace(c, failure=c.failure or reasons.get(network_key(c.model))) for c in comparison.candidates
        )
        return replace(comparison, candidates=tuple(candidates), training_notes=self.notes)


def run_trials(
    schedule: TrialSchedule,
    store: Path | None,
    observer: TrialObserver,
    is_stopped: Callable[[], bool] = lambda: False,
) -> TrialOutcome:
    """Run the trials that are not stored; a model that fails is left out with later seeds.

    Results do not depend on when the trials were stopped or killed, and how often.

    Args:
        schedule: the trials.
        store: the folder of stored runs; None is the default one.
        observer: receives the progress.
        is_stopped: returns True if the user asks for an end.

    Raises:
        OptionError: another process uses the folder of a run, or the store cannot be written.
    """
    failures: dict[Trial, str] = {}
    for trial in schedule.missing:
        if any((failed.model, failed.lr) == (trial.model, trial.lr) for failed in failures):
            continue
        try:
            run_trial(trial, schedule.plan, store, observer, is_stopped)
        except TrialsStopped:
            return TrialOutcome(failures=failures, is_stopped=True)
        except TrialFailed as failure:
            failures[trial] = str(failure)
            observer.on_failure(trial, str(failure))
    return TrialOutcome(failures=failures)


class TrialFailed(SaevitError):  # noqa: N818 - says what happened
    """A trial whose network cannot be built, trained or evaluated."""


def run_trial(
    trial: Trial, plan: TrialPlan, store: Path | None, observer: TrialObserver, is_stopped: Callable[[], bool]
) -> Evaluation:
    """Train one model with one seed, or continue its training; evaluate and store its final weights.

    Raises:
        TrialFailed: with the reason.
        TrialsStopped: `is_stopped` returned True.
        OptionError: another process uses the folder, or the store cannot be written.
    """
    if is_stopped():
        raise TrialsStopped
    processes = Processes(device=torch.device(resolve_device(plan.device)))
    folder = plan.folder_of(trial)
    prepared = attempt(lambda: prepare_run(plan.run_of(trial), plan.recipe_of(trial), processes))
    observer.on_trial(trial, prepared)
    with claim_folder(folder, overwrite=True):
        state = attempt(lambda: find_state(prepared, plan.base, folder))
        if not state.is_finished:
            state = attempt(
                lambda: train_network(
                    prepared, state, folder, processes, observer, workers=plan.workers, is_stopped=is_stopped
                )
            )
        if not state.is_finished:
            raise TrialsStopped
        observer.on_trained(prepared, state, folder)
        result = attempt(lambda: evaluate_trial(plan, folder, observer, is_stopped))
        with Writer(store) as writer:
            keep_evaluation(result, writer)
    observer.on_result(trial, result)
    return result


def attempt(work: Callable[[], T]) -> T:
    """Run a part of a trial; networks of timm raise errors of any type."""
    try:
        return work()
    except TrialsStopped:
        raise
    except SaevitError as error:
        raise TrialFailed(str(error)) from error
    except Exception as error:
        raise TrialFailed(printable(name_and_line(error))) from error


def find_state(prepared: PreparedRun, base: str, folder: Path) -> TrainingState:
    """Return the state in the folder, or that before the first update.

    Raises:
        OptionError: the state is of another run or cannot be read, or the data have changed.
    """
    fresh = prepared.new_state(base)
    if not (folder / LAST).exists():  # the training was killed before its first epoch ended
        return fresh
    state = read_state(folder)
    if (state.run, state.recipe) != (fresh.run, fresh.recipe):
        name = printable(str(folder))
        raise OptionError(f"{name} holds another run: remove it, or name another folder with --runs")
    return prepared.check_state(state)


def evaluate_trial(
    plan: TrialPlan, folder: Path, observer: TrialObserver, is_stopped: Callable[[], bool]
) -> Evaluation:
    """Evaluate the weights at the end of a training, as `saevit eval` does."""

    def report_step(step: NextStep) -> None:
        if is_stopped():
            raise TrialsStopped
        observer.on_evaluation(step)

    network = load_network(None, folder / BEST)
    how = EvalPlan(device=plan.device, workers=plan.workers)
    return evaluate_network(network, plan.validation, folder / BEST, how, report_step)
