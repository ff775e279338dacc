"""The data of the page's script: metrics, one entry per model, and the files to download."""

import json
import re
from typing import Any, Literal

from saevit.compare.comparison import Candidate, Comparison
from saevit.report.metrics import METRICS, is_comparable, metric_label
from saevit.report.names import short_names
from saevit.report.views.compare import write_comparison_csv, write_comparison_json
from saevit.text import printable

AccuracyKind = Literal["plain", "apart", "claim", "none", "measured", "measured-apart", "unmeasured"]


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
