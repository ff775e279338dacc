"""A training run as tables of accuracies, and as a learning curve with losses and validation accuracy."""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from saevit.files import name_source
from saevit.report.columns import NONE, Column, Table, View, make_table, text_column, write_json
from saevit.report.figure import add_message, new_figure, own_settings, scale_axis, style_axes
from saevit.report.run_messages import count_hits, summarize_training
from saevit.report.units import fixed, write_share_interval
from saevit.train.state import Epoch, TrainingState, best_epoch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAIN, VALIDATION, RAW, RATE = "#E69F00", "#0072B2", "#56B4E9", "#707070"  # Okabe and Ito's palette
RATE_LINE: dict[str, Any] = {"color": RATE, "linewidth": 0.9, "linestyle": ":"}
CHANCE_LINE: dict[str, Any] = {"color": RATE, "linewidth": 0.9, "linestyle": "--"}
OF_AVERAGE, OF_RAW = " (EMA weights)", " (raw weights)"
MARGINS = (0.05, 0.05)
MANY = 40  # a line over more epochs has no markers
BEST: dict[str, Any] = {"marker": "*", "markersize": 13, "color": "#D55E00", "zorder": 4}
EDGE: dict[str, Any] = {"markeredgecolor": "#000000", "markeredgewidth": 0.6, "linestyle": "none"}
CLOSE: dict[str, Any] = {"borderaxespad": 0.2, "borderpad": 0, "handlelength": 1.4, "columnspacing": 1.0}


RECIPE_COLUMNS: tuple[Column[tuple[str, str, str]], ...] = (
    text_column("key", "key", lambda row: row[0]),
    text_column("value", "value", lambda row: row[1]),
    text_column("source", "source", lambda row: row[2], wraps=True),
)
EPOCHS: tuple[Column[tuple[str, Epoch]], ...] = (
    Column("", lambda row: row[0]),
    Column("epoch", lambda row: str(row[1].epoch), "right"),
    Column("weights", lambda row: row[1].val_weights or None),
    Column("top-1", lambda row: write_percent(row[1].val_top1), "right", unit="%"),
    Column("95 % interval", lambda row: describe_interval(*row)),
    Column("top-5", lambda row: write_percent(row[1].val_top5), "right", unit="%"),
    Column("val loss", lambda row: write_loss(row[1].val_loss), "right"),
    Column("loss", lambda row: write_loss(row[1].train_loss), "right"),
    Column("raw top-1", lambda row: write_percent(row[1].raw_top1), "right", unit="%"),
    Column("raw top-5", lambda row: write_percent(row[1].raw_top5), "right", unit="%"),
    Column("raw val loss", lambda row: write_loss(row[1].raw_loss), "right"),
)


def view_training(state: TrainingState) -> View:
    """Return the view of a run with the accuracies of its last and its best epoch."""
    table = tabulate_epochs(state)
    notes = []
    if len(table.rows) > 1:
        notes.append("The best epoch is chosen on the validation set: report the top-1 of the last epoch.")
    if state.recipe.model_ema_decay and table.rows:
        notes.append(
            "The moving average of the weights (EMA) chooses the best epoch and is in best.safetensors; "
            "the accuracies of the raw weights are not used."
        )
    return View(result=summarize_training(state), tables=(table,) if table.rows else (), notes=tuple(notes))


def view_training_page(state: TrainingState, recipe: Table) -> View:
    """Return the view for the page of a run, which also has all epochs and the recipe."""
    view = view_training(state)
    columns: list[Column[Epoch]] = [
        *(c.via(lambda epoch: ("", epoch)) for c in EPOCHS if c.side == "right" or c.head == "weights"),
        Column("learning rate", lambda epoch: f"{epoch.lr:.2e}", "right"),
        Column("images/s", lambda epoch: f"{epoch.images_per_s:,.0f}", "right"),
    ]
    epochs = make_table("Every epoch", columns, state.rows).without_empty_columns()
    return replace(view, tables=(*view.tables, epochs, recipe))


def write_training_json(state: TrainingState) -> str:
    """Return settings and epochs of a run as JSON; `write_log` returns the epochs as CSV."""
    best = best_epoch(state.rows)
    return write_json(
        {
            "run": asdict(state.run),
            "recipe": asdict(state.recipe),
            "is_finished": state.is_finished,
            "best_epoch": best and best.epoch,
            "epochs": [asdict(row) for row in state.rows],
        }
    )


def tabulate_epochs(state: TrainingState) -> Table:
    """Return the table of the last validated epoch and, if it is another one, of the best epoch."""
    last = next((row for row in reversed(state.rows) if row.val_top1 is not None), None)
    best = best_epoch(state.rows)
    rows = [("last", last)] if last else []
    rows += [("best", best)] if best and best is not last else []
    seconds = sum(row.seconds for row in state.rows)
    table = make_table(
        f"Validation accuracy of {state.run.model} on {name_source(state.run.data)}",
        EPOCHS,
        rows,
        [f"the epochs took {seconds:.1f} s; log.csv has every epoch, with learning rate and images/s"],
    )
    return table.without_empty_columns() if rows else table


def write_percent(value: float | None) -> str | None:
    """Write an accuracy in per cent with two decimals."""
    return None if value is None else f"{value:.2f}"


