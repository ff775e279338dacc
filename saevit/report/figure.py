"""One door for figures: made with our own settings and drawn directly, whatever matplotlib is set to here.

Text is text: no mathematics in it. Nothing that matplotlib says on the way reaches the terminal.
"""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from saevit.errors import OptionError, need
from saevit.text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BACKENDS = {".png": "agg", ".svg": "svg", ".pdf": "pdf"}  # a file's ending: what draws it
FORMATS = tuple(BACKENDS)
DPI = 150
MOST_PIXELS = 2**28  # 1 GB while it is drawn
OWN = {"text.parse_math": False, "svg.hashsalt": "saevit"}  # besides matplotlib's own defaults


@contextmanager
def own_settings() -> Iterator[None]:
    """Make or draw a figure by matplotlib's defaults and OWN, in silence; also a decorator of functions."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            matplotlib = import_matplotlib()
            defaults = {
                name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"
            }
            with matplotlib.rc_context(defaults | OWN):
                yield
    finally:
        logger.setLevel(level)


def import_matplotlib() -> ModuleType:
    """Import matplotlib without the user's backend and file of settings: broken ones would stop it.

    The file of the working folder comes first, so the import works in the folder with matplotlib's own one.
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


@own_settings()
def save(figure: "Figure", path: Path) -> None:
    """Write a figure in the format of the file's name (see FORMATS).

    Raises:
        OptionError: it is too large to be drawn.
    """
    from matplotlib.text import Text

    width, height = (round(side * DPI) for side in figure.get_size_inches())
    if width * height > MOST_PIXELS:
        raise OptionError(f"a figure of {width:,} x {height:,} pixels is too large: show less in it")
    for artist in figure.findobj():  # what the format cannot hold would stop it
        if gid := artist.get_gid():
            artist.set_gid(printable(gid))
        if isinstance(artist, Text):
            artist.set_text("\n".join(map(printable, artist.get_text().split("\n"))))
    dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    figure.savefig(path, backend=BACKENDS[path.suffix], dpi=DPI, metadata=dates.get(path.suffix))
