"""Recipes: what a value may be, where it is from, and the way to a file and back."""

import math
import os
import re
import tomllib
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest

from saevit.errors import OptionError
from saevit.train.recipe import (
    RULES,
    SOURCES,
    Recipe,
    advise,
    digest_recipe,
    format_value,
    resolve_recipe,
)
from saevit.train.recipe_files import (
    BUILT_IN,
    SET,
    describe_recipe,
    list_sources,
    read_recipe,
    set_values,
    write_toml,
)


def test_every_value_has_a_rule_and_a_source() -> None:
    names = [field.name for field in fields(Recipe)]
    assert list(SOURCES) == names
    assert list(RULES) == names
    for base in BUILT_IN:
        assert list(list_sources(BUILT_IN[base], base)) == names


@pytest.mark.parametrize("base", BUILT_IN)
def test_a_recipe_file_repeats_the_recipe(base: str, tmp_path: Path) -> None:
    closed = resolve_recipe(BUILT_IN[base], params=int(7e6), own_drop_path=0.0, processes=2)
    path = tmp_path / "recipe.toml"
    run = {"model": 'a "b"\\c', "data": "digits", "channels_last": True, "teacher": None}
    path.write_text(write_toml(closed, base, run), encoding="utf-8")
    found_base, recipe, found_run = read_recipe(str(path))
    assert (found_base, recipe) == (base, closed)
    assert found_run == {name: value for name, value in run.items() if value is not None}


@pytest.mark.parametrize("recipe", BUILT_IN.values(), ids=BUILT_IN.keys())
def test_every_value_can_be_typed(recipe: Recipe) -> None:
    typed = {
        name: format_value(getattr(recipe, name)) for name in RULES if getattr(recipe, name) not in (None, "")
    }
    again = set_values(replace(recipe, epochs=7), typed)
    assert again == replace(recipe, ratio=again.ratio)
    assert again.ratio == pytest.approx(recipe.ratio, rel=1e-5)


def test_what_is_open_is_closed() -> None:
    closed = resolve_recipe(Recipe(), params=int(2e6), own_drop_path=0.0, processes=4)
    assert closed.lr == pytest.approx(1e-3 * 128 * 4 / 1024)
    assert closed.drop_path_rate == 0.0
    for params, rate in ((5_000_000, 0.0), (5_000_001, 0.05), (12_000_000, 0.05), (12_000_001, 0.1)):
        assert resolve_recipe(Recipe(), params=params, own_drop_path=0.0, processes=1).drop_path_rate == rate
    assert resolve_recipe(Recipe(), params=int(9e6), own_drop_path=0.0, processes=1).drop_path_rate == 0.05
    assert resolve_recipe(Recipe(), params=int(9e7), own_drop_path=0.3, processes=1).drop_path_rate == 0.3
    assert (
        resolve_recipe(Recipe(drop_path_rate=0.2), params=1, own_drop_path=0.3, processes=1).drop_path_rate
        == 0.2
    )
    assert resolve_recipe(Recipe(lr=0.5), params=1, own_drop_path=0.0, processes=9).lr == 0.5
    assert resolve_recipe(Recipe(epochs=5), params=1, own_drop_path=0.0, processes=1).warmup_epochs == 1.0


def test_what_was_set_says_so() -> None:
    recipe = set_values(BUILT_IN["digits"], {"epochs": "3"})
    assert list_sources(recipe, "digits")["epochs"] == SET
    assert list_sources(recipe, "digits")["smoothing"] == SOURCES["smoothing"]
    assert describe_recipe(recipe, "digits") == "digits, seed 0; epochs 3 (default 20)"
    assert describe_recipe(BUILT_IN["digits"], "digits") == "digits, seed 0; unchanged"


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
        set_values(Recipe(), {key: text})
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


@pytest.mark.parametrize("name", RULES)
def test_no_value_is_without_bounds(name: str) -> None:
    """Whatever is typed or stands in a file: taken within bounds, or one short line that names the key."""
    typed = ["", "1e400", "-1e400", "1e308", "1e-320", "nan", "-inf", "9" * 5000, "0x10", "1_0", "٣", "1,2,3"]
    typed += ["1e7", "1,1e300", "rand-m9-n999999", "rand-m9-n1e9", "rand-n" + "9" * 4000, "\x1b[2J", "a\nb"]
    for text in typed:
        check_bounds(name, lambda text=text: set_values(Recipe(), {name: text}))  # type: ignore[misc]
    for value in (10**400, -(10**30), 1e308, 5e-324, math.nan, math.inf, [1e308, 1e308], {}, [[]], True, b""):
        check_bounds(name, lambda value=value: replace(Recipe(), **{name: value}))  # type: ignore[misc]