def write_loss(value: float | None) -> str | None:
    """Write a loss with four decimals."""
    return None if value is None else fixed(value, 4)


def describe_interval(name: str, row: Epoch) -> str:
    """Write Wilson's interval of a top-1; the best epoch has none, because it is selected by its top-1."""
    if name == "best":
        return NONE
    return write_share_interval(count_hits(row), 2)


def draw_training(state: TrainingState, caption: str) -> "Figure":
    """Draw the learning curve of a run with its message as title."""
    is_average = bool(state.recipe.model_ema_decay)
    title = summarize_training(state)
    return draw_learning_curve(state.rows, title, caption, is_average=is_average, classes=state.classes)


@own_settings()
def draw_learning_curve(
    rows: Sequence[Epoch], title: str, caption: str = "", *, is_average: bool = False, classes: int = 0
) -> "Figure":
    """Draw losses and validation accuracy over one or more finished epochs.

    Args:
        rows: the epochs.
        title: the title of the figure.
        caption: the text below the panels.
        is_average: whether the EMA weights were validated.
        classes: number of classes, for the line of chance; 0 draws no line.
    """
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(10, 4.2, "constrained")
    losses, accuracy = figure.subplots(1, 2)
    draw_losses(losses, rows, OF_AVERAGE if is_average else "")
    draw_accuracy(accuracy, rows, OF_AVERAGE if is_average else "", classes)
    for axes in (losses, accuracy):
        axes.set_xlabel("epoch", size=9)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(rows) == 1:
            axes.set_xlim(rows[0].epoch - 0.5, rows[0].epoch + 0.5)
        style_axes(axes)
    add_message(figure, title, [caption])
    return figure


def draw_losses(axes: "Axes", rows: Sequence[Epoch], of: str) -> None:
    """Draw the losses, and the learning rate on a second axis; see `draw_accuracy` for `of`."""
    training = [(row.epoch, row.train_loss) for row in rows]
    validation = [(row.epoch, row.val_loss) for row in rows if row.val_loss is not None]
    raw = [(row.epoch, row.raw_loss) for row in rows if row.raw_loss is not None]
    draw_line(axes, training, TRAIN, "training (augmented)", markers=len(rows) <= MANY)
    draw_line(axes, raw, RAW, f"validation{OF_RAW}", markers=len(rows) <= MANY)
    draw_line(axes, validation, VALIDATION, f"validation{of}", markers=len(rows) <= MANY)
    values = [y for _, y in (*training, *validation, *raw) if 0 <= y < math.inf]
    positive = [y for y in values if y > 0]
    log = bool(positive) and max(positive) / min(positive) > 20
    if values:
        scale_axis(axes.yaxis, positive if log else values, MARGINS, log=log)
    draw_rate(axes, rows)
    finish_axes(axes, "loss (nats)")


def draw_rate(axes: "Axes", rows: Sequence[Epoch]) -> None:
    """Draw the learning rate in grey with an axis on the right."""
    from matplotlib.ticker import MaxNLocator

    rate = axes.twinx()
    rate.plot([row.epoch for row in rows], [row.lr for row in rows], **RATE_LINE)
    rate.set_ylim(0, None)
    rate.yaxis.set_major_locator(MaxNLocator(3))
    rate.tick_params(labelsize=8, color=RATE, labelcolor=RATE)
    rate.set_ylabel("learning rate", size=9, color=RATE)
    rate.spines["top"].set_visible(False)
    axes.plot([], [], **RATE_LINE, label="learning rate (right)")


def draw_accuracy(axes: "Axes", rows: Sequence[Epoch], of: str, classes: int) -> None:
    """Draw validation top-1 in per cent, the best epoch, and the accuracy of chance.

    `of` is the label of the validated weights. With EMA, raw weights have a second line.
    """
    best = best_epoch(rows)
    if best is None or best.val_top1 is None:
        return
    seen = [(row.epoch, row.val_top1) for row in rows if row.val_top1 is not None]
    raw = [(row.epoch, row.raw_top1) for row in rows if row.raw_top1 is not None]
    draw_line(axes, raw, RAW, f"top-1{OF_RAW}", markers=len(rows) <= MANY)
    draw_line(axes, seen, VALIDATION, f"top-1, {best.val_images:,} images{of}", markers=len(rows) <= MANY)
    label = f"best, {best.val_top1:.2f} % in epoch {best.epoch}"
    axes.plot(best.epoch, best.val_top1, **BEST, **EDGE, label=label)
    chance = [100 / classes] if classes else []
    for share in chance:
        axes.axhline(share, **CHANCE_LINE, label=f"chance, {share:.3g} %")
    scale_axis(axes.yaxis, [*(y for _, y in (*seen, *raw)), *chance], MARGINS, log=False)
    finish_axes(axes, "top-1 (%)")


def draw_line(
    axes: "Axes", points: Sequence[tuple[int, float]], colour: str, label: str, *, markers: bool
) -> None:
    """Draw a line over epochs, unless it has no points."""
    if points:
        (line,) = axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.5, label=label)
        line.set(marker="o" if markers else "", markersize=3.5)


def finish_axes(axes: "Axes", label: str) -> None:
    """Set the label of the y axis, and draw the legend above the panel."""
    axes.set_ylabel(label, size=9)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=8, **CLOSE)
