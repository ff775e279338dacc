"""A comparison as one HTML file that needs no network, server or library."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from string import Template
from typing import Any, Literal
from xml.etree.ElementTree import Element

from saevit import __version__
from saevit.comparing.comparison import Candidate, Comparison
from saevit.report.columns import NONE, Column, Table
from saevit.report.html.elements import element, samples_section, write_html
from saevit.report.latencies import describe_machine
from saevit.report.metrics import METRICS, is_comparable, metric_label
from saevit.report.units import field_text, interval, list_fields, percent, short_names
from saevit.report.views.compare import tabulate_comparison, write_comparison_csv, write_comparison_json
from saevit.runs.run import Run
from saevit.text import printable

POLICY = (  # content security policy: nothing runs or loads except the style and the script of the page
    "default-src 'none'; style-src '{}'; script-src '{}'; img-src data:; base-uri 'none'; form-action 'none'"
)
RUN = {"rounds": "rounds", "min_time": "a sample lasts at least (s)", "seed": "seed", "started": "started"}
AccuracyKind = Literal["plain", "apart", "claim", "none", "measured", "measured-apart", "unmeasured"]


def report_html(comparison: Comparison, command: str | None = None) -> str:
    """Return the page: conditions, a plot, a sortable table, samples, the machine, and raw data.

    Tables and samples are plain HTML; the plot, sorting, filtering and the downloads need the script. The
    command is the line that produces this comparison again.
    """
    table = tabulate_comparison(comparison, None)
    style, script = (
        files("saevit.report.html").joinpath(name).read_text(encoding="utf-8")
        for name in ("report.css", "report.js")
    )
    notes = (
        element("li", {"class": "warning"} if note.startswith("warning:") else {}, note)
        for note in table.notes
    )
    template = files("saevit.report.html").joinpath("report.html").read_text(encoding="utf-8")
    return Template(template).substitute(
        policy=html.escape(POLICY.format(hash_text(style), hash_text(script))),
        title=html.escape(printable(table.title)),
        style=style,
        script=script,
        header=write_html(*page_header(comparison, table, command)),
        models=write_html(models_table(comparison, table)),
        notes=write_html(*notes),
        strips=write_html(*samples_section(comparison)),
        environment=write_html(*environment_tables(comparison)),
        version=html.escape(__version__),
        payload=write_script_json(build_payload(comparison)),
    )


def hash_text(text: str) -> str:
    """Return the hash by which a policy names an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def page_header(comparison: Comparison, table: Table, command: str | None) -> list[Element]:
    """Return the title, the conditions, what a ratio is, and the command if there is one."""
    facts: dict[str, Element | str] = {"Reference": comparison.reference, "Timed": "no"}
    if comparison.run:
        facts |= list_timing_facts(comparison.run)
    items = (
        element("div", {}, element("dt", {}, name), element("dd", {}, value)) for name, value in facts.items()
    )
    parts = [element("h1", {}, table.title), element("dl", {"class": "facts"}, *items)]
    if comparison.run:
        parts.append(element("p", {"class": "lead"}, explain_ratio(comparison)))
    if command:  # a line breaks only between words
        words = [part for word in command.split(" ") for part in (element("span", {}, word), " ")][:-1]
        label = element("span", {"class": "label"}, "Reproduce")
        parts.append(element("p", {"class": "command"}, label, element("code", {}, *words)))
    return parts


def list_timing_facts(run: Run) -> dict[str, Element | str]:
    """Return the conditions that all models share, and the noise floor, by their names."""
    cut = f", interrupted: the values are of these {run.rounds}" if run.interrupted else ""
    floor = run.noise_floor
    return {
        "Timed": element("time", {"datetime": run.started}, run.started.replace("T", " ")),
        "Machine": f"{describe_machine(run)}, torch {run.environment.torch}",
        "Conditions": str(run.timed[0].conditions),
        "Rounds": f"{run.rounds}, interleaved, {run.min_time:g} s or more per sample{cut}",
        "Noise floor": f"the reference against itself, {interval(floor.median, floor.low, floor.high)} "
        f"at {percent(floor.confidence, 0)} confidence"
        if floor
        else "unknown",
    }


def explain_ratio(comparison: Comparison) -> str:
    """Return one paragraph on what a ratio is."""
    ratios = [ratio for c in comparison.candidates if (ratio := comparison.ratio(c))]
    confidence = f" with its interval at {percent(ratios[0].confidence, 0)} confidence" if ratios else ""
    return (
        f"A ratio is the time per image relative to that of {comparison.reference} in the same round: the "
        f"median over all rounds{confidence}. Below 1 is faster; not resolved: the interval contains 1, or "
        "there are too few rounds. The noise floor is the ratio of a network to itself."
    )


