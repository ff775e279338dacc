"""`saevit train`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from saevit.errors import OptionError, nearest
from saevit.files import ICONS, as_text, expand, file_type
from saevit.variant import KEYS
from saevit_cli import options, readers
from saevit_cli.commands.train_run import report_once, resume_run, start_run

if TYPE_CHECKING:
    from saevit.train.recipe import Recipe
    from saevit.train.state import TrainingRun

DEFAULT_MODEL, DEFAULT_DATA = "saevit_pico", "digits"
PATHS = (
    "data",
    "data_dir",
    "teacher_checkpoint",
    "init",
)  # made absolute, so that a run continues in any folder
RUN_OPTIONS = (
    *("data", "data_dir", "teacher", "teacher_checkpoint", "init", "val_every"),
    *("amp", "channels_last", "compile", "grad_checkpointing"),
)
FLAGS = ("show_recipe", "overwrite")  # False without the option
RECIPE_OPTIONS = ("epochs", "batch_size", "accumulate", "lr", "seed", "img_size")

# Options that `compare --train` and `explore --train-top` also have.
DATA_DIR: dict[str, Any] = {
    "metavar": "DIR",
    "help": "Folder with the data of torch/NAME or hfds/NAME; nothing is downloaded.",
}
WORKERS: dict[str, Any] = {
    "parser": readers.count_reader(least=0, most=readers.MOST_PROCESSES),
    "metavar": "N",
    "help": "Number of processes that read images; 0 reads them in the training process. The default is one "
    "per core, at most 8, and 0 for the digits.",
}
Precision = Literal["none", "bf16", "fp16"]
AMP: dict[str, Any] = {
    "metavar": "PRECISION",
    "help": "Mixed precision: none, bf16 or fp16; the default is none.",
}
EPOCHS: dict[str, Any] = {"metavar": "N", "help": "Number of epochs; the default is that of the recipe."}

of_training, of_recipe = options.in_panel("Training"), options.in_panel("Recipe")
of_machine = options.in_panel("Machine")
Model = Annotated[
    str | None,
    options.argument(
        metavar="MODEL",
        help="Preset, PRESET:key=value,... (see `saevit list`) or timm model; the default is "
        f"{DEFAULT_MODEL}.",
    ),
]
Data = Annotated[
    str | None,
    of_training(
        metavar="SOURCE",
        help="Images: a folder with train/ and val/ or with one folder per class, torch/NAME, hfds/NAME, "
        "icons:FILE (the npm package @iconify/json as .tgz or folder; `npm pack @iconify/json` gets it), or "
        "digits, the 1,797 handwritten digits of scikit-learn, for trying the command (the default).",
    ),
]
DataDir = Annotated[Path | None, of_training(**DATA_DIR)]
Teacher = Annotated[
    str | None,
    of_training(metavar="MODEL", help="Teacher of a distillation: its soft labels are a part of the loss."),
]
TeacherCheckpoint = Annotated[Path | None, of_training(metavar="FILE", help="Weights of the teacher.")]
Init = Annotated[
    Path | None,
    of_training(
        metavar="FILE",
        help="Start from the weights of a checkpoint of the same network (fine-tuning). The classifier is "
        "new if the classes differ; the default is random weights.",
    ),
]
ValEvery = Annotated[
    int | None,
    of_training(
        parser=readers.count_reader(), metavar="N", help="Validate every N epochs; the default is 1."
    ),
]
RecipeName = Annotated[
    str | None,
    of_recipe(
        "--recipe",
        metavar="NAME|FILE.toml",
        help="Recipe: imagenet, icons, digits, or a file such as a run's recipe.toml; the default is that of "
        "the data's name for icons and digits, and imagenet for other data.",
    ),
]
Set = Annotated[
    list[str] | None,
    of_recipe(
        "--set",
        metavar="KEY=VALUE",
        help="Set a value of the recipe (see --show-recipe) or a key of the variant; repeatable.",
    ),
]
Epochs = Annotated[str | None, of_recipe(**EPOCHS)]
BatchSize = Annotated[
    str | None, of_recipe(metavar="N", help="Batch size per process; the default is that of the recipe.")
]
Accumulate = Annotated[
    str | None,
    of_recipe(metavar="N", help="Number of batches per update (gradient accumulation); the default is 1."),
]
LearningRate = Annotated[
    str | None,
    of_recipe(
        "--lr",
        metavar="X",
        help="Absolute learning rate, without scaling; the default is the recipe's lr_base, scaled by the "
        "number of images per update.",
    ),
]
Seed = Annotated[str | None, of_recipe(metavar="N", help="Random seed; the default is 0.")]
ImgSize = Annotated[
    str | None,
    of_recipe(metavar="N|HxW", help="Input size in pixels, at least 32; the default is that of the recipe."),
]
ShowRecipe = Annotated[
    bool, of_recipe("--show-recipe", help="Show every value of the recipe with its source, and exit.")
]
Device = Annotated[str, of_machine(metavar="DEVICE", help="Device: auto, cpu, cuda, cuda:N or mps.")]
Workers = Annotated[int | None, of_machine(**WORKERS)]
Amp = Annotated[Precision | None, of_machine(**AMP)]
ChannelsLast = Annotated[
    bool | None,
    of_machine(
        "--channels-last/--no-channels-last", help="Memory layout channels_last (the default), or contiguous."
    ),
]
Compile = Annotated[bool | None, of_machine("--compile", help="Train with torch.compile.")]
GradCheckpointing = Annotated[
    bool | None,
    of_machine(
        "--grad-checkpointing",
        help="Save memory: recompute activations in the backward pass instead of storing them.",
    ),
]
Output = Annotated[
    Path | None,
    options.of_output("--output", metavar="DIR", help="Folder of the run; the default is runs/MODEL-DATA."),
]
Log = Annotated[
    list[str] | None,
    options.of_output(
        "--log",
        metavar="TRACKER",
        help="Log each epoch to tensorboard (into the folder of the run) or wandb; repeatable. log.csv is "
        "always written.",
    ),
]
Resume = Annotated[
    Path | None,
    options.of_output(
        metavar="DIR",
        help="Continue the run in this folder with its model, data and recipe; the results are the same as "
        "without a stop.",
    ),
]


def train(
    model: Model = None,
    width: options.Width = None,
    depth: options.Depth = None,
    rates: options.Rates = None,
    data: Data = None,
    data_dir: DataDir = None,
    teacher: Teacher = None,
    teacher_checkpoint: TeacherCheckpoint = None,
    init: Init = None,
    val_every: ValEvery = None,
    recipe: RecipeName = None,
    settings: Set = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    accumulate: Accumulate = None,
    lr: LearningRate = None,
    seed: Seed = None,
    img_size: ImgSize = None,
    show_recipe: ShowRecipe = False,
    device: Device = "auto",
    workers: Workers = None,
    amp: Amp = None,
    channels_last: ChannelsLast = None,
    compile: Compile = None,
    grad_checkpointing: GradCheckpointing = None,
    target: Output = None,
    log: Log = None,
    resume: Resume = None,
    overwrite: options.Overwrite = False,
) -> int:
    """Train a variant or a timm model with a published recipe; --resume continues a stopped run.

    The weights of the best epoch, the state, the log, the learning curve, an HTML page and every value of the
    recipe are written into one folder. The line of each epoch goes to stdout, the progress bar to stderr.

    To train in several processes, use `torchrun --nproc-per-node N -m -- saevit_cli train ...` or `accelerate
    launch`.
    """
    given = {name: value for name, value in locals().items() if value is not None}
    given = {name: value for name, value in given.items() if value or name not in FLAGS}
    if resume is not None:
        refuse_beside_resume(given)
        return report_once(lambda: resume_run(resume, device, workers))
    if default := default_amp():
        given.setdefault("amp", default)
    run, chosen, base = read_request(given)
    if show_recipe:
        from saevit_cli.commands import train_view

        train_view.show_recipe(chosen, base)
        return 0
    return report_once(
        lambda: start_run(run, chosen, base, device, workers, recipe, target, overwrite=overwrite)
    )


def refuse_beside_resume(given: Mapping[str, Any]) -> None:
    """Raise OptionError for options that --resume reads from the folder of the run."""
    names = {"model": "MODEL", "settings": "--set", "target": "--output"}
    allowed = ("resume", "device", "workers")
    refused = [names.get(name, f"--{name.replace('_', '-')}") for name in given if name not in allowed]
    if refused:
        raise OptionError(
            f"--resume takes model, data and recipe from its folder: leave out {', '.join(refused)}"
        )


def default_amp(variables: Mapping[str, str] = os.environ) -> str | None:
    """Return the mixed precision that `accelerate launch` set, or None."""
    amp = variables.get("ACCELERATE_MIXED_PRECISION", "no")
    return None if amp == "no" else amp


def read_request(given: Mapping[str, Any]) -> "tuple[TrainingRun, Recipe, str]":
    """Combine defaults, the recipe file and the options; later ones take precedence.

    Returns:
        The run, the recipe, and the name of the built-in recipe that the recipe is based on.
    """
    from saevit.train.recipe import RULES
    from saevit.train.recipe_files import BUILT_IN, read_recipe, set_values
    from saevit.train.state import TrainingRun

    values, variant_settings = split_settings(given.get("settings", []), tuple(RULES))
    for key in RECIPE_OPTIONS:
        if key in given and key in values:
            raise OptionError(
                f"{key} is given as an option ({given[key]}) and by --set ({values[key]}): keep one"
            )
    values |= {key: given[key] for key in RECIPE_OPTIONS if key in given}
    data = given.get("data", DEFAULT_DATA)
    kind = ICONS[:-1] if data.startswith(ICONS) else data
    default = kind if kind in BUILT_IN else "imagenet"
    base, recipe, stored = read_recipe(given.get("recipe", default))
    recipe = set_values(recipe, values)
    run = {"data": DEFAULT_DATA} | {name: stored[name] for name in RUN_OPTIONS if name in stored}
    run |= {name: given[name] for name in RUN_OPTIONS if name in given}
    run["log"] = tuple(dict.fromkeys(given.get("log", ())))  # the trackers of the recipe file are not used
    if "init" in run and "init" not in given:
        run["init_sha256"] = stored.get("init_sha256")  # the checkpoint must be the same file
    run |= {name: absolute_path(name, str(run[name])) for name in PATHS if run.get(name)}
    text = given.get("model") or stored.get("model") or DEFAULT_MODEL
    width, depth, rates = (given.get(name) for name in ("width", "depth", "rates"))
    model = str(readers.read_model(text, width, depth, rates, variant_settings))
    if model.partition(":")[0] == "birder":
        raise OptionError(f"{model} cannot be trained: name a SAEViT variant or a timm model")
    return TrainingRun(model=model, **run), recipe, base


def split_settings(settings: list[str], recipe_keys: tuple[str, ...]) -> tuple[dict[str, str], list[str]]:
    """Split `key=value` items into values of the recipe and keys of the variant."""
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
            raise OptionError(f"--set {key} is not a key of the recipe or of the variant: {near}")
    return recipe, variant


def absolute_path(option: str, text: str) -> str:
    """Return the absolute path if the text names an existing file or folder, else the text."""
    if option == "data" and text.startswith(ICONS):
        return ICONS + absolute_path("icons", text.removeprefix(ICONS))
    path = expand(text)
    if file_type(path) == "missing":
        return text
    if option == "data":
        from saevit.train.data_sources import IN_MEMORY  # loads numpy

        if text in IN_MEMORY:
            return text
    return as_text(path.resolve())
