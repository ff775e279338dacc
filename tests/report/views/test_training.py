"""The learning curve shows the rows, and marks the best."""

from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from saevit.report.views.training import draw_learning_curve, view_training, view_training_page
from saevit.train.image_data import DataIdentity
from saevit.train.recipe import Recipe
from saevit.train.state import Epoch, TrainingRun, TrainingState


def row(epoch: int, loss: float, top1: float | None) -> Epoch:
    """An epoch with this training loss and accuracy."""
    return Epoch(
        epoch=epoch,
        lr=0.001 * epoch,
        train_loss=loss,
        val_loss=None if top1 is None else loss / 2,
        val_top1=top1,
        val_top5=None if top1 is None else 100.0,
        val_images=None if top1 is None else 15,
        seconds=1.0,
        images_per_s=10.0,
        skipped=0,
    )


ROWS = (row(1, 2.0, 40.0), row(2, 1.0, None), row(3, 0.5, 90.0), row(4, 0.4, 80.0))


def lines(figure: Figure) -> dict[str, list[tuple[float, float]]]:
    """Return what is drawn, by its label."""
    return {
        str(line.get_label()): [(float(x), float(y)) for x, y in zip(*line.get_data(), strict=True)]
        for axes in figure.axes
        for line in axes.lines
        if not str(line.get_label()).startswith("_")
    }


def test_what_is_drawn() -> None:
    found = lines(draw_learning_curve(ROWS, "a run"))
    assert found["training (augmented)"] == [(1, 2.0), (2, 1.0), (3, 0.5), (4, 0.4)]
    assert found["validation"] == [(1, 1.0), (3, 0.25), (4, 0.2)]
    assert found["top-1, 15 images"] == [(1, 40.0), (3, 90.0), (4, 80.0)]
    assert found["best, 90.00 % in epoch 3"] == [(3, 90.0)]
    assert "learning rate (right)" in found


def test_the_average_of_the_weights_is_named_in_both_panels() -> None:
    found = lines(draw_learning_curve(ROWS, "a run", is_average=True))
    assert {"validation (EMA weights)", "top-1, 15 images (EMA weights)"} <= found.keys()


def averaged(one: Epoch) -> Epoch:
    """Return the row of a run with a moving average, whose raw weights are ten points behind."""
    if one.val_top1 is None or one.val_loss is None:
        return one
    return replace(
        one, val_weights="EMA", raw_loss=one.val_loss + 1, raw_top1=one.val_top1 - 10, raw_top5=99.0
    )


def test_the_raw_weights_and_chance_have_lines_of_their_own() -> None:
    rows = [averaged(one) for one in ROWS]
    figure = draw_learning_curve(rows, "a run", is_average=True, classes=4)
    found = lines(figure)
    assert found["top-1 (raw weights)"] == [(1, 30.0), (3, 80.0), (4, 70.0)]
    assert found["validation (raw weights)"] == [(1, 2.0), (3, 1.25), (4, 1.2)]
    assert [y for _, y in found["chance, 25 %"]] == [25.0, 25.0]
    assert figure.axes[1].get_ylim()[0] <= 25
    assert found["best, 90.00 % in epoch 3"] == [(3, 90.0)]
    plain = lines(draw_learning_curve(ROWS, "a run"))
    assert not any("raw" in label or "chance" in label for label in plain)


def test_the_tables_name_the_weights_of_each_accuracy() -> None:
    data = DataIdentity(fingerprint="0", images=(("a", 3), ("b", 2)))
    state = TrainingState(
        run=TrainingRun(model="saevit_pico", data="digits"),
        recipe=Recipe(epochs=4),
        base="imagenet",
        processes=1,
        data=(data, data),
        rows=tuple(averaged(one) for one in ROWS),
    )
    view = view_training(state)
    (table,) = view.tables
    heads = [column.heading for column in table.columns]
    assert [row[:3] for row in table.rows] == [("last", "4", "EMA"), ("best", "3", "EMA")]
    assert table.rows[0][heads.index("raw top-1 (%)")] == "70.00"
    assert any("raw weights" in note for note in view.notes)
    (_, every, _) = view_training_page(state, table).tables
    assert every.rows[1][1] == "-"
    plain = replace(state, rows=ROWS, recipe=replace(state.recipe, model_ema_decay=0.0))
    (table,) = view_training(plain).tables
    assert not any(column.head == "raw top-1" for column in table.columns)
    assert not any("raw" in note for note in view_training(plain).notes)


@pytest.mark.parametrize("rows", [ROWS[:1], ROWS[1:2], ROWS], ids=["one", "not validated", "all"])
def test_any_number_of_rows_can_be_drawn(rows: tuple[Epoch, ...]) -> None:
    figure = draw_learning_curve(rows, "a run")
    figure.canvas.draw()
    assert figure.axes[0].get_xlim()[1] >= rows[-1].epoch


def test_losses_of_very_different_size_get_a_logarithmic_axis() -> None:
    assert draw_learning_curve(ROWS, "").axes[0].get_yscale() == "linear"
    assert draw_learning_curve((*ROWS, row(5, 0.01, 95.0)), "").axes[0].get_yscale() == "log"
