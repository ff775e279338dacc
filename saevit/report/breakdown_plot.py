"""The breakdown of a profile as bars: the shares of parameters, MACs and time in each of its rows.

Colours differ in lightness as well as in hue, and the bars of MACs are hatched, for print without colours.
"""

from typing import TYPE_CHECKING, Any

from saevit.count.breakdown_lines import name_line
from saevit.profiling import Profile, ProfileRow
from saevit.report.figure import new_figure, own_settings, text_width, wrap_text
from saevit.report.latencies import describe_machine
from saevit.report.units import cut, giga, milliseconds, scaled
from saevit.report.views.profile import compute_time_share
from saevit.runs.statistics import median
from saevit.text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURES = {  # colour (Okabe and Ito's palette, safe for the colour-blind), hatch
    "parameters": ("#999999", ""),
    "MACs": ("#56B4E9", "//"),
    "time": ("#D55E00", ""),
}
EDGE: dict[str, Any] = {"edgecolor": "#333333", "linewidth": 0.5}  # of a bar
MOST_ROWS = 40  # those with the most MACs; a page cannot hold more
WIDTH = 8.0  # inches
LONGEST_PATH = 50  # characters


@own_settings()
def breakdown_figure(profile: Profile) -> "Figure":
    """Draw the share of parameters, MACs and (if measured) time of each row, with its absolute value."""
    largest = sorted(profile.rows, key=lambda row: row.macs, reverse=True)[:MOST_ROWS]
    rows = [row for row in profile.rows if row in largest]
    names = list(MEASURES) if profile.module_times else list(MEASURES)[:2]
    figure = new_figure(WIDTH, 1.5 + len(rows) * 0.19 * (len(names) + 0.7), "constrained")
    axes = figure.add_subplot()
    for number, name in enumerate(names):
        colour, hatch = MEASURES[name]
        values = [measure_row(profile, row, name) for row in rows]
        thickness = 0.8 / len(names)
        places = [i + (number - (len(names) - 1) / 2) * thickness for i in range(len(rows))]
        shares = [100 * share for share, _ in values]
        bars = axes.barh(places, shares, thickness, **EDGE, color=colour, hatch=hatch, label=name)
        axes.bar_label(bars, [text if share else "" for share, text in values], padding=3, fontsize=7)
    labels = [cut(printable(name_line(row.path, profile.by)), LONGEST_PATH) for row in rows]
    axes.set_yticks(range(len(rows)), labels)
    axes.invert_yaxis()
    axes.set_xlabel("share of the network (%)")
    axes.set_xlim(0, axes.get_xlim()[1] * 1.12)
    axes.xaxis.grid(visible=True, color="#dddddd")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.02)
    figure.legend(loc="outside lower right", ncols=len(names), frameon=False)
    room = WIDTH - 0.3 - max(text_width(figure, label, 10) for label in labels)
    title = [wrap_text(figure, line, room, 10) for line in list_conditions(profile, len(rows))]
    axes.set_title("\n".join(title), loc="left", fontsize=10)
    return figure


def measure_row(profile: Profile, row: ProfileRow, name: str) -> tuple[float, str]:
    """Return a row's share of the network by one measure, and its absolute value as text."""
    if name == "parameters":
        return row.params / max(1, profile.params), scaled(row.params)
    if name == "MACs":
        return row.macs / max(1, profile.macs), scaled(row.macs)
    if not row.seconds:
        return 0.0, ""
    return compute_time_share(profile, row), f"{milliseconds(median(row.seconds))} ms"


def list_conditions(profile: Profile, num_rows: int) -> list[str]:
    """Return the lines of the title: what is drawn, and under which conditions it was measured."""
    height, width = profile.img_size
    counts = f"{scaled(profile.params)} parameters, {giga(profile.macs)} GMACs"
    lines = [f"{profile.model}: {counts}, {height} x {width} px"]
    times = profile.module_times
    if profile.run and times:
        seconds, rounds = milliseconds(median(times.watched)), len(times.watched)
        torch = profile.run.environment.torch
        lines.append(f"time: {seconds} ms per pass; {str(times.conditions).partition(', ')[2]}")
        lines.append(f"{describe_machine(profile.run)}, torch {torch}, median of {rounds} rounds")
    if num_rows < len(profile.rows):
        lines.append(f"the {num_rows} of {len(profile.rows)} modules with most MACs")
    return lines
