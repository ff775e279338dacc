"""Figures look the same whatever matplotlib is set to, and show any text as text."""

import ast
import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from saevit.errors import OptionError
from saevit.report.attention_figure import attention_figure
from saevit.report.figure import FORMATS, save_figure
from saevit.text import printable
from tests.report.every_figure import FIGURES, curve, looked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).parents[2]
SETTINGS: dict[str, Any] = {
    "text.usetex": True,
    "text.parse_math": True,
    "text.antialiased": False,
    "text.color": "red",
    "image.origin": "lower",
    "image.cmap": "gray",
    "image.interpolation": "bilinear",
    "font.family": "No Such Font",
    "font.size": 30,
    "savefig.dpi": 1000,
    "savefig.bbox": "tight",
    "savefig.transparent": True,
    "savefig.format": "pdf",
    "savefig.facecolor": "black",
    "figure.facecolor": "black",
    "figure.autolayout": True,
    "figure.constrained_layout.use": True,
    "axes.formatter.use_mathtext": True,
    "axes.formatter.use_locale": True,
    "axes.formatter.limits": (0, 0),
    "axes.unicode_minus": False,
    "axes.grid": True,
    "axes.xmargin": 0.4,
    "axes.titlelocation": "right",
    "axes.linewidth": 9,
    "axes.spines.left": False,
    "axes3d.grid": False,
    "xtick.bottom": False,
    "ytick.major.size": 30,
    "grid.linestyle": "--",
    "legend.frameon": True,
    "legend.fontsize": 40,
    "lines.marker": "x",
    "lines.linewidth": 12,
    "patch.force_edgecolor": True,
    "hatch.linewidth": 8,
    "path.sketch": (5, 50, 5),
    "svg.fonttype": "none",
    "svg.hashsalt": None,
    "pdf.fonttype": 42,
    "pdf.use14corefonts": True,
}
TEXTS = {
    "mathematics": r"price_$5_$9.png x_{$ $\frac{1}{0}$ \$ a^b_{c} {",
    "control": "a\x00b\x1b[31m\x7f\r\nnew\tline\u2028\udce9\u202egnp.exe\u202c\ufeff\u200b",
    "scripts": "_数据 데이터 مرحبا שלום नमस्ते 😀 \U0010fffe e\u0301\u0302\u0303",
    "markup": "--><script>alert(1)</script> ]]> &amp; \"' <b> % # ~ \\",
    "long": "x" * 3000,
    "words": "word " * 100,
    "empty": "",
}
TEXTS["all"] = " ".join(TEXTS[name] for name in ("mathematics", "control", "scripts", "markup"))
QUICK_TEXTS = ("all", "empty")


def some(*values: str, slow: bool) -> Any:
    """Return one set of a test's parameters; the quick ones stand for all."""
    return pytest.param(*values, marks=[pytest.mark.slow] * slow)


def drawn(figure: "Figure", folder: Path, ending: str = ".png") -> bytes:
    path = folder / f"figure{ending}"
    save_figure(figure, path)
    return path.read_bytes()


@pytest.mark.parametrize("name", FIGURES)
def test_no_setting_changes_a_figure(name: str, tmp_path: Path) -> None:
    import matplotlib

    wanted = drawn(FIGURES[name]("saevit_pico"), tmp_path)
    with matplotlib.rc_context(SETTINGS):
        figure = FIGURES[name]("saevit_pico")
        assert drawn(figure, tmp_path) == wanted
        assert matplotlib.rcParams["font.size"] == 30  # the user's own figures keep theirs


@pytest.mark.parametrize("setting", SETTINGS)
def test_each_setting_is_ignored(setting: str, tmp_path: Path) -> None:
    import matplotlib

    wanted = drawn(curve("a run"), tmp_path, ".svg")
    with matplotlib.rc_context({setting: SETTINGS[setting]}):
        assert drawn(curve("a run"), tmp_path, ".svg") == wanted