def check_bounds(name: str, make: Callable[[], Recipe]) -> None:
    """Make a recipe, and look at what became of the value."""
    try:
        found = getattr(make(), name)
    except OptionError as error:
        said = str(error)
        assert said.startswith(f"{name}="), said
        assert len(said) < 250, said
        return
    for value in found if isinstance(found, tuple) else (found,):
        if isinstance(value, int | float):
            assert value == 0 or 1e-9 <= value <= 2**32


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rand-m9-mstd0.5-inc1",
        "rand-m15-n2-mstd999",
        "rand-m9-t3a",
        "augmix-m5-w4-d2",
        "v0",
        "original-mstd0.5",
    ],
)
def test_timms_texts_for_augmentation_are_taken(text: str) -> None:
    assert Recipe(aa=text).aa == text


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("rand-m99-n999999", "n"),
        ("rand-n17", "n"),
        ("augmix-w99", "w"),
        ("augmix-m3-d1000", "d"),
        ("rand-m1000", "m"),
        ("rand-m9-mstd1e9", "mstd"),
        ("rand-p0.00000001", "p"),
    ],
)
def test_augmentation_without_end_is_refused(text: str, key: str) -> None:
    with pytest.raises(OptionError, match=f"^aa={text}: {key} takes a number from 0 to (16|999)"):
        Recipe(aa=text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = " + "9" * 5000, "cannot be read: Exceeds the limit"),
        ("epochs = " + "[" * 5000 + "]" * 5000, "cannot be read: "),
        ("epochs = 99999999999999999999999", "epochs: a whole number beyond 64 bits"),
        ("lr = nan", "lr: nan is not a finite number"),
        ("lr = 1979-05-27", "lr=1979-05-27: a number of 0 or more"),
        ("aa = 'a\\u001bb'".replace("'", '"'), "aa: a\\x1bb has control characters"),
        ("base = ['digits']", "base=['digits'] is not a recipe: "),
        ("run = 3", "run is not a table"),
        ("[run]\nmodel = 5", "model = 5: Input should be a valid string"),
        ("[run]\nval_every = 'soon'", "val_every = 'soon': Input should be a valid integer"),
        ("[run]\nval_every = 0", "val_every = 0: Input should be greater than or equal to 1"),
        ("[run]\nchannels_last = 1", "channels_last = 1: Input should be a valid boolean"),
        ("[run]\ndata = [1]", "data = [1]: Input should be a valid string"),
    ],
)
def test_a_file_of_other_types_is_one_line_that_names_the_field(
    text: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(OptionError) as caught:
        read_recipe(str(path))
    assert f"--recipe {path}" in str(caught.value)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < len(str(path)) + 300


@pytest.mark.parametrize("kind", ["folder", "pipe", "long", "large", "latin"])
def test_what_is_no_recipe_file_is_one_line(kind: str, tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300 if kind == "long" else "own.toml")
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind != "long":
        path.write_bytes(b"#" * (2 << 20) if kind == "large" else b"# \xff")
    with pytest.raises(OptionError) as caught:
        read_recipe(str(path))
    assert str(caught.value).isprintable()


def test_foreign_names_are_written_escaped() -> None:
    text = write_toml(Recipe(), "imagenet", {"model": "a\x1b[2J\n\udcff", "data": "数据"})
    assert all(line.isprintable() for line in text.splitlines())
    assert tomllib.loads(text)["run"] == {"model": "a\\x1b[2J\\n\\udcff", "data": "数据"}


@pytest.mark.parametrize("updates", [1, 3, 25, 1000])
@pytest.mark.parametrize("epochs", [1, 30, 300])
def test_advice_is_followed_by_none(updates: int, epochs: int) -> None:
    recipe = Recipe(batch_size=24, epochs=epochs)
    closed = resolve_recipe(recipe, params=1, own_drop_path=0.0, processes=1)
    said = advise(recipe, closed, updates=updates)
    is_slow = updates * epochs * 1e-3 * 24 / 1024 < 0.02
    assert bool(said) == (is_slow or updates * epochs < 500)
    if said:
        found = re.search(r"--epochs (\d+)", said)
        enough = int(found[1]) if found else epochs
        assert updates * enough * 1e-3 >= 0.1
        better = replace(recipe, epochs=enough, lr=1e-3 if "--lr 0.001" in said else None)
        closed = resolve_recipe(better, params=1, own_drop_path=0.0, processes=1)
        again = advise(better, closed, updates=updates)
        assert not again


def test_few_updates_are_one_advice_that_fits_the_recipe() -> None:
    def said(recipe: Recipe, **how: int) -> str:
        return advise(recipe, replace(recipe, lr=1e-3), updates=5, **how)

    few = Recipe(lr=1e-3, epochs=20)
    assert said(few) == (
        "100 updates are few for a network with random weights: try --epochs 100, or a smaller --batch-size, "
        "or --recipe digits (for few, small images)"
    )
    assert said(replace(few, mixup=0, cutmix=0, aa="")).endswith("--epochs 100, or a smaller --batch-size")
    assert said(replace(few, epochs=100)) == said(few, few=0) == ""


def test_the_digest_is_of_the_terms_of_a_training() -> None:
    one = Recipe(epochs=4)
    digest = digest_recipe(one, {"amp": "none"})
    assert len(digest) == 12
    for same in (replace(one, seed=3), replace(one, lr=0.5), replace(one, drop_path_rate=0.1)):
        assert digest_recipe(same, {"amp": "none"}) == digest
    for other in (replace(one, epochs=5), replace(one, batch_size=64), replace(one, lr_base=0.5)):
        assert digest_recipe(other, {"amp": "none"}) != digest
    assert digest_recipe(one, {"amp": "bf16"}) != digest
