"""Every view, headless: the data that are drawn, not pixels."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saevit.attention.findings import Attention
from saevit.report.attention_figure import attention_figure, make_norm, pick_colours
from saevit.report.figure import FORMATS, get_renderer, save_figure
from tests.report.conftest import QUERY, Look

PYPLOT = "matplotlib.pyplot"


def named(figure: Figure) -> dict[str, Axes]:
    """The axes by what they show."""
    return {str(axes.get_gid()): axes for axes in figure.axes}


def values(axes: Axes) -> np.ndarray:
    """What the map of some axes shows."""
    return np.asarray(axes.images[0].get_array())


def words_of(figure: Figure) -> str:
    """All text, with line breaks as spaces."""
    return " ".join(text.get_text() for text in figure.texts).replace("\n", " ")


def test_overview_draws_samples_and_received_attention_over_the_image(attention: Attention) -> None:
    figure = attention_figure("overview", [attention])
    axes = named(figure)
    assert "r = 1: each pixel is a token" in words_of(figure)
    last = {block.block.stage: block for block in attention.maps}
    for block in last.values():
        place = block.block
        at = f"stage {place.stage}, block {place.number}: "
        received = values(axes[at + "received"])
        np.testing.assert_allclose(received, block.received.mean(0) * place.pixels)
        assert received.mean() == pytest.approx(1, rel=1e-4)  # multiples of an even share
        for i, head in enumerate(block.heads):
            np.testing.assert_allclose(values(axes[f"{at}head {head}"]), block.received[i] * place.pixels)
        extent = axes[at + "received"].images[0].get_extent()
        assert extent == pytest.approx((0, place.width * place.stride[1], place.height * place.stride[0], 0))
        assert axes[at + "received"].get_xlim() == (0, 72)
        assert (at + "weights" in axes) == (place.rate > 1)  # no map where every value is 1


def test_grid_has_a_cell_per_token(look: Look) -> None:
    attention = look(size=64)
    axes = named(attention_figure("overview", [attention]))
    for maps in attention.shown_maps:
        shown = axes[f"{maps.block.name}: tokens"]
        lines = len(shown.lines)
        assert (lines // 2 + 1) ** 2 == maps.block.tokens
        drawn = values(shown)
        assert drawn.shape == (maps.block.height, maps.block.width, 3)
        # Pixels of the map are means of the pixels of the image.
        np.testing.assert_allclose(drawn.mean((0, 1)) * 255, attention.photo.pixels.mean((0, 1)), rtol=1e-3)


def test_window_weights_are_multiples_of_an_even_mean(attention: Attention, look: Look) -> None:
    axes = named(attention_figure("overview", [attention]))
    drawn = values(axes["stage 1, block 2: weights"])  # 18 x 18 pixels, r = 8: windows of 64, 16 and 4
    for rows in (slice(0, 8), slice(8, 16), slice(16, 18)):
        assert drawn[rows, :8].mean() == pytest.approx(1, rel=1e-5)
    average = attention_figure("overview", [look("saevit_pico:depths=2,sampling=average")])
    assert "stage 1, block 2: weights" not in named(average)
    assert "mean of the window: equal weights" in words_of(average)


def test_a_single_head_is_not_drawn_twice(look: Look) -> None:
    figure = attention_figure("overview", [look("saevit_pico:dims=8-8-16-16,heads=1-1-1-2,depths=1")])
    axes = named(figure)
    assert "stage 1, block 1: head 1" not in axes
    assert {"stage 4, block 1: head 1", "stage 4, block 1: head 2"} <= axes.keys()
    assert words_of(figure).count("head 1 only: the map above") == 3
    single = attention_figure("overview", [look("saevit_pico:dims=8-8-16-16,heads=1,depths=1")])
    assert "by head" not in words_of(single)


def test_one_model_twice_has_its_tokens_once(attention: Attention) -> None:
    trained = replace(attention, is_random=False, weights="weights of a.pth")
    names = [str(axes.get_gid()) for axes in attention_figure("overview", [trained, attention]).axes]
    assert names.count("stage 1, block 2: tokens") == 1
    assert names.count("stage 1, block 2: received") == 2


def test_grad_cam_of_each_class_is_drawn_after_each_stage(look: Look) -> None:
    attention = look(views=["class"], classes=["3", "1"])
    figure = attention_figure("class", [attention])
    axes = named(figure)
    for found in attention.class_maps:
        name = f"stage {found.stage}: {found.of.name}"
        if found.mass.any():
            np.testing.assert_allclose(values(axes[name]), found.mass * found.mass.size)
        else:
            assert name not in axes
    assert {f"stage 1: class {i}" for i in (1, 3)} <= axes.keys()
    assert "After stage 4 3 x 3 pixels" in words_of(figure)


def test_query_draws_the_row_of_each_query(look: Look) -> None:
    attention = look(queries=[QUERY, (100, 100)])
    figure = attention_figure("query", [attention])
    axes = named(figure)
    for block in (attention.maps[0], attention.maps[-1]):
        for i, query in enumerate(attention.queries):
            shown = axes[f"stage {block.block.stage}, block {block.block.number}: query {i + 1}"]
            np.testing.assert_allclose(values(shown), block.rows[i].mean(0) * block.block.pixels)
            marks = [tuple(np.ravel(line.get_data())) for line in shown.lines]
            assert set(marks) == {query.input}
    assert {tuple(np.ravel(line.get_data())) for line in axes["photo"].lines} == {
        q.input for q in attention.queries
    }
    assert "Pixel 256,300 attends to" in words_of(figure)


def test_pattern_draws_the_scores_that_exist_and_both_attentions(attention: Attention) -> None:
    figure = attention_figure("pattern", [attention])
    axes = named(figure)
    for block in attention.maps:
        at = f"stage {block.block.stage}, block {block.block.number}: "
        found = block.pattern
        if at + "scores" not in axes:
            continue  # a figure shows the last block of each stage
        assert found is not None
        size = len(found.pixels)
        points = np.asarray(axes[at + "scores"].collections[0].get_offsets())
        windows = len(found.window_starts)
        assert len(points) == windows**2
        if size == block.block.pixels:
            assert windows**2 / size**2 == pytest.approx(1 - block.block.sparsity)
        np.testing.assert_array_equal(values(axes[at + "sampled"]), found.sampled)
        assert found.dense is not None
        np.testing.assert_array_equal(values(axes[at + "dense"]), found.dense)
        if block.block.rate == 1:
            np.testing.assert_allclose(found.sampled, found.dense, rtol=1e-3, atol=1e-3)
    text = words_of(figure)
    assert "18 x 18 pixels, r = 8 9 tokens sparsity 99.92 % shown: 256 of 324 pixels" in text


def test_rollout_draws_where_each_stage_comes_from(attention: Attention) -> None:
    axes = named(attention_figure("rollout", [attention]))
    for found in attention.rollout:
        at = f"stage {found.block.stage}, block {found.block.number}: rollout"
        drawn = values(axes[at + " 0"])
        assert drawn.shape == (18, 18)
        assert drawn.mean() == pytest.approx(1, rel=1e-4)
        assert values(axes[at + " 1"]).mean() == pytest.approx(1, rel=1e-4)
    first = values(axes["stage 1, block 2: rollout 1"])
    assert np.unravel_index(first.argmax(), first.shape) == (10, 9)  # half of it is the pixel itself


@pytest.mark.parametrize("view", ["overview", "query", "pattern", "rollout"])
def test_two_networks_share_their_scales(view: str, attention: Attention, look: Look) -> None:
    other = look("saevit_pico:dims=32,depths=2,heads=2,rates=4", queries=[QUERY])
    figure = attention_figure(view, [attention, other])
    norms: dict[str, set[Any]] = {}
    for axes in figure.axes:
        name = str(axes.get_gid())
        if name.startswith("stage") and axes.images and not name.endswith("tokens"):
            image = axes.images[0]
            norms.setdefault(image.get_cmap().name, set()).add((image.norm.vmin, image.norm.vmax))
    assert [len(found) for found in norms.values()] == [1]
    text = words_of(figure)
    assert attention.model.replace(",", ", ") in text
    assert other.model.replace(",", ", ") in text


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "pvt_v2_b0", "mobilevit_xxs"])
@pytest.mark.parametrize("view", ["overview", "query", "pattern", "rollout"])
def test_timm_models_are_drawn(name: str, view: str, look: Look) -> None:
    attention = look(f"timm:{name}", size=96, queries=[QUERY], views=[view])
    figure = attention_figure(view, [attention])
    maps = [axes for axes in figure.axes if str(axes.get_gid()).startswith("stage") and axes.images]
    assert all(np.isfinite(values(axes)).all() for axes in maps)
    rows = {str(axes.get_gid()).partition(":")[0] for axes in maps}
    assert len(rows) == {"vit_tiny_patch16_224": 4, "pvt_v2_b0": 4, "mobilevit_xxs": 3}[name]
    assert ("class tokens" in words_of(figure)) == name.startswith("vit")


def test_words_say_what_image_and_which_weights(attention: Attention) -> None:
    text = words_of(attention_figure("overview", [attention]))
    assert text.startswith("Random weights: the maps carry no meaning.")
    assert "drawing, 512 x 512 px, centre crop of 512 x 512 px, resized to 72 x 72 px" in text
    assert "ImageNet mean and standard deviation" in text
    trained = replace(attention, is_random=False, weights="weights of best.pth", images=("a.png", "b.png"))
    text = words_of(attention_figure("overview", [trained]))
    assert "Random" not in text
    assert "weights of best.pth" in text
    assert "first of 2 images" in text


@pytest.mark.parametrize("view", ["overview", "query", "pattern", "rollout"])
def test_nothing_is_cut_off_and_the_colour_bar_has_a_unit(view: str, attention: Attention) -> None:
    figure = attention_figure(view, [attention])
    renderer = get_renderer(figure)
    for text in figure.texts:
        box = text.get_window_extent(renderer)
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
    (bar,) = (axes for axes in figure.axes if axes.get_gid() == "bar")
    assert bar.get_xlabel() == "x uniform (logarithmic scale)"
    assert "1" in [label.get_text() for label in bar.get_xticklabels()]


@pytest.mark.parametrize("view", ["overview", "query", "pattern", "rollout"])
def test_headings_of_columns_are_at_one_height(view: str, attention: Attention) -> None:
    texts = attention_figure(view, [attention]).texts
    heads = [text for text in texts if re.fullmatch(r"(After s|S)tage \d, block \d", text.get_text())]
    heights = [text.get_position()[1] for text in heads]
    assert len(heights) == 4
    assert len(set(heights)) == 1


@pytest.mark.parametrize(
    ("high", "ends"), [(1.1, (1 / 2, 2)), (2.0, (1 / 2, 2)), (2.1, (1 / 4, 4)), (100.0, (1 / 128, 128))]
)
def test_colours_are_centred_on_uniform_and_never_narrow(high: float, ends: tuple[float, float]) -> None:
    norm = make_norm([np.ones((4, 4)), np.full((2, 2), high)])
    assert (norm.vmin, norm.vmax) == ends
    assert norm(1.0) == pytest.approx(0.5)


def test_colours_can_be_read_in_grey() -> None:
    colours = pick_colours()(np.arange(257))[:, :3]
    lightness = colours @ (0.2126, 0.7152, 0.0722)
    less, more = lightness[:129], lightness[128:]
    assert less[-1] == pytest.approx(1)  # uniform is white
    assert (np.diff(more) < 0).all()
    assert more[26:].max() < less.min()  # from the fifth root of the largest value on
    assert (np.diff(less) > 0).all()
    assert (colours[:128, 2] > colours[:128, 0]).all()  # blue
    assert (colours[129:, 0] > colours[129:, 2]).all()  # red


def test_nothing_at_all_is_the_darkest_colour(attention: Attention) -> None:
    blocks = tuple(
        replace(maps, received=maps.received * (maps.received > maps.received.mean()))
        for maps in attention.maps
    )
    axes = named(attention_figure("overview", [replace(attention, maps=blocks)]))
    image = axes["stage 1, block 2: received"].images[0]
    assert (values(axes["stage 1, block 2: received"]) == 0).any()
    assert tuple(image.get_cmap().get_bad()) == pytest.approx(image.get_cmap()(0.0))


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_is_written_without_pyplot(ending: str, attention: Attention, tmp_path: Path) -> None:
    import sys

    path = tmp_path / f"a{ending}"
    save_figure(attention_figure("overview", [attention]), path)
    assert path.read_bytes().startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[ending])
    assert PYPLOT not in sys.modules
