"""The drawn data, not the pixels; and where the names stand, as the renderer measures them."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saevit.comparing.comparison import Accuracy, Candidate, Comparison
from saevit.errors import OptionError
from saevit.report.figure import FORMATS, save_figure
from saevit.report.scatter.points import choose_axes
from saevit.report.scatter.scatter_plot import scatter_figure
from saevit.runs.run import Run, Subject
from tests.report.conftest import CONDITIONS, ENVIRONMENT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

XS = ("gmacs", "latency")
CLAIM = "paper claim, not reproduced here"
NO_ACCURACY = "SAEViT variants, no accuracy known"
PLAIN = "ImageNet-1k training without distillation"


def model(
    name: str,
    gmacs: float,
    top1: float | None,
    ms: float | None = None,
    *,
    mark: str = "published",
    img_size: int | None = 64,
    family: str = "Family",
) -> Candidate:
    """Made up; times of six rounds are spread around their median."""
    samples = tuple(ms * 1e-3 * factor for factor in (0.8, 0.9, 1.0, 1.0, 1.1, 1.2)) if ms else ()
    kind = {"mark": mark, "claim": mark == CLAIM, "plain": mark == "published", "source": "a source"}
    return Candidate(
        model=name,
        family=family,
        params=round(gmacs * 1e7),
        macs=round(gmacs * 1e9),
        peak_bytes=round(gmacs * 1e6),
        subject=Subject(label=name, name=name, conditions=CONDITIONS, samples=samples) if ms else None,
        accuracy=Accuracy(top1=top1, img_size=img_size, **kind) if top1 else None,
    )


def compared(*candidates: Candidate) -> Comparison:
    subjects = tuple(replace(c.subject, label=c.model) for c in candidates if c.subject)
    run = None
    if subjects:
        run = Run(
            subjects=subjects,
            rounds=6,
            min_time=0.1,
            seed=0,
            environment=ENVIRONMENT,
            started="2026-01-01T00:00:00+00:00",
        )
    return Comparison(
        candidates=candidates,
        reference=candidates[0].model,
        img_size=(64, 64),
        dtype="fp32",
        run=run,
    )


CLAIMED = replace(
    model("saevit_claim_1g", 1.0, 79.0, mark=CLAIM, img_size=None), published_only=True, params=None
)
VARIANT = model("saevit_tiny", 0.8, None, 9.0, family="SAEViT")
ALL = compared(
    model("timm:small.a_in1k", 0.2, 70.0, 5.0),
    model("timm:large.a_in1k", 2.0, 80.0, 30.0),
    model("timm:beaten.a_in1k", 0.5, 69.0, 8.0),
    model("timm:taught.a_in1k", 0.3, 82.0, 6.0, mark="published, distilled"),
    model("timm:bigger.a_in1k", 1.5, 78.0, 20.0, img_size=96),
    CLAIMED,
    VARIANT,
)
UNTIMED = replace(ALL, run=None, candidates=tuple(replace(c, subject=None) for c in ALL.candidates))


def points(axes: "Axes") -> dict[str, tuple[float, float]]:
    """Where each model's mark stands, in its own coordinates."""
    return {
        line.get_gid(): (line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if line.get_gid()
    }


def names(axes: "Axes") -> dict[str, "Text"]:
    return {text.get_gid(): text for text in axes.texts if text.get_gid()}


def legend(figure: "Figure") -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def words(figure: "Figure") -> str:
    """Title and caption, on one line."""
    return " ".join(text.get_text() for text in figure.texts).replace("\n", " ")


def marker(axes: "Axes", name: str) -> "Bbox":
    (line,) = (line for line in axes.lines if line.get_gid() == name)
    return line.get_window_extent()


def test_every_model_stands_at_its_figures() -> None:
    axes, timed = scatter_figure(ALL, ["gmacs", "latency"]).axes
    assert points(axes)["timm:small.a_in1k"] == (0.2, 70.0)
    assert points(axes)["saevit_claim_1g"] == (1.0, 79.0)
    assert points(timed)["timm:large.a_in1k"] == pytest.approx((30.0, 80.0))
    assert len(points(axes)) == len(ALL.candidates)


def test_a_claim_stands_only_where_it_has_a_figure_and_is_hollow() -> None:
    figure = scatter_figure(ALL, ["gmacs", "latency"])
    axes, timed = figure.axes
    assert CLAIM in legend(figure)
    assert CLAIMED.model not in points(timed)
    (line,) = (line for line in axes.lines if line.get_gid() == CLAIMED.model)
    assert line.get_markerfacecolor() == "none"
    assert "Missing from a panel (no data): saevit_claim_1g." in words(figure)


def test_a_variant_never_has_a_height() -> None:
    """It stands below where the y axis ends, whatever the accuracies."""
    figure = scatter_figure(ALL, ["gmacs", "latency"])
    assert NO_ACCURACY in legend(figure)
    for axes in figure.axes:
        (line,) = (line for line in axes.lines if line.get_gid() == VARIANT.model)
        middle = line.get_window_extent().y0 / 2 + line.get_window_extent().y1 / 2
        bottom_of_axis = axes.transData.transform((0, axes.spines["left"].get_bounds()[0]))[1]
        assert middle < bottom_of_axis
        lowest = min(marker(axes, name).y0 for name in points(axes) if name != VARIANT.model)
        assert line.get_window_extent().y1 < bottom_of_axis < lowest
        assert min(axes.get_yticks()) >= axes.spines["left"].get_bounds()[0]
        assert names(axes)[VARIANT.model].get_window_extent().y1 < bottom_of_axis


def test_the_front_is_of_plain_models_alone() -> None:
    axes, throughput = scatter_figure(ALL, ["gmacs", "throughput"]).axes
    on_it = ["timm:small.a_in1k", "timm:bigger.a_in1k", "timm:large.a_in1k"]
    for one in (axes, throughput):
        dark = [line.get_gid() for line in one.lines if line.get_markerfacecolor() == "#004c78"]
        assert sorted(dark) == sorted(on_it)


def steps(axes: "Axes") -> list[tuple[float, float]]:
    (line,) = (line for line in axes.lines if line.get_color() == "#000000" and not line.get_gid())
    return list(zip(line.get_xdata(), line.get_ydata(), strict=True))


def test_the_front_is_a_staircase_that_promises_nothing_it_has_not() -> None:
    cost, speed = scatter_figure(ALL, ["gmacs", "throughput"]).axes
    assert steps(cost) == [(0.2, 70), (1.5, 70), (1.5, 78), (2.0, 78), (2.0, 80)]
    slow, middle, fast = (pytest.approx(1000 / ms) for ms in (30, 20, 5))
    assert steps(speed) == [(slow, 80), (slow, 78), (middle, 78), (middle, 70), (fast, 70)]


def test_quartiles_are_drawn_on_measured_axes_only() -> None:
    counted, timed = scatter_figure(ALL, ["gmacs", "latency"]).axes

    def bars(axes: "Axes") -> list[list[float]]:
        return [list(line.get_xdata()) for line in axes.lines if line.get_color() == "#666666"]

    assert bars(counted) == []
    assert len(bars(timed)) == len(points(timed))
    assert pytest.approx([5 * 0.925, 5 * 1.075]) in bars(timed)


def test_the_legend_names_what_is_drawn_and_nothing_else() -> None:
    assert legend(scatter_figure(compared(model("timm:a.b", 1.0, 70.0)), ["gmacs"])) == [
        f"{PLAIN}, on the Pareto front"
    ]
    found = legend(scatter_figure(ALL, ["gmacs"]))
    assert len(found) == 5
    assert any("distilled, extra data" in text for text in found)


def test_names_are_short_and_say_where_an_accuracy_is_of_another_size() -> None:
    figure = scatter_figure(ALL, ["gmacs"])
    found = {name: text.get_text() for name, text in names(figure.axes[0]).items()}
    assert found["timm:small.a_in1k"] == "small"
    assert found["timm:bigger.a_in1k"] == "bigger @96"
    assert found["saevit_claim_1g"] == "saevit_claim_1g"
    assert "@N: accuracy at N px, drawn at its cost at 64 x 64 px." in words(figure)


def test_the_title_is_the_message_and_its_models_are_bold() -> None:
    figure = scatter_figure(replace(ALL, reference="saevit_tiny"), ["gmacs", "latency"])
    assert "saevit_tiny takes 1.12 [1.12, 1.13] times beaten's time at 1.60 times its MACs" in words(figure)
    for axes in figure.axes:
        bold = [name for name, text in names(axes).items() if text.get_weight() == "bold"]
        assert sorted(bold) == ["saevit_tiny", "timm:beaten.a_in1k"]


def test_without_a_timed_axis_the_message_is_about_counts() -> None:
    text = words(scatter_figure(replace(ALL, reference="saevit_tiny"), ["gmacs"]))
    assert text.startswith("saevit_tiny has 1.60 times beaten's MACs and 1.60 times its parameters Top-1")


def test_names_without_room_become_numbers_with_a_key() -> None:
    near = [model(f"timm:near{i}.a", 1 + i / 1e3, 75.0 - i / 1e2, 10.0 + i) for i in range(12)]
    figure = scatter_figure(compared(*ALL.candidates, *near), ["gmacs"])
    (axes,) = figure.axes
    numbers = {text.get_text(): name for name, text in names(axes).items() if text.get_text().isdecimal()}
    assert numbers
    assert sorted(map(int, numbers)) == list(range(1, len(numbers) + 1))
    assert all(f"{number} {name}" in words(figure) for number, name in numbers.items())
    assert_tidy(figure)


def test_panels_have_one_kind_of_scale() -> None:
    figure = scatter_figure(
        compared(*(model(f"timm:m{i}.a", 2.0**i, 70.0 + i, 9.0 + i) for i in range(4))), XS
    )
    assert [axes.get_xscale() for axes in figure.axes] == ["log", "log"]


def test_few_costs_are_drawn_from_zero_so_that_distances_are_ratios() -> None:
    pair = compared(model("timm:a.b", 1.0, None, 10.0), model("timm:c.d", 1.1, None, 11.0))
    (axes,) = scatter_figure(pair, ["gmacs"], "latency").axes
    assert (axes.get_xlim()[0], axes.get_ylim()[0]) == (0, 0)
    assert "Fewer than two models have a known top-1, so costs are compared." in words(axes.figure)  # type: ignore[arg-type]


def test_accuracy_is_an_axis_by_default_if_two_models_have_one() -> None:
    rated, other = model("timm:a.b", 1.0, 70.0, 10.0), model("timm:c.d", 2.0, 75.0, 11.0)
    assert choose_axes(compared(rated, other), XS, None, is_asked=False)[1:] == ("top1", None)
    assert choose_axes(compared(rated, VARIANT), XS, None, is_asked=False) == (
        ["gmacs"],
        "latency",
        "fewer than two models have a known top1",
    )


def test_the_caption_names_conditions() -> None:
    text = words(scatter_figure(ALL, ["gmacs", "latency"]))
    assert "published, at the size of its evaluation; networks timed at 64 x 64 px" in text
    assert "cpu (a processor): fp32, batch 1, eager, 2 threads, contiguous, torch 2.15.0" in text
    assert "6 interleaved rounds" in text
    assert "eager" not in words(scatter_figure(ALL, ["gmacs"]))


def test_the_caption_names_what_is_not_drawn() -> None:
    unknown = model("timm:unknown.a", 1.0, None)
    failed = Candidate(model="timm:failed.a", failure="no")
    figure = scatter_figure(replace(ALL, candidates=(*ALL.candidates, unknown, failed)), ["gmacs"])
    assert "Omitted (no data): unknown, failed." in words(figure)
    relative = replace(model("edgevit_xs", 1.0, 77.5), published_only=True)
    figure = scatter_figure(replace(ALL, candidates=(*ALL.candidates, relative)), ["gmacs"])
    assert "From the published table, network not built: edgevit_xs." in words(figure)


def test_wide_ranges_are_logarithmic_with_plain_ticks() -> None:
    figure = scatter_figure(ALL, ["gmacs"])
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    figure.canvas.draw()
    assert [
        label.get_text() for label in axes.get_xticklabels() if label.get_text() in ("0.2", "0.5", "1", "2")
    ]
    assert not any("$" in label.get_text() for label in axes.get_xticklabels())
    narrow = compared(model("timm:a.b", 1.0, 70.0), model("timm:c.d", 4.0, 80.0))
    assert scatter_figure(narrow, ["gmacs"]).axes[0].get_xscale() == "linear"


TURNED = compared(*(model(f"timm:m{i}.a", 2.0**i, 70.0 + i, 30.0 - 3 * i) for i in range(8)), CLAIMED)


def test_cost_against_time_says_in_words_what_it_shows() -> None:
    figure = scatter_figure(TURNED, ["gmacs"], "latency")
    (axes,) = figure.axes
    title = axes.get_title(loc="left").replace("\n", " ")
    assert title == "Models with fewer MACs are mostly slower: rank correlation -1.00 over 8 models"
    assert "MACs and latency order 28 of 28 pairs of models in opposite ways" in words(figure)
    assert "m0 has 0.0078 times the MACs of m7, but 3.3 times its latency." in words(figure)
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")


def test_a_claim_is_no_model_to_be_ranked() -> None:
    claim = replace(CLAIMED, params=10**7)
    figure = scatter_figure(replace(TURNED, candidates=(*TURNED.candidates[:-1], claim)), ["gmacs"], "params")
    assert claim.model in points(figure.axes[0])
    assert "over 8 models" in figure.axes[0].get_title(loc="left")
    assert "order all 28 pairs of models alike" in words(figure)


def test_the_pairs_that_disagree_most_are_tied() -> None:
    (axes,) = scatter_figure(TURNED, ["gmacs"], "latency").axes
    tied = [
        [(x, y) for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]
        for line in axes.lines
        if line.get_color() == "#D55E00" and not line.get_gid()
    ]
    here = points(axes)
    assert [
        ends == [pytest.approx(here[a]), pytest.approx(here[b])]
        for ends, a, b in zip(tied, ("timm:m0.a", "timm:m1.a"), ("timm:m7.a", "timm:m6.a"), strict=True)
    ] == [True, True]


def test_in_cost_plots_variants_are_points_like_any_other() -> None:
    figure = scatter_figure(ALL, ["gmacs"], "latency")
    assert points(figure.axes[0])[VARIANT.model] == pytest.approx((0.8, 9.0))
    assert legend(figure)[:2] == ["baselines", "SAEViT variants"]
    title = figure.axes[0].get_title(loc="left")
    assert title == "", "6 models are too few for a rank correlation"


def test_one_network_with_two_trainings_is_one_point_of_two_costs() -> None:
    twice = replace(ALL.candidates[0], model="timm:small.b_in1k", same_as="timm:small.a_in1k")
    both = replace(ALL, candidates=(*ALL.candidates, twice))
    figure = scatter_figure(both, ["gmacs"], "latency")
    assert twice.model not in points(figure.axes[0])
    assert "small" not in words(figure).partition("Omitted")[2]
    assert twice.model in points(scatter_figure(both, ["gmacs"]).axes[0])


@pytest.mark.parametrize(
    ("comparison", "xs", "y", "message"),
    [
        (UNTIMED, ["gmacs", "latency"], "top1", "--measure"),
        (UNTIMED, ["gmacs"], "throughput", "--measure"),
        (compared(VARIANT), ["gmacs"], "top1", "no model has a published top1"),
        (compared(CLAIMED, VARIANT), ["latency"], "top1", "no model has both latency and top1"),
        (compared(Candidate(model="timm:x", failure="not built")), ["gmacs"], "top1", "failed: not built"),
        (ALL, ["gmacs"], "gmacs", "the same"),
        (ALL, ["gmacs", "gmacs"], "top1", "twice"),
        (ALL, ["top1"], "latency", "cannot be x"),
        (ALL, [], "top1", "no x axis"),
        (ALL, ["gmac"], "top1", "did you mean gmacs"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(
    comparison: Comparison, xs: list[str], y: str, message: str
) -> None:
    with pytest.raises(OptionError, match=message) as raised:
        scatter_figure(comparison, xs, y)
    assert "\n" not in str(raised.value)


def assert_tidy(figure: "Figure") -> None:
    """No name on a name, a mark or the panel's edge; no text beyond the figure; no text block on another."""
    figure.canvas.draw()
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in names(axes).values()]
        marks = [marker(axes, name) for name in points(axes)]
        assert not any(overlap(a, b) for a, b in combinations(boxes, 2))
        assert not any(overlap(box, mark) for box in boxes for mark in marks)
        assert all(box.x0 >= axes.bbox.x0 and box.x1 <= axes.bbox.x1 for box in boxes)
        assert all(box.y0 >= axes.bbox.y0 and box.y1 <= axes.bbox.y1 for box in boxes)
        notes = [text.get_text() for text in axes.texts if not text.get_gid()]
        notes = [note for note in notes if note != "no top-1"]
        lost = len(marks) - len(boxes)
        assert notes == ([f"{lost} of {len(marks)} labels omitted, not enough space"] if lost else [])
    blocks = [text.get_window_extent() for text in figure.texts if text.get_text()]
    blocks += [figure.legends[0].get_window_extent(), *(axes.get_tightbbox() for axes in figure.axes)]
    assert not any(overlap(a, b) for a, b in combinations(blocks, 2))
    edge = figure.bbox
    assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= edge.x1 + 1 and b.y1 <= edge.y1 + 1 for b in blocks)


def overlap(a: "Bbox", b: "Bbox") -> bool:
    return bool(a.x0 < b.x1 and b.x0 < a.x1 and a.y0 < b.y1 and b.y0 < a.y1)


@pytest.mark.parametrize("xs", [["gmacs"], ["gmacs", "latency"], ["params", "memory", "throughput"]], ids=len)
def test_nothing_overlaps(xs: list[str]) -> None:
    assert_tidy(scatter_figure(ALL, xs))


def test_nothing_overlaps_where_costs_are_compared() -> None:
    assert_tidy(scatter_figure(ALL, ["gmacs", "params"], "latency"))


def test_the_label_of_a_value_of_zero_is_at_its_point() -> None:
    cheap, other = replace(model("timm:cheap.a", 0.0, 70.0), params=10), model("timm:other.a", 1.0, 80.0)
    (axes,) = scatter_figure(compared(cheap, other), ["params"], "gmacs").axes
    text, point = names(axes)["timm:cheap.a"].get_window_extent(), marker(axes, "timm:cheap.a")
    assert max(point.x0 - text.x1, text.x0 - point.x1, point.y0 - text.y1, text.y0 - point.y1) < 20


def test_very_long_names_fit() -> None:
    longs = [
        replace(VARIANT, model=f"saevit_tiny:dims=32-64-160-256,rates=8-4-2-{i},ffn=mlp") for i in range(9)
    ]
    assert_tidy(scatter_figure(compared(*ALL.candidates, *longs), ["gmacs", "latency"]))


def test_names_without_room_are_left_out_and_counted() -> None:
    crowd = [model(f"timm:crowd{i}.a", 1 + i / 1e4, 75.0 - i / 1e4, 10.0 + i) for i in range(60)]
    figure = scatter_figure(compared(*ALL.candidates, *crowd), ["gmacs"])
    assert_tidy(figure)
    (axes,) = figure.axes
    assert len(names(axes)) < len(points(axes)) == 67
    front = [line.get_gid() for line in axes.lines if line.get_markerfacecolor() == "#004c78"]
    assert set(front) <= names(axes).keys()  # they come before the crowd's


ANY = st.builds(
    lambda i, gmacs, top1, ms, mark: (i, gmacs, top1, ms, mark),
    st.integers(0, 10**12),
    st.floats(0.01, 20),
    st.none() | st.floats(50, 90),
    st.floats(1, 1000),
    st.sampled_from(["published", "published", "published, distilled", CLAIM]),
)


@settings(max_examples=12, deadline=None)
@given(
    st.lists(ANY, min_size=1, max_size=40, unique_by=lambda row: row[0]), st.sampled_from(["top1", "latency"])
)
def test_whatever_is_compared_nothing_overlaps(
    rows: list[tuple[int, float, float | None, float, str]], y: str
) -> None:
    first = model("timm:first.a", 1.0, 75.0, 10.0)
    others = [
        model(f"timm:n{i}.a", gmacs, top1, ms, mark=mark, family="Family" if top1 else "SAEViT")
        for i, gmacs, top1, ms, mark in rows
    ]
    assert_tidy(scatter_figure(compared(first, *others), ["gmacs"], y))


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_is_written(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"figure{ending}"
    save_figure(scatter_figure(ALL, ["gmacs", "latency"]), path)
    magic = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[ending]
    assert path.read_bytes().startswith(magic)


def measured(c: Candidate, top1: float, *, plain: bool = True) -> Candidate:
    """The model with a top-1 that was measured here, two points to either side."""
    accuracy = Accuracy(
        top1=top1,
        img_size=64,
        mark="measured here",
        source="saevit eval",
        plain=plain,
        measured_on="digits (validation)",
        interval=(top1 - 2, top1 + 2),
        images=359,
    )
    return replace(c, accuracy=accuracy)


def test_measured_accuracies_are_points_of_their_own() -> None:
    own = measured(model("saevit_pico", 0.2, None, 3, family="SAEViT"), 95)
    baseline = measured(model("small", 0.3, None, 4), 90)
    other = measured(model("large", 0.5, None, 4), 99, plain=False)
    without = model("saevit_nano", 0.4, None, 5, family="SAEViT")
    found = replace(compared(own, baseline, other, without), top1_on="digits (validation)")
    figure = scatter_figure(found, ["gmacs"])
    (axes,) = figure.axes
    drawn = {line.get_gid(): line for line in axes.lines if line.get_gid()}
    assert drawn["saevit_pico"].get_ydata() == [95]
    assert (drawn["saevit_pico"].get_marker(), drawn["small"].get_marker()) == ("^", "o")
    assert drawn["large"].get_marker() == "D"
    bars = [line.get_ydata() for line in axes.lines if len(line.get_ydata()) == 2 and not line.get_gid()]
    assert [list(bar) for bar in bars][-3:] == [[93, 97], [88, 92], [97, 101]]
    assert axes.get_ylabel() == "top-1 (%) on digits (validation), measured here"
    words = " ".join(text.get_text() for text in [*figure.texts, *figure.legends[0].get_texts()])
    assert "digits (validation), 359 images" in words.replace("\n", " ")
    assert "SAEViT variants, measured here, on the Pareto front" in words
    assert "ImageNet" not in words


def test_costs_know_nothing_of_accuracies() -> None:
    own = measured(model("saevit_pico", 0.2, None, 3, family="SAEViT"), 95)
    found = replace(compared(own, model("small", 0.3, 70, 4)), top1_on="digits (validation)")
    figure = scatter_figure(found, ["gmacs"], "latency")
    assert "SAEViT variants" in [text.get_text() for text in figure.legends[0].get_texts()]
