"""Built-in recipes, recipes in TOML files, and values that are set as `key=value`."""

import json
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from typing import Any

from saevit.decode import DecodeError, check_values, decode
from saevit.errors import OptionError, nearest
from saevit.files import MIB, expand, file_type, read_bytes
from saevit.text import abbreviated, printable
from saevit.train.recipe import RULES, SOURCES, Recipe, format_value
from saevit.train.state import TrainingRun

SET = "set for this run"
TRIED = {
    "digits": "small and quick; chosen on a fifth of the training digits (docs/log.md)",
    "icons": "our decision, near the pilot on icons (docs/log.md); not tuned",
}
SMALL_DATA: dict[str, Any] = {  # shared by the recipes for digits and icons
    **{"epochs": 20, "lr_base": 2e-3, "ratio": (0.8, 1.25), "hflip": 0.0},
    **{"mixup": 0.0, "cutmix": 0.0, "aa": "", "reprob": 0.0},
}
BUILT_IN: dict[str, Recipe] = {
    "imagenet": Recipe(),
    "digits": Recipe(
        **SMALL_DATA,
        batch_size=64,
        img_size=(32, 32),
        lr_base_size=64,
        warmup_epochs=3.0,
        scale=(0.7, 1.0),
        model_ema_decay=0.99,
    ),
    "icons": Recipe(
        **SMALL_DATA,
        batch_size=256,
        img_size=(128, 128),
        lr_base_size=256,
        warmup_epochs=2.0,
        scale=(0.5, 1.0),
        model_ema_decay=0.998,
    ),
}
OWN_SOURCES = {  # sources of single values of a built-in recipe
    "digits": {"hflip": "mirroring changes a digit's meaning"},
    "icons": {
        "hflip": "mirroring turns one class into another: arrow-left and arrow-right, undo and redo",
        "aa": "76.1 % top-1 without RandAugment and 72.0 % with it after 4 epochs at 64 px (docs/log.md)",
    },
}
BASE = "base"  # key in a recipe file: the name of the built-in recipe that it changes
RUN = "run"  # table in a recipe file: the settings of a training run


def read_recipe(text: str) -> tuple[str, Recipe, dict[str, Any]]:
    """Read a built-in recipe by its name, or a recipe from a TOML file.

    Returns:
        The name of the built-in recipe, the recipe, and the settings in the table `run` of the file.

    Raises:
        OptionError: the recipe does not exist, the file cannot be read, a key is unknown, or a value breaks
            its rule.
    """
    if text in BUILT_IN:
        return text, BUILT_IN[text], {}
    path, option = expand(text), f"--recipe {printable(text)}"
    if file_type(path) == "missing":
        raise OptionError(f"{option} is neither a file nor a recipe: {nearest(text, BUILT_IN)}")
    data = read_bytes(path, most=MIB)
    try:
        values = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:  # also from huge numbers and deep nesting
        reason = abbreviated(str(error).partition("\n")[0])
        raise OptionError(f"{option} cannot be read: {reason}") from error
    try:
        check_values(values)
        settings = values.pop(RUN, {})
        base = values.pop(BASE, "imagenet")
        if not isinstance(base, str) or base not in BUILT_IN:
            name = abbreviated(str(base))
            raise DecodeError(f"{BASE}={name} is not a recipe: {nearest(name, BUILT_IN)}")
        check_keys(values)
        if not isinstance(settings, dict):
            raise DecodeError(f"{RUN} is not a table")
        run = decode(TrainingRun, {"model": "", "data": ""} | settings)  # ignores keys of later versions
        return (
            base,
            replace(BUILT_IN[base], **values),
            {k: v for k, v in asdict(run).items() if k in settings},
        )
    except (DecodeError, OptionError) as error:
        raise OptionError(f"{option}: {error}") from error


def set_values(recipe: Recipe, values: Mapping[str, str]) -> Recipe:
    """Return the recipe with some values replaced; the new values are texts."""
    check_keys(values)
    changes: dict[str, Any] = {key: RULES[key].read(text) for key, text in values.items()}
    return replace(recipe, **changes)


def check_keys(keys: Collection[str]) -> None:
    """Raise OptionError if a recipe does not have one of the keys."""
    for key in keys:
        if key not in RULES:
            raise OptionError(f"'{abbreviated(key)}' is not a key of a recipe: {nearest(key, RULES)}")


def list_sources(recipe: Recipe, base: str) -> dict[str, str]:
    """Return the source of each value of a recipe that is based on the built-in recipe `base`."""
    built_in = BUILT_IN[base]
    sources = {}
    for name, source in SOURCES.items():
        value = getattr(built_in, name)
        if value not in (None, getattr(recipe, name)):
            sources[name] = SET
        elif value != getattr(BUILT_IN["imagenet"], name):
            sources[name] = OWN_SOURCES[base].get(name, TRIED[base])
        else:
            sources[name] = source
    return sources


def describe_recipe(recipe: Recipe, base: str) -> str:
    """Write the name of the built-in recipe, the seed, and the values that differ from that recipe."""
    built_in = BUILT_IN[base]
    pairs = [(name, getattr(recipe, name), getattr(built_in, name)) for name in RULES]
    changes = [
        f"{name} {format_value(new) or 'none'} (default {format_value(old) or 'none'})"
        for name, new, old in pairs
        if new != old and old is not None
    ]
    return f"{base}, seed {recipe.seed}; {', '.join(changes) or 'unchanged'}"


def write_toml(recipe: Recipe, base: str, run: Mapping[str, object]) -> str:
    """Write a recipe file: every value with its source as a comment, and the table `run`.

    TOML has no null, so a value that is None is written as a comment.
    """
    sources = list_sources(recipe, base)
    lines = ["# Repeats the run: saevit train --recipe FILE --output DIR", "", f"{BASE} = {toml_value(base)}"]
    for name, value in asdict(recipe).items():
        text = f"# {name}: " if value is None else f"{name} = {toml_value(value)}  # "
        lines.append(text + sources[name])
    lines += ["", f"[{RUN}]"]
    lines += [f"{name} = {toml_value(value)}" for name, value in run.items() if value is not None]
    return "\n".join(lines) + "\n"


def toml_value(value: object) -> str:
    """Write a value as TOML; JSON has the same syntax for numbers, strings and lists."""
    return json.dumps(printable(value) if isinstance(value, str) else value, ensure_ascii=False)
