"""Raw samples over the rounds, one small plot a model: how steady, and whether all models moved together."""

from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element

from saevit.compare.comparison import Comparison
from saevit.report.html.markup import element
from saevit.report.names import short_names
from saevit.report.units import milliseconds, percent
from saevit.runs.statistics import quantile, summarize

WIDTH, HEIGHT, EDGE = 160.0, 44.0, 4.0  # of a plot, in units of its view box
SHOWN = 0.95  # share of all samples inside the scale
SCALES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # deviation from the median at the plot's edge


def strips(comparison: Comparison) -> list[Element]:
    """Return the section with its legend and plots; nothing if nothing was timed."""
    timed = list(series(comparison))
    if not timed:
        return []
    scale = scale_of([abs(d) for _, samples in timed for d in deviations(samples)])
    text = (
        "One dot a round, in the order taken: the time of a batch against the model's own median (the line). "
        f"The edges are {percent(scale, 0)} above and below it; a triangle lies beyond. A round in which "
        "all models rise was slow for all of them: ratios do not see it."
    )
    heading = element("h2", {"id": "samples-heading"}, "Samples")
    cards = element("ul", {"class": "strips"}, *(strip(name, samples, scale) for name, samples in timed))
    return [
        element("section", {"aria-labelledby": "samples-heading"}, heading, element("p", {}, text), cards)
    ]


def series(comparison: Comparison) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Yield names and samples, those of the reference's twin last."""
    names = short_names(c.model for c in comparison.candidates)
    for c in comparison.candidates:
        if c.samples:
            yield names[c.model], c.samples
    if comparison.run and comparison.run.twin:
        yield "the reference once more", comparison.run.twin


def deviations(samples: Sequence[float]) -> list[float]:
    """Return how far each sample is from the median, as a share of it."""
    middle = summarize(samples).median
    return [sample / middle - 1 for sample in samples]


def scale_of(distances: Sequence[float]) -> float:
    """Return the smallest scale that holds most samples."""
    wanted = quantile(distances, SHOWN)
    return next((scale for scale in SCALES if scale >= wanted), SCALES[-1])


def strip(name: str, samples: Sequence[float], scale: float) -> Element:
    """Return one model's plot with its name, median and spread."""
    seen = summarize(samples)
    text = f"{milliseconds(seen.median)} ms, spread {percent(seen.spread)}"
    step = (WIDTH - 2 * EDGE) / max(1, len(samples) - 1)
    middle = element(
        "line", {"x1": "0", "x2": f"{WIDTH:g}", "y1": f"{HEIGHT / 2:g}", "y2": f"{HEIGHT / 2:g}"}
    )
    dots = (dot(EDGE + i * step, d / scale) for i, d in enumerate(deviations(samples)))
    box = {"viewBox": f"0 0 {WIDTH:g} {HEIGHT:g}", "aria-hidden": "true"}
    return element(
        "li",
        {},
        element("span", {"class": "name"}, name),
        element("svg", box, middle, *dots),
        element("span", {"class": "spread"}, text),
    )


def dot(x: float, height: float) -> Element:
    """Return a sample's mark; height 1 is the upper edge, and what lies beyond points outwards."""
    half = HEIGHT / 2 - EDGE
    if abs(height) <= 1:
        return element("circle", {"cx": f"{x:.1f}", "cy": f"{HEIGHT / 2 - height * half:.1f}", "r": "2"})
    tip, base = (0.5, 6) if height > 0 else (HEIGHT - 0.5, HEIGHT - 6)
    return element("path", {"d": f"M{x:.1f} {tip}L{x - 3:.1f} {base}H{x + 3:.1f}Z"})