@pytest.mark.parametrize(
    ("name", "text"), [some(name, text, slow=text not in QUICK_TEXTS) for name in FIGURES for text in TEXTS]
)
def test_any_text_is_drawn_as_text_and_in_silence(
    name: str, text: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    from matplotlib.text import Text

    figure = FIGURES[name](TEXTS[text])
    image = drawn(figure, tmp_path, ".svg")
    root = ElementTree.fromstring(image)  # control characters would be no XML
    assert image.count(b"<path") > 20
    assert root.tag.endswith("svg")
    texts = [artist.get_text() for artist in figure.findobj(Text)]
    assert not any(artist.get_parse_math() or artist.get_usetex() for artist in figure.findobj(Text))
    assert all(printable(line) == line for text in texts for line in text.split("\n"))
    if text in ("mathematics", "all"):
        assert any("$5_$9" in text for text in texts)
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


@pytest.mark.parametrize(
    ("name", "text"), [some(n, t, slow=t != "long") for n in FIGURES for t in ("long", "words", "control")]
)
def test_what_is_long_is_neither_cut_off_nor_endless(name: str, text: str, tmp_path: Path) -> None:
    figure = FIGURES[name](TEXTS[text])
    drawn(figure, tmp_path)
    whole = figure.bbox
    assert whole.height < 25 * figure.dpi
    for axes in figure.axes:
        assert axes.get_window_extent().height > 0.1 * figure.dpi
    titles = [*figure.texts, *([figure._suptitle] if figure.get_suptitle() else [])]  # type: ignore[attr-defined]
    titles += [part for axes in figure.axes for part in (axes.title, axes._left_title, axes.yaxis.label)]  # type: ignore[attr-defined]
    for title in filter(lambda title: title.get_text(), titles):
        box = title.get_window_extent()
        assert box.x0 >= -1, title.get_text()
        assert box.x1 <= whole.x1 + 1, title.get_text()
        assert box.y0 >= -1, title.get_text()
        assert box.y1 <= whole.y1 + 1, title.get_text()


@pytest.mark.parametrize(
    ("name", "ending"), [some(name, ending, slow=name != "train") for name in FIGURES for ending in FORMATS]
)
def test_every_format_is_the_same_twice(name: str, ending: str, tmp_path: Path) -> None:
    text = "price_$5_$9 数据\x00\udce9"
    first = drawn(FIGURES[name](text), tmp_path, ending)
    assert drawn(FIGURES[name](text), tmp_path, ending) == first
    assert first.startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[ending])


def test_a_figure_beyond_the_memory_is_refused(tmp_path: Path) -> None:
    figure = curve("a run")
    figure.set_size_inches(10_000, 10)
    with pytest.raises(OptionError, match="1,500,000 x 1,500 pixels is too large: show less"):
        save_figure(figure, tmp_path / "a.png")


def test_every_figure_is_made_and_saved_by_the_door() -> None:
    """Whoever makes a figure does it under own settings; nobody else saves one or loads pyplot."""
    made = []
    for path in [*ROOT.glob("saevit/**/*.py"), *ROOT.glob("saevit_cli/**/*.py")]:
        source = path.read_text(encoding="utf-8")
        if path.name != "figure.py":
            assert "savefig" not in source
            assert "pyplot" not in source
            assert "Figure(figsize" not in source
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef) and "=new_figure(" in ast.unparse(node).replace(" ", ""):
                made.append(node.name)
                assert "own_settings()" in [ast.unparse(one) for one in node.decorator_list], node.name
    assert len(made) == 7


