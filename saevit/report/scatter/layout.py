"""The places of panels, legend and texts in a scatter plot: measured, so that nothing is cut off or overlaps.

Lengths are in inches; text sizes are in points.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from saevit.report.figure import GREY, LINE_HEIGHT, get_renderer, text_height, wrap_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

MARGIN = 0.14
LEFT = 0.82  # of the first panel: ticks and label of the y axis
BETWEEN = 0.38
BELOW = 0.52  # of a panel: ticks and label of the x axis
NOTE = 0.18  # above a panel: the number of omitted labels
GAP = 0.1
PANEL_WIDTHS = {1: 6.4, 2: 4.8}  # by the number of panels
NARROWEST = 4.2
TITLE, HEADING, SMALL = 11.0, 10.0, 7.5


def figure_width(count: int) -> float:
    """Return the width of a figure with a number of panels: 11 inches with two."""
    return LEFT + count * PANEL_WIDTHS.get(count, NARROWEST) + (count - 1) * BETWEEN + 2 * MARGIN


def arrange_figure(
    figure: "Figure",
    *,
    title: str,
    titles: Sequence[str],
    captions: Sequence[str],
    handles: Sequence[Any],
    height: float,
) -> None:
    """Place title, panels of a height, legend and captions below one another, and set the figure's size.

    Args:
        figure: has its panels already.
        title: of the figure; may be empty.
        titles: of the panels; may be empty.
        captions: below everything, one paragraph each.
        handles: entries of the legend.
        height: of the panels.
    """
    width, panel_width = figure_width(len(figure.axes)), PANEL_WIDTHS.get(len(figure.axes), NARROWEST)
    room = width - 2 * MARGIN
    title = wrap_text(figure, title, room, TITLE, "bold")
    titles = [wrap_heading(figure, text, panel_width) for text in titles]
    caption = "\n".join(wrap_text(figure, text, room, SMALL) for text in captions if text)
    figure.set_size_inches(width, height)  # the legend is measured at the final width
    legend, legend_height = add_legend(figure, handles)
    heading_height = max((text_height(text, HEADING) for text in titles), default=0.0)
    above = GAP + text_height(title, TITLE) + heading_height + NOTE
    legend_bottom = MARGIN + text_height(caption, SMALL) + GAP
    below = legend_bottom + legend_height + GAP + BELOW
    total = above + height + below
    figure.set_size_inches(width, total)
    figure.subplots_adjust(
        left=(MARGIN + LEFT) / width,
        right=1 - MARGIN / width,
        bottom=below / total,
        top=1 - above / total,
        wspace=BETWEEN / panel_width,
    )
    if title:
        figure.text(MARGIN / width, 1 - GAP / total, title, size=TITLE, weight="bold", va="top")
    for axes, text in zip(figure.axes, titles, strict=False):
        axes.set_title(text, loc="left", size=HEADING, weight="bold", pad=16)
    style: dict[str, Any] = {"size": SMALL, "color": GREY, "va": "bottom", "linespacing": LINE_HEIGHT}
    figure.text(MARGIN / width, MARGIN / total, caption, **style)
    legend.set_bbox_to_anchor((0.5, legend_bottom / total), figure.transFigure)


def wrap_heading(figure: "Figure", text: str, width: float) -> str:
    """Break a panel's title, first after its colon."""
    lines = wrap_text(figure, text, width, HEADING, "bold")
    if "\n" not in lines:
        return lines
    return ":\n".join(wrap_text(figure, part, width, HEADING, "bold") for part in text.split(": "))


def add_legend(figure: "Figure", handles: Sequence[Any]) -> tuple["Legend", float]:
    """Add a legend with as many columns as fit; return it and its height."""
    for rows in range(1, len(handles) + 1):
        columns = -(-len(handles) // rows)
        legend = figure.legend(
            handles=handles,
            loc="lower center",
            ncols=columns,
            frameon=False,
            fontsize=8.0,
            borderaxespad=0.0,
            borderpad=0.0,
            columnspacing=1.6,
            handletextpad=0.5,
        )
        extent = legend.get_window_extent(get_renderer(figure))
        if columns == 1 or extent.width / figure.dpi <= figure.get_figwidth() - 2 * MARGIN:
            break
        legend.remove()
    return legend, extent.height / figure.dpi
