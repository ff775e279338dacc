"""The message of a comparison and of a breakdown: the first line in the terminal, and the title of figures.

Differences in time that are within the noise are called "not resolved". Names of models are shortened (see
`short_names`) to fit into a title.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from saevit.comparing.comparison import Candidate, Comparison, subtract_accuracies
from saevit.count.breakdown_lines import name_line
from saevit.profiling import Profile, ProfileRow
from saevit.report.accuracy_texts import write_points
from saevit.report.metrics import is_comparable, is_resolved
from saevit.report.units import digits, giga, milliseconds, percent, short_names, write_ratio_interval
from saevit.runs.statistics import Ratio, ratio
from saevit.text import plural

NEAR = 0.005  # counts are called the same if their ratio differs less from 1


def summarize_comparison(comparison: Comparison, *, with_times: bool = True) -> str:
    """Compare the reference with its nearest rival, or describe the growth of time if there is no rival.

    The rival of a SAEViT variant is a baseline, and the rival of a baseline is a variant. If some models have
    times, the others are left out. Without times or without `with_times`, the message compares counts.
    """
    models = select_models(comparison, with_times=with_times)
    if not models:
        reasons = [c.reason for c in comparison.candidates if c.reason]
        return f"No model could be compared: {reasons[0]}" if reasons else "No model has known MACs."
    names = short_names(c.model for c in comparison.candidates)
    first, *others = models
    rivals = [c for c in others if c.is_variant != first.is_variant]
    if rivals or len(others) == 1:
        return compare_pair(first, choose_rival(first, rivals or others), names)
    return describe_growth(models, names)


def select_models(comparison: Comparison, *, with_times: bool) -> list[Candidate]:
    """Return the models that a message can name, the reference first: all timed, or all only counted."""
    counted = [c for c in comparison.candidates if c.macs and not c.same_as]
    counted = counted if with_times else [replace(c, subject=None) for c in counted]
    models = [c for c in counted if c.samples] or [c for c in counted if not c.published_only]
    reference = next((c.network for c in comparison.candidates if c.model == comparison.reference), None)
    models.sort(key=lambda c: c.model != reference)
    return [c for c in models if len(c.samples) == len(models[0].samples)]


def list_subjects(comparison: Comparison, *, with_times: bool = True) -> list[str]:
    """Return the models that the message names: the reference and its rival, or the two extremes."""
    models = select_models(comparison, with_times=with_times)
    if len(models) < 2:
        return []
    first, *others = models
    rivals = [c for c in others if c.is_variant != first.is_variant]
    if rivals or len(others) == 1:
        return [first.model, choose_rival(first, rivals or others).model]
    ordered = sorted(models, key=lambda c: c.seconds or c.macs or 0)
    return [ordered[0].model, ordered[-1].model]


def choose_rival(first: Candidate, rivals: Sequence[Candidate]) -> Candidate:
    """Return the rival with the nearest comparable accuracy, or else with the nearest MACs."""
    differences = {c.model: abs(gain) for c in rivals if (gain := compare_accuracy(first, c)) is not None}
    if differences:
        return min((c for c in rivals if c.model in differences), key=lambda c: differences[c.model])
    return min(rivals, key=lambda c: abs(math.log((c.macs or 1) / (first.macs or 1))))


def compare_accuracy(first: Candidate, second: Candidate) -> float | None:
    """Return the first top-1 minus the second one in points; None if they are not comparable."""
    if not (first.accuracy and second.accuracy and is_comparable(first) and is_comparable(second)):
        return None
    return first.accuracy.top1 - second.accuracy.top1


def compare_pair(first: Candidate, rival: Candidate, names: Mapping[str, str]) -> str:
    """Compare two models by time, MACs and, if comparable, top-1; without times by counts."""
    a, b = names[first.model], names[rival.model]
    macs = write_share((first.macs or 1) / (rival.macs or 1), "its MACs")
    top1 = describe_gain(first, rival)
    if not first.samples:
        macs = macs.replace("its MACs", f"{b}'s MACs").replace("the same MACs", f"the same MACs as {b}")
        params = write_share((first.params or 1) / (rival.params or 1), "its parameters")
        return f"{a} has {macs} and {params}{top1}."
    time = ratio(first.seconds_per_image, rival.seconds_per_image)
    if time.verdict == "not resolved":
        head = f"{a} and {b}: the difference in time is not resolved, ratio {write_ratio_interval(time)},"
        return f"{head} at {macs}{top1}."
    return f"{a} takes {write_time_share(time)} {b}'s time at {macs}{top1}."


def describe_gain(first: Candidate, second: Candidate) -> str:
    """Return the difference in top-1 as the end of a sentence; empty if it is not comparable.

    A difference of measured accuracies has an interval, or is "not resolved".
    """
    gain = compare_accuracy(first, second)
    if gain is None or not (first.accuracy and second.accuracy):
        return ""
    word = "more" if gain >= 0 else "less"
    if not first.accuracy.measured_on:
        return f", with {abs(gain):.1f} points {word} top-1"
    difference = subtract_accuracies(first.accuracy, second.accuracy)
    if difference is None:
        return ", with a difference in top-1 that is not resolved"
    value, low, high = write_points((difference.value, difference.low, difference.high))
    if not difference.is_resolved:
        return f", with a difference in top-1 that is not resolved, {value} [{low}, {high}] points"
    ends = sorted((low.lstrip("+-"), high.lstrip("+-")), key=float)
    return f", with {value.lstrip('+-')} [{ends[0]}, {ends[1]}] points {word} top-1"


def describe_growth(models: Sequence[Candidate], names: Mapping[str, str]) -> str:
    """Compare the fastest with the slowest model (without times: the smallest with the largest)."""
    if len(models) == 1:
        (one,) = models
        figures = f"takes {milliseconds(one.seconds)} ms per image at" if one.seconds else "has"
        return f"{names[one.model]} {figures} {giga(one.macs or 0)} GMACs."
    number = plural(len(models), name_kind(models))
    if not models[0].samples:
        small, *_, large = sorted(models, key=lambda c: c.macs or 0)
        growth = digits((large.macs or 1) / (small.macs or 1))
        return (
            f"Of {number}, {names[small.model]} has the fewest MACs and {names[large.model]} the most, "
            f"{growth} times as many."
        )
    fastest, second, *_ = ordered = sorted(models, key=lambda c: c.seconds or 0.0)
    slowest = ordered[-1]
    time = ratio(slowest.seconds_per_image, fastest.seconds_per_image)
    if time.verdict == "not resolved":
        return f"The differences in time between {number} are not resolved."
    macs = write_share((slowest.macs or 1) / (fastest.macs or 1), "its MACs")
    head = f"{names[fastest.model]} is the fastest of {number}"
    if not is_resolved(fastest, second, "latency"):
        head = f"{names[fastest.model]} and {names[second.model]} are the fastest of {number} (not resolved)"
    return (
        f"{head}; {names[slowest.model]} takes {write_time_share(time)} {names[fastest.model]}'s time "
        f"at {macs}."
    )


def name_kind(models: Sequence[Candidate]) -> str:
    """Return the noun for the rows of a comparison."""
    if all(c.subject and c.subject.label != c.subject.name for c in models):
        return "configuration"  # of one model, in a stored run
    return "variant" if all(c.is_variant for c in models) else "model"


def write_share(value: float, of: str) -> str:
    """Write a ratio of counts in words: `the same MACs`, `0.96 of its MACs`, `7.1 times its MACs`."""
    if abs(value - 1) < NEAR:
        return f"the same {of.rpartition(' ')[2]}" if of.startswith("its ") else f"1.00 times {of}"
    return f"{digits(value)} times {of}" if value > 1 else f"{digits(value, 2)} of {of}"


def write_time_share(time: Ratio) -> str:
    """Write a ratio of times with its interval, to be followed by `X's time`."""
    return f"{write_ratio_interval(time)} {'of' if time.median < 1 else 'times'}"


def summarize_breakdown(profile: Profile) -> str:
    """Describe the row of the breakdown with the most time (or, if not timed, the most MACs)."""
    row = find_largest_row(profile)
    name, macs = describe_row(profile, row), f"{write_percent(row.macs / max(1, profile.macs))} of the MACs"
    if row.seconds:
        return f"{name} takes {write_percent(profile.share_of_time(row))} of the time and {macs}."
    return f"{name} has {macs} and {write_percent(row.params / max(1, profile.params))} of the parameters."


def write_percent(share: float) -> str:
    """Write a share in per cent with two significant digits."""
    return percent(share, 0 if share >= 0.0995 else 1)


def find_largest_row(profile: Profile) -> ProfileRow:
    """Return the row of the breakdown with the most time (or, if not timed, the most MACs)."""
    return max(profile.rows, key=lambda row: (row.median_seconds, row.macs))


def describe_row(profile: Profile, row: ProfileRow) -> str:
    """Return the name of a row for the start of a sentence: `Stage 3`, or the path of its module."""
    if not row.path:
        return "The rest of the network"
    name = name_line(row.path, profile.by)
    if name in ("stem", "head"):
        return f"The {name}"
    return f"Module {name}" if name == row.path else name.capitalize()
