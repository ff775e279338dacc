"""Choose the networks that `saevit compare` counts and times; with --train, train them before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

import saevit
from saevit.errors import OptionError, nearest
from saevit_cli import display, readers
from saevit_cli.commands import trial_options
from saevit_cli.commands.trial_run import train_candidates

if TYPE_CHECKING:
    from saevit.comparing.accuracies import MeasuredOn
    from saevit.trials.runner import TrialOutcome

PUBLISHED = "published"


@dataclass(frozen=True, kw_only=True)
class ComparedNetworks:
    """The networks to count and time, and their measured accuracies."""

    models: list[str]
    reference: str | None
    img_size: tuple[int, int]
    measured: "MeasuredOn | None" = None  # None: published accuracies
    outcome: "TrialOutcome | None" = None  # of the trainings; None: none were asked for


def choose_networks(
    context: typer.Context, models: list[str], reference: str | None, trials: Mapping[str, Any]
) -> ComparedNetworks:
    """Return the networks of models; with --train, train them before.

    With measured accuracies, the networks have the classes and the input size of the evaluated networks.

    Args:
        context: the context of the command.
        models: texts of the models.
        reference: one of the models; None is the first one.
        trials: the options of the trainings.
    """
    given = context.params
    classes, img_size = given["classes"], given["img_size"]
    measured: MeasuredOn | None = None
    outcome: TrialOutcome | None = None
    if given["train"]:
        if reference not in (None, *models):
            raise OptionError(f"reference {reference!r} is not compared: {nearest(str(reference), models)}")
        size = trial_options.find_given_size(context)
        asked = {**trials, "settings": given["settings"], "img_size": size}
        plan = trial_options.read_plan("--top1", str(given["top1"]), asked, device=given["device"])
        asked["engine"] = given["engine"]
        measured, outcome = train_candidates(list_trainable(models), plan, asked, given["store"])
        classes, img_size = plan.train.num_classes, plan.recipe.img_size
    elif measured := find_accuracies(given["top1"], given["store"]):
        classes = classes or measured.num_classes
        img_size = img_size if trial_options.find_given_size(context) else measured.img_size
    return ComparedNetworks(
        models=[set_classes(model, classes) for model in models],
        reference=reference and set_classes(reference, classes),
        img_size=img_size,
        measured=measured,
        outcome=outcome,
    )


def find_accuracies(
    top1: str | None, store: Path | None, definition: int = saevit.NETWORK
) -> "MeasuredOn | None":
    """Return the evaluations that --top1 names, for one definition of variants; None is published ones."""
    from saevit.comparing.accuracies import choose_accuracies
    from saevit.runs.evaluation import list_top1s

    if top1 in (None, PUBLISHED):
        return None
    return choose_accuracies(str(top1), list_top1s(store, display.warn), definition)


def set_classes(model: str, classes: int | None) -> str:
    """Return a model's text with this number of classes; a model that cannot be built keeps its text."""
    from saevit.baselines.adapters import NUM_CLASSES, name_network

    if classes is None or not has_network(model):
        return model
    name = model if classes == NUM_CLASSES else name_network(model)  # published weights have 1000 classes
    return str(readers.read_model(name, classes=classes))


def has_network(model: str) -> bool:
    """Tell whether a model can be built; other models have published figures only."""
    from saevit.baselines.published import find_row
    from saevit.models import is_baseline

    return is_baseline(model) or not find_row(model)


def list_trainable(models: Sequence[str]) -> list[str]:
    """Return the models that can be built, without the tags of their weights."""
    from saevit.baselines.adapters import name_network

    return [name_network(model) for model in models if has_network(model)]


def check_trained_data(top1: str | None, classes: int | None) -> None:
    """Raise OptionError if --train has no data, or is given with a split or a number of classes."""
    from saevit.runs.evaluation import SPLITS

    if top1 in (None, PUBLISHED):
        raise OptionError("--train needs images: add --top1 DATA, such as --top1 icons:FILE or a folder")
    if (split := str(top1).rpartition("@")[2]) in SPLITS and split != top1:
        raise OptionError(
            f"--top1 {top1}: --train trains on the images of train and evaluates on those of validation, "
            f"leave out @{split}"
        )
    if classes is not None:
        raise OptionError(f"--classes {classes}: with --train the number of classes follows from the data")