def models_table(comparison: Comparison, table: Table) -> Element:
    """Return the table of models, in the comparison's order; the script sorts and filters its rows."""
    heads = []
    for column in table.columns:
        kind = "number" if is_number(column) else "text"
        attributes = {"scope": "col", "class": f"side-{column.side[0]}", "data-kind": kind}
        heads.append(element("th", attributes, element("button", {"type": "button"}, column.heading)))
    rows = (model_row(comparison, table, index) for index in range(len(table.rows)))
    caption = element("caption", {"class": "unseen"}, table.title)
    head = element("thead", {}, element("tr", {}, *heads))
    return element("table", {"id": "models"}, caption, head, element("tbody", {}, *rows))


def is_number(column: Column[Candidate]) -> bool:
    """Is a column sorted by its unrounded value and not by its text?"""
    return column.side == "right" or column.key == "ratio"


def model_row(comparison: Comparison, table: Table, index: int) -> Element:
    """Return the row of one model; its first cell selects it, and names the reason if it failed."""
    c, texts = comparison.candidates[index], table.rows[index]
    reason = [element("span", {"class": "reason"}, c.reason)] if c.reason else []
    button = element("button", {"type": "button", "aria-pressed": "false"}, texts[0])
    cells = [element("th", {"scope": "row", "data-value": c.model}, button, *reason)]
    for text, column in zip(texts[1:], table.columns[1:], strict=True):
        value, style = (None if text == NONE else text), "text"
        if is_number(column):
            ratio = comparison.ratio(c) if column.key == "ratio" else None
            value, style = column.value(c), ratio.verdict.replace(" ", "-") if ratio else ""
        key = {} if value is None else {"data-value": str(value)}  # to sort by; unknown values have none
        cells.append(element("td", {"class": f"side-{column.side[0]} {style}".strip()} | key, text))
    marks = {"class": "reference"} if c.model == comparison.reference else {}
    return element("tr", marks | {"data-index": str(index)}, *cells)


def environment_tables(comparison: Comparison) -> list[Element]:
    """Return the machine and the conditions as two tables, or one line if no model was timed."""
    run = comparison.run
    if run is None:
        return [element("p", {}, "Nothing was timed: counts and published values depend on no machine.")]
    facts = {label: field_text(name, getattr(run, name)) for name, label in RUN.items()}
    texts: dict[str, dict[str, None]] = {}  # different texts of each condition, in their order
    for subject in run.timed:
        for name, text in list_fields(subject.conditions).items():
            texts.setdefault(name, {})[text] = None
    facts |= {name: "; ".join(values) for name, values in texts.items()}
    machine = fields_table("Machine and software", list_fields(run.environment))
    return [machine, fields_table("Run and conditions", facts)]


def fields_table(caption: str, values: Mapping[str, str]) -> Element:
    """Return a table of names and values."""
    rows = (
        element("tr", {}, element("th", {"scope": "row"}, name), element("td", {}, value))
        for name, value in values.items()
    )
    return element("table", {}, element("caption", {}, caption), element("tbody", {}, *rows))


def build_payload(comparison: Comparison) -> dict[str, Any]:
    """Return the data as plain JSON values; metrics without any value are left out."""
    candidates = comparison.candidates
    known = {n: m for n, m in METRICS.items() if any(m.of(c) is not None for c in candidates)}
    labels = short_names(c.model for c in candidates)
    started = comparison.run.started.partition("+")[0] if comparison.run else ""
    stem = "-".join(filter(None, ["saevit-compare", re.sub(r"\D", "", started)]))  # a name for each run
    return {
        "metrics": {
            name: {"label": metric_label(name, comparison), "better": metric.better}
            for name, metric in known.items()
        },
        "models": [
            {
                "name": printable(c.model),
                "label": labels[c.model],
                "kind": find_accuracy_kind(c, is_measured=comparison.top1_on is not None),
                "comparable": is_comparable(c),
                "values": {n: value for n, metric in known.items() if (value := metric.of(c)) is not None},
                "sources": list_sources(c),
            }
            for c in candidates
        ],
        "files": [
            {"name": f"{stem}.json", "type": "application/json", "text": write_comparison_json(comparison)},
            {"name": f"{stem}.csv", "type": "text/csv", "text": write_comparison_csv(comparison)},
        ],
    }


def list_sources(c: Candidate) -> dict[str, str]:
    """Return the sources of a model's accuracy and counts."""
    sources = {"top-1 from": c.accuracy.source if c.accuracy else None, "counted by": c.counted_by}
    return {name: printable(text) for name, text in sources.items() if text}


def find_accuracy_kind(c: Candidate, *, is_measured: bool) -> AccuracyKind:
    """Return the kind of a model's accuracy, which selects its mark in the plot."""
    if is_measured:
        return "unmeasured" if c.accuracy is None else "measured" if c.accuracy.plain else "measured-apart"
    if c.accuracy is None:
        return "none"
    if c.accuracy.claim:
        return "claim"
    return "plain" if c.accuracy.plain else "apart"


def write_script_json(data: dict[str, Any]) -> str:
    """Return JSON in which no text can be read as HTML."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")
