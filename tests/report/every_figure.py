"""Every figure of every command, with one text wherever foreign text can stand in it."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from saevit.attention.findings import Attention
from saevit.attention.look import Choice, look_at
from saevit.attention.network import open_network
from saevit.explore.solve import find_sensitivity
from saevit.profiling import profile
from saevit.report.attention_figure import attention_figure
from saevit.report.breakdown_plot import breakdown_figure
from saevit.report.explore_figures import front_figure, tornado_figure
from saevit.report.roofline_plot import roofline_figure
from saevit.report.scatter.scatter_plot import scatter_figure
from saevit.report.views.training import draw_learning_curve
from saevit.variant import parse
from tests.explore.spaces import MIDDLE
from tests.report.conftest import OPERATOR_TIMES
from tests.report.scatter.test_scatter_plot import ALL
from tests.report.views.test_explore import found
from tests.report.views.test_training import ROWS, row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TINY = "saevit_pico:dims=16-24-36-48,depths=1,heads=1,rates=8-4-3-1,ratios=2"


def breakdown(text: str) -> "Figure":
    counted = profile("saevit_pico", img_size=(64, 64), counters=["analytic"])
    rows = tuple(replace(one, path=one.path + text) for one in counted.rows)
    return breakdown_figure(replace(counted, model=text, rows=rows))


def roofline(text: str) -> "Figure":
    counted = profile("saevit_pico", img_size=(64, 64), counters=["analytic"])
    environment = replace(OPERATOR_TIMES.environment, cpu=text)
    operators = tuple(replace(one, kind=one.kind + text) for one in OPERATOR_TIMES.operators)
    times = replace(OPERATOR_TIMES, environment=environment, operators=operators)
    return roofline_figure(replace(counted, model=text, by="op", operator_times=(times,)))


def front(text: str) -> "Figure":
    seen = found()
    return front_figure(replace(seen, base=replace(seen.base, model=text)))


def tornado(text: str) -> "Figure":
    seen = find_sensitivity(MIDDLE, (224, 224))
    return tornado_figure(replace(seen, base=replace(seen.base, model=text)))


def curve(text: str) -> "Figure":
    return draw_learning_curve((*ROWS, row(5, 0.01, 95.0)), f"{text} on {text}")


def scatter(text: str, xs: list[str], y: str) -> "Figure":
    first, *others, last = ALL.candidates
    assert ALL.run
    renamed = (replace(first, model=text), *others, replace(last, model=f"timm:{text}.a"))
    environment = replace(ALL.run.environment, cpu=text)
    compared = replace(ALL, candidates=renamed, run=replace(ALL.run, environment=environment))
    return scatter_figure(replace(compared, top1_on=text if y == "top1" else None), xs, y)


def attention(text: str, view: str) -> "Figure":
    one = looked()
    photo = replace(one.photo, name=text, notes=(text,))
    maps = tuple(replace(found, of=replace(found.of, name=text)) for found in one.class_maps)
    named = replace(one, model=text, weights=text, images=(text, "b"), photo=photo, notes=(text,))
    named = replace(named, class_maps=maps)
    return attention_figure(view, [replace(named, preparation=text)])


@cache
def looked() -> Attention:
    views = ("overview", "query", "class", "pattern", "rollout")
    choice = Choice(queries=((256, 300),), views=views)
    return look_at(open_network(parse(TINY), (72, 72)), [], choice)


FIGURES: dict[str, Callable[[str], "Figure"]] = {
    "profile": breakdown,
    "profile-operators": roofline,
    "compare": lambda text: scatter(text, ["gmacs", "latency"], "top1"),
    "compare-costs": lambda text: scatter(text, ["gmacs"], "latency"),
    "explore": front,
    "explore-sensitivity": tornado,
    "train": curve,
    "attention-overview": lambda text: attention(text, "overview"),
    "attention-query": lambda text: attention(text, "query"),
    "attention-class": lambda text: attention(text, "class"),
    "attention-pattern": lambda text: attention(text, "pattern"),
    "attention-rollout": lambda text: attention(text, "rollout"),
}
