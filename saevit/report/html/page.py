"""A comparison as one HTML file that needs nothing else: no network, no server, no library."""

import base64
import hashlib
import html
from importlib.resources import files
from string import Template

from saevit import __version__
from saevit.compare.comparison import Comparison
from saevit.report.html.environment import environment
from saevit.report.html.header import header
from saevit.report.html.markup import element, rendered
from saevit.report.html.models import models_table
from saevit.report.html.payload import payload, script_text
from saevit.report.html.strips import strips
from saevit.report.views.compare import tabulate_comparison
from saevit.text import printable


def report_html(comparison: Comparison, command: str | None = None) -> str:
    """Return the page: what was measured and how, a plot, a sortable table, samples, machine, raw data.

    Tables and samples are plain HTML; the plot, sorting, filtering and the downloads are done by the script.

    Args:
        comparison: what to report.
        command: the command line that gives this comparison again; None shows none.
    """
    table = tabulate_comparison(comparison, None)
    style, script = asset("report.css"), asset("report.js")
    return Template(asset("report.html")).substitute(
        policy=html.escape(policy(style, script)),
        title=html.escape(printable(table.title)),
        style=style,
        script=script,
        header=rendered(*header(comparison, table, command)),
        models=rendered(models_table(comparison, table)),
        notes=rendered(*(element("li", note_class(note), note) for note in table.notes)),
        strips=rendered(*strips(comparison)),
        environment=rendered(*environment(comparison)),
        version=html.escape(__version__),
        payload=script_text(payload(comparison)),
    )


def asset(name: str) -> str:
    """Return a file of this package."""
    return files("saevit.report.html").joinpath(name).read_text(encoding="utf-8")


def policy(style: str, script: str) -> str:
    """Return a content security policy that lets nothing run or load but this style and this script."""
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src '{digest(style)}'",
            f"script-src '{digest(script)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def digest(text: str) -> str:
    """Return the hash by which a policy names an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def note_class(note: str) -> dict[str, str]:
    """Mark what endangers the figures."""
    return {"class": "warning"} if note.startswith("warning:") else {}
