"""The time of operators in a runtime: tables by kind of operator and by stage, and their message."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from saevit.count.breakdown_lines import name_line
from saevit.profiling import Profile
from saevit.report.columns import Column, Table, make_table
from saevit.report.latencies import describe_ratio
from saevit.report.units import digits, giga, milliseconds, percent, scaled, size
from saevit.runs.statistics import ratio

if TYPE_CHECKING:
    from saevit.measure.operator_times import OperatorGroup, OperatorTimes

UNMAPPED = "(no module)"
MOST_RATE = 1.1  # a rate above this multiple of the matrix product's rate causes a warning


def tabulate_operators(profile: Profile) -> tuple[Table, ...]:
    """Return two tables for each profiled runtime: time by kind of operator, and time by stage."""
    tables = []
    for times in profile.operator_times:
        title = f"Time in {times.conditions.runtime}, batch {times.conditions.batch_size}"
        tables += [
            tabulate_groups(f"{title}, by kind of operator", times, times.kinds, describe_times(times)),
            tabulate_groups(f"{title}, by stage", times, find_stages(profile, times), describe_paths(times)),
        ]
    return tuple(tables)


def find_stages(profile: Profile, times: "OperatorTimes") -> tuple["OperatorGroup", ...]:
    """Return the operators grouped by stage, with the names of stages in tables."""
    parts = times.find_parts([row.path for row in profile.rows if row.path])
    return tuple(
        replace(part, name=name_line(part.name, profile.by) if part.name else UNMAPPED) for part in parts
    )


def tabulate_groups(
    title: str, times: "OperatorTimes", groups: Sequence["OperatorGroup"], notes: Sequence[str]
) -> Table:
    """Return the table of groups of operators and their total."""
    whole = times.total.seconds
    columns: list[Column[OperatorGroup]] = [
        Column("", lambda group: group.name),
        Column("operators", lambda group: str(group.operators), "right"),
        Column("ms", lambda group: milliseconds(group.seconds), "right"),
        Column("share of time", lambda group: percent(group.seconds / whole), "right"),
        Column("GMAC/s", lambda group: digits(group.rate / 1e9) if group.macs else None, "right"),
        Column("limit", lambda group: describe_limit(group, times), "right"),
        Column("MACs", lambda group: scaled(group.macs) if group.macs else None, "right"),
        Column("GB/s", lambda group: digits(group.bandwidth / 1e9), "right"),
        Column("MACs/byte", lambda group: digits(group.intensity) if group.macs else None, "right"),
    ]
    return make_table(title, columns, [*groups, times.total], notes, total=True)


def describe_limit(group: "OperatorGroup", times: "OperatorTimes") -> str:
    """Write the roof that limits a group, and the share of it that the group reaches: `compute 82 %`."""
    roofs = times.roofs
    name = "compute" if group.intensity >= roofs.ridge else "memory"
    return f"{name} {percent(group.share_of_limit(roofs), 0)}"


def describe_roofs(times: "OperatorTimes") -> str:
    """Describe the measured roofs of the machine."""
    from saevit.measure.roofs import ARRAY_BYTES, SIDE

    roofs = times.roofs
    return (
        f"compute: {digits(roofs.macs / 1e9)} GMAC/s, a {SIDE} x {SIDE} product; memory: "
        f"{digits(roofs.bandwidth / 1e9)} GB/s, a triad of {size(ARRAY_BYTES)} arrays; fastest calls in the "
        "same rounds"
    )


def describe_times(times: "OperatorTimes") -> list[str]:
    """Return the notes on the times of operators and on their limits."""
    slower, number = describe_ratio(ratio(times.watched, times.plain)), len(times.operators[0].seconds)
    notes = [
        f"ms: sum of the operators' medians over {number} samples; shares are relative to the total",
        f"a pass with profiling relative to one without, in the same rounds: {slower}",
        f"limit: the lower of the two roofs, and the share of it that is reached; {describe_roofs(times)}",
        "bytes are counted as if no cache held them, so memory may exceed 100 %",
    ]
    mapped = times.total.macs
    if mapped != times.graph_macs:
        notes.append(
            f"{giga(times.graph_macs - mapped)} of {giga(times.graph_macs)} GMACs are of operators in the "
            "graph that are missing in the profile"
        )
    return notes


def list_operator_warnings(profile: Profile) -> list[str]:
    """Return a warning for each runtime whose measured roofs are too low."""
    return [
        f"operators in {times.conditions.runtime} are faster than the matrix product beside them: the load "
        "of the machine changed, and the limits are too low; run again"
        for times in profile.operator_times
        if any(kind.macs and kind.rate > MOST_RATE * times.roofs.macs for kind in times.kinds)
    ]


def describe_paths(times: "OperatorTimes") -> list[str]:
    """Return the notes on the mapping of operators to modules."""
    notes = [
        f"{times.conditions.runtime} fuses operators: each counts in the module of its convolution or "
        "product; a reorder counts in the module that wrote its input"
    ]
    if times.conditions.folded:
        notes.append(
            "MACs of the folded form, which has more channels in its FFN than the network as defined"
        )
    return notes


def summarize_operators(profile: Profile) -> str:
    """Describe the kind of operator with the most time in the first profiled runtime, and its rate."""
    times = profile.operator_times[0]
    first, roofs = times.kinds[0], times.roofs
    share = percent(first.seconds / times.total.seconds, 0)
    text = f"In {times.conditions.runtime}, {first.name} takes {share} of the time"
    if not first.macs:
        return f"{text}."
    name = "matrix rate" if first.intensity >= roofs.ridge else "memory roof"
    reached = percent(first.share_of_limit(roofs), 0)
    return f"{text} and reaches {digits(first.rate / 1e9)} GMAC/s, {reached} of the {name}."
