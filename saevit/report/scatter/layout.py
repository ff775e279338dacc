"""Room for panels, legend and caption: measured, so that nothing is cut off or lies on anything else.

Everything but the panels has the size of its text; lengths are in inches.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from saevit.report.figure import LINE_HEIGHT, get_renderer, text_height, wrap_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

MARGIN = 0.14
LEFT = 0.82  # of the first panel: ticks and label of the y axis
BETWEEN = 0.38
BELOW = 0.52  # of a panel: ticks and label of the x axis
NOTE = 0.18  # above a panel: how many names found no room
GAP = 0.1
PANEL_WIDTHS = {1: 6.4, 2: 4.8}
NARROWEST = 4.2
TITLE, SMALL = 11.0, 7.5  # points


def panel_width(count: int) -> float:
    """Return how wide one of so many panels is."""
    return PANEL_WIDTHS.get(count, NARROWEST)


def figure_width(count: int) -> float:
    """Return how wide the figure is: 11 inches with two panels."""
    return LEFT + count * panel_width(count) + (count - 1) * BETWEEN + 2 * MARGIN


def headline(figure: "Figure", text: str, width: float) -> str:
    """Break a panel's title after its colon, if it has to be broken."""
    lines = [wrap_text(figure, part, width, TITLE - 1, "bold") for part in text.split(": ")]
    whole = wrap_text(figure, text, width, TITLE - 1, "bold")
    return ":\n".join(lines) if "\n" in whole else whole


def arrange(
    figure: "Figure",
    *,
    title: str,
    titles: Sequence[str],
    captions: Sequence[str],
    handles: Sequence[Any],
    height: float,
) -> None:
    """Place title, panels of a height, legend and caption below one another, and give the figure its size.

    Args:
        title: of the whole figure; may be empty.
        titles: of the panels; may be empty.
        captions: under everything, a paragraph each.
        handles: what the legend explains.
        height: of the panels.
    """
    axes = figure.axes
    count = len(axes)
    width = figure_width(count)
    title = wrap_text(figure, title, width - 2 * MARGIN, TITLE, "bold")
    titles = [headline(figure, text, panel_width(count)) for text in titles]
    caption = "\n".join(wrap_text(figure, text, width - 2 * MARGIN, SMALL) for text in captions if text)
    figure.set_size_inches(width, height)  # the legend is measured in the width that it will have
    legend, legend_height = legend_of(figure, handles)
    highest = max((text_height(text, TITLE - 1) for text in titles), default=0.0)
    above = GAP + text_height(title, TITLE) + highest + NOTE
    below = MARGIN + text_height(caption, SMALL) + GAP + legend_height + GAP + BELOW
    total = above + height + below
    figure.set_size_inches(width, total)
    figure.subplots_adjust(
        left=(MARGIN + LEFT) / width,
        right=1 - MARGIN / width,
        bottom=below / total,
        top=1 - above / total,
        wspace=BETWEEN / panel_width(count),
    )
    if title:
        figure.text(MARGIN / width, 1 - GAP / total, title, size=TITLE, weight="bold", va="top")
    for one, text in zip(axes, titles, strict=False):
        one.set_title(text, loc="left", size=TITLE - 1, weight="bold", pad=16)
    figure.text(
        MARGIN / width,
        MARGIN / total,
        caption,
        size=SMALL,
        color="#444444",
        va="bottom",
        linespacing=LINE_HEIGHT,
    )
    legend.set_bbox_to_anchor((0.5, (MARGIN + text_height(caption, SMALL) + GAP) / total), figure.transFigure)


def legend_of(figure: "Figure", handles: Sequence[Any]) -> tuple["Legend", float]:
    """Return a legend of as many columns as fit, and its height."""
    renderer = get_renderer(figure)
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
        extent = legend.get_window_extent(renderer)
        if columns == 1 or extent.width / figure.dpi <= figure.get_figwidth() - 2 * MARGIN:
            break
        legend.remove()
    return legend, extent.height / figure.dpi
