"""Grids of maps to a figure: photograph and facts on top, grids side by side, colour bars, caption.

Lengths are in inches; text has its own size and everything else fits around it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from saevit.attention.findings import Attention
from saevit.report.attention import words
from saevit.report.attention.maps import GREY, draw_panel, edges_of, mark
from saevit.report.attention.sheet import SCALES, Cell, Row, Sheet, flat, ranges
from saevit.report.attention.views import VIEWS, shown
from saevit.report.figure import DPI, LINE_HEIGHT, own_settings, plain_number, text_height, wrap_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from numpy import ndarray

MARGIN, GAP = 0.15, 0.12
LABEL = 1.42  # a row's label
BETWEEN = 0.45  # two networks
PHOTO = 1.5
WIDEST, NARROWEST = 2.7, 1.55  # a cell
WIDTH = 8.6  # the figure's, where few columns allow it
BAR_HEIGHT, BAR_WIDTH, BAR_TEXT = 0.13, 2.5, 0.62
TITLE, TEXT, SMALL = 12.0, 8.5, 7.5  # points
PARAGRAPH = 0.07
NO_MAP = "#f2f2f2"
WARNING = "#B00020"
DECADES = 100.0  # a scale as wide has a tick a decade


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """A figure whose parts are placed in inches from its upper left corner."""

    figure: "Figure"
    width: float
    height: float

    def axes(self, left: float, top: float, width: float, height: float, name: str) -> "Axes":
        """Add axes without ticks."""
        box = (left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(box)
        axes.set(xticks=[], yticks=[])
        axes.set_gid(name)
        return axes

    def text(self, left: float, top: float, text: str, size: float = SMALL, **looks: object) -> None:
        """Write below a height."""
        style: dict[str, Any] = {"va": "top", "linespacing": LINE_HEIGHT, "color": "#000000", **looks}
        self.figure.text(left / self.width, 1 - top / self.height, text, size=size, **style)


@own_settings()
def attention_figure(view: str, seen: Sequence[Attention]) -> "Figure":
    """Draw a view of one network, or of two side by side with one scale of colours.

    Args:
        view: overview, query, pattern or rollout.
        seen: what was looked at, on the same image.
    """
    from matplotlib.figure import Figure

    sheets = [VIEWS[view](attention, shown(attention)) for attention in seen]
    if len(sheets) == 1 and len(sheets[0].columns) == 1:
        sheets = [flat(sheets[0])]
    cell = cell_width(sheets)
    width = max(WIDTH, 2 * MARGIN + sum(sheet_width(s, cell) for s in sheets) + BETWEEN * (len(sheets) - 1))
    figure = Figure(figsize=(width, 1), dpi=DPI)  # text is measured as it will be drawn
    room = width - 2 * MARGIN
    title = wrap_text(figure, words.title(view, seen), room, TITLE, "bold")
    facts = [broken(figure, fact, room - PHOTO - 2 * GAP) for fact in words.facts(view, seen)]
    caption = "\n".join(wrap_text(figure, text, room, SMALL) for text in words.captions(view, seen))
    head = max(photo_size(seen[0])[1], sum(fact_height(fact) for fact in facts))
    above = MARGIN + text_height(title, TITLE) + GAP + head + 2 * GAP
    names = [
        wrap_text(figure, words.heading(s.attention), sheet_width(s, cell), TEXT, "bold") for s in sheets
    ]
    names_height = max(text_height(name, TEXT) for name in names) + GAP if len(sheets) > 1 else 0.0
    bars = above + names_height + max(sheet_height(sheet, cell) for sheet in sheets) + GAP
    below = bars + BAR_HEIGHT + BAR_TEXT
    canvas = Canvas(figure=figure, width=width, height=below + text_height(caption, SMALL) + MARGIN)
    figure.set_size_inches(width, canvas.height)
    canvas.text(MARGIN, MARGIN, title, TITLE, weight="bold")
    draw_head(canvas, seen[0], facts, MARGIN + text_height(title, TITLE) + GAP)
    norms = norms_of(sheets)
    left = MARGIN
    for sheet, name in zip(sheets, names, strict=True):
        if len(sheets) > 1:
            canvas.text(left, above, name, TEXT, weight="bold")
        draw_sheet(canvas, sheet, (left, above + names_height, cell), norms)
        left += sheet_width(sheet, cell) + BETWEEN
    draw_bars(canvas, norms, bars)
    canvas.text(MARGIN, below, caption, color=GREY)
    return figure


def broken(figure: "Figure", fact: words.Fact, room: float) -> words.Fact:
    """Break a paragraph into lines."""
    text = wrap_text(figure, fact.text, room, TEXT, "bold" if fact.warns else "normal")
    return replace(fact, text=text)


def fact_height(fact: words.Fact) -> float:
    """Return the height of a paragraph beside the photograph."""
    return text_height(fact.text, TEXT) + PARAGRAPH


def cell_width(sheets: Sequence[Sheet]) -> float:
    """Return how wide a cell is: as much as the usual width of a figure gives, within limits."""
    count = sum(len(sheet.columns) for sheet in sheets)
    room = WIDTH - 2 * MARGIN - LABEL * len(sheets) - BETWEEN * (len(sheets) - 1)
    return min(WIDEST, max(NARROWEST, room / count - GAP))


def sheet_width(sheet: Sheet, cell: float) -> float:
    """Return how wide a grid is."""
    return LABEL + len(sheet.columns) * (cell + GAP) - GAP


def sheet_height(sheet: Sheet, cell: float) -> float:
    """Return how high a grid is, its headings included."""
    return head_height(sheet) + len(sheet.rows) * (cell * sheet.aspect + GAP)


def head_height(sheet: Sheet) -> float:
    """Return the height of the columns' headings."""
    return max(heading_height(column) for column in sheet.columns) + 0.06


