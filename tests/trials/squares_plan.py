"""A plan of the smallest trials, and an observer that may end them like a crash."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from saevit.measure.progress import NextStep
from saevit.runs.evaluation import Evaluation, list_top1s
from saevit.train.preparation import PreparedRun
from saevit.train.recipe import Recipe
from saevit.train.state import Epoch, TrainingRun, TrainingState
from saevit.trials.trial import Trial, TrialPlan, open_plan
from tests.train.tiny import squares

VARIANTS = ("saevit_pico:dims=8-8-16-16,depths=1,heads=1", "saevit_pico:dims=8-8-16-24,depths=1,heads=1")
MODELS = (*VARIANTS, "timm:mobilenetv3_small_050")
RECIPE = Recipe(epochs=2, img_size=(32, 32), batch_size=8)


def plan_in(folder: Path, *, images: int | None = None, recipe: Recipe = RECIPE) -> TrialPlan:
    """Return a plan for noisy squares in the folder."""
    data = folder / "squares"
    if not data.exists():
        squares(data, train=6, validation=4)
    run = TrainingRun(model="", data=str(data))
    return open_plan(run, recipe, "imagenet", images=images, folder=folder / "runs", device="cpu")


class Crash(BaseException):
    """An end without any clean-up of the trial."""


@dataclass
class Watcher:
    """Counts what trials report; it may crash, or ask for an end, at one of these reports."""

    crash_at: int | None = None
    stop_at: int | None = None
    reports: int = 0
    updates: int = 0
    failures: tuple[str, ...] = ()

    def report(self) -> None:
        self.reports += 1
        if self.reports == self.crash_at:
            raise Crash

    def is_stopped(self) -> bool:
        return self.stop_at is not None and self.reports >= self.stop_at

    def on_trial(self, trial: Trial, prepared: PreparedRun) -> None:
        self.report()

    def on_update(self, epoch: int, done: int, updates: int, images_per_s: float) -> None:
        self.updates += 1
        self.report()

    def on_epoch(self, row: Epoch) -> None:
        self.report()

    def on_trained(self, prepared: PreparedRun, state: TrainingState, folder: Path) -> None:
        self.report()

    def on_evaluation(self, step: NextStep) -> None:
        self.report()

    def on_result(self, trial: Trial, result: Evaluation) -> None:
        self.report()

    def on_failure(self, trial: Trial, reason: str) -> None:
        self.failures += (f"{trial.model}: {reason}",)


def results_in(store: Path) -> dict[tuple[str, int], Iterable[object]]:
    """Return what must not depend on how often trials were stopped, for each model and seed."""
    found = list_top1s(store)
    every = {
        (one.model, one.training.seed): (one.hits, one.share, one.sha256, one.training, one.fingerprint)
        for one in found
        if one.training
    }
    assert len(every) == len(found)
    return every
