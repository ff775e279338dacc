"""The scatter plot of a comparison: accuracy against costs, or costs against measured time, side by side."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from saevit.compare.comparison import Comparison
from saevit.report.agreement import Disagreement, describe_agreement, find_disagreements
from saevit.report.figure import DPI, own_settings
from saevit.report.scatter.captions import capitalize, describe_disagreements, write_caption, write_title
from saevit.report.scatter.layout import arrange_figure, figure_width
from saevit.report.scatter.panel import DISAGREEMENT, FRONT, draw_panel, label_panel, scale_y, size_strip
from saevit.report.scatter.points import (
    COST_LEGEND,
    LEGEND,
    MEASURED_LEGEND,
    ON_FRONT,
    STYLES,
    ScatterPanel,
    list_panels,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

HEIGHT, HIGH = 3.5, 5.0  # of a panel, inches; high if there are many models
MANY = 30
MOST_PAIRS = 2  # that disagree and are pointed out


@own_settings()
def scatter_figure(comparison: Comparison, xs: Sequence[str], y: str = "top1") -> "Figure":
    """Draw one panel for each metric of `xs`, side by side, with a common y axis.

    With y = top1, the figure shows accuracies, published or measured here, and their Pareto front. Claims and
    other recipes have other markers; SAEViT variants without accuracy are in a strip below the axis. With a
    cost as y, the figure shows whether models that are better by x are better by y, and which disagree most.

    Args:
        comparison: the models.
        xs: names of METRICS, without top1.
        y: another one.

    Raises:
        OptionError: no metric, an unknown one, one on two axes, or one without a value.
    """
    from matplotlib.figure import Figure

    panels = list_panels(comparison, xs, y)
    costs = [panel for panel in panels if y != "top1"]
    pairs = [find_disagreements(panel.models, panel.x, y) for panel in costs]
    examples = [choose_examples(those) for those in pairs] or [[] for _ in panels]
    height = HIGH if max(len(panel.points) for panel in panels) > MANY else HEIGHT
    strip = size_strip(panels, height)
    figure = Figure(figsize=(figure_width(len(panels)), height), dpi=DPI)
    figure.subplots(1, len(panels), sharey=True)
    lines = [draw_panel(*each, strip) for each in zip(figure.axes, panels, examples, strict=True)]
    scale_y(figure.axes[0], panels, strip)
    arrange_figure(
        figure,
        title="" if costs else write_title(panels),
        titles=[capitalize(describe_agreement(panel.models, panel.x, y)) for panel in costs],
        captions=[
            *map(describe_disagreements, costs, pairs, examples),
            write_caption(comparison, panels),
        ],
        handles=legend_handles(panels, has_pairs=any(examples), is_measured=comparison.top1_on is not None),
        height=height,
    )
    for axes, panel, covered, chosen in zip(figure.axes, panels, lines, examples, strict=True):
        low, high = axes.get_ylim()
        axes.spines["left"].set_bounds(low + strip.top * (high - low), high)
        label_panel(axes, panel, strip, covered, chosen)
    return figure


def choose_examples(pairs: Sequence[Disagreement]) -> list[Disagreement]:
    """Return the pairs to point out: beyond noise, and each model in one of them at most."""
    chosen: list[Disagreement] = []
    models: set[str] = set()
    for pair in pairs:
        names = {pair.better.model, pair.worse.model}
        if len(chosen) < MOST_PAIRS and pair.is_resolved and models.isdisjoint(names):
            chosen.append(pair)
            models |= names
    return chosen


def legend_handles(panels: Sequence[ScatterPanel], *, has_pairs: bool, is_measured: bool) -> list["Line2D"]:
    """Return a legend entry for each kind that is drawn."""
    from matplotlib.lines import Line2D

    texts = COST_LEGEND if panels[0].y != "top1" else MEASURED_LEGEND if is_measured else LEGEND
    kinds = {point.kind for panel in panels for point in panel.points}
    handles = []
    for kind, style in STYLES.items():
        if kind not in kinds:
            continue
        handle = Line2D([], [], marker=style.marker, linestyle="none", label=texts[kind])
        handle.set(markersize=style.size, markerfacecolor=style.face)
        handle.set(markeredgecolor=style.edge, markeredgewidth=style.edge_width)
        if kind in ON_FRONT:
            handle.set(**FRONT, linestyle="-")
        handles.append(handle)
    if has_pairs:
        handles.append(Line2D([], [], label="axes disagree most on these pairs", **DISAGREEMENT))
    return handles
