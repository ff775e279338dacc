"""A new activation, runtime, export format or data set: each place that has to know it is named here."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from saevit.export.exporter import FORMATS
from saevit.measure.runtimes import RUNTIMES
from saevit.model.layers import ACT_LAYERS
from saevit.model.packed_conv import ACTS
from saevit.train.data_sources import IN_MEMORY
from saevit.variant import KEYS
from saevit_cli.app import SUMMARIES, make_application
from tests.model.networks import SWITCHES

ROOT = Path(__file__).parents[2]


def test_the_table_of_places_names_files_that_exist() -> None:
    table = (
        (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("## Where to add")[2].partition("\n## ")[0]
    )
    paths = re.findall(r"`((?:saevit|saevit_cli|tests)/[^`]*)`", table)
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_activation_is_built_and_folded() -> None:
    choices = KEYS["act"].choices
    assert tuple(ACT_LAYERS) == choices
    assert list(ACTS) == [None, *ACT_LAYERS.values()], "saevit/model/packed_conv.py"


def test_every_switch_is_tested() -> None:
    tested: dict[str, set[Any]] = {}
    for changes in SWITCHES.values():
        for field, value in changes.items():
            tested.setdefault(field, set()).add(value)
    for key in KEYS.values():
        assert {*key.choices[1:]} <= tested.get(key.field, set()), "tests/model/networks.py"


@pytest.mark.parametrize(
    ("command", "option", "names"),
    [
        ("profile", "--runtime", RUNTIMES),
        ("compare", "--runtime", RUNTIMES),
        ("export", "--format", FORMATS),
        ("train", "--data", IN_MEMORY),
        ("eval", "--data", IN_MEMORY),
    ],
)
def test_the_help_names_every_choice(command: str, option: str, names: Any) -> None:
    application: Any = typer.main.get_command(make_application(SUMMARIES))
    (param,) = (p for p in application.commands[command].params if option in p.opts)
    words = re.findall(r"\w+", f"{param.help} {param.metavar}")
    assert [name for name in names if name not in words] == []
