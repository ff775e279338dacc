"""Draw the attention of networks: a title, the photograph, grids of maps, a colour bar and a caption.

Lengths are in inches from the upper left corner. Text has a fixed size, and the layout follows from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from saevit.attention.findings import Attention
from saevit.report.attention_grid import (
    MapGrid,
    MapPanel,
    caption_paragraphs,
    intro_paragraphs,
    make_grid,
    spaced_name,
)
from saevit.report.attention_messages import summarize_attention
from saevit.report.figure import GREY, LINE_HEIGHT, POINTS, new_figure, own_settings, text_height, wrap_text
from saevit.report.units import digits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure
    from numpy import ndarray

MARGIN, GAP = 0.15, 0.12
LABEL = 1.3  # width of a row's label
PHOTO = 1.1
WIDEST, NARROWEST = 2.7, 1.55  # a cell
WIDTH = 8.6  # of the figure, unless it has many columns
BAR_HEIGHT, BAR_WIDTH = 0.13, 3.2
TITLE, TEXT, SMALL = 12.0, 8.5, 7.5  # points
PARAGRAPH = 0.07
BASELINE = 1.0  # of a line of text below its top, relative to the size of the text

RING, HALO, LINES = "#00A0FF", "#ffffff", "#56B4E9"
SMALLEST_POINT = 1.3  # points
OVERLAP = 1.2  # scale of the squares, so that there are no gaps between neighbours
STRONG_EDGES, EDGE_ALPHA = 97, 0.35  # percentile, opacity

# Colours by their position on the scale; 0.5 is uniform. Blue is light, so that in greyscale all values above
# uniform are darker than values below. Colour-blind people can distinguish blue and red.
COLOURS = (
    (0, "#a6cbee"),
    (0.25, "#d0e3f5"),
    (0.5, "#ffffff"),
    (0.6, "#f4a582"),
    (0.78, "#c9302c"),
    (1, "#4d0010"),
)
EDGES = 0.35  # grey of the image's edges
ROBUST = 99.5  # percentile of a map's values at the upper end of the colours
NARROWEST_SCALE = 2  # the scale has at least the range from 1/2 to 2 times uniform, to not magnify noise
MOST_TICKS = 9

Corner = tuple[float, float, float]  # left, top and width of a part


@dataclass(kw_only=True)
class Canvas:
    """A figure with parts in inches from its upper left corner. `finish` sets its height."""

    figure: "Figure"
    norm: "LogNorm"
    parts: list[tuple[Any, Corner, float]] = field(default_factory=list)  # part, corner, height of axes

    def add_axes(self, corner: Corner, height: float, name: str) -> "Axes":
        """Add axes without ticks."""
        axes = self.figure.add_axes((0, 0, 1, 1), label=name)
        axes.set(xticks=[], yticks=[])
        axes.set_gid(name)
        self.parts.append((axes, corner, height))
        return axes

    def add_text(self, corner: Corner, text: str, size: float = SMALL, **style: Any) -> float:
        """Write text in lines of at most the corner's width, and return its lower end."""
        left, top, width = corner
        style = {"color": "#000000", "weight": "normal"} | style
        paragraphs = (wrap_text(self.figure, line, width, size, style["weight"]) for line in text.split("\n"))
        lines = "\n".join(paragraphs)
        for i, line in enumerate(lines.split("\n")):
            down = top + (i * LINE_HEIGHT + BASELINE) * size / POINTS
            self.parts.append((self.figure.text(0, 0, line, size=size, **style), (left, down, 0.0), 0.0))
        return top + text_height(lines, size)

    def finish(self, height: float) -> None:
        """Set the height of the figure, and place all parts."""
        from matplotlib.axes import Axes

        whole = self.figure.get_figwidth()
        self.figure.set_size_inches(whole, height)
        for part, (left, top, width), tall in self.parts:
            if isinstance(part, Axes):
                part.set_position((left / whole, 1 - (top + tall) / height, width / whole, tall / height))
            else:
                part.set_position((left / whole, 1 - top / height))


