"""Elements of the page: escaped HTML and SVG, and small plots of the samples over the rounds."""

from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element, tostring

from saevit.report.run_messages import name_configurations
from saevit.report.units import milliseconds, percent
from saevit.runs.run import Run
from saevit.runs.statistics import quantile, summarize
from saevit.text import printable

WIDTH, HEIGHT, EDGE = 160.0, 44.0, 4.0  # of a plot, in units of its view box
INSIDE = 0.95  # minimum share of all samples inside the scale
SCALES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # relative deviation at the edge of a plot


def element(tag: str, attributes: Mapping[str, str], *children: Element | str) -> Element:
    """Return an element that contains texts and elements; texts are escaped."""
    made = Element(tag, {name: printable(value) for name, value in attributes.items()})
    last = None
    for child in children:
        if isinstance(child, Element):
            made.append(child)
            last = child
        elif last is None:
            made.text = (made.text or "") + printable(child)
        else:
            last.tail = (last.tail or "") + printable(child)
    return made


def write_html(*elements: Element) -> str:
    """Return elements as HTML, one per line."""
    return "\n".join(tostring(one, encoding="unicode", method="html") for one in elements)


def samples_section(run: Run) -> list[Element]:
    """Return the section of the samples with one plot per subject; empty if no model was timed."""
    names = name_configurations(run.timed)
    series = [(names[s.label] or s.name, s.samples) for s in run.timed if s.samples]
    if not series:
        return []
    if run.twin:
        series.append((f"{series[0][0]} again", run.twin))
    wanted = quantile([abs(d) for _, samples in series for d in relative_deviations(samples)], INSIDE)
    scale = next((scale for scale in SCALES if scale >= wanted), SCALES[-1])
    text = (
        "One dot per round, in the order of measurement: the time of a batch relative to its median (the "
        f"line). The edges are {percent(scale, 0)} above and below the median; a triangle is beyond them. If "
        "one round is slow in all plots, the machine was busy; ratios do not change."
    )
    heading = element("h2", {"id": "samples"}, "Samples")
    plots = element("ul", {"class": "strips"}, *(samples_plot(*each, scale) for each in series))
    return [element("section", {"aria-labelledby": "samples"}, heading, element("p", {}, text), plots)]


def relative_deviations(samples: Sequence[float]) -> list[float]:
    """Return the relative deviation of each sample from the median."""
    median = summarize(samples).median
    return [sample / median - 1 for sample in samples]


def samples_plot(name: str, samples: Sequence[float], scale: float) -> Element:
    """Return the plot of one model with its name, median and spread."""
    summary = summarize(samples)
    text = f"{milliseconds(summary.median)} ms, spread {percent(summary.spread)}"
    step = (WIDTH - 2 * EDGE) / max(1, len(samples) - 1)
    middle = f"{HEIGHT / 2:g}"
    line = element("line", {"x1": "0", "x2": f"{WIDTH:g}", "y1": middle, "y2": middle})
    marks = (sample_mark(EDGE + i * step, d / scale) for i, d in enumerate(relative_deviations(samples)))
    box = {"viewBox": f"0 0 {WIDTH:g} {HEIGHT:g}", "aria-hidden": "true"}
    return element(
        "li",
        {},
        element("span", {"class": "name"}, name),
        element("svg", box, line, *marks),
        element("span", {"class": "spread"}, text),
    )


def sample_mark(x: float, height: float) -> Element:
    """Return the mark of a sample: a dot for heights from -1 (lower edge) to 1, else a triangle."""
    half = HEIGHT / 2 - EDGE
    if abs(height) <= 1:
        return element("circle", {"cx": f"{x:.1f}", "cy": f"{HEIGHT / 2 - height * half:.1f}", "r": "2"})
    tip, base = (0.5, 6) if height > 0 else (HEIGHT - 0.5, HEIGHT - 6)
    return element("path", {"d": f"M{x:.1f} {tip}L{x - 3:.1f} {base}H{x + 3:.1f}Z"})
