"""Recipes by name, from TOML files and from `key=value`, and back to TOML."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from saevit.decode import DecodeError, check_values, decode
from saevit.errors import OptionError, nearest
from saevit.files import MIB, expand, file_type, read_bytes
from saevit.text import abbreviated, printable, read_number, read_whole
from saevit.train.recipe import FIELDS, RULES, SOURCES, Number, Pair, Recipe, Switch
from saevit.train.run import Run

SET = "set for this run"
FOUND = "small and quick; tried on a fifth of the training digits, held out again (docs/log.md)"
BUILT_IN: dict[str, Recipe] = {
    "imagenet": Recipe(),
    "digits": Recipe(
        epochs=20,
        batch_size=64,
        img_size=(32, 32),
        lr_base=2e-3,
        lr_base_size=64,
        warmup_epochs=3.0,
        mixup=0.0,
        cutmix=0.0,
        aa="",
        reprob=0.0,
        scale=(0.7, 1.0),
        ratio=(0.8, 1.25),
        hflip=0.0,
        model_ema_decay=0.99,
    ),
}
SOURCES_OF: dict[str, dict[str, str]] = {
    "imagenet": SOURCES,
    "digits": SOURCES
    | {
        name: FOUND
        for name in FIELDS
        if getattr(BUILT_IN["digits"], name) != getattr(BUILT_IN["imagenet"], name)
    }
    | {"hflip": "a mirrored digit is another sign"},
}
BASE = "base"  # which built-in recipe a file is of
RUN = "run"  # the table of a recipe file that says which run it is of


def read_recipe(text: str) -> tuple[str, Recipe, dict[str, Any]]:
    """Read a built-in recipe by name, or a TOML file.

    Returns:
        Name of the built-in recipe, the recipe, and what the file says of a run (its table `run`).

    Raises:
        OptionError: no such recipe, a file that cannot be read, a key or value that cannot be.
    """
    if text in BUILT_IN:
        return text, BUILT_IN[text], {}
    path, shown = expand(text), f"--recipe {printable(text)}"
    if file_type(path) == "missing":
        raise OptionError(f"{shown} is neither a file nor a recipe: {nearest(text, BUILT_IN)}")
    data = read_bytes(path, most=MIB)
    try:
        values = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:  # of numbers and nesting without end too
        reason = abbreviated(str(error).partition("\n")[0])
        raise OptionError(f"{shown} cannot be read: {reason}") from error
    try:
        check_values(values)
        run = values.pop(RUN, {})
        base = values.pop(BASE, "imagenet")
        if not isinstance(base, str) or base not in BUILT_IN:
            text = abbreviated(str(base))
            raise DecodeError(f"{BASE}={text} is not a recipe: {nearest(text, BUILT_IN)}")
        for key in values:
            check_key(key, FIELDS)
        if not isinstance(run, dict):
            raise DecodeError(f"{RUN} is no table")
        return base, replace(BUILT_IN[base], **values), said_of(run)
    except (DecodeError, OptionError) as error:
        raise OptionError(f"{shown}: {error}") from error


def said_of(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a file says of a run; keys of later versions are left aside."""
    run = decode(Run, {"model": "", "data": ""} | dict(table))
    return {name: value for name, value in asdict(run).items() if name in table}


def with_text(recipe: Recipe, values: Mapping[str, str]) -> Recipe:
    """Return the recipe with some values set, each still text."""
    changes: dict[str, Any] = {key: value_of(key, text) for key, text in values.items()}
    return replace(recipe, **changes)


def value_of(key: str, text: str) -> object:
    """Read one value; what cannot be read stays text, and the recipe says what it may be."""
    check_key(key, FIELDS)
    rule = RULES[key]
    if isinstance(rule, Switch):
        return {"true": True, "false": False}.get(text.lower(), text)
    if isinstance(rule, Pair):
        parts = [number(part, rule.each) for part in text.split(",")]
        return parts if len(parts) > 1 else parts[0]
    return number(text, rule) if isinstance(rule, Number) else text


def number(text: str, rule: Number) -> object:
    """Read one number."""
    try:
        return read_whole(text) if rule.whole else read_number(text)
    except ValueError:
        return text.strip()


def check_key(key: str, choices: tuple[str, ...]) -> None:
    """Refuse a key that no recipe has."""
    if key not in choices:
        raise OptionError(f"'{abbreviated(key)}' is not a key of a recipe: {nearest(key, choices)}")


def sources_of(recipe: Recipe, base: str) -> dict[str, str]:
    """Say of each value where it is from."""
    built_in = BUILT_IN[base]
    return {
        name: source if getattr(built_in, name) in (None, getattr(recipe, name)) else SET
        for name, source in SOURCES_OF[base].items()
    }


def recipe_toml(recipe: Recipe, base: str, run: Mapping[str, object]) -> str:
    """Write every value with its source, and the table `run`; a value that is open is a comment."""
    sources = sources_of(recipe, base)
    lines = ["# Repeats the run: saevit train --recipe FILE --output DIR", "", f"{BASE} = {toml_value(base)}"]
    for name, value in asdict(recipe).items():
        text = toml_value(value)
        lines.append(f"{name} = {text}  # {sources[name]}" if text else f"# {name}: {sources[name]}")
    lines += ["", f"[{RUN}]"]
    lines += [f"{name} = {toml_value(value)}" for name, value in run.items() if value is not None]
    return "\n".join(lines) + "\n"


def toml_value(value: object) -> str:
    """Write one value as TOML; None has no form there, and gives an empty text."""
    if value is None:
        return ""
    if isinstance(value, tuple | list):
        return f"[{', '.join(toml_value(one) for one in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    return str(value) if isinstance(value, int) else json.dumps(printable(str(value)), ensure_ascii=False)


def differing(recipe: Recipe, base: Recipe) -> dict[str, tuple[Any, Any]]:
    """Return the values that differ, each with the base's."""
    return {
        name: (getattr(recipe, name), getattr(base, name))
        for name in FIELDS
        if getattr(recipe, name) != getattr(base, name)
    }