@own_settings()
def attention_figure(view: str, networks: Sequence[Attention]) -> "Figure":
    """Draw a view of one network, or of two networks one above the other with a common colour scale."""
    grids = [
        make_grid(
            view,
            one,
            with_heads=len(networks) == 1 or one.heads_chosen,
            with_tokens=one.model not in [other.model for other in networks[:i]],
        )
        for i, one in enumerate(networks)
    ]
    count = max(len(grid.columns) for grid in grids)
    cell = min(WIDEST, max(NARROWEST, (WIDTH - 2 * MARGIN - LABEL) / count - GAP))
    width = max(WIDTH, 2 * MARGIN + LABEL + count * (cell + GAP) - GAP)
    room = width - 2 * MARGIN
    values = [one for grid in grids for one in grid.values]
    canvas = Canvas(figure=new_figure(width, 1), norm=make_norm(values))
    top = canvas.add_text((MARGIN, MARGIN, room), summarize_attention(networks, view), TITLE, weight="bold")
    top = draw_head(canvas, networks[0], intro_paragraphs(view, networks), (MARGIN, top + GAP, room))
    for grid in grids:
        if len(grids) > 1:
            name = f"{spaced_name(grid.attention)}, {grid.attention.weights}"
            top = canvas.add_text((MARGIN, top, room), name, TEXT, weight="bold") + PARAGRAPH
        top = draw_grid(canvas, grid, (MARGIN, top, cell)) + GAP
    top = draw_bar(canvas, values, (MARGIN + LABEL, top, room - LABEL)) + GAP
    caption = "\n".join(caption_paragraphs(view, networks))
    canvas.finish(canvas.add_text((MARGIN, top, room), caption, color=GREY) + MARGIN)
    return canvas.figure


def draw_head(canvas: Canvas, attention: Attention, paragraphs: Sequence[str], corner: Corner) -> float:
    """Draw the photograph with the query pixels, and paragraphs beside it. Return the lower end."""
    left, top, room = corner
    H, W = attention.img_size
    width, height = PHOTO * min(1.0, W / H), PHOTO * min(1.0, H / W)
    axes = canvas.add_axes((left, top, width), height, "photo")
    axes.imshow(attention.photo.pixels, extent=(0, W, H, 0), interpolation="antialiased")
    ring_points(axes, [query.input for query in attention.queries])
    axes.set(xlim=(0, W), ylim=(H, 0))
    below = top
    for text in paragraphs:
        below = canvas.add_text((left + LABEL, below, room - LABEL), text, TEXT) + PARAGRAPH
    return max(top + height, below) + 2 * GAP


def draw_grid(canvas: Canvas, grid: MapGrid, corner: Corner) -> float:
    """Draw the grid of one network; the width of the corner is that of a cell. Return the lower end."""
    left, top, width = corner
    edges = find_edges(grid.attention.photo.pixels)
    steps = [left + LABEL + i * (width + GAP) for i in range(len(grid.columns))]
    heads = zip(steps, grid.heads, strict=True)
    top = max(draw_label(canvas, head, (at, top, width)) for at, head in heads) + 0.06
    for label in grid.columns[0]:
        ends = [draw_label(canvas, label, (left, top, LABEL - GAP))]
        for at, column in zip(steps, grid.columns, strict=True):
            ends.append(draw_cell(canvas, grid, column[label], (at, top, width), edges))
        top = max(ends) + GAP
    return top


def draw_label(canvas: Canvas, text: str, corner: Corner) -> float:
    """Write a bold line with smaller grey lines below it. Return the lower end."""
    left, _, width = corner
    first, _, rest = text.partition("\n")
    below = canvas.add_text(corner, first, TEXT, weight="bold")
    return canvas.add_text((left, below, width), rest, color=GREY) if rest else below


