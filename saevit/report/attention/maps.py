"""One map on its axes: values in colours, the image's edges, queries, windows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from saevit.report.attention.sheet import SCALES, Panel, Sheet
from saevit.report.figure import DPI, POINTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from numpy import ndarray

GREY, LINES = "#444444", "#56B4E9"
RING, HALO = "#00A0FF", "#ffffff"
SMALLEST_POINT = 1.3  # points
STRONG_EDGES, EDGE_ALPHA = 97, 0.45  # percentile, opacity


def draw_panel(
    axes: "Axes", sheet: Sheet, panel: Panel, norms: "dict[str, Normalize]", edges: "ndarray"
) -> None:
    """Draw one map."""
    axes.spines[:].set(linewidth=0.4, color=GREY)
    if panel.scale is None:
        draw_points(axes, panel)
    else:
        norm, cmap = norms[panel.scale], colours(SCALES[panel.scale].cmap)
        axes.imshow(panel.values, cmap=cmap, norm=norm, extent=panel.extent, interpolation="nearest")
    if panel.is_matrix:
        for at in panel.lines:
            axes.axhline(at, color=LINES, linewidth=0.3, alpha=0.6)
            axes.axvline(at, color=LINES, linewidth=0.3, alpha=0.6)
    else:
        height, width = sheet.attention.img_size
        axes.imshow(edges, extent=(0, width, height, 0), interpolation="antialiased")
        axes.set(xlim=(0, width), ylim=(height, 0))  # a map may stand over the image's edge
    mark(axes, panel.points)
    if panel.title:
        box = {"facecolor": "#000000", "alpha": 0.5, "linewidth": 0, "pad": 1.0}
        axes.text(
            0.04, 0.95, panel.title, transform=axes.transAxes, va="top", size=6, color="#ffffff", bbox=box
        )


def colours(name: str) -> "Colormap":
    """Return a colour map in which nothing at all is the least, on logarithmic scales too."""
    import matplotlib

    cmap = matplotlib.colormaps[name]
    return cmap.with_extremes(bad=cmap(0.0))


def draw_points(axes: "Axes", panel: Panel) -> None:
    """Draw a square for each score: as large as a pixel pair, or as can be seen."""
    left, right, bottom, top = panel.extent
    side = max(SMALLEST_POINT, axes.get_window_extent().width / DPI * POINTS / (right - left))
    axes.scatter(panel.values[:, 1], panel.values[:, 0], s=side**2, marker="s", color="#000000", linewidths=0)
    axes.set(xlim=(left, right), ylim=(bottom, top))


def mark(axes: "Axes", points: Sequence[tuple[float, float]]) -> None:
    """Mark queries: a ring that is seen on dark and on light."""
    for x, y in points:
        axes.plot(x, y, "o", markersize=7, markerfacecolor="none", markeredgecolor=HALO, markeredgewidth=2.2)
        axes.plot(x, y, "o", markersize=7, markerfacecolor="none", markeredgecolor=RING, markeredgewidth=1.1)


def edges_of(pixels: "ndarray") -> "ndarray":
    """Return the image's edges as white lines on nothing, (H, W, 4): maps keep their colours between them."""
    import numpy as np

    grey = pixels.astype(np.float32).mean(2)
    smooth = (grey + np.roll(grey, 1, 0) + np.roll(grey, 1, 1) + np.roll(grey, (1, 1), (0, 1))) / 4
    down, across = np.gradient(smooth) if min(grey.shape) > 1 else (grey * 0, grey * 0)
    strength = np.hypot(down, across)
    strength[[0, -1], :] = strength[:, [0, -1]] = 0  # rolled over
    strong = np.percentile(strength, STRONG_EDGES)
    shown = np.ones((*grey.shape, 4), np.float32)
    shown[..., 3] = np.clip(strength / strong - 0.35, 0, 1) * EDGE_ALPHA if strong > 0 else 0
    return shown
