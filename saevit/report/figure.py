"""Functions for all figures: matplotlib settings, saving, axes with plain ticks, and the size of text.

The user's matplotlib settings have no effect. Text is never parsed as mathematics, and matplotlib's warnings
are hidden.
"""

import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from saevit.errors import OptionError, need
from saevit.report.units import cut
from saevit.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

BACKENDS = {".png": "agg", ".svg": "svg", ".pdf": "pdf"}  # by the ending of the file's name
FORMATS = tuple(BACKENDS)
DPI = 150
MOST_PIXELS = 2**28  # drawing takes 1 GB
SETTINGS = {"text.parse_math": False, "svg.hashsalt": "saevit"}  # on top of matplotlib's defaults
GREY, GRID = "#444444", "#e4e4e4"
POINTS = 72  # per inch
TITLE, SMALL = 11.0, 7.5  # points of a message and of the caption
LINE_HEIGHT = 1.35  # relative to the size of the text
LONGEST_WORD = 120  # characters

WIDE = 5.0  # an axis is logarithmic if the ratio of its largest and smallest value is larger
EQUAL = 1e-4  # relative range below which ticks would show equal numbers
LARGEST = 1e300
DECADES = 300.0  # ratio of the ends of an axis above which it has one tick per decade


@contextmanager
def own_settings() -> Iterator[None]:
    """Use matplotlib's defaults with SETTINGS and silence its warnings; also a decorator of functions."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            matplotlib = import_matplotlib()
            defaults = dict(matplotlib.rcParamsDefault)
            del defaults["backend"]
            with matplotlib.rc_context(defaults | SETTINGS):
                yield
    finally:
        logger.setLevel(level)


def import_matplotlib() -> ModuleType:
    """Import matplotlib without the user's backend and settings file, which may be broken.

    matplotlib reads the settings file of the working directory first, so the import runs in another folder.
    """
    spec = find_spec("matplotlib") if "matplotlib" not in sys.modules else None
    if spec is None or spec.origin is None:
        return need("matplotlib")
    backend = os.environ.pop("MPLBACKEND", None)
    here = os.open(".", getattr(os, "O_PATH", os.O_RDONLY))
    try:
        os.chdir(Path(spec.origin).parent / "mpl-data")
        return need("matplotlib")
    finally:
        os.fchdir(here)
        os.close(here)
        if backend is not None:
            os.environ["MPLBACKEND"] = backend


def new_figure(width: float, height: float, layout: Literal["constrained"] | None = None) -> "Figure":
    """Return an empty figure of a size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout=layout)


@own_settings()
def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure in the format of the file's name (see FORMATS); refuse one with too many pixels."""
    width, height = (round(side * DPI) for side in figure.get_size_inches())
    if width * height > MOST_PIXELS:
        raise OptionError(f"a figure of {width:,} x {height:,} pixels is too large: show less in it")
    clean_texts(figure)
    dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    figure.savefig(path, backend=BACKENDS[path.suffix], dpi=DPI, metadata=dates.get(path.suffix))


@own_settings()
def write_svg(figure: "Figure") -> str:
    """Return a figure as SVG, with text as text elements instead of paths."""
    import matplotlib

    matplotlib.rcParams["svg.fonttype"] = "none"
    clean_texts(figure)
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return file.getvalue()


def clean_texts(figure: "Figure") -> None:
    """Escape control characters in all texts, which file formats cannot contain."""
    from matplotlib.text import Text

    for artist in figure.findobj():
        if gid := artist.get_gid():
            artist.set_gid(printable(gid))
        if isinstance(artist, Text):
            artist.set_text("\n".join(map(printable, artist.get_text().split("\n"))))


def is_wide(values: Sequence[float]) -> bool:
    """Tell whether the range of the values needs a logarithmic axis."""
    return min(values) > 0 and max(values) / min(values) > WIDE


def axis_limits(values: Sequence[float], margins: tuple[float, float], *, log: bool) -> tuple[float, float]:
    """Return the ends of an axis: the range of the values plus margins, which are relative to the range."""
    low, high = min(values), max(values)
    if log:
        factor = min(high / low, LARGEST)
        return max(low / factor ** margins[0], 1 / LARGEST), min(high * factor ** margins[1], LARGEST)
    spread = high - low
    if spread <= EQUAL * max(abs(low), abs(high)):
        spread = 2 * abs(high) or 10.0
    return low - spread * margins[0], high + spread * margins[1]


