"""The HTML page of --report: a single file that needs no network, server or library.

It contains the result, warnings, pictures, tables, notes, samples, the machine and the raw data. The page is
complete without JavaScript. The script sorts, filters and hides columns, and highlights marks and their rows.
"""

import base64
import hashlib
import html
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

from saevit import __version__
from saevit.report.columns import NONE, Table, View
from saevit.report.html.elements import element, samples_section, write_html
from saevit.report.html.embedded_svg import embed_figure
from saevit.report.latencies import CONDITIONS
from saevit.report.units import field_text, list_fields
from saevit.runs.record import Environment
from saevit.runs.run import Run
from saevit.text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POLICY = (  # content security policy: allows only the style and the script of the page
    "default-src 'none'; style-src '{}'; script-src '{}'; img-src data:; base-uri 'none'; form-action 'none'"
)
RUN = {
    "rounds": "rounds",
    "min_time": "minimum duration of a sample (s)",
    "seed": "seed",
    "started": "started",
}
NARROW = 3  # maximum number of columns of a table that fits on a phone
LONG = 12  # a table with more rows has a filter


def report_html(
    view: View,
    command: str,
    environment: Environment,
    *,
    run: Run | None = None,
    pictures: "Iterable[Figure]" = (),
    data: Mapping[str, str] | None = None,
) -> str:
    """Return the page of a result.

    Args:
        view: the result, tables and notes of the command.
        command: the command line that reproduces the result.
        environment: the machine and the software.
        run: the timing whose samples and conditions are shown.
        pictures: figures; the gid of a mark is the first cell of its row.
        data: files for download, name to text.
    """
    style, script, template = (
        files("saevit.report.html").joinpath(name).read_text(encoding="utf-8")
        for name in ("report.css", "report.js", "report.html")
    )
    title = view.result or next((table.title for table in view.tables), "saevit")
    parts = {
        "header": page_header(title, view.warnings, command, data or {}),
        "pictures": embed_figures(pictures, view.tables),
        "tables": [table_section(table, number) for number, table in enumerate(view.tables)],
        "notes": list_section("Notes", view.notes),
        "samples": samples_section(run) if run else [],
        "provenance": provenance_section(run, environment),
    }
    return Template(template).substitute(
        {name: write_html(*elements) for name, elements in parts.items()},
        policy=html.escape(POLICY.format(hash_text(style), hash_text(script))),
        title=html.escape(printable(title)),
        style=style,
        script=script,
        version=html.escape(__version__),
    )


