"""The learning curve shows the rows, and marks the best."""

import pytest
from matplotlib.figure import Figure

from saevit.report.views.training import draw_learning_curve
from saevit.train.state import Epoch


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


@pytest.mark.parametrize("rows", [ROWS[:1], ROWS[1:2], ROWS], ids=["one", "not validated", "all"])
def test_any_number_of_rows_can_be_drawn(rows: tuple[Epoch, ...]) -> None:
    figure = draw_learning_curve(rows, "a run")
    figure.canvas.draw()
    assert figure.axes[0].get_xlim()[1] >= rows[-1].epoch


def test_losses_of_very_different_size_get_a_logarithmic_axis() -> None:
    assert draw_learning_curve(ROWS, "").axes[0].get_yscale() == "linear"
    assert draw_learning_curve((*ROWS, row(5, 0.01, 95.0)), "").axes[0].get_yscale() == "log"
