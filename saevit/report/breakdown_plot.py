"""Draw the breakdown of a profile as bars: the share of parameters, MACs and time of each row.

Colours differ in lightness and hue, and the bars of MACs are hatched, so that greyscale prints are readable.
"""

import math
from typing import TYPE_CHECKING, Any

from saevit.count.breakdown_lines import name_line
from saevit.profiling import Profile, ProfileRow
from saevit.report.figure import add_legend, add_message, new_figure, own_settings, style_axes
from saevit.report.latencies import describe_machine
from saevit.report.messages import find_largest_row, summarize_breakdown
from saevit.report.units import cut, giga, milliseconds, percent, scaled, write_pixels
from saevit.text import plural, printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURES = {  # colour (Okabe and Ito's palette, safe for the colour-blind), hatch
    "parameters": ("#BBBBBB", ""),
    "MACs": ("#56B4E9", "//"),
    "time": ("#D55E00", ""),
}
EDGE: dict[str, Any] = {"edgecolor": "#333333", "linewidth": 0.5}  # of a bar
MOST_ROWS = 20  # further rows are summed in one row
BAR = 0.14  # inches
WIDTH = 8.0  # inches
LONGEST_PATH = 50  # characters


@own_settings()
def breakdown_figure(profile: Profile) -> "Figure":
    """Draw the share of parameters, MACs and (if measured) time of each row, with the absolute value.

    Times are medians over rounds, and their shares sum to 100 %. If there are many rows, the rows with the
    most time (or MACs) and the sum of all others are drawn.
    """
    rows, number = sum_small_rows(profile)
    measures = list(MEASURES) if profile.module_times else list(MEASURES)[:2]
    figure = new_figure(WIDTH, 1.8 + len(rows) * BAR * (len(measures) + 0.8), "constrained")
    axes = figure.add_subplot()
    largest = rows.index(find_largest_row(profile))
    names = [name_line(row.path, profile.by) for row in rows]
    for place, name in enumerate(measures):
        colour, hatch = MEASURES[name]
        values = [measure_row(profile, row, name) for row in rows]
        thickness = 0.82 / len(measures)
        places = [i + (place - (len(measures) - 1) / 2) * thickness for i in range(len(rows))]
        shares = [100 * share for share, _ in values]
        bars = axes.barh(places, shares, thickness, **EDGE, color=colour, hatch=hatch, label=name)
        texts = axes.bar_label(bars, [text if share else "" for share, text in values], padding=3, fontsize=7)
        texts[largest].set_fontweight("bold")
        for line, bar, text in zip(names[: len(rows) - bool(number)], bars, texts, strict=False):
            bar.set_gid(line)  # a page links it to the row of the table
            text.set_gid(line)
    labels = [cut(printable(line), LONGEST_PATH) for line in names]
    if number:
        labels[-1] = f"{plural(number, 'other module')}"
    axes.set_yticks(range(len(rows)), labels)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel("share of the network (%)", size=9)
    axes.set_xlim(0, axes.get_xlim()[1] * 1.15)
    style_axes(axes)
    axes.yaxis.grid(visible=False)
    axes.tick_params(axis="y", length=0, labelsize=9, labelcolor="#000000")
    axes.get_yticklabels()[largest].set_fontweight("bold")
    add_legend(axes, len(measures))
    add_message(figure, summarize_breakdown(profile), list_conditions(profile))
    return figure


def sum_small_rows(profile: Profile) -> tuple[list[ProfileRow], int]:
    """Return the rows to draw, with the sum of small rows last, and the number of small rows."""
    if len(profile.rows) <= MOST_ROWS + 1:
        return list(profile.rows), 0
    ordered = sorted(profile.rows, key=lambda row: (row.median_seconds, row.macs), reverse=True)
    large, small = ordered[:MOST_ROWS], ordered[MOST_ROWS:]
    seconds = math.fsum(row.median_seconds for row in small)
    rest = ProfileRow(
        path="",
        params=sum(row.params for row in small),
        macs=sum(row.macs for row in small),
        seconds=(seconds,) if seconds else (),
    )
    return [*(row for row in profile.rows if row in large), rest], len(small)


def measure_row(profile: Profile, row: ProfileRow, name: str) -> tuple[float, str]:
    """Return the share of a row in the network by one measure, and a text with value and share."""
    if name == "parameters":
        share, text = row.params / max(1, profile.params), scaled(row.params)
    elif name == "MACs":
        share, text = row.macs / max(1, profile.macs), scaled(row.macs)
    else:
        share, text = profile.share_of_time(row), f"{milliseconds(profile.seconds_of(row))} ms"
    return share, f"{text} ({percent(share)})"


def list_conditions(profile: Profile) -> list[str]:
    """Return the lines of the caption: the model and the conditions of the measurement."""
    counts = f"{scaled(profile.params)} parameters, {giga(profile.macs)} GMACs"
    lines = [f"{profile.model}: {counts}, {write_pixels(profile.img_size)}"]
    times = profile.module_times
    if profile.run and times:
        rounds, torch = len(times.watched), profile.run.environment.torch
        latency = milliseconds(profile.latency or 0.0)
        scaling = f", scaled to the latency of {latency} ms" if profile.breakdown_scale != 1 else ""
        lines.append(
            f"Time: medians of {rounds} rounds, one module after the other{scaling}; random weights; "
            f"{times.conditions}; {describe_machine(profile.run)}, torch {torch}."
        )
    return lines
