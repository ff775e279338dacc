"""The sentences below a scatter plot: sources and conditions of its values, missing models, disagreements."""

import math
from collections.abc import Sequence

from saevit.comparing.comparison import Candidate, Comparison
from saevit.report.accuracy_texts import describe_measurement
from saevit.report.latencies import describe_conditions, describe_machine
from saevit.report.metrics import LEAST, METRICS, Disagreement
from saevit.report.scatter.points import NEAR_FRONT, ScatterPanel, has_accuracies, is_of_other_size
from saevit.report.units import digits, short_names, write_pixels
from saevit.runs.run import Run

MOST_NAMED = 3  # models in one sentence


def capitalize(text: str) -> str:
    """Return a text with a capital first letter, without changes to the other letters."""
    return text[:1].upper() + text[1:]


def write_caption(comparison: Comparison, panels: Sequence[ScatterPanel]) -> str:
    """Return the caption: input size, sources, conditions of the timing, and models that are not drawn."""
    is_timed = any(METRICS[name].is_timed for panel in panels for name in (panel.x, panel.y))
    pixels = write_pixels(comparison.img_size)
    networks = f"networks {'timed' if is_timed else 'counted'} at {pixels}, with random weights."
    drawn = [point.candidate for panel in panels for point in panel.points]
    sentences = [capitalize(networks)]
    if panels[0].y != "top1" and not has_accuracies(comparison):
        sentences.append("Fewer than two models have a known top-1, so costs are compared.")
    if panels[0].y == "top1":
        sentences = [f"Top-1: {describe_accuracies(comparison)}; {networks}"]
        if any(is_of_other_size(c, comparison) for c in drawn):
            sentences.append(f"@N: accuracy at N px, drawn at its cost at {pixels}.")
        sentences += filter(None, map(describe_undecided, panels))
    if is_timed and comparison.run:
        sentences.append(describe_timing(comparison.run))
    return " ".join([*sentences, *list_missing(comparison, panels, drawn)])


def describe_accuracies(comparison: Comparison) -> str:
    """Describe the source of the accuracies: published, or measured with data, budget and seeds."""
    if not comparison.top1_on:
        return "published, at the size of its evaluation"
    return f"measured here on {describe_measurement(comparison)}, drawn as bars"


def describe_undecided(panel: ScatterPanel) -> str:
    """Return a sentence that names the models that may be on the front of a panel."""
    names = [point.name for point in panel.points if point.kind in NEAR_FRONT]
    if not names:
        return ""
    return f"Not resolved from the front by {METRICS[panel.x].noun or panel.x}: {', '.join(names)}."


def describe_timing(run: Run) -> str:
    """Return a sentence on the machine and the conditions of the timing."""
    return (
        f"Measured on {describe_machine(run)}: {describe_conditions(run)}, "
        f"{run.timed[0].conditions.memory_format}, torch {run.environment.torch}; "
        f"medians and quartiles of {run.rounds} interleaved rounds."
    )


def list_missing(
    comparison: Comparison, panels: Sequence[ScatterPanel], drawn: Sequence[Candidate]
) -> list[str]:
    """Return sentences on models that are not drawn, not in every panel, or without a network."""
    models = [{point.candidate.model for point in panel.points} for panel in panels]
    everywhere, somewhere = set.intersection(*models), set.union(*models)
    known = comparison.candidates
    groups = {
        "Omitted (no data)": [c for c in known if {c.model, c.network}.isdisjoint(somewhere)],
        "Missing from a panel (no data)": [c for c in known if c.model in somewhere - everywhere],
        "From the published table, network not built": [
            c for c in known if c.published_only and c in drawn and not (c.accuracy and c.accuracy.claim)
        ],
    }
    sentences = []
    for text, missing in groups.items():
        names = list(short_names(c.model for c in missing).values())
        if len(names) > MOST_NAMED + 1:
            names[MOST_NAMED - 1 :] = [f"{names[MOST_NAMED - 1]} and {len(names) - MOST_NAMED} more"]
        if names:
            sentences.append(f"{text}: {', '.join(names)}.")
    return sentences


def describe_disagreements(
    panel: ScatterPanel, pairs: Sequence[Disagreement], examples: Sequence[Disagreement]
) -> str:
    """Describe how many pairs of models the two axes order in opposite ways, with examples."""
    count = sum(point.kind != "claim" for point in panel.points)
    if count < LEAST:
        return ""
    x, y = METRICS[panel.x], METRICS[panel.y]
    names = {point.candidate.model: point.name for point in panel.points}
    number = math.comb(count, 2)
    if not pairs:
        return f"{capitalize(x.noun)} and {y.noun} order all {number} pairs of models alike."
    resolved = f"; {sum(pair.is_resolved for pair in pairs)} of them differ by more than noise"
    sentences = [
        f"{capitalize(x.noun)} and {y.noun} order {len(pairs)} of {number} pairs of models in opposite ways"
        f"{resolved if x.is_timed or y.is_timed else ''}."
    ]
    sentences += [
        f"{names[pair.better.model]} has {write_ratio(pair.x_ratio)} times the {x.noun} of "
        f"{names[pair.worse.model]}, but {write_ratio(pair.y_ratio)} times its {y.noun}."
        for pair in examples
    ]
    return " ".join(sentences)


def write_ratio(ratio: float) -> str:
    """Write a ratio with two significant digits."""
    return digits(ratio, 2) if ratio >= 0.1 else f"{ratio:.2g}"
