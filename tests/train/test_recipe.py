"""Recipes: what a value may be, where it is from, and the way to a file and back."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from saevit.errors import OptionError
from saevit.train.recipe import RULES, SOURCES, Recipe, effective, shown
from saevit.train.recipe_text import (
    BUILT_IN,
    SET,
    differing,
    read_recipe,
    recipe_toml,
    sources_of,
    with_text,
)


def test_every_value_has_a_rule_and_a_source() -> None:
    names = [field.name for field in fields(Recipe)]
    assert list(SOURCES) == names
    assert list(RULES) == names
    for base in BUILT_IN:
        assert list(sources_of(BUILT_IN[base], base)) == names


@pytest.mark.parametrize("base", BUILT_IN)
def test_a_recipe_file_repeats_the_recipe(base: str, tmp_path: Path) -> None:
    closed = effective(BUILT_IN[base], params=int(7e6), own_drop_path=0.0, processes=2)
    path = tmp_path / "recipe.toml"
    run = {"model": 'a "b"\\c', "data": "digits", "channels_last": True, "teacher": None}
    path.write_text(recipe_toml(closed, base, run), encoding="utf-8")
    found_base, recipe, found_run = read_recipe(str(path))
    assert (found_base, recipe) == (base, closed)
    assert found_run == {name: value for name, value in run.items() if value is not None}


@pytest.mark.parametrize("recipe", BUILT_IN.values(), ids=BUILT_IN.keys())
def test_every_value_can_be_typed(recipe: Recipe) -> None:
    typed = {name: shown(getattr(recipe, name)) for name in RULES if getattr(recipe, name) not in (None, "")}
    again = with_text(replace(recipe, epochs=7), typed)
    assert again == replace(recipe, ratio=again.ratio)
    assert again.ratio == pytest.approx(recipe.ratio, rel=1e-5)


def test_what_is_open_is_closed() -> None:
    closed = effective(Recipe(), params=int(2e6), own_drop_path=0.0, processes=4)
    assert closed.lr == pytest.approx(1e-3 * 128 * 4 / 1024)
    assert closed.drop_path_rate == 0.0
    assert effective(Recipe(), params=int(9e6), own_drop_path=0.0, processes=1).drop_path_rate == 0.05
    assert effective(Recipe(), params=int(9e7), own_drop_path=0.3, processes=1).drop_path_rate == 0.3
    assert (
        effective(Recipe(drop_path_rate=0.2), params=1, own_drop_path=0.3, processes=1).drop_path_rate == 0.2
    )
    assert effective(Recipe(lr=0.5), params=1, own_drop_path=0.0, processes=9).lr == 0.5
    assert effective(Recipe(epochs=5), params=1, own_drop_path=0.0, processes=1).warmup_epochs == 1.0


def test_what_was_set_says_so() -> None:
    recipe = with_text(BUILT_IN["digits"], {"epochs": "3"})
    assert sources_of(recipe, "digits")["epochs"] == SET
    assert sources_of(recipe, "digits")["smoothing"] == SOURCES["smoothing"]
    assert differing(recipe, BUILT_IN["digits"]) == {"epochs": (3, BUILT_IN["digits"].epochs)}


def test_digits_are_not_mirrored() -> None:
    assert BUILT_IN["digits"].hflip == 0


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("epochs", "0", "epochs=0: a whole number of 1 or more"),
        ("epochs", "2.5", "epochs=2.5: a whole number of 1 or more"),
        ("batch_size", "1", "batch_size=1: a whole number of 2 or more"),
        ("smoothing", "nan", "smoothing=nan: a number from 0 to 0.99"),
        ("lr", "fast", "lr=fast: a number of 0 or more"),
        ("scale", "0.5", "scale=0.5: two numbers, such as scale=0.5,1"),
        ("scale", "1,0.5", "scale=1,0.5: the lower number first"),
        ("img_size", "8", "img_size=8: a whole number from 32 to 16384"),
        ("sched", "cosin", "did you mean cosine?"),
        ("model_ema_warmup", "yes", "model_ema_warmup=yes: true or false"),
        ("mixpu", "1", "'mixpu' is not a key of a recipe: did you mean mixup"),
    ],
)
def test_a_value_that_cannot_be_is_one_line(key: str, text: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        with_text(Recipe(), {key: text})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = 'many'", "epochs=many: a whole number of 1 or more"),
        ("epochs =", "cannot be read"),
        ("epoch = 3", "'epoch' is not a key of a recipe: did you mean epochs"),
        ("base = 'digit'", "base=digit is not a recipe: did you mean digits?"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(OptionError) as caught:
        read_recipe(str(path))
    assert message in str(caught.value)


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(OptionError, match=r"neither a file nor a recipe: did you mean imagenet\?"):
        read_recipe("imagnet")