def hash_text(text: str) -> str:
    """Return the hash of an inline style or script in the form of a content security policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def page_header(title: str, warnings: Sequence[str], command: str, data: Mapping[str, str]) -> list[Element]:
    """Return the header of the page: result, warnings, command, and links to the raw data."""
    words = [part for word in command.split(" ") for part in (element("span", {}, word), " ")][:-1]
    parts = [
        element("h1", {}, title),
        *(element("p", {"class": "warning"}, warning) for warning in warnings),
        element("p", {"class": "command"}, "Command: ", element("code", {}, *words)),
    ]
    links = [part for name, text in data.items() for part in (download_link(name, text), " ")]
    return [*parts, element("p", {"class": "downloads"}, "Raw data: ", *links)] if links else parts


def download_link(name: str, text: str) -> Element:
    """Return a download link that contains the file."""
    content = text.encode("utf-8", "backslashreplace")
    address = f"data:application/octet-stream;base64,{base64.b64encode(content).decode()}"
    size = f"{len(content) / 1e3:.0f} kB" if len(content) < 1e6 else f"{len(content) / 1e6:.1f} MB"
    return element("a", {"href": address, "download": name}, f"{name} ({size})")


def embed_figures(figures: "Iterable[Figure]", tables: Sequence[Table]) -> list[Element]:
    """Return the figures; each mark links to the first row with its key."""
    rows: dict[str, str] = {}
    for number, table in enumerate(tables):
        for index in range(len(table.rows)):
            rows.setdefault(read_key(table, index), f"row-{number}-{index}")
    drawn = (embed_figure(figure, rows, number) for number, figure in enumerate(figures))
    frames = [element("div", {"class": "picture"}, one) for one in drawn]
    return [element("div", {"class": "pictures"}, *frames)] if frames else []


def read_key(table: Table, index: int) -> str:
    """Return the key of a row: the value of its first cell if it is text, else the text of the cell."""
    name = table.values[index][0] if table.values else None
    return printable(name if isinstance(name, str) else table.rows[index][0])


def table_section(table: Table, number: int) -> Element:
    """Return a table with its title above and its notes below."""
    size = "wide" if len(table.columns) > NARROW else "narrow"
    style = f"{size} long" if len(table.rows) > LONG else size
    heads = (
        element(
            "th",
            {"scope": "col", "class": f"side-{c.side[0]}"},
            element("button", {"type": "button"}, c.heading),
        )
        for c in table.columns
    )
    rows = (table_row(table, f"row-{number}-{index}", index) for index in range(len(table.rows)))
    name = f"table-{number}"
    return element(
        "section",
        {"aria-labelledby": name},
        element("h2", {"id": name}, table.title),
        element(
            "div",
            {"class": "scroll"},
            element(
                "table",
                {"class": style, "aria-labelledby": name},
                element("thead", {}, element("tr", {}, *heads)),
                element("tbody", {}, *rows),
            ),
        ),
        *text_list(table.notes),
    )


def table_row(table: Table, name: str, index: int) -> Element:
    """Return one row; the cells of numbers have the value as an attribute for sorting."""
    texts, columns = table.rows[index], table.columns
    values = table.values[index] if table.values else (None,) * len(columns)
    cells = [element("th", {"scope": "row", "data-head": columns[0].heading}, texts[0])]
    for text, value, column in [*zip(texts, values, columns, strict=True)][1:]:
        style = f"side-{column.side[0]}" + " wraps" * column.wraps
        attributes = {"class": style, "data-head": column.heading}
        if text == NONE:
            attributes["class"] += " none"
        elif isinstance(value, int | float):
            attributes["data-value"] = f"{value:.9g}"
        cells.append(element("td", attributes, text))
    style = "total" if table.total and index == len(table.rows) - 1 else ""
    return element("tr", {"id": name, "data-key": read_key(table, index), "class": style}, *cells)


def text_list(texts: Sequence[str]) -> list[Element]:
    """Return texts as an HTML list; empty without texts."""
    return [element("ul", {"class": "notes"}, *(element("li", {}, text) for text in texts))] if texts else []


def list_section(title: str, texts: Sequence[str]) -> list[Element]:
    """Return a section with a list; empty without texts."""
    return [element("section", {}, element("h2", {}, title), *text_list(texts))] if texts else []


def provenance_section(run: Run | None, environment: Environment) -> list[Element]:
    """Return the section with the machine, the software and the conditions of the measurement."""
    tables = [fields_table("Machine and software", list_fields(environment))]
    if run:
        facts = {label: field_text(name, getattr(run, name)) for name, label in RUN.items()}
        for column in CONDITIONS:
            facts[column.head] = "; ".join(dict.fromkeys(column.cell(s.conditions) for s in run.timed))
        tables.append(fields_table("Measurement", facts))
    heading = element("h2", {}, "Where these figures are from")
    return [element("section", {}, heading, element("div", {"class": "provenance"}, *tables))]


def fields_table(caption: str, values: Mapping[str, str]) -> Element:
    """Return a table of names and values, without unknown values."""
    rows = (
        element("tr", {}, element("th", {"scope": "row"}, name), element("td", {}, text))
        for name, text in values.items()
        if text != NONE
    )
    body = element("tbody", {}, *rows)
    return element("table", {"class": "fields"}, element("caption", {}, caption), body)
