"""Comparisons and learning curves of any size of figures: shown everywhere, drawn or refused in one line."""

import contextlib
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from saevit.comparing.comparison import Accuracy, Candidate, Comparison
from saevit.errors import OptionError
from saevit.report.columns import View
from saevit.report.figure import save_figure, scale_axis
from saevit.report.html.page import report_html
from saevit.report.metrics import COSTS, METRICS
from saevit.report.scatter.points import choose_axes
from saevit.report.scatter.scatter_plot import scatter_figure
from saevit.report.views.compare import tabulate_comparison, write_comparison_csv, write_comparison_json
from saevit.report.views.training import draw_learning_curve
from saevit.runs.run import Subject
from saevit.train.state import Epoch
from tests.report.conftest import CONDITIONS, ENVIRONMENT
from tests.report.scatter.test_scatter_plot import compared

SECONDS = (1e-12, 1e-9, 1e-3, 1.0, 1e3, 1e12)
COUNTS = (None, 0, 1, 1_000, 10**9, 2**62)
LOSSES = (0.0, 1e-300, 1e-9, 2.3, 1e9, 1e300, math.nan, math.inf)


def accuracy(chance: random.Random) -> Accuracy:
    return Accuracy(
        top1=chance.choice((0.0, 1e-9, 50.0, 99.99, 100.0)),
        img_size=chance.choice((64, None, 2**31)),
        mark="published",
        source="a table",
        plain=chance.random() < 0.7,
        interval=chance.choice((None, (0.0, 100.0))),
        images=chance.choice((None, 1, 2**40)),
    )


def candidate(chance: random.Random, number: int) -> Candidate:
    samples = tuple(chance.choice(SECONDS) * chance.uniform(0.5, 2) for _ in range(6))
    conditions = replace(CONDITIONS, batch_size=chance.choice((1, 8, 2**31)))
    is_ours = chance.random() < 0.3
    return Candidate(
        model=f"{'saevit_pico:width=' if is_ours else 'timm:m'}{number}",
        family="SAEViT" if is_ours else chance.choice((None, "Family")),
        params=chance.choice(COUNTS),
        macs=chance.choice(COUNTS),
        peak_bytes=chance.choice(COUNTS),
        subject=Subject(label=str(number), name=str(number), conditions=conditions, samples=samples)
        if chance.random() < 0.8
        else None,
        accuracy=None if is_ours or chance.random() < 0.4 else accuracy(chance),
    )


def comparison(chance: random.Random) -> Comparison:
    found = compared(*(candidate(chance, i) for i in range(chance.choice((1, 2, 3, 8, 20)))))
    return replace(found, top1_on=chance.choice((None, "digits (validation)")))


def show_and_draw(chance: random.Random, target: Path) -> None:
    found, names = comparison(chance), [*METRICS, None, None]
    table = tabulate_comparison(found, chance.choice(names))
    assert all(len(cell) < 60 for row in table.rows for cell in row)
    assert write_comparison_csv(found)
    assert "NaN" not in write_comparison_json(found)
    assert report_html(View(tables=(table,)), "saevit", ENVIRONMENT, run=found.run)
    xs = chance.sample(COSTS, chance.choice((1, 1, 2, 3)))
    with contextlib.suppress(OptionError):
        chosen, y, _ = choose_axes(found, xs, chance.choice(names), is_asked=chance.random() < 0.5)
        save_figure(scatter_figure(found, chosen, y), target)


@pytest.mark.parametrize("seed", range(3))
def test_comparisons_of_any_figures(seed: int, tmp_path: Path) -> None:
    show_and_draw(random.Random(seed), tmp_path / "a.png")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 200))
def test_many_comparisons_of_any_figures(seed: int, tmp_path: Path) -> None:
    show_and_draw(random.Random(seed), tmp_path / "a.png")


@pytest.mark.parametrize("seed", range(8))
def test_learning_curves_of_any_losses(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    rows: list[Any] = [
        Epoch(
            epoch=i + 1,
            lr=chance.choice((0.0, 1e-300, 0.1, 1e300)),
            train_loss=chance.choice(LOSSES),
            val_loss=chance.choice((None, *LOSSES)),
            val_top1=chance.choice((None, 0.0, 99.99, 100.0)),
            val_top5=None,
            val_images=5,
            seconds=1.0,
            images_per_s=1.0,
            skipped=0,
        )
        for i in range(chance.choice((1, 2, 50)))
    ]
    save_figure(draw_learning_curve(rows, "a run"), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


@settings(max_examples=60)
@given(low=st.floats(1e-12, 1e12), factor=st.floats(1, 2) | st.floats(1, 1e12))
def test_ticks_are_short_and_tell_values_apart(low: float, factor: float) -> None:
    axes = Figure().add_subplot()
    values = [low, low * factor]
    ends = scale_axis(axes.xaxis, values, (0.1, 0.1))
    ticks = [tick for tick in axes.get_xticks() if ends[0] <= tick <= ends[1]]
    texts = [axes.xaxis.get_major_formatter()(tick) for tick in ticks]
    assert len(texts) >= 1
    assert len(set(texts)) == len(texts)
    assert all(len(text) <= 12 for text in texts)