def test_photograph_and_maps_are_upright(tmp_path: Path) -> None:
    """Photograph as it is; maps that have their all in the upper left are bright there."""
    import matplotlib

    received = [np.zeros_like(block.received) for block in looked().maps]
    for one in received:
        one[:, 0, 0] = 1
    blocks = [replace(b, received=r) for b, r in zip(looked().maps, received, strict=True)]
    with matplotlib.rc_context({"image.origin": "lower"}):
        figure = attention_figure("overview", [replace(looked(), maps=tuple(blocks))])
        picture = np.asarray(Image.open(io.BytesIO(drawn(figure, tmp_path))).convert("RGB")).astype(float)
    parts = {str(axes.get_gid()): cut_out(picture, figure, axes) for axes in figure.axes}
    shown = parts["photo"]
    wanted = Image.fromarray(looked().photo.pixels).resize((shown.shape[1], shown.shape[0]))
    pixels = np.asarray(wanted).astype(float)
    right, flipped = (np.corrcoef(shown.ravel(), image.ravel())[0, 1] for image in (pixels, pixels[::-1]))
    assert right > 0.9
    assert flipped < 0.8
    maps = [part.sum(2) for name, part in parts.items() if name.endswith("received")]
    assert len(maps) == 4
    for light in maps:
        tall, wide = (side // 2 for side in light.shape)
        quarters = [light[:tall, :wide], light[:tall, wide:], light[tall:, :wide], light[tall:, wide:]]
        assert np.argmax([quarter.max() for quarter in quarters]) == 0


def cut_out(picture: "np.ndarray", figure: "Figure", axes: Any) -> "np.ndarray":
    """Return the pixels of some axes, the first row on top."""
    box, scale = axes.get_window_extent(), picture.shape[1] / figure.bbox.width
    left, right = round(box.x0 * scale) + 2, round(box.x1 * scale) - 2
    return picture[
        picture.shape[0] - round(box.y1 * scale) + 2 : picture.shape[0] - round(box.y0 * scale) - 2,
        left:right,
    ]


DRAW = """
import hashlib, sys
from pathlib import Path
sys.path[:0] = [{root!r}]
from saevit.report.figure import save_figure
from saevit.report.views.training import draw_learning_curve
from saevit.train.state import Epoch
row = Epoch(epoch=1, lr=0.1, train_loss=2.0, val_loss=1.0, val_top1=50.0, val_top5=None, val_images=9,
            seconds=1.0, images_per_s=9.0, skipped=0)
save_figure(draw_learning_curve([row], "x_{{$ $5"), Path({target!r}))
print(hashlib.sha256(Path({target!r}).read_bytes()).hexdigest(), "matplotlib.pyplot" in sys.modules)
"""
WORST = "text.usetex: True\nimage.origin: lower\nfont.family: No Such Font\nbackend: nonsense\nno colon\n"


def in_process(folder: Path, tmp_path: Path, before: str = "", **environment: str) -> str:
    """Draw in a new process, which must print nothing."""
    outer = {k: v for k, v in os.environ.items() if not k.startswith("MPL") and k != "MATPLOTLIBRC"}
    script = f"import os; {before}\n" + DRAW.format(root=str(ROOT), target=str(tmp_path / "a.png"))
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=folder,
        env=outer | environment,
        timeout=300,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("plain")
    return in_process(folder, folder)


@pytest.mark.parametrize(
    "backend", ["module://matplotlib_inline.backend_inline", "module://no.such.module", "tkag", "Qt5Agg"]
)
def test_no_backend_matters(backend: str, wanted: str, tmp_path: Path) -> None:
    assert wanted.endswith("False\n")  # pyplot, and with it a backend, is not even loaded
    assert in_process(tmp_path, tmp_path, MPLBACKEND=backend) == wanted


@pytest.mark.parametrize("where", ["working folder", "MATPLOTLIBRC", "MPLCONFIGDIR", "HOME"])
@pytest.mark.parametrize(
    "content",
    [WORST.encode(), b"# caf\xe9\ntext.usetex: True\n", bytes(range(256))],
    ids=["bad", "latin", "noise"],
)
def test_no_file_of_settings_matters(where: str, content: bytes, wanted: str, tmp_path: Path) -> None:
    settings = tmp_path / (".config/matplotlib" if where == "HOME" else "settings")
    settings.mkdir(parents=True)
    (settings / "matplotlibrc").write_bytes(content)
    if where == "working folder":
        assert in_process(settings, tmp_path) == wanted
    elif where == "HOME":
        environment = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / ".config")}
        assert in_process(tmp_path, tmp_path, **environment) == wanted
    else:
        assert in_process(tmp_path, tmp_path, **{where: str(settings)}) == wanted


def test_no_working_folder_is_needed(wanted: str, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    before = "os.chdir('gone'); os.rmdir('../gone')"
    assert in_process(tmp_path, tmp_path, before) == wanted


@pytest.mark.parametrize("variable", ["MPLCONFIGDIR", "HOME"])
def test_no_folder_for_matplotlib_is_needed(variable: str, wanted: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file, so that nothing can be made in it")
    broken = str(tmp_path / "file" / "folder")
    environment = {variable: broken, "XDG_CACHE_HOME": broken, "XDG_CONFIG_HOME": broken}
    assert in_process(tmp_path, tmp_path, **environment) == wanted
