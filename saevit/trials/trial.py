"""A trial is one model trained with one seed; a plan holds the terms, which are equal for all trials."""

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

LONGEST_NAME = 60  # characters of a model in the name of a folder
DIGITS = 8  # of the digest in that name


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One model and one seed."""

    model: str  # a variant's text, or timm:NAME
    seed: int
    lr: float | None = None  # None: that of the recipe


@dataclass(frozen=True, kw_only=True, eq=False)
class TrialPlan:
    """The terms of all trials (recipe, settings and data), and where and how they run."""

    run: TrainingRun  # each trial has its own model
    recipe: Recipe  # each trial has its own seed
    base: str  # name of the built-in recipe that it is based on
    train: ImageData
    validation: ImageData
    folder: Path = RUNS  # of the run folders
    device: str = "auto"
    workers: int = 0  # processes that read images

    @property
    def terms(self) -> str:
        """Return the digest that is equal for trainings on equal terms; it does not depend on the model."""
        recipe = resolve_recipe(self.recipe, params=0, own_drop_path=0.0, processes=1)
        return TrainingState(run=self.run, recipe=recipe, base=self.base, processes=1).terms

    def lr_of(self, trial: Trial) -> float:
        """Return the highest learning rate of a trial."""
        recipe = resolve_recipe(self.recipe_of(trial), params=0, own_drop_path=0.0, processes=1)
        return recipe.lr or 0.0

    def recipe_of(self, trial: Trial) -> Recipe:
        """Return the recipe with the seed of a trial, and with its learning rate if it has its own."""
        lr = self.recipe.lr if trial.lr is None else trial.lr
        return replace(self.recipe, seed=trial.seed, lr=lr)

    def run_of(self, trial: Trial) -> TrainingRun:
        """Return the settings of a trial's training, which validates at its end only.

        So its weights are those of the end of the schedule, and no accuracy has chosen them.
        """
        return replace(self.run, model=trial.model, val_every=self.recipe.epochs)

    def folder_of(self, trial: Trial) -> Path:
        """Return the folder of a trial's run, whose name is different for everything that it depends on."""
        identity = [
            *(saevit.NETWORK, network_key(trial.model), trial.model, self.lr_of(trial)),
            *(self.train.name, self.train.fingerprint, self.validation.fingerprint),
        ]
        digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:DIGITS]
        source = to_file_name(name_source(self.train.name), LONGEST_NAME)
        name = f"{to_file_name(trial.model, LONGEST_NAME)}-{digest}-seed{trial.seed}"
        return self.folder / f"{source}-{self.terms}" / name

    def is_result(self, one: MeasuredTop1, trial: Trial) -> bool:
        """Tell whether a stored accuracy is that of a trial, after its whole schedule."""
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
    """Open the data of a plan, and set its epochs so that each trial sees at least `images` images.

    Args:
        run: settings of the training, for any model.
        recipe: the same for all trials.
        base: name of the built-in recipe that it is based on.
        images: the budget of a trial, rounded up to whole epochs; None: the epochs of the recipe.
        folder: the folder of the run folders.
        device: as the user names it.
        workers: number of processes that read images.
        tell: is called with the progress of opening the data.

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
