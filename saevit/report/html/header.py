"""What the page says first: what was compared, when, where, and how to read a ratio."""

from xml.etree.ElementTree import Element

from saevit.compare.comparison import Comparison
from saevit.report.columns import Table
from saevit.report.html.markup import element
from saevit.report.latencies import describe_machine
from saevit.report.units import percent

NOISE_FLOOR = "noise floor: "  # begins the note of the table that tells it


def header(comparison: Comparison, table: Table, command: str | None) -> list[Element]:
    """Return the title, the facts, and the command if there is one."""
    made = [element("h1", {}, table.title), facts(comparison, table)]
    if comparison.run:
        made.append(element("p", {"class": "lead"}, how_to_read(comparison)))
    if command:
        made.append(reproduce(command))
    return made


def reproduce(command: str) -> Element:
    """Return the command; a line breaks only between its words."""
    words = [element("span", {}, word) for word in command.split(" ")]
    spaced = [part for word in words for part in (word, " ")][:-1]
    label = element("span", {"class": "label"}, "Reproduce")
    return element("p", {"class": "command"}, label, element("code", {}, *spaced))


def facts(comparison: Comparison, table: Table) -> Element:
    """Return name and value of what every figure depends on."""
    return element(
        "dl",
        {"class": "facts"},
        *(
            element("div", {}, element("dt", {}, name), element("dd", {}, *values))
            for name, values in {
                "Reference": (comparison.reference,),
                **(timing_facts(comparison, table) or {"Timed": ("no",)}),
            }.items()
        ),
    )


def timing_facts(comparison: Comparison, table: Table) -> dict[str, tuple[Element | str, ...]]:
    """Return what holds for the whole timing run."""
    timings = comparison.run
    if timings is None:
        return {}
    started = element("time", {"datetime": timings.started}, timings.started.replace("T", " "))
    cut = f", interrupted: the figures are of these {timings.rounds}" if timings.interrupted else ""
    floor = [note.removeprefix(NOISE_FLOOR) for note in table.notes if note.startswith(NOISE_FLOOR)]
    return {
        "Timed": (started,),
        "Machine": (f"{describe_machine(timings)}, torch {timings.environment.torch}",),
        "Conditions": (str(timings.timed[0].conditions),),
        "Rounds": (f"{timings.rounds}, interleaved, {timings.min_time:g} s or more a sample{cut}",),
        "Noise floor": (floor[0] if floor else "unknown",),
    }


def how_to_read(comparison: Comparison) -> str:
    """Say in one line what a ratio is."""
    ratios = [seen for c in comparison.candidates if (seen := comparison.ratio(c))]
    interval = f" with its interval at {percent(ratios[0].confidence, 0)} confidence" if ratios else ""
    return (
        f"A ratio is the time of an image over that of {comparison.reference} in the same round: the median "
        f"over all rounds{interval}. Below 1 is faster; not resolved: the interval holds 1, or the rounds "
        "are too few. The noise floor is what the same network shows against itself."
    )