def heading_height(column: str) -> float:
    """Return the height of one heading: a line, and smaller ones under it."""
    first, _, rest = column.partition("\n")
    return text_height(first, TEXT) + text_height(rest, SMALL)


def photo_size(attention: Attention) -> tuple[float, float]:
    """Return width and height of the photograph."""
    height, width = attention.img_size
    return PHOTO * min(1.0, width / height), PHOTO * min(1.0, height / width)


def draw_head(canvas: Canvas, attention: Attention, facts: Sequence[words.Fact], top: float) -> None:
    """Draw the photograph with its queries, and what is to be known beside it."""
    height, width = attention.img_size
    axes = canvas.axes(MARGIN, top, *photo_size(attention), "photo")
    axes.imshow(attention.photo.pixels, extent=(0, width, height, 0), interpolation="antialiased")
    mark(axes, [query.input for query in attention.queries])
    axes.set(xlim=(0, width), ylim=(height, 0))
    for fact in facts:
        looks = {"color": WARNING, "weight": "bold"} if fact.warns else {}
        canvas.text(MARGIN + PHOTO + 2 * GAP, top, fact.text, TEXT, **looks)
        top += fact_height(fact)


def draw_sheet(
    canvas: Canvas, sheet: Sheet, place: tuple[float, float, float], norms: "dict[str, Normalize]"
) -> None:
    """Draw one network's grid at a place: left, top, a cell's width."""
    left, top, cell = place
    edges = edges_of(sheet.attention.photo.pixels)
    for i, column in enumerate(sheet.columns):
        first, _, rest = column.partition("\n")
        at = left + LABEL + i * (cell + GAP)
        canvas.text(at, top, first, TEXT, weight="bold")
        canvas.text(at, top + text_height(first, TEXT), rest, color=GREY)
    top += head_height(sheet)
    for row in sheet.rows:
        canvas.text(left, top, row.label, SMALL, color=GREY)
        draw_row(canvas, sheet, row, (left + LABEL, top, cell), norms, edges)
        top += cell * sheet.aspect + GAP


def draw_row(
    canvas: Canvas,
    sheet: Sheet,
    row: Row,
    place: tuple[float, float, float],
    norms: "dict[str, Normalize]",
    edges: "ndarray",
) -> None:
    """Draw the cells of a row."""
    left, top, width = place
    for cell in row.cells:
        if cell.words:
            axes = canvas.axes(left, top, width, width * sheet.aspect, row.label + ": words")
            axes.set_facecolor(NO_MAP)
            axes.spines[:].set_visible(False)
            axes.text(
                0.5,
                0.5,
                cell.words,
                transform=axes.transAxes,
                ha="center",
                va="center",
                size=SMALL,
                color=GREY,
            )
        draw_cell(canvas, sheet, cell, (left, top, width), norms, edges)
        left += width + GAP


def draw_cell(
    canvas: Canvas,
    sheet: Sheet,
    cell: Cell,
    place: tuple[float, float, float],
    norms: "dict[str, Normalize]",
    edges: "ndarray",
) -> None:
    """Draw a map, or one for each head in a square."""
    left, top, width = place
    across = next(n for n in range(1, 100) if n * n >= len(cell.panels))
    each = width / across
    for i, panel in enumerate(cell.panels):
        y, x = divmod(i, across)
        inner = each - (0.03 if across > 1 else 0.0)
        at = (left + x * each, top + y * each * sheet.aspect, inner, inner * sheet.aspect)
        draw_panel(canvas.axes(*at, panel.name), sheet, panel, norms, edges)


def norms_of(sheets: Sequence[Sheet]) -> "dict[str, Normalize]":
    """Return one scale of values to colours for every colour bar."""
    from matplotlib.colors import LogNorm, Normalize

    return {
        name: (LogNorm if found.log else Normalize)(found.low, found.high)
        for name, found in ranges(sheets).items()
    }


def draw_bars(canvas: Canvas, norms: "dict[str, Normalize]", top: float) -> None:
    """Draw the colour bars with their units; an arrow where values go on."""
    from matplotlib.cm import ScalarMappable

    left = MARGIN + LABEL
    for name, norm in norms.items():
        scale = SCALES[name]
        axes = canvas.axes(left, top, BAR_WIDTH, BAR_HEIGHT, f"bar: {name}")
        bar = canvas.figure.colorbar(
            ScalarMappable(norm=norm, cmap=scale.cmap), cax=axes, orientation="horizontal", extend="both"
        )
        bar.ax.tick_params(labelsize=SMALL, length=2)
        bar.minorticks_off()
        bar.set_ticks(ticks(norm), labels=[plain_number(tick) for tick in ticks(norm)])
        bar.set_label(scale.label, size=SMALL)
        bar.outline.set_linewidth(0.4)
        left += BAR_WIDTH + 0.5


def ticks(norm: "Normalize") -> list[float]:
    """Return few round values inside a scale."""
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import LogLocator, MaxNLocator

    low, high = float(norm.vmin or 0), float(norm.vmax or 0)
    if isinstance(norm, LogNorm):
        subs = (1.0, 2.0, 5.0) if high / low < DECADES else (1.0,)
        found = LogLocator(subs=subs).tick_values(low, high)
    else:
        found = MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(tick) for tick in found if low <= tick <= high]