def draw_cell(
    canvas: Canvas, grid: MapGrid, panels: Sequence[MapPanel], corner: Corner, edges: "ndarray"
) -> float:
    """Draw one panel, or the panels of several heads in rows. Return the lower end."""
    left, top, width = corner
    across = next(n for n in range(1, 100) if n * n >= len(panels))
    each = (width + 0.03) / across
    inner = each - 0.03
    for i, panel in enumerate(panels):
        y, x = divmod(i, across)
        place = left + x * each, top + y * each * grid.aspect, inner
        if panel.kind == "note":
            return canvas.add_text(place, panel.title, color=GREY)
        axes = canvas.add_axes(place, inner * grid.aspect, panel.name)
        axes.spines[:].set(linewidth=0.4, color=GREY)
        draw_panel(canvas, axes, panel, inner)
        H, W = grid.attention.img_size
        if panel.kind == "map":
            axes.imshow(edges, extent=(0, W, H, 0), interpolation="antialiased")
        if panel.kind in ("map", "windows"):
            axes.set(xlim=(0, W), ylim=(H, 0))  # a map may extend beyond the input
        ring_points(axes, panel.points)
    return top + -(-len(panels) // across) * each * grid.aspect


def draw_panel(canvas: Canvas, axes: "Axes", panel: MapPanel, width: float) -> None:
    """Draw the values of one panel, the lines between windows, and the title. The width is in inches."""
    if panel.kind == "scores":  # a square for each score, of the size of a pixel pair or larger
        left, right, bottom, top = panel.extent
        side = max(SMALLEST_POINT, OVERLAP * width * POINTS / (right - left))
        y, x = panel.values.T
        axes.scatter(x, y, s=side**2, marker="s", color="#000000", linewidths=0)
        axes.set(xlim=(left, right), ylim=(bottom, top))
    elif panel.kind == "windows":
        axes.imshow(panel.values, extent=panel.extent, interpolation="nearest")
    else:
        cmap = pick_colours()
        axes.imshow(panel.values, cmap, canvas.norm, extent=panel.extent, interpolation="nearest")
    strength = 0.8 if panel.kind == "windows" else 0.4
    for draw, places in zip((axes.axvline, axes.axhline), panel.lines, strict=True):
        for at in places:
            draw(at, color=LINES, linewidth=strength / 2, alpha=strength)
    if panel.title:
        box = {"facecolor": "#000000", "alpha": 0.6, "linewidth": 0, "pad": 1.5}
        style: dict[str, Any] = {"va": "top", "size": 6.5, "color": "#ffffff", "bbox": box}
        axes.text(0.03, 0.97, panel.title, transform=axes.transAxes, **style)


def ring_points(axes: "Axes", points: Sequence[tuple[float, float]]) -> None:
    """Draw a ring around each point that is visible on dark and on light colours."""
    for x, y in points:
        axes.plot(x, y, "o", markersize=7, markerfacecolor="none", markeredgecolor=HALO, markeredgewidth=2.2)
        axes.plot(x, y, "o", markersize=7, markerfacecolor="none", markeredgecolor=RING, markeredgewidth=1.1)


def find_edges(pixels: "ndarray") -> "ndarray":
    """Return the edges of an image as grey lines on transparency, (H, W, 4)."""
    import numpy as np

    grey = pixels.astype(np.float32).mean(2)
    smooth = (grey + np.roll(grey, 1, 0) + np.roll(grey, 1, 1) + np.roll(grey, (1, 1), (0, 1))) / 4
    down, across = np.gradient(smooth) if min(grey.shape) > 1 else (grey * 0, grey * 0)
    strength = np.hypot(down, across)
    strength[[0, -1], :] = strength[:, [0, -1]] = 0  # rolled over
    strong = np.percentile(strength, STRONG_EDGES)
    edges = np.full((*grey.shape, 4), EDGES, np.float32)
    edges[..., 3] = np.clip(strength / strong - 0.35, 0, 1) * EDGE_ALPHA if strong > 0 else 0
    return edges


def pick_colours() -> Any:
    """Return the colour map; on its logarithmic scale, zero has the lowest colour too."""
    from matplotlib.colors import LinearSegmentedColormap

    cmap = LinearSegmentedColormap.from_list("attention", COLOURS, N=257)  # odd: with a middle
    return cmap.with_extremes(bad=cmap(0.0))


def make_norm(values: "Sequence[ndarray]") -> "LogNorm":
    """Return the logarithmic scale of all maps: 1/k to k times uniform, with k a power of two."""
    import numpy as np
    from matplotlib.colors import LogNorm

    high = max((float(np.percentile(one, ROBUST)) for one in values), default=1.0)
    k = NARROWEST_SCALE
    while k < high:
        k *= 2
    return LogNorm(1 / k, k)


def draw_bar(canvas: Canvas, values: "Sequence[ndarray]", corner: Corner) -> float:
    """Draw the colour bar, with the range of the values beside it. Return the lower end."""
    from matplotlib.cm import ScalarMappable

    left, top, room = corner
    axes = canvas.add_axes((left, top, BAR_WIDTH), BAR_HEIGHT, "bar")
    mappable = ScalarMappable(norm=canvas.norm, cmap=pick_colours())
    bar = canvas.figure.colorbar(mappable, cax=axes, orientation="horizontal", extend="both")
    bar.ax.tick_params(labelsize=SMALL, length=2)
    bar.minorticks_off()
    powers = pick_powers(canvas.norm)
    bar.set_ticks([2.0**p for p in powers], labels=[f"1/{2**-p:,}" if p < 0 else f"{2**p:,}" for p in powers])
    bar.set_label("x uniform (logarithmic scale)", size=SMALL)
    bar.outline.set_linewidth(0.4)
    low, high = min(float(one.min()) for one in values), max(float(one.max()) for one in values)
    text = f"All maps share this scale; 1 is uniform. Values: {digits(low, 2)} to {digits(high)}."
    canvas.add_text((left + BAR_WIDTH + 2 * GAP, top - 0.02, room - BAR_WIDTH - 2 * GAP), text, color=GREY)
    return top + BAR_HEIGHT + 0.45


def pick_powers(norm: "LogNorm") -> range:
    """Return the exponents of the powers of two that get a tick, in ascending order."""
    most = round(norm.vmax or 1).bit_length() - 1
    step = -(-most * 2 // (MOST_TICKS - 1))
    return range(-(most // step) * step, most + 1, step)