def scale_axis(
    axis: "Axis", values: Sequence[float], margins: tuple[float, float], *, log: bool | None = None
) -> tuple[float, float]:
    """Set the scale, the ends and the ticks of an axis, and return its ends (see `axis_limits`).

    By default the axis is logarithmic if the range of the values is wide.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    log = is_wide(values) if log is None else log
    axes, name = axis.axes, axis.axis_name  # type: ignore[attr-defined]
    low, high = axis_limits(values, margins, log=log)
    if log:
        axes.set(**{f"{name}scale": "log"})
        subs = (1, 2, 3, 5, 7) if high / low < WIDE**2 else (1, 2, 5) if high / low < DECADES else (1,)
        axis.set_major_locator(LogLocator(subs=subs))
        axis.set_minor_locator(NullLocator())
    else:
        axis.set_major_locator(MaxNLocator(7, steps=(1, 2, 5, 10)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain_number(value)))
    axes.set(**{f"{name}lim": (low, high)})
    return low, high


def add_message(figure: "Figure", message: str, caption: Sequence[str] = ()) -> None:
    """Write a title above the panels of a figure with constrained layout, and a caption below them."""
    room = figure.get_figwidth() - 0.2
    title = wrap_text(figure, message.removesuffix("."), room, TITLE, "bold")
    figure.suptitle(title, x=0.01, ha="left", size=TITLE, weight="bold")
    lines = [wrap_text(figure, line, room, SMALL) for line in caption]
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", size=SMALL, color=GREY, linespacing=LINE_HEIGHT)


def add_legend(axes: "Axes", columns: int, **more: Any) -> None:
    """Draw the legend of a panel in one or more rows above it."""
    style: dict[str, Any] = {"borderaxespad": 0.3, "borderpad": 0, "handlelength": 1.6, "columnspacing": 1.4}
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": columns}
    axes.legend(**place, frameon=False, fontsize=8, **style, **more)


def style_axes(axes: "Axes") -> None:
    """Draw a grid behind the data, small grey ticks, and no frame above and on the right."""
    axes.tick_params(labelsize=8, color=GREY, labelcolor=GREY)
    axes.grid(visible=True, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def plain_number(value: float) -> str:
    """Write the number of a tick: 0.05, 20, 1,000, or with an exponent: 2e-07, 1e+12."""
    if value and not 1 <= abs(value) < 1e7:
        return f"{value:.6g}"
    return f"{value:z,.6f}".rstrip("0").rstrip(".")


def get_renderer(figure: "Figure") -> Any:
    """Return the renderer that measures text in pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = figure.canvas if isinstance(figure.canvas, FigureCanvasAgg) else FigureCanvasAgg(figure)
    return canvas.get_renderer()


def text_height(text: str, size: float) -> float:
    """Return the height in inches of the lines of a text whose size is in points."""
    return (text.count("\n") + 1) * size * LINE_HEIGHT / POINTS if text else 0.0


def wrap_text(figure: "Figure", text: str, width: float, size: float, weight: str = "normal") -> str:
    """Wrap a text at spaces into lines of at most `width` inches; break longer words."""
    from matplotlib.font_manager import FontProperties

    measure = get_renderer(figure).get_text_width_height_descent
    font = FontProperties(size=size, weight=weight)

    def fits(line: str) -> bool:
        return measure(line, font, ismath=False)[0] <= width * figure.dpi

    lines = [""]
    for full_word in re.findall(r"\S+(?: %\S*)?", text):  # a number and its % stay together
        word = cut(printable(full_word), LONGEST_WORD)
        longer = f"{lines[-1]} {word}".lstrip()
        if fits(longer):
            lines[-1] = longer
            continue
        lines += [""] * bool(lines[-1])
        while not fits(word) and len(word) > 1:
            end = next((end for end in range(len(word) - 1, 1, -1) if fits(word[:end])), 1)
            lines[-1:], word = [word[:end], ""], word[end:]
        lines[-1] = word
    return "\n".join(lines)
