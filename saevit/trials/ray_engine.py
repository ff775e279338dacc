"""Run trials on a Ray cluster: one trial per GPU, or one trial per core without GPUs."""

import os
from collections.abc import Callable
from pathlib import Path

import torch

from saevit.errors import SaevitError
from saevit.measure.conditions import resolve_device
from saevit.ray_cluster import connect_ray
from saevit.runs.evaluation import Evaluation
from saevit.train.preparation import prepare_run
from saevit.train.processes import Processes
from saevit.train.run_folder import read_state
from saevit.trials.runner import TrialFailed, TrialObserver, TrialOutcome, attempt, run_trial
from saevit.trials.schedule import TrialSchedule
from saevit.trials.trial import Trial, TrialPlan

POLL = 0.5  # seconds between two checks for a request to stop


class SilentObserver(TrialObserver):
    """Ignores the progress of a trial in a worker."""


def run_remote_trial(
    trial: Trial, plan: TrialPlan, store: Path | None, folder: str
) -> tuple[Trial, Evaluation | SaevitError]:
    """Run a trial in a worker, with `folder` as working directory. Return its result or its error."""
    os.chdir(folder)
    try:
        observer = SilentObserver()  # type: ignore[abstract]  # it inherits methods that do nothing
        return trial, run_trial(trial, plan, store, observer, lambda: False)
    except SaevitError as error:  # returned, because Ray adds a traceback to a raised error
        return trial, error


def run_trials_on_ray(
    schedule: TrialSchedule,
    store: Path | None,
    observer: TrialObserver,
    is_stopped: Callable[[], bool] = lambda: False,
) -> TrialOutcome:
    """Run the trials as `run_trials` does, on all GPUs or cores of a Ray cluster.

    All machines must share the folders of data, trainings and store. A trial that was stopped or lost its
    worker continues from its last epoch.

    Raises:
        MissingPackageError: Ray is not installed.
        OptionError: another process uses the folder of a run, or the store cannot be written.
    """
    failures: dict[Trial, str] = {}
    waiting = list(schedule.missing)
    device = resolve_device(schedule.plan.device)
    needs = {"num_cpus": 1} if device == "cpu" else {"num_gpus": 1}
    with connect_ray() as ray:
        plan = ray.put(schedule.plan)
        remote = ray.remote(max_retries=-1, **needs)(run_remote_trial)
        slots = max(1, int(ray.cluster_resources().get("CPU" if device == "cpu" else "GPU", 1)))
        running: list[object] = []
        while waiting or running:
            while waiting and len(running) < slots:
                trial = waiting.pop(0)
                if any((failed.model, failed.lr) == (trial.model, trial.lr) for failed in failures):
                    continue
                running.append(remote.remote(trial, plan, store, str(Path.cwd())))
            finished, running = ray.wait(running, timeout=POLL)
            if is_stopped():
                for one in running:
                    ray.cancel(one, force=True)
                return TrialOutcome(failures=failures, is_stopped=True)
            for trial, result in ray.get(finished):
                reason = report_result(trial, result, schedule.plan, observer)
                if reason:
                    failures[trial] = reason
    return TrialOutcome(failures=failures)


def report_result(
    trial: Trial, result: Evaluation | SaevitError, plan: TrialPlan, observer: TrialObserver
) -> str:
    """Report a finished trial to the observer. Return the reason of a failure, or an empty text.

    Raises:
        OptionError: another process uses the folder of a run, or the store cannot be written.
    """
    if isinstance(result, TrialFailed):
        observer.on_failure(trial, str(result))
        return str(result)
    if isinstance(result, SaevitError):
        raise result
    processes = Processes(device=torch.device("cpu"))
    prepared = attempt(lambda: prepare_run(plan.run_of(trial), plan.recipe_of(trial), processes))
    observer.on_trial(trial, prepared)
    observer.on_trained(prepared, read_state(plan.folder_of(trial)), plan.folder_of(trial))
    observer.on_result(trial, result)
    return ""
