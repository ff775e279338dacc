"""Draw the scatter plot of a comparison: accuracy against costs, or costs against measured times.

The layout follows from the measured sizes of legend and texts. Lengths are in inches, text sizes in points.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from saevit.comparing.comparison import Comparison
from saevit.report.figure import (
    GREY,
    LINE_HEIGHT,
    get_renderer,
    is_wide,
    new_figure,
    own_settings,
    text_height,
    wrap_text,
)
from saevit.report.messages import list_subjects, summarize_comparison
from saevit.report.metrics import LEAST, METRICS, Disagreement, describe_agreement, find_disagreements
from saevit.report.scatter.captions import describe_disagreements, write_caption
from saevit.report.scatter.panel import (
    DISAGREEMENT,
    FRONT,
    draw_panel,
    label_panel,
    list_ends,
    scale_y,
    size_strip,
)
from saevit.report.scatter.points import (
    COST_LEGEND,
    LEGEND,
    MEASURED_LEGEND,
    ON_FRONT,
    STYLES,
    ScatterPanel,
    list_panels,
)
from saevit.report.units import cut

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

HEIGHT, HIGH = 3.5, 5.0  # of a panel with up to MANY models, and with more
MANY = 30
LONGEST_KEY = 60  # characters of a model
MOST_PAIRS = 2  # highlighted pairs of models on which the axes disagree

MARGIN = 0.14
LEFT = 0.82  # of the first panel: ticks and label of the y axis
BETWEEN = 0.38
BELOW = 0.52  # of a panel: ticks and label of the x axis
NOTE = 0.18  # above a panel: the number of omitted labels
GAP = 0.1
PANEL_WIDTHS = {1: 6.4, 2: 4.8}  # by the number of panels
NARROWEST = 4.2
TITLE, HEADING, SMALL = 11.0, 10.0, 7.5
CLOSE: dict[str, Any] = {"borderaxespad": 0.0, "borderpad": 0.0, "columnspacing": 1.6, "handletextpad": 0.5}


@own_settings()
def scatter_figure(
    comparison: Comparison, xs: Sequence[str], y: str = "top1", panel_width: float | None = None
) -> "Figure":
    """Draw one panel for each metric in `xs`, side by side, with `y` as the common y axis.

    With y = top1, the figure shows accuracies and their Pareto front. Models that are not comparable have
    other markers, and SAEViT variants without accuracy are in a strip below the axis. With a cost as y, the
    figure shows how well the order by x agrees with the order by y, and the pairs that disagree the most.

    Args:
        comparison: the models.
        xs: metrics of the x axes.
        y: metric of the y axis.
        panel_width: width of a panel in inches; the default depends on the number of panels.
    """
    panels = list_panels(comparison, xs, y)
    costs = [panel for panel in panels if y != "top1"]
    is_timed = any(METRICS[name].is_timed for name in (*xs, y))
    pairs = [find_disagreements(panel.models, panel.x, y) for panel in costs]
    examples = [choose_examples(panel, those) for panel, those in zip(costs, pairs, strict=True)]
    examples = examples or [[] for _ in panels]
    height = HIGH if max(len(panel.points) for panel in panels) > MANY else HEIGHT
    strip = size_strip(panels, height)
    panel_width = panel_width or PANEL_WIDTHS.get(len(panels), NARROWEST)
    figure = new_figure(LEFT + len(panels) * (panel_width + BETWEEN) - BETWEEN + 2 * MARGIN, height)
    figure.subplots(1, len(panels), sharey=True)
    log = any(is_wide(list_ends(panel)) for panel in panels) and all(min(list_ends(p)) > 0 for p in panels)
    lines = [draw_panel(*each, strip, log=log) for each in zip(figure.axes, panels, examples, strict=True)]
    scale_y(figure.axes[0], panels, strip)
    size_panels(figure, height, above=GAP, below=GAP)
    numbers, subjects = [], list_subjects(comparison, with_times=is_timed)
    for axes, panel, covered, chosen in zip(figure.axes, panels, lines, examples, strict=True):
        low, high = axes.get_ylim()
        axes.spines["left"].set_bounds(low + strip.top * (high - low), high)
        tied = [c.model for pair in chosen for c in (pair.better, pair.worse)]
        numbers += label_panel(axes, panel, strip, covered, tied or subjects)
    titles = [describe_agreement(panel.models, panel.x, y) for panel in costs]
    captions = [*map(describe_disagreements, costs, pairs, examples), write_caption(comparison, panels)]
    arrange_figure(
        figure,
        title="" if any(titles) else summarize_comparison(comparison, with_times=is_timed).removesuffix("."),
        titles=titles if any(titles) else [],
        captions=[write_key(comparison, numbers), *captions],
        handles=legend_handles(panels, has_pairs=any(examples), is_measured=comparison.top1_on is not None),
        height=height,
    )
    return figure


def write_key(comparison: Comparison, texts: Sequence["Text"]) -> str:
    """Set the numbers of labels without room for a name, and return the key of the numbers."""
    models = {text.get_gid() for text in texts}
    numbered = [c.model for c in comparison.candidates if c.model in models]
    for text in texts:
        text.set_text(str(numbered.index(str(text.get_gid())) + 1))
    names = [f"{number} {cut(model, LONGEST_KEY)}" for number, model in enumerate(numbered, 1)]
    return f"Numbered points: {'; '.join(names)}." if names else ""


def choose_examples(panel: ScatterPanel, pairs: Sequence[Disagreement]) -> list[Disagreement]:
    """Return the pairs to highlight among many models: significant, and with different models."""
    chosen: list[Disagreement] = []
    models: set[str] = set()
    for pair in pairs:
        names = {pair.better.model, pair.worse.model}
        is_wanted = len(panel.models) >= LEAST and len(chosen) < MOST_PAIRS
        if is_wanted and pair.is_resolved and models.isdisjoint(names):
            chosen.append(pair)
            models |= names
    return chosen


def legend_handles(panels: Sequence[ScatterPanel], *, has_pairs: bool, is_measured: bool) -> list["Line2D"]:
    """Return a legend entry for each kind of point."""
    from matplotlib.lines import Line2D

    texts = COST_LEGEND if panels[0].y != "top1" else MEASURED_LEGEND if is_measured else LEGEND
    kinds = {point.kind for panel in panels for point in panel.points}
    handles = []
    for kind, style in ((kind, style) for kind, style in STYLES.items() if kind in kinds):
        line: dict[str, Any] = FRONT if kind in ON_FRONT else {"linestyle": "none"}
        handles.append(Line2D([], [], label=texts[kind], **line, **style))
    if has_pairs:
        handles.append(Line2D([], [], label="axes disagree most on these pairs", **DISAGREEMENT))
    return handles


def measure_panel(figure: "Figure") -> float:
    """Return the width of each panel of a figure."""
    count = len(figure.axes)
    return (figure.get_figwidth() - LEFT - 2 * MARGIN + BETWEEN) / count - BETWEEN


def arrange_figure(
    figure: "Figure",
    *,
    title: str,
    titles: Sequence[str],
    captions: Sequence[str],
    handles: Sequence[Any],
    height: float,
) -> None:
    """Place title, panels, legend and captions one below the other, and set the size of the figure.

    Args:
        figure: the figure with its panels.
        title: title of the figure; may be empty.
        titles: titles of the panels; may be empty.
        captions: paragraphs below the legend.
        handles: entries of the legend.
        height: height of the panels.
    """
    width = figure.get_figwidth()
    room = width - 2 * MARGIN
    title = wrap_text(figure, title, room, TITLE, "bold")
    titles = [wrap_heading(figure, text, measure_panel(figure)) for text in titles]
    caption = "\n".join(wrap_text(figure, text, room, SMALL) for text in captions if text)
    legend, legend_height = add_legend(figure, handles)
    heading_height = max((text_height(text, HEADING) for text in titles), default=0.0)
    above = GAP + text_height(title, TITLE) + heading_height + NOTE
    legend_bottom = MARGIN + text_height(caption, SMALL) + GAP
    below = legend_bottom + legend_height + GAP + BELOW
    total = size_panels(figure, height, above=above, below=below)
    figure.text(MARGIN / width, 1 - GAP / total, title, size=TITLE, weight="bold", va="top")
    for axes, text in zip(figure.axes, titles, strict=False):
        axes.set_title(text, loc="left", size=HEADING, weight="bold", pad=16)
    style: dict[str, Any] = {"size": SMALL, "color": GREY, "va": "bottom", "linespacing": LINE_HEIGHT}
    figure.text(MARGIN / width, MARGIN / total, caption, **style)
    legend.set_bbox_to_anchor((0.5, legend_bottom / total), figure.transFigure)


def size_panels(figure: "Figure", height: float, *, above: float, below: float) -> float:
    """Set the height of the panels and the room above and below; return the height of the figure."""
    total, width = above + height + below, figure.get_figwidth()
    figure.set_size_inches(width, total)
    figure.subplots_adjust(
        left=(MARGIN + LEFT) / width,
        right=1 - MARGIN / width,
        bottom=below / total,
        top=1 - above / total,
        wspace=BETWEEN / measure_panel(figure),
    )
    return total


def wrap_heading(figure: "Figure", text: str, width: float) -> str:
    """Wrap the title of a panel; a title that does not fit in a line has a line break after its colon."""
    lines = wrap_text(figure, text, width, HEADING, "bold")
    if "\n" not in lines:
        return lines
    return ":\n".join(wrap_text(figure, part, width, HEADING, "bold") for part in text.split(": "))


def add_legend(figure: "Figure", handles: Sequence[Any]) -> tuple["Legend", float]:
    """Add a legend with as many columns as fit; return the legend and its height."""
    for rows in range(1, len(handles) + 1):
        columns = -(-len(handles) // rows)
        style: dict[str, Any] = {"loc": "lower center", "frameon": False, "fontsize": 8.0, **CLOSE}
        legend = figure.legend(handles=handles, ncols=columns, **style)
        extent = legend.get_window_extent(get_renderer(figure))
        if columns == 1 or extent.width / figure.dpi <= figure.get_figwidth() - 2 * MARGIN:
            break
        legend.remove()
    return legend, extent.height / figure.dpi
