"""The learning curve of a training run: losses on the left, validation accuracy on the right."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from saevit.report.figure import add_title, new_figure, own_settings, scale_axis, style_axes
from saevit.train.state import Epoch, best_epoch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAIN, VALIDATION, RATE = "#E69F00", "#0072B2", "#999999"  # Okabe and Ito's palette
MARGINS = (0.05, 0.05)
MANY = 40  # epochs of a line that still has markers
BEST: dict[str, Any] = {"marker": "*", "markersize": 13, "color": "#D55E00", "zorder": 4}
EDGE: dict[str, Any] = {"markeredgecolor": "#000000", "markeredgewidth": 0.6, "linestyle": "none"}
CLOSE: dict[str, Any] = {"borderaxespad": 0.2, "borderpad": 0, "handlelength": 1.4, "columnspacing": 1.0}


@own_settings()
def draw_learning_curve(rows: Sequence[Epoch], caption: str) -> "Figure":
    """Draw losses and validation accuracy over one or more finished epochs."""
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(10, 4.2, "constrained")
    losses, accuracy = figure.subplots(1, 2)
    draw_losses(losses, rows)
    draw_accuracy(accuracy, rows)
    for axes in (losses, accuracy):
        axes.set_xlabel("epoch", size=9)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(rows) == 1:
            axes.set_xlim(rows[0].epoch - 0.5, rows[0].epoch + 0.5)
        style_axes(axes)
    add_title(figure, [caption], 10)
    return figure


def draw_losses(axes: "Axes", rows: Sequence[Epoch]) -> None:
    """Draw both losses, and the learning rate as a thin grey line without ticks."""
    training = [(row.epoch, row.train_loss) for row in rows]
    validation = [(row.epoch, row.val_loss) for row in rows if row.val_loss is not None]
    draw_line(axes, training, TRAIN, "training (augmented)", markers=len(rows) <= MANY)
    draw_line(axes, validation, VALIDATION, "validation", markers=len(rows) <= MANY)
    values = [y for _, y in (*training, *validation) if 0 <= y < math.inf]
    positive = [y for y in values if y > 0]
    log = bool(positive) and max(positive) / min(positive) > 20
    if values:
        scale_axis(axes.yaxis, positive if log else values, MARGINS, log=log)
    rate = axes.twinx()
    epochs, rates = [row.epoch for row in rows], [row.lr for row in rows]
    rate.plot(epochs, rates, color=RATE, linewidth=0.9, linestyle=":")
    rate.set(ylim=(0, None), yticks=[])
    rate.spines[["top", "right"]].set_visible(False)
    axes.plot([], [], color=RATE, linewidth=0.9, linestyle=":", label=f"learning rate to {max(rates):.2g}")
    finish_axes(axes, "loss (nats)")


def draw_accuracy(axes: "Axes", rows: Sequence[Epoch]) -> None:
    """Draw top-1 in per cent, and the best epoch with its value."""
    best = best_epoch(rows)
    if best is None or best.val_top1 is None:
        return
    seen = [(row.epoch, row.val_top1) for row in rows if row.val_top1 is not None]
    draw_line(axes, seen, VALIDATION, f"top-1, {best.val_images:,} images", markers=len(rows) <= MANY)
    label = f"best, {best.val_top1:.2f} % in epoch {best.epoch}"
    axes.plot(best.epoch, best.val_top1, **BEST, **EDGE, label=label)
    scale_axis(axes.yaxis, [y for _, y in seen], MARGINS, log=False)
    finish_axes(axes, "top-1 (%)")


def draw_line(
    axes: "Axes", points: Sequence[tuple[int, float]], colour: str, label: str, *, markers: bool
) -> None:
    """Draw a line over epochs, if it has points."""
    if points:
        (line,) = axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.5, label=label)
        line.set(marker="o" if markers else "", markersize=3.5)


def finish_axes(axes: "Axes", label: str) -> None:
    """Name the y axis, and put the legend above the lines."""
    axes.set_ylabel(label, size=9)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=8, **CLOSE)
