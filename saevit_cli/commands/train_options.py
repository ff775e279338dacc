"""Options of `saevit train`, and the readers of their text."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from saevit.errors import OptionError, nearest
from saevit.variant import KEYS
from saevit_cli import options

if TYPE_CHECKING:
    from saevit.train.recipe import Recipe

TRAIN, RECIPE, MACHINE, OUTPUT = "Training", "Recipe", "Machine", options.OUTPUT
MODEL, DATA = "saevit_pico", "digits"
MOST_WORKERS = 8  # unless more are asked for

Model = Annotated[
    str | None,
    typer.Argument(
        metavar="[VARIANT|timm:NAME]",
        help=f"A preset, PRESET:key=value,... (see `saevit list`), or any timm model; by default {MODEL}.",
        autocompletion=options.complete_variant,
        show_default=False,
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="SOURCE",
        help="A folder of images, a dataset of timm's readers, or digits: 1,797 handwritten digits that "
        "scikit-learn ships, which are the default.",
        rich_help_panel=TRAIN,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Where a dataset of timm's readers lies.", rich_help_panel=TRAIN),
]
RecipeName = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="NAME|FILE.toml",
        help="imagenet, digits, or a file such as a run's recipe.toml; by default digits for the digits and "
        "imagenet for everything else.",
        rich_help_panel=RECIPE,
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any value of the recipe (--show-recipe lists them) or key of the variant; repeatable.",
        rich_help_panel=RECIPE,
    ),
]
ShowRecipe = Annotated[
    bool,
    typer.Option("--show-recipe", help="Show every value with its source, and stop.", rich_help_panel=RECIPE),
]
Epochs = Annotated[str | None, typer.Option(metavar="N", help="Epochs.", rich_help_panel=RECIPE)]
BatchSize = Annotated[
    str | None, typer.Option(metavar="N", help="Images a step of one process.", rich_help_panel=RECIPE)
]
Accumulate = Annotated[
    str | None,
    typer.Option(metavar="N", help="Steps whose gradients make an update.", rich_help_panel=RECIPE),
]
LearningRate = Annotated[
    str | None,
    typer.Option(
        "--lr",
        metavar="X",
        help="Learning rate as it is; by default lr_base, scaled by the images of an update.",
        rich_help_panel=RECIPE,
    ),
]
Seed = Annotated[
    str | None,
    typer.Option(metavar="N", help="Of weights, order and augmentation.", rich_help_panel=RECIPE),
]
ImgSize = Annotated[
    str | None,
    typer.Option(metavar="N|H,W", help="Input size in pixels, 32 or more.", rich_help_panel=RECIPE),
]
Teacher = Annotated[
    str | None,
    typer.Option(
        metavar="VARIANT|timm:NAME",
        help="Distil from this network: T^2 KL to its soft labels, beside the labels.",
        rich_help_panel=TRAIN,
    ),
]
TeacherCheckpoint = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The teacher's weights.", rich_help_panel=TRAIN)
]
ValEvery = Annotated[
    str | None, typer.Option(metavar="N", help="Epochs between validations; 1.", rich_help_panel=TRAIN)
]
Amp = Annotated[
    str | None,
    typer.Option(metavar="none|bf16|fp16", help="Mixed precision; by default none.", rich_help_panel=MACHINE),
]
ChannelsLast = Annotated[
    bool | None,
    typer.Option(
        "--channels-last/--no-channels-last",
        help="Layout; by default channels_last.",
        rich_help_panel=MACHINE,
    ),
]
Compile = Annotated[
    bool | None, typer.Option("--compile", help="Train through torch.compile.", rich_help_panel=MACHINE)
]
GradCheckpointing = Annotated[
    bool | None,
    typer.Option(
        "--grad-checkpointing",
        help="Compute activations twice, hold them once: less memory.",
        rich_help_panel=MACHINE,
    ),
]
Device = Annotated[
    str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=MACHINE)
]
Workers = Annotated[
    str | None,
    typer.Option(
        metavar="N",
        help="Processes that read images; 0 reads in the one that trains. Results are the same with any.",
        rich_help_panel=MACHINE,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="DIR",
        help="The run's folder; by default runs/MODEL-DATA.",
        rich_help_panel=OUTPUT,
    ),
]
Resume = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Go on with this folder's run as if it had never stopped: it knows model, data and recipe.",
        rich_help_panel=OUTPUT,
    ),
]


def split_settings(settings: list[str], recipe_keys: tuple[str, ...]) -> tuple[dict[str, str], list[str]]:
    """Part `key=value` items into values of the recipe and keys of the variant."""
    recipe: dict[str, str] = {}
    variant: list[str] = []
    for item in settings:
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals:
            raise OptionError(f"--set {item} is not key=value: for example --set mixup=0.2")
        if key in recipe:
            raise OptionError(f"--set {key} is given twice ({recipe[key]} and {value}): keep one")
        if key in recipe_keys:
            recipe[key] = value
        elif key in KEYS:
            variant.append(item)
        else:
            near = nearest(key, (*recipe_keys, *KEYS))
            raise OptionError(f"--set {key} is neither of the recipe nor of the variant: {near}")
    return recipe, variant


def read_recipe(
    name: str, settings: dict[str, str], given: dict[str, str | None]
) -> "tuple[str, Recipe, Any]":
    """Return the name of the recipe, the recipe with all that was set, and what its file says of a run."""
    from saevit.train.recipe_files import read_recipe, set_values

    for key, value in given.items():
        if value is None:
            continue
        if key in settings:
            raise OptionError(
                f"{key} is given as an option ({value}) and by --set ({settings[key]}): keep one"
            )
        settings = settings | {key: value}
    found, recipe, run = read_recipe(name)
    return found, set_values(recipe, settings), run


def amp_of(text: str | None, variables: Mapping[str, str] = os.environ) -> str | None:
    """Return the mixed precision that is asked for here, or that `accelerate launch` was told."""
    told = variables.get("ACCELERATE_MIXED_PRECISION", "no")
    return text or (None if told == "no" else told)


def read_workers(text: str | None) -> int | None:
    """Read how many processes read images; None is left to the data."""
    if text is None:
        return None
    if not text.strip().isdecimal():
        raise OptionError(f"--workers {text}: a whole number of 0 or more")
    return int(text)


def workers_for(wanted: int | None, data: str) -> int:
    """Return how many processes read images; the digits are too small to be worth any."""
    from saevit.machine import usable_cores

    if wanted is not None:
        return wanted
    return 0 if data == DATA else min(usable_cores(), MOST_WORKERS)
