"""Room for panels, legend and caption: measured, so that nothing is cut off or lies on anything else.

Everything but the panels has the size of its text; lengths are in inches.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from saevit.report.names import cut
from saevit.text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

MARGIN = 0.14
LEFT = 0.82  # of the first panel: ticks and label of the y axis
BETWEEN = 0.38
BELOW = 0.52  # of a panel: ticks and label of the x axis
NOTE = 0.18  # above a panel: how many names found no room
GAP = 0.1
LINE_HEIGHT = 1.35  # of the text's size
PANEL_WIDTHS = {1: 6.4, 2: 4.8}
NARROWEST = 4.2
TITLE, SMALL = 11.0, 7.5  # points
LONGEST_WORD = 120  # characters
POINTS = 72  # an inch


def panel_width(count: int) -> float:
    """Return how wide one of so many panels is."""
    return PANEL_WIDTHS.get(count, NARROWEST)


def figure_width(count: int) -> float:
    """Return how wide the figure is: 11 inches with two panels."""
    return LEFT + count * panel_width(count) + (count - 1) * BETWEEN + 2 * MARGIN


def renderer_of(figure: "Figure") -> Any:
    """Return what measures text, in pixels of the figure's resolution."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = figure.canvas if isinstance(figure.canvas, FigureCanvasAgg) else FigureCanvasAgg(figure)
    return canvas.get_renderer()


def text_width(figure: "Figure", text: str, size: float, weight: str = "normal") -> float:
    """Return how wide a text of a size in points is."""
    from matplotlib.font_manager import FontProperties

    renderer = renderer_of(figure)
    font = FontProperties(size=size, weight=weight)
    return renderer.get_text_width_height_descent(text, font, ismath=False)[0] / figure.dpi


def wrapped(figure: "Figure", text: str, width: float, size: float, weight: str = "normal") -> str:
    """Break a text into lines of no more than a width, also within words that are longer."""

    def fits(line: str) -> bool:
        return text_width(figure, line, size, weight) <= width

    lines = [""]
    for whole in text.split():
        word = cut(printable(whole), LONGEST_WORD)
        longer = f"{lines[-1]} {word}".lstrip()
        if fits(longer):
            lines[-1] = longer
            continue
        lines += [""] * bool(lines[-1])
        while not fits(word) and len(word) > 1:
            end = next((end for end in range(len(word) - 1, 1, -1) if fits(word[:end])), 1)
            lines[-1:], word = [word[:end], ""], word[end:]
        lines[-1] = word
    return "\n".join(lines)


def headline(figure: "Figure", text: str, width: float) -> str:
    """Break a panel's title after its colon, if it has to be broken."""
    lines = [wrapped(figure, part, width, TITLE - 1, "bold") for part in text.split(": ")]
    whole = wrapped(figure, text, width, TITLE - 1, "bold")
    return ":\n".join(lines) if "\n" in whole else whole


def height_of(text: str, size: float) -> float:
    """Return how high the lines of a text are."""
    return (text.count("\n") + 1) * size * LINE_HEIGHT / POINTS if text else 0.0


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
    title = wrapped(figure, title, width - 2 * MARGIN, TITLE, "bold")
    titles = [headline(figure, text, panel_width(count)) for text in titles]
    caption = "\n".join(wrapped(figure, text, width - 2 * MARGIN, SMALL) for text in captions if text)
    figure.set_size_inches(width, height)  # the legend is measured in the width that it will have
    legend, legend_height = legend_of(figure, handles)
    highest = max((height_of(text, TITLE - 1) for text in titles), default=0.0)
    above = GAP + height_of(title, TITLE) + highest + NOTE
    below = MARGIN + height_of(caption, SMALL) + GAP + legend_height + GAP + BELOW
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
    legend.set_bbox_to_anchor((0.5, (MARGIN + height_of(caption, SMALL) + GAP) / total), figure.transFigure)


def legend_of(figure: "Figure", handles: Sequence[Any]) -> tuple["Legend", float]:
    """Return a legend of as many columns as fit, and its height."""
    renderer = renderer_of(figure)
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
