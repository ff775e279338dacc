"""A trial (one model, one seed), and the plan with recipe, settings and data that all trials share."""

import hashlib
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import saevit
from saevit.comparing.accuracies import network_key
from saevit.files import name_source, to_file_name
from saevit.measure.progress import Tell
from saevit.runs.run import MeasuredTop1
from saevit.train.image_data import ImageData
from saevit.train.preparation import open_splits
from saevit.train.recipe import Recipe, resolve_recipe
from saevit.train.run_folder import RUNS
from saevit.train.state import TrainingRun, TrainingState
from saevit.variant import PRESETS

LONGEST_NAME = 60  # characters of a model in the name of a run folder
DIGITS = 8  # of the hash in the name of a run folder


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One model and one seed."""

    model: str  # a variant's text, or timm:NAME
    seed: int
    lr: float | None = None  # None is the rate of the recipe


@dataclass(frozen=True, kw_only=True, eq=False)
class TrialPlan:
    """The recipe, the settings and the data of all trials, and the folder and device where they run."""

    run: TrainingRun  # its model is replaced by that of each trial
    recipe: Recipe  # its seed is replaced by that of each trial
    base: str  # name of the built-in recipe that the recipe is based on
    train: ImageData
    validation: ImageData
    folder: Path = RUNS  # of the run folders
    device: str = "auto"
    workers: int = 0  # processes that read images

    @property
    def terms(self) -> str:
        """Return the hash of recipe and settings, which does not depend on the model."""
        recipe = resolve_recipe(self.recipe, params=0, own_drop_path=0.0, processes=1)
        return TrainingState(run=self.run, recipe=recipe, base=self.base, processes=1).terms

    def lr_of(self, trial: Trial) -> float:
        """Return the highest learning rate of a trial."""
        recipe = resolve_recipe(self.recipe_of(trial), params=0, own_drop_path=0.0, processes=1)
        return recipe.lr or 0.0

    def recipe_of(self, trial: Trial) -> Recipe:
        """Return the recipe with the seed and, if set, the learning rate of a trial."""
        lr = self.recipe.lr if trial.lr is None else trial.lr
        return replace(self.recipe, seed=trial.seed, lr=lr)

    def run_of(self, trial: Trial) -> TrainingRun:
        """Return the settings of a trial's training.

        It validates after the last epoch only, so the final weights are kept, and no epoch is selected by its
        accuracy.
        """
        return replace(self.run, model=trial.model, val_every=self.recipe.epochs)

    def folder_of(self, trial: Trial) -> Path:
        """Return the run folder of a trial; its name has a hash of everything that the trial depends on."""
        identity = [
            *(saevit.NETWORK, network_key(trial.model), trial.model, self.lr_of(trial)),
            *(self.train.name, self.train.fingerprint, self.validation.fingerprint),
        ]
        digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:DIGITS]
        source = to_file_name(name_source(self.train.name), LONGEST_NAME)
        name = f"{to_file_name(trial.model, LONGEST_NAME)}-{digest}-seed{trial.seed}"
        return self.folder / f"{source}-{self.terms}" / name

    def is_result(self, one: MeasuredTop1, trial: Trial) -> bool:
        """Tell whether a stored accuracy is the result of a trial: of its plan, model, seed and rate."""
        training = one.training
        is_of_plan = (one.data, one.split) == (self.validation.name, self.validation.split)
        is_variant = one.model.partition(":")[0] in PRESETS
        return (
            training is not None
            and is_of_plan
            and one.terms == self.terms
            and training.seed == trial.seed
            and math.isclose(training.lr, self.lr_of(trial))
            and training.fingerprint == self.train.fingerprint
            and one.fingerprint == self.validation.fingerprint
            and network_key(one.model) == network_key(trial.model)
            and (one.definition == saevit.NETWORK or not is_variant)
        )


def open_plan(
    run: TrainingRun,
    recipe: Recipe,
    base: str,
    *,
    images: int | None = None,
    folder: Path = RUNS,
    device: str = "auto",
    workers: int = 0,
    tell: Tell = lambda step: None,
) -> TrialPlan:
    """Open the data, and return the plan of the trials.

    Args:
        run: the settings of all trainings; its model is not used.
        recipe: the recipe of all trials.
        base: name of the built-in recipe that the recipe is based on.
        images: budget of a trial in training images, rounded up to whole epochs; None is the recipe's epochs.
        folder: the folder that contains the run folders.
        device: the option --device.
        workers: number of processes that read images.
        tell: called with the progress of opening the data.

    Raises:
        SaevitError: the data cannot be used.
    """
    train, validation = open_splits(run, recipe.img_size, tell)
    if images is not None:
        recipe = replace(recipe, epochs=-(-images // len(train)))
    return TrialPlan(
        run=run,
        recipe=recipe,
        base=base,
        train=train,
        validation=validation,
        folder=folder,
        device=device,
        workers=workers,
    )
