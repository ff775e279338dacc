"""Run trials one after another: train or resume, evaluate the final weights, and store the accuracy."""

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
    """The user stopped the trials. The state of the current trial is stored."""


class TrialObserver(Observer, Protocol):
    """Receives the progress of trials and of their trainings."""

    def on_trial(self, trial: Trial, prepared: PreparedRun) -> None:
        """Handle a trial before its training."""

    def on_trained(self, prepared: PreparedRun, state: TrainingState, folder: Path) -> None:
        """Handle a finished training; this method may write more files into its folder."""

    def on_evaluation(self, step: NextStep) -> None:
        """Handle a step of the evaluation."""

    def on_result(self, trial: Trial, result: Evaluation) -> None:
        """Handle a trial whose accuracy is stored."""

    def on_failure(self, trial: Trial, reason: str) -> None:
        """Handle a trial that failed."""


@dataclass(frozen=True, kw_only=True)
class TrialOutcome:
    """The failed trials with their reasons, and whether the user stopped the trials."""

    failures: dict[Trial, str] = field(default_factory=dict)
    is_stopped: bool = False
    notes: tuple[str, ...] = ()  # on learning rates and dropped models that accuracies decided, one line each

    def add_reasons(self, comparison: Comparison) -> Comparison:
        """Return the comparison with the notes, and with the reason of each model that failed."""
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
    """Run the trials that have no stored accuracy. After a failure of a model, skip its other seeds.

    Interruptions do not change the results.

    Args:
        schedule: the trials.
        store: the folder of stored runs; None is the default one.
        observer: receives the progress.
        is_stopped: returns True after a request to stop.

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
    """The network of a trial cannot be built, trained or evaluated."""


def run_trial(
    trial: Trial, plan: TrialPlan, store: Path | None, observer: TrialObserver, is_stopped: Callable[[], bool]
) -> Evaluation:
    """Train one model with one seed, or resume its training; evaluate and store the final weights.

    Raises:
        TrialFailed: the network cannot be built, trained or evaluated.
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
    """Run a part of a trial, and raise any error as TrialFailed (timm networks raise errors of any type)."""
    try:
        return work()
    except TrialsStopped:
        raise
    except SaevitError as error:
        raise TrialFailed(str(error)) from error
    except Exception as error:
        raise TrialFailed(printable(name_and_line(error))) from error


def find_state(prepared: PreparedRun, base: str, folder: Path) -> TrainingState:
    """Return the state in the folder, or the state before the first update if the folder has none.

    Raises:
        OptionError: the state belongs to another run or cannot be read, or the data have changed.
    """
    fresh = prepared.new_state(base)
    if not (folder / LAST).exists():
        return fresh
    state = read_state(folder)
    if (state.run, state.recipe) != (fresh.run, fresh.recipe):
        name = printable(str(folder))
        raise OptionError(f"{name} holds another run: remove it, or name another folder with --runs")
    return prepared.check_state(state)


def evaluate_trial(
    plan: TrialPlan, folder: Path, observer: TrialObserver, is_stopped: Callable[[], bool]
) -> Evaluation:
    """Evaluate the final weights of a training, as `saevit eval` does."""

    def report_step(step: NextStep) -> None:
        if is_stopped():
            raise TrialsStopped
        observer.on_evaluation(step)

    network = load_network(None, folder / BEST)
    how = EvalPlan(device=plan.device, workers=plan.workers)
    return evaluate_network(network, plan.validation, folder / BEST, how, report_step)
