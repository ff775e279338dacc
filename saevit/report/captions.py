"""The words around a scatter plot: what is drawn, from where, under which conditions, and what is missing."""

import math
from collections.abc import Sequence

from saevit.compare.comparison import Candidate, Comparison
from saevit.report.agreement import LEAST, TIMED, Discord
from saevit.report.latencies import describe_machine
from saevit.report.marks import Panel, is_claim, is_elsewhere
from saevit.report.metrics import metric
from saevit.report.names import short_names
from saevit.report.units import digits

MOST_NAMED = 3  # models in one sentence
NOUNS = {
    "gmacs": "MACs",
    "params": "parameters",
    "memory": "peak memory",
    "latency": "latency",
    "throughput": "throughput",
}


def title(panels: Sequence[Panel]) -> str:
    """Name the axes."""
    labels = [metric(panel.x).label for panel in panels]
    costs = " and ".join(filter(None, [", ".join(labels[:-1]), labels[-1]]))
    name = panels[0].y_label
    return f"{name[:1].upper()}{name[1:]}, against {costs}"


def caption(comparison: Comparison, panels: Sequence[Panel]) -> str:
    """Return one paragraph: sizes, conditions of the timing, what is not drawn."""
    is_timed = any(name in TIMED for panel in panels for name in (panel.x, panel.y))
    height, width = comparison.img_size
    where = f"networks {'timed' if is_timed else 'counted'} at {height} x {width} px"
    drawn = [mark.candidate for panel in panels for mark in panel.marks]
    texts = [f"{where[0].upper()}{where[1:]}, with random weights."]
    if panels[0].y == "top1":
        texts = [f"Top-1: {basis(comparison)}; {where}, with random weights."]
        if any(is_elsewhere(c, comparison) for c in drawn):
            texts.append(f"@N: accuracy of N px, drawn at its cost at {height} x {width} px.")
    if is_timed:
        texts.append(conditions(comparison))
    return " ".join([*texts, *missing(comparison, panels, drawn)])


def basis(comparison: Comparison) -> str:
    """Say where accuracies are from; of how many images, where they were measured here."""
    if not comparison.top1_on:
        return "published, at the size of its evaluation"
    counts = sorted({c.accuracy.images for c in comparison.candidates if c.accuracy and c.accuracy.images})
    images = " to ".join(f"{n:,}" for n in dict.fromkeys((counts[0], counts[-1]))) if counts else "no"
    return (
        f"measured here by saevit eval on {comparison.top1_on}, n = {images} images, "
        "bars are 95 % intervals (Wilson)"
    )


def conditions(comparison: Comparison) -> str:
    """Say on what and how was timed."""
    timings = comparison.timings
    assert timings is not None
    c = timings.latencies[0].conditions
    batches = sorted({t.conditions.batch_size for t in timings.latencies if t.samples})
    batch = " to ".join(map(str, dict.fromkeys((batches[0], batches[-1])))) if batches else c.batch_size
    return (
        f"Measured on {describe_machine(timings)}: {c.dtype}, batch {batch}, {c.threads} "
        f"thread{'s' * (c.threads > 1)}, {c.runtime}, {c.memory_format}, torch {timings.environment.torch}; "
        f"medians and quartiles of {timings.rounds} interleaved rounds."
    )


def missing(comparison: Comparison, panels: Sequence[Panel], drawn: Sequence[Candidate]) -> list[str]:
    """Say which models are not drawn, not everywhere, or from published counts alone."""
    shown = [{mark.candidate.model for mark in panel.marks} for panel in panels]
    everywhere, somewhere = set.intersection(*shown), set.union(*shown)
    groups = {
        "Not drawn, for want of a figure": [
            c for c in comparison.candidates if {c.model, c.network}.isdisjoint(somewhere)
        ],
        "Not in every panel, for want of a figure": [
            c for c in comparison.candidates if c.model in somewhere - everywhere
        ],
        "Figures of the published table, no network built": [
            c for c in comparison.candidates if c.published_only and c in drawn and not is_claim(c)
        ],
    }
    return [f"{what}: {listed(those)}." for what, those in groups.items() if those]


def listed(candidates: Sequence[Candidate]) -> str:
    """Name a few models, and count the rest."""
    names = list(short_names(c.model for c in candidates).values())
    if len(names) <= MOST_NAMED + 1:
        return ", ".join(names)
    return f"{', '.join(names[:MOST_NAMED])} and {len(names) - MOST_NAMED} more"


def opposition(panel: Panel, opposed: Sequence[Discord], pointed_out: Sequence[Discord]) -> str:
    """Say how many pairs of models the axes put in opposite orders, and by how much for a few."""
    count = sum(mark.kind != "claim" for mark in panel.marks)
    if count < LEAST:
        return ""
    resolved = sum(discord.is_resolved for discord in opposed)
    noise = f", {resolved} of them beyond noise" if {panel.x, panel.y} & set(TIMED) else ""
    total = f"{len(opposed)} of {math.comb(count, 2)} pairs of models stand in opposite orders"
    names = {mark.candidate.model: mark.name for mark in panel.marks}
    examples = [
        f"{names[d.better.model]} has {factor(d.x_ratio)} x the {NOUNS[panel.x]} of "
        f"{names[d.worse.model]}, yet {factor(d.y_ratio)} x its {NOUNS[panel.y]}."
        for d in pointed_out
    ]
    return " ".join([f"By {NOUNS[panel.x]} and {NOUNS[panel.y]}, {total}{noise}.", *examples])


def factor(ratio: float) -> str:
    """Write a ratio with two digits that say something."""
    return digits(ratio, 2) if ratio >= 0.1 else f"{ratio:.2g}"


def sentence(text: str) -> str:
    """Begin with a capital letter."""
    return text[:1].upper() + text[1:]
