"""The machine, its software and the run, field by field."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any
from xml.etree.ElementTree import Element

from saevit.compare.comparison import Comparison
from saevit.report.columns import NONE
from saevit.report.html.markup import element
from saevit.report.units import size
from saevit.runs.record import Conditions, Environment
from saevit.runs.run import Run

LABELS = {"memory_bytes": "memory"}
RUN = {"rounds": "rounds", "min_time": "a sample lasts at least (s)", "seed": "seed", "started": "started"}


def environment(comparison: Comparison) -> list[Element]:
    """Return two tables, or one line if nothing was timed."""
    timings = comparison.run
    if timings is None:
        return [element("p", {}, "Nothing was timed: counts and published figures depend on no machine.")]
    return [
        field_table("Machine and software", machine_fields(timings.environment)),
        field_table("Run and conditions", run_fields(timings)),
    ]


def field_table(caption: str, values: Mapping[str, str]) -> Element:
    """Return a table of names and values."""
    rows = (
        element("tr", {}, element("th", {"scope": "row"}, name), element("td", {}, value))
        for name, value in values.items()
    )
    return element("table", {}, element("caption", {}, caption), element("tbody", {}, *rows))


def machine_fields(environment: Environment) -> dict[str, str]:
    """Return every field of the environment."""
    return {
        label(field.name): text_of(field.name, getattr(environment, field.name))
        for field in fields(environment)
    }


def run_fields(timings: Run) -> dict[str, str]:
    """Return how the run went, then every field of the conditions: all values where models differ."""
    run = {label: text_of(name, getattr(timings, name)) for name, label in RUN.items()}
    all_conditions = [latency.conditions for latency in timings.timed]
    return run | {
        label(field.name): distinct(text_of(field.name, getattr(c, field.name)) for c in all_conditions)
        for field in fields(Conditions)
    }


def label(name: str) -> str:
    """Write a field's name as words."""
    return LABELS.get(name, name.replace("_", " "))


def distinct(texts: Iterable[str]) -> str:
    """Join different texts in the order they come."""
    return "; ".join(dict.fromkeys(texts))


def text_of(name: str, value: Any) -> str:
    """Write a field's value; what the machine does not tell is a dash."""
    if value is None or value == ():
        return NONE
    if name == "memory_bytes":
        return size(value)
    if name == "img_size":
        return " x ".join(map(str, value))
    return ", ".join(value) if isinstance(value, tuple) else str(value)
