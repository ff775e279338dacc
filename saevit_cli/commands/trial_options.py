"""The options of trials (`compare --train`, `explore --train-top`), and the plan that they define."""

from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from saevit.errors import DataError, OptionError
from saevit_cli import display, options, readers
from saevit_cli.commands.train import AMP, DATA_DIR, EPOCHS, WORKERS, Precision, read_request, split_settings
from saevit_cli.commands.train_run import choose_workers

if TYPE_CHECKING:
    from saevit.trials.trial import TrialPlan

TRAINING = "Training"  # heading in the help
SEEDS = 2  # by default
of_trials = options.in_panel(TRAINING)
Epochs = Annotated[str | None, of_trials(**EPOCHS)]
Data = Annotated[
    str | None,
    of_trials(
        "--data",
        metavar="SOURCE",
        help="Images to train on: a folder with train/ and val/ or with one folder per class, torch/NAME, "
        "hfds/NAME, icons:FILE, or digits.",
    ),
]
TrainTop = Annotated[
    int | None,
    of_trials(
        parser=readers.count_reader(most=1000),
        metavar="K",
        help="Train K variants of the front at even distances, a random variant of equal cost for each, and "
        "the base variant on --data with one recipe and one budget; show the accuracies, and whether the "
        "front is more accurate. A command that was stopped or killed continues when it is repeated.",
    ),
]
Images = Annotated[
    int | None,
    of_trials(
        parser=readers.count_reader(most=10**12),
        metavar="N",
        help="Number of training images that each training sees, in place of --epochs; it is rounded up to "
        "whole epochs.",
    ),
]
Seeds = Annotated[
    int,
    of_trials(
        parser=readers.count_reader(most=1000),
        metavar="N",
        help="Number of trainings of each model, with the seeds 0 to N-1.",
    ),
]
Halve = Annotated[
    bool,
    of_trials(
        "--halve",
        help="Train all models with a quarter of the budget, then with half, then with all of it, each time "
        "from scratch with a complete schedule. After each step, drop models that are significantly less "
        "accurate than the better half; this needs two seeds or more.",
    ),
]
TuneLr = Annotated[
    bool,
    of_trials(
        "--tune-lr",
        help="Choose the learning rate of each model from 1/2, 1 and 2 times that of the recipe, by the "
        "validation top-1 after trainings with seed 0 and a quarter of the budget.",
    ),
]
Recipe = Annotated[
    str | None,
    of_trials(
        "--recipe",
        metavar="NAME|FILE.toml",
        help="Recipe of all trainings: imagenet, icons, digits, or a file; the default is that of the data's "
        "name for icons and digits, and imagenet for other data.",
    ),
]
Set = Annotated[
    list[str] | None,
    of_trials(
        "--set",
        metavar="KEY=VALUE",
        help="Set a value of the recipe (see `saevit train --show-recipe`), such as batch_size=64; "
        "repeatable.",
    ),
]
Amp = Annotated[Precision | None, of_trials(**AMP)]
DataDir = Annotated[Path | None, of_trials(**DATA_DIR)]
Workers = Annotated[int | None, of_trials(**WORKERS)]
Runs = Annotated[
    Path | None,
    of_trials(metavar="DIR", help="Folder of the trainings, one folder each; the default is runs."),
]

Engine = Annotated[
    Literal["local", "ray"],
    of_trials(
        "--engine",
        metavar="ENGINE",
        help="local: one training after another; ray: one on each GPU of the Ray cluster that `ray` finds, "
        "or on each core if it has no GPU (needs 'saevit[explore]').",
    ),
]


SHARED: dict[str, tuple[Any, Any]] = {  # parameters of all commands with trials: type, default
    "epochs": (Epochs, None),
    "images": (Images, None),
    "seeds": (Seeds, SEEDS),
    "halve": (Halve, False),
    "tune_lr": (TuneLr, False),
    "recipe": (Recipe, None),
    "data_dir": (DataDir, None),
    "amp": (Amp, None),
    "workers": (Workers, None),
    "runs": (Runs, None),
}


def with_trials(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command with the options in `SHARED`, whose values it gets as the dict `trials`."""

    @wraps(command)
    def trained(**given: Any) -> Any:
        trials = {name: given.pop(name) for name in SHARED}
        return command(**given, trials=trials)

    options.declare_options(trained, SHARED, replaced="trials")
    return trained


def refuse_without_training(context: typer.Context, switch: str) -> None:
    """Raise OptionError for options of trainings without the option `switch` that starts them."""
    for param in context.command.params:
        is_training = getattr(param, "rich_help_panel", None) == TRAINING
        if is_training and param.opts[0] != switch and options.is_given(context, param.name):
            raise OptionError(f"{param.opts[0]} is for trainings: add {switch}, or leave it out")


def find_given_size(context: typer.Context) -> str | None:
    """Return the given input size in the form of a recipe; None if the user gave none."""
    if not options.is_given(context, "img_size"):
        return None
    return "x".join(map(str, context.params["img_size"]))


def split_recipe(settings: list[str] | None) -> tuple[list[str], list[str]]:
    """Split KEY=VALUE items into values of the recipe and others."""
    from saevit.train.recipe import RULES

    of_recipe: list[str] = []
    others: list[str] = []
    for item in settings or []:
        (of_recipe if item.partition("=")[0].strip() in RULES else others).append(item)
    return of_recipe, others


def read_plan(option: str, data: str, given: Mapping[str, Any], *, device: str) -> "TrialPlan":
    """Open the data and return the plan of the trials.

    Args:
        option: the option that names the data, for messages.
        data: the source of the images.
        given: parameter to value of the options; None is not given, and `settings` is --set.
        device: the option --device.

    Raises:
        SaevitError: options exclude each other, or the data cannot be used.
    """
    from saevit.train.run_folder import RUNS
    from saevit.trials.trial import open_plan

    check_options(given)
    names = ("data_dir", "recipe", "settings", "epochs", "amp", "img_size")
    asked = {name: given[name] for name in names if given.get(name) is not None}
    run, recipe, base = read_request({"data": data, **asked})
    if run.init:
        raise OptionError(
            f"--recipe {given['recipe']} starts from {run.init}, but trials train from scratch: remove init"
        )
    with display.show_progress() as on_progress:
        try:
            return open_plan(
                run,
                recipe,
                base,
                images=given.get("images"),
                folder=given.get("runs") or RUNS,
                device=device,
                workers=choose_workers(given.get("workers"), run.data),
                tell=on_progress,
            )
        except DataError as error:
            raise OptionError(f"{option} {error.problem}") from error


def check_options(given: Mapping[str, Any]) -> None:
    """Raise OptionError for two budgets, for keys of a variant, and for a seed in --set."""
    from saevit.train.recipe import RULES

    values, of_variant = split_settings(given.get("settings") or [], tuple(RULES))
    if of_variant:
        raise OptionError(f"--set {of_variant[0]} is a key of a variant: write it as VARIANT:{of_variant[0]}")
    if "seed" in values:
        raise OptionError(f"--set seed={values['seed']}: --seeds N trains the seeds 0 to N-1")
    budgets = {"--epochs": given.get("epochs"), "--set epochs": values.get("epochs")}
    for option, value in budgets.items():
        if value is not None and given.get("images") is not None:
            raise OptionError(f"{option} and --images both set the budget: keep one")
