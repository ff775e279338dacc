"""What the script of the page works on: metrics, one entry a model, and the files to download."""

import json
import re
from typing import Any, Literal

from saevit.compare.comparison import Candidate, Comparison
from saevit.report.metrics import METRICS, is_comparable, metric_label
from saevit.report.names import short_names
from saevit.report.views.compare import write_comparison_csv, write_comparison_json
from saevit.text import printable

Kind = Literal["plain", "apart", "claim", "none", "measured", "measured-apart", "unmeasured"]


def payload(comparison: Comparison) -> dict[str, Any]:
    """Return plain JSON values; the texts of figures are read from the table of the page."""
    candidates = comparison.candidates
    named = [name for name, metric in METRICS.items() if any(metric.of(c) is not None for c in candidates)]
    labels = short_names(c.model for c in candidates)
    return {
        "metrics": {
            name: {"label": metric_label(name, comparison), "better": METRICS[name].better} for name in named
        },
        "models": [
            entry(c, labels[c.model], named, is_measured=comparison.top1_on is not None) for c in candidates
        ],
        "files": [
            {"name": f"{file_stem(comparison)}.{ending}", "type": kind, "text": text}
            for ending, kind, text in (
                ("json", "application/json", write_comparison_json(comparison)),
                ("csv", "text/csv", write_comparison_csv(comparison)),
            )
        ],
    }


def entry(c: Candidate, short: str, metrics: list[str], *, is_measured: bool) -> dict[str, Any]:
    """Return one model; metrics without a value are left out."""
    values = {name: METRICS[name].of(c) for name in metrics}
    return {
        "name": printable(c.model),
        "label": short,
        "kind": kind_of(c, is_measured=is_measured),
        "comparable": is_comparable(c),
        "values": {name: value for name, value in values.items() if value is not None},
        "sources": {
            name: printable(text)
            for name, text in (
                ("top-1 from", c.accuracy.source if c.accuracy else None),
                ("counted by", c.counted_by),
            )
            if text
        },
    }


def kind_of(c: Candidate, *, is_measured: bool) -> Kind:
    """Return how a model's accuracy came about, which its mark in the plot shows."""
    if is_measured:
        return "unmeasured" if c.accuracy is None else "measured" if c.accuracy.plain else "measured-apart"
    if c.accuracy is None:
        return "none"
    if c.accuracy.claim:
        return "claim"
    return "plain" if c.accuracy.plain else "apart"


def file_stem(comparison: Comparison) -> str:
    """Name the downloads after the start of the run, so that those of several runs lie side by side."""
    if comparison.run is None:
        return "saevit-compare"
    return "saevit-compare-" + re.sub(r"\D", "", comparison.run.started.partition("+")[0])


def script_text(data: dict[str, Any]) -> str:
    """Write JSON that HTML cannot mistake for markup, whatever the texts in it."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")
