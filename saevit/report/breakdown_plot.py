"""Figures. Colours differ in lightness as well as in hue, and bars are hatched: grey print stays readable."""

from typing import TYPE_CHECKING

from saevit.profile import Profile, ProfileRow
from saevit.report.figure import DPI, own_settings, text_width, wrap_text
from saevit.report.latencies import describe_machine
from saevit.report.names import cut
from saevit.report.units import giga, milliseconds, scaled
from saevit.report.views.profile import compute_time_share
from saevit.runs.statistics import median
from saevit.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURES = {  # label: colour (Okabe and Ito's palette, colour-blind safe), hatch
    "parameters": ("#999999", ""),
    "MACs": ("#56B4E9", "//"),
    "time": ("#D55E00", ""),
}
MOST_ROWS = 40
WIDTH = 8.0  # inches
LONGEST_PATH = 50  # characters


@own_settings()
def breakdown_figure(profile: Profile) -> "Figure":
    """Draw the share of parameters, MACs and (if measured) time of each line of the breakdown."""
    from matplotlib.figure import Figure

    rows = largest_rows(profile)
    timed = profile.module_times is not None
    names = list(MEASURES) if timed else list(MEASURES)[:2]
    figure = Figure(
        figsize=(WIDTH, 1.5 + len(rows) * 0.19 * (len(names) + 0.7)), dpi=DPI, layout="constrained"
    )
    axes = figure.add_subplot()
    for i, name in enumerate(names):
        draw_bars(
            axes, profile, rows, name, offset=(i - (len(names) - 1) / 2) * 0.8 / len(names), count=len(names)
        )
    labels = [cut(printable(row.path), LONGEST_PATH) or "(elsewhere)" for row in rows]
    axes.set_yticks(range(len(rows)), labels)
    axes.invert_yaxis()
    axes.set_xlabel("share of the whole network (%)")
    axes.set_xlim(0, axes.get_xlim()[1] * 1.12)
    axes.xaxis.grid(visible=True, color="#dddddd")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.02)
    figure.legend(loc="outside lower right", ncols=len(names), frameon=False)
    room = WIDTH - 0.3 - max(text_width(figure, label, 10) for label in labels)
    title = [wrap_text(figure, line, room, 10) for line in caption(profile, len(rows))]
    axes.set_title("\n".join(title), loc="left", fontsize=10)
    return figure


def draw_bars(
    axes: "Axes", profile: Profile, rows: list[ProfileRow], name: str, *, offset: float, count: int
) -> None:
    """Draw one measure's bars, each with its absolute value at its end."""
    colour, hatch = MEASURES[name]
    values = [value_of(profile, row, name) for row in rows]
    bars = axes.barh(
        [i + offset for i in range(len(rows))],
        [100 * share for share, _ in values],
        height=0.8 / count,
        color=colour,
        hatch=hatch,
        edgecolor="#333333",
        linewidth=0.5,
        label=name,
    )
    axes.bar_label(bars, [text if share else "" for share, text in values], padding=3, fontsize=7)


def value_of(profile: Profile, row: ProfileRow, name: str) -> tuple[float, str]:
    """Return a row's share of the whole and its absolute value as text."""
    if name == "parameters":
        return row.params / max(1, profile.params), scaled(row.params)
    if name == "MACs":
        return row.macs / max(1, profile.macs), scaled(row.macs)
    if not row.seconds:
        return 0.0, ""
    return compute_time_share(profile, row), f"{milliseconds(median(row.seconds))} ms"


def largest_rows(profile: Profile) -> list[ProfileRow]:
    """Return the rows to draw: all of them, or those with most MACs where a page cannot hold all."""
    if len(profile.rows) <= MOST_ROWS:
        return list(profile.rows)
    keep = sorted(profile.rows, key=lambda row: row.macs, reverse=True)[:MOST_ROWS]
    return [row for row in profile.rows if row in keep]


def caption(profile: Profile, shown: int) -> list[str]:
    """Say what is drawn and under which conditions, a line each."""
    height, width = profile.img_size
    counts = f"{scaled(profile.params)} parameters, {giga(profile.macs)} GMACs"
    lines = [f"{profile.model}: {counts}, {height} x {width} px"]
    times = profile.module_times
    if profile.run and times:
        seconds = milliseconds(median(times.watched))
        lines.append(f"time: {seconds} ms a pass; {str(times.conditions).partition(', ')[2]}")
        environment, rounds = profile.run.environment, len(times.watched)
        lines.append(f"{describe_machine(profile.run)}, torch {environment.torch}, median of {rounds} rounds")
    if shown < len(profile.rows):
        lines.append(f"the {shown} of {len(profile.rows)} modules with most MACs")
    return lines
