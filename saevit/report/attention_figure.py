"""Drawing the attention of networks: photograph and introduction on top, grids of maps, colour bars, caption.

Lengths are in inches from the upper left corner. Text has a fixed size, and everything else fits around it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from saevit.attention.findings import Attention
from saevit.report.attention_grid import (
    ROBUST,
    TITLES,
    MapGrid,
    MapPanel,
    caption_paragraphs,
    intro_paragraphs,
    make_grids,
    spaced_name,
)
from saevit.report.figure import (
    DPI,
    GREY,
    LINE_HEIGHT,
    POINTS,
    new_figure,
    own_settings,
    plain_number,
    text_height,
    wrap_text,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from numpy import ndarray

MARGIN, GAP = 0.15, 0.12
LABEL = 1.42  # width of a row's label
BETWEEN = 0.45  # two networks
PHOTO = 1.5
WIDEST, NARROWEST = 2.7, 1.55  # a cell
WIDTH = 8.6  # of the figure, unless it has many columns
BAR_HEIGHT, BAR_WIDTH, BAR_TEXT = 0.13, 2.5, 0.62
TITLE, TEXT, SMALL = 12.0, 8.5, 7.5  # points
PARAGRAPH = 0.07

NO_MAP, WARNING, LINES = "#f2f2f2", "#B00020", "#56B4E9"
RING, HALO = "#00A0FF", "#ffffff"
SMALLEST_POINT = 1.3  # points
STRONG_EDGES, EDGE_ALPHA = 97, 0.45  # percentile, opacity

SCALES = {  # colour map and label of each colour bar
    "weights": ("viridis", "weight in the token of the window\n(relative to an even mean)"),
    "attention": ("magma", "attention to a pixel\n(relative to an even share)"),
    "rollout": ("magma", "share of a pixel in the map\n(relative to an even share)"),
}
WIDE = 6.0  # a scale is logarithmic if its ends differ by more than this factor
FLOOR = 0.1  # lower end of a logarithmic scale, relative to an even share
LEAST_RANGE = 0.01  # smaller differences are rounding, which colours should not magnify
DECADES = 100.0  # range beyond which one tick per decade is enough


Corner = tuple[float, float, float]  # left, top and width of a part


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """A figure whose parts are placed in inches from its upper left corner, and its colour scales."""

    figure: "Figure"
    width: float
    height: float
    norms: "Mapping[str, Normalize]"

    def add_axes(self, left: float, top: float, width: float, height: float, name: str) -> "Axes":
        """Add axes without ticks."""
        box = (left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(box)
        axes.set(xticks=[], yticks=[])
        axes.set_gid(name)
        return axes

    def add_text(self, left: float, top: float, text: str, size: float = SMALL, **style: Any) -> float:
        """Write text, and return its lower end."""
        style = {"va": "top", "linespacing": LINE_HEIGHT, "color": "#000000", **style}
        self.figure.text(left / self.width, 1 - top / self.height, text, size=size, **style)
        return top + text_height(text, size)


@own_settings()
def attention_figure(view: str, networks: Sequence[Attention]) -> "Figure":
    """Draw a view of one network, or of two side by side with one scale of colours."""
    grids = make_grids(view, networks)
    count = sum(len(grid.columns) for grid in grids)
    usual = WIDTH - 2 * MARGIN - LABEL * len(grids) - BETWEEN * (len(grids) - 1)
    cell = min(WIDEST, max(NARROWEST, usual / count - GAP))  # an even part of the usual width
    widths = [LABEL + len(grid.columns) * (cell + GAP) - GAP for grid in grids]
    width = max(WIDTH, 2 * MARGIN + sum(widths) + BETWEEN * (len(grids) - 1))
    room = width - 2 * MARGIN
    figure = new_figure(width, 1)  # text is measured as it will be drawn
    models = " and ".join(dict.fromkeys(map(spaced_name, networks)))
    title = wrap_text(figure, f"{TITLES[view]}: {models}", room, TITLE, "bold")
    intro = [
        (wrap_text(figure, text, room - PHOTO - 2 * GAP, TEXT, "bold" if warns else "normal"), warns)
        for text, warns in intro_paragraphs(view, networks)
    ]
    names = [
        wrap_text(figure, f"{spaced_name(one)}, {one.weights}", limit, TEXT, "bold")
        for one, limit in zip(networks, widths if len(networks) > 1 else (), strict=False)
    ]
    caption = "\n".join(wrap_text(figure, text, room, SMALL) for text in caption_paragraphs(view, networks))

    head = MARGIN + text_height(title, TITLE) + GAP
    intro_height = sum(text_height(text, TEXT) + PARAGRAPH for text, _ in intro)
    above = head + max(photo_size(networks[0])[1], intro_height) + 2 * GAP
    top = above + max((text_height(name, TEXT) + GAP for name in names), default=0.0)
    bars = top + max(heads_height(grid) + len(grid.rows) * (cell * grid.aspect + GAP) for grid in grids) + GAP
    below = bars + BAR_HEIGHT + BAR_TEXT
    height = below + text_height(caption, SMALL) + MARGIN
    canvas = Canvas(figure=figure, width=width, height=height, norms=make_norms(grids))
    figure.set_size_inches(width, height)

    canvas.add_text(MARGIN, MARGIN, title, TITLE, weight="bold")
    draw_head(canvas, networks[0], intro, head)
    left = MARGIN
    for grid, name, grid_width in zip(grids, names or [""], widths, strict=True):
        canvas.add_text(left, above, name, TEXT, weight="bold")
        draw_grid(canvas, grid, (left, top, cell))
        left += grid_width + BETWEEN
    draw_bars(canvas, bars)
    canvas.add_text(MARGIN, below, caption, color=GREY)
    return figure


def heads_height(grid: MapGrid) -> float:
    """Return the height of the heads of the columns: a line, with smaller lines under it."""
    lines = (column.partition("\n") for column in grid.columns)
    return max(text_height(first, TEXT) + text_height(rest, SMALL) for first, _, rest in lines) + 0.06


def photo_size(attention: Attention) -> tuple[float, float]:
    """Return width and height of the photograph."""
    height, width = attention.img_size
    return PHOTO * min(1.0, width / height), PHOTO * min(1.0, height / width)


def draw_head(canvas: Canvas, attention: Attention, intro: Sequence[tuple[str, bool]], top: float) -> None:
    """Draw the photograph with its query pixels, and the introduction beside it."""
    height, width = attention.img_size
    axes = canvas.add_axes(MARGIN, top, *photo_size(attention), "photo")
    axes.imshow(attention.photo.pixels, extent=(0, width, height, 0), interpolation="antialiased")
    ring_points(axes, [query.input for query in attention.queries])
    axes.set(xlim=(0, width), ylim=(height, 0))
    for text, warns in intro:
        style = {"color": WARNING, "weight": "bold"} if warns else {}
        top = canvas.add_text(MARGIN + PHOTO + 2 * GAP, top, text, TEXT, **style) + PARAGRAPH


def draw_grid(canvas: Canvas, grid: MapGrid, corner: Corner) -> None:
    """Draw the grid of one network; the width is that of a cell."""
    left, top, width = corner
    edges = find_edges(grid.attention.photo.pixels)
    steps = [left + LABEL + i * (width + GAP) for i in range(len(grid.columns))]
    for at, column in zip(steps, grid.columns, strict=True):
        first, _, rest = column.partition("\n")
        canvas.add_text(at, canvas.add_text(at, top, first, TEXT, weight="bold"), rest, color=GREY)
    top += heads_height(grid)
    for label, cells in grid.rows:
        canvas.add_text(left, top, label, color=GREY)
        for at, cell in zip(steps, cells, strict=False):
            if isinstance(cell, str):
                axes = canvas.add_axes(at, top, width, width * grid.aspect, label + ": words")
                axes.set_facecolor(NO_MAP)
                axes.spines[:].set_visible(False)
                axes.text(0.5, 0.5, cell, ha="center", va="center", size=SMALL, color=GREY)
            else:
                draw_cell(canvas, grid, cell, (at, top, width), edges)
        top += width * grid.aspect + GAP


def draw_cell(
    canvas: Canvas, grid: MapGrid, panels: Sequence[MapPanel], corner: Corner, edges: "ndarray"
) -> None:
    """Draw a map, or the maps of several heads in a square."""
    left, top, width = corner
    across = next(n for n in range(1, 100) if n * n >= len(panels))
    each = width / across
    inner = each - (0.03 if across > 1 else 0.0)
    for i, panel in enumerate(panels):
        y, x = divmod(i, across)
        box = left + x * each, top + y * each * grid.aspect, inner, inner * grid.aspect
        axes = canvas.add_axes(*box, panel.name)
        axes.spines[:].set(linewidth=0.4, color=GREY)
        draw_panel(canvas, axes, panel)
        if not panel.is_matrix:
            H, W = grid.attention.img_size
            axes.imshow(edges, extent=(0, W, H, 0), interpolation="antialiased")
            axes.set(xlim=(0, W), ylim=(H, 0))  # a map may reach over the edge of the input
        ring_points(axes, panel.points)


def draw_panel(canvas: Canvas, axes: "Axes", panel: MapPanel) -> None:
    """Draw the values of one map in colours or as points, the lines between windows, and the title."""
    if panel.scale is None:  # a square for each score: as large as a pair of pixels, or as can be seen
        left, right, bottom, top = panel.extent
        side = max(SMALLEST_POINT, axes.get_window_extent().width / DPI * POINTS / (right - left))
        y, x = panel.values.T
        axes.scatter(x, y, s=side**2, marker="s", color="#000000", linewidths=0)
        axes.set(xlim=(left, right), ylim=(bottom, top))
    else:
        import matplotlib

        cmap = matplotlib.colormaps[SCALES[panel.scale][0]]
        cmap = cmap.with_extremes(bad=cmap(0.0))  # zero has the lowest colour on logarithmic scales too
        norm = canvas.norms[panel.scale]
        axes.imshow(panel.values, cmap, norm, extent=panel.extent, interpolation="nearest")
    for at in panel.lines:
        axes.axhline(at, color=LINES, linewidth=0.3, alpha=0.6)
        axes.axvline(at, color=LINES, linewidth=0.3, alpha=0.6)
    if panel.title:
        box = {"facecolor": "#000000", "alpha": 0.5, "linewidth": 0, "pad": 1.0}
        style: dict[str, Any] = {"va": "top", "size": 6, "color": "#ffffff", "bbox": box}
        axes.text(0.04, 0.95, panel.title, transform=axes.transAxes, **style)


def ring_points(axes: "Axes", points: Sequence[tuple[float, float]]) -> None:
    """Draw a ring around each point that is visible on dark and on light colours."""
    for x, y in points:
        axes.plot(x, y, "o", markersize=7, markerfacecolor="none", markeredgecolor=HALO, markeredgewidth=2.2)
        axes.plot(x, y, "o", markersize=7, markerfacecolor="none", markeredgecolor=RING, markeredgewidth=1.1)


def find_edges(pixels: "ndarray") -> "ndarray":
    """Return the edges of an image as white lines on transparency, (H, W, 4)."""
    import numpy as np

    grey = pixels.astype(np.float32).mean(2)
    smooth = (grey + np.roll(grey, 1, 0) + np.roll(grey, 1, 1) + np.roll(grey, (1, 1), (0, 1))) / 4
    down, across = np.gradient(smooth) if min(grey.shape) > 1 else (grey * 0, grey * 0)
    strength = np.hypot(down, across)
    strength[[0, -1], :] = strength[:, [0, -1]] = 0  # rolled over
    strong = np.percentile(strength, STRONG_EDGES)
    edges = np.ones((*grey.shape, 4), np.float32)
    edges[..., 3] = np.clip(strength / strong - 0.35, 0, 1) * EDGE_ALPHA if strong > 0 else 0
    return edges


def make_norms(grids: Sequence[MapGrid]) -> "dict[str, Normalize]":
    """Return one scale of values to colours for each colour bar, so that colours compare."""
    import numpy as np

    ends: dict[str, list[tuple[float, float]]] = {}
    for panel in (panel for grid in grids for panel in grid.panels):
        if panel.scale:  # a small map counts as much as a large one
            low, high = np.percentile(panel.values, ROBUST)
            ends.setdefault(panel.scale, []).append((float(low), float(high)))
    return {name: make_norm(min(low for low, _ in e), max(high for _, high in e)) for name, e in ends.items()}


def make_norm(low: float, high: float) -> "Normalize":
    """Return a scale of multiples of an even share: logarithmic if wide, around 1 if all values are even."""
    from matplotlib.colors import LogNorm, Normalize

    if high - low < LEAST_RANGE:
        return Normalize(1 - LEAST_RANGE, 1 + LEAST_RANGE)
    if high > WIDE * max(low, FLOOR):
        return LogNorm(max(low, FLOOR), high)
    return Normalize(low, high)


def draw_bars(canvas: Canvas, top: float) -> None:
    """Draw the colour bars with their units; arrows show that values go on."""
    from matplotlib.cm import ScalarMappable

    left = MARGIN + LABEL
    for name, norm in canvas.norms.items():
        cmap, label = SCALES[name]
        axes = canvas.add_axes(left, top, BAR_WIDTH, BAR_HEIGHT, f"bar: {name}")
        mappable = ScalarMappable(norm=norm, cmap=cmap)
        bar = canvas.figure.colorbar(mappable, cax=axes, orientation="horizontal", extend="both")
        bar.ax.tick_params(labelsize=SMALL, length=2)
        bar.minorticks_off()
        ticks = pick_ticks(norm)
        bar.set_ticks(ticks, labels=[plain_number(tick) for tick in ticks])
        bar.set_label(label, size=SMALL)
        bar.outline.set_linewidth(0.4)
        left += BAR_WIDTH + 0.5


def pick_ticks(norm: "Normalize") -> list[float]:
    """Return a few round values inside a scale."""
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import LogLocator, MaxNLocator

    low, high = float(norm.vmin or 0), float(norm.vmax or 0)
    if isinstance(norm, LogNorm):
        subs = (1.0, 2.0, 5.0) if high / low < DECADES else (1.0,)
        ticks = LogLocator(subs=subs).tick_values(low, high)
    else:
        ticks = MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(tick) for tick in ticks if low <= tick <= high]
