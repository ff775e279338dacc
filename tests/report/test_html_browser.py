"""The page in a browser: what its script draws, sorts, filters and hands over."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from saevit.comparing.comparison import Candidate, Comparison
from saevit.report.columns import NONE
from saevit.report.html.page import report_html
from saevit.report.metrics import COSTS, METRICS, find_front
from saevit.report.views.compare import tabulate_comparison, write_comparison_csv, write_comparison_json
from saevit.runs.statistics import median
from tests.report.test_html import CANDIDATES, COMPARISON, HOSTILE, published, timed

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")  # named, so that selenium does not look for one on the network
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
    pytest.mark.skipif(CHROMEDRIVER is None, reason="chromedriver is not installed"),
]
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,1000",
)
COLUMNS: dict[str, Callable[[Candidate], float | None]] = {
    "params": lambda c: c.params,
    "GMACs": lambda c: c.macs,
    "peak act.": lambda c: c.peak_bytes,
    "ms/batch": lambda c: median(c.samples) if c.samples else None,
    "images/s": lambda c: None if c.seconds is None else 1 / c.seconds,
    "ratio to saevit_tiny": lambda c: seen.median if (seen := COMPARISON.ratio(c)) else None,
    "top-1": lambda c: c.accuracy.top1 if c.accuracy else None,
    "at px": lambda c: c.accuracy.img_size if c.accuracy else None,
}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One browser, which keeps its console and what it asks the network for."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(CHROMEDRIVER))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Iterator[Callable[[Comparison], Any]]:
    """Return a function that opens a comparison's page; whatever the test does, the console stays clean."""

    def opened(comparison: Comparison) -> Any:
        path = tmp_path / "report.html"
        path.write_text(report_html(comparison), encoding="utf-8")
        browser.get(path.as_uri())
        return browser

    browser.get_log("browser")
    yield opened
    assert browser.get_log("browser") == []


@pytest.fixture
def page(show: Callable[[Comparison], Any]) -> Any:
    return show(COMPARISON)


def one(page: Any, selector: str) -> Any:
    return page.find_element(By.CSS_SELECTOR, selector)


def every(page: Any, selector: str) -> list[Any]:
    return page.find_elements(By.CSS_SELECTOR, selector)


def order(page: Any) -> list[int]:
    """Places, in the comparison, of the rows that are visible."""
    rows = every(page, "#models tbody tr")
    return [int(row.get_attribute("data-index")) for row in rows if row.is_displayed()]


def choose(page: Any, x: str, y: str, *, log: bool = False) -> None:
    """Choose axes, x first."""
    script = """
        for (const [axis, metric] of [["x", arguments[0]], ["y", arguments[1]]]) {
            document.getElementById(axis).value = metric;
            document.getElementById(axis).dispatchEvent(new Event("change"));
        }
        for (const id of ["x-log", "y-log"]) {
            const box = document.getElementById(id);
            if (!box.disabled && box.checked !== arguments[2]) box.click();
        }
    """
    page.execute_script(script, x, y, log)


def places(page: Any, selector: str = ".mark") -> dict[int, tuple[float, float]]:
    """Where each model's mark stands, in pixels."""
    script = "return [...arguments].map(m => [m.dataset.index, m.getAttribute('transform')])"
    found = {}
    for index, transform in page.execute_script(script, *every(page, f"#chart {selector}")):
        x, y = map(float, re.findall(r"[-\d.e]+", transform.removeprefix("translate")))
        found[int(index)] = (x, y)
    return found


def mark(page: Any, model: str) -> Any:
    """The mark of one of CANDIDATES."""
    index = [c.model for c in CANDIDATES].index(model)
    return one(page, f'#chart .mark[data-index="{index}"]')


def point_at(page: Any, element: Any) -> None:
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    webdriver.ActionChains(page).move_to_element(element).perform()


def drawn(x: str, y: str) -> dict[int, tuple[float, float]]:
    """Values of the models that have both."""
    values = {i: (METRICS[x].of(c), METRICS[y].of(c)) for i, c in enumerate(CANDIDATES)}
    return {i: (a, b) for i, (a, b) in values.items() if a is not None and b is not None}


def test_it_opens_from_a_file_asks_the_network_for_nothing_and_shows_names_as_text(page: Any) -> None:
    names = [button.get_property("textContent") for button in every(page, "#models tbody th button")]
    assert names == [c.model for c in CANDIDATES]
    assert not every(page, "b")
    events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    asked = [request["request"]["url"] for request in sent if request["documentURL"] == page.current_url]
    assert asked
    assert {url.partition(":")[0] for url in asked} <= {"file", "data", "blob"}


def test_no_other_script_can_run(page: Any) -> None:
    page.execute_script(
        "const script = document.createElement('script'); script.textContent = 'window.ran = true';"
        "document.body.append(script)"
    )
    assert page.execute_script("return window.ran") is None
    assert "Content Security Policy" in page.get_log("browser")[0]["message"]


def test_the_script_leaves_no_globals(show: Callable[[Comparison], Any], tmp_path: Path) -> None:
    names = "return Object.getOwnPropertyNames(window)"
    page = show(COMPARISON)
    found = set(page.execute_script(names))
    (tmp_path / "empty.html").write_text("<!doctype html><title>empty</title>", encoding="utf-8")
    page.get((tmp_path / "empty.html").as_uri())
    assert found <= set(page.execute_script(names))


@pytest.mark.parametrize(
    "column", [column.heading for column in tabulate_comparison(COMPARISON, None).columns]
)
@pytest.mark.parametrize("presses", [1, 2])
def test_every_column_sorts_both_ways_with_unknown_values_last(page: Any, column: str, presses: int) -> None:
    table = tabulate_comparison(COMPARISON, None)
    texts = [row[[column.heading for column in table.columns].index(column)] for row in table.rows]
    values: list[Any] = [None if text == NONE else text for text in texts]
    if column in COLUMNS:
        values = [COLUMNS[column](c) for c in CANDIDATES]
    known = [i for i, value in enumerate(values) if value is not None]
    unknown = [i for i, value in enumerate(values) if value is None]
    (button,) = [b for b in every(page, "#models thead button") if b.text == column]
    for _ in range(presses):
        button.send_keys(Keys.ENTER if presses == 1 else Keys.SPACE)
    assert order(page) == sorted(known, key=lambda i: values[i], reverse=presses == 2) + unknown
    states = [head.get_attribute("aria-sort") for head in every(page, "#models thead th")]
    assert [state for state in states if state] == [["ascending", "descending"][presses - 1]]


def test_a_click_on_a_head_sorts(page: Any) -> None:
    one(page, "#models thead th:nth-child(3) button").click()
    assert order(page)[0] == 1


def test_the_filter_leaves_names_with_all_words(page: Any) -> None:
    box = one(page, "#filter")
    box.send_keys("SAE _")
    assert order(page) == [0, 1, 7]
    assert one(page, "#filtered").text == "3 of 10 models"
    faded = {int(m.get_attribute("data-index")) for m in every(page, "#chart .faded")}
    assert faded == places(page).keys() - {0, 1, 7}
    box.clear()
    box.send_keys("</script>")
    assert order(page) == [CANDIDATES.index(next(c for c in CANDIDATES if c.model == HOSTILE))]
    box.clear()
    box.send_keys(" ")
    assert len(order(page)) == len(CANDIDATES)


@pytest.mark.parametrize(("x", "y"), [("latency", "top1"), ("throughput", "gmacs"), ("top1", "params")])
@pytest.mark.parametrize("log", [False, True])
def test_points_stand_where_their_values_say(page: Any, x: str, y: str, log: bool) -> None:
    choose(page, x, y, log=log)
    values, found = drawn(x, y), places(page, ".mark:not(.rug)")
    assert found.keys() == values.keys()
    for axis, name, sign in ((0, x, 1), (1, y, -1)):
        wanted = np.array([values[i][axis] for i in values])
        if log and name != "top1":
            wanted = np.log10(wanted)
        pixels = np.array([found[i][axis] for i in values])
        slope, start = np.polyfit(wanted, pixels, 1)
        assert sign * slope > 0
        np.testing.assert_allclose(pixels, slope * wanted + start, atol=1e-6)
        suffix = ", log" if log and name != "top1" else ""
        assert one(page, f".axis-{'xy'[axis]}").text == METRICS[name].label + suffix


def test_ticks_stand_at_their_values(page: Any) -> None:
    choose(page, "latency", "top1")
    values, found = drawn("latency", "top1"), places(page, ".mark:not(.rug)")
    slope, start = np.polyfit([v[0] for v in values.values()], [found[i][0] for i in values], 1)
    ticks = [(float(t.text), float(t.get_attribute("x"))) for t in every(page, ".tick-x")]
    assert len(ticks) >= 3
    for value, at in ticks:
        assert at == pytest.approx(slope * value + start)


@pytest.mark.parametrize(("x", "y", "axis"), [("gmacs", "top1", 0), ("top1", "gmacs", 1)])
def test_models_without_accuracy_are_ticks_on_the_cost_axis(page: Any, x: str, y: str, axis: int) -> None:
    choose(page, x, y)
    ticks, points = places(page, ".mark.rug"), places(page, ".mark:not(.rug)")
    assert ticks.keys() == {i for i, c in enumerate(CANDIDATES) if c.accuracy is None and c.macs}
    assert len({place[1 - axis] for place in ticks.values()}) == 1
    values = {**drawn(x, y), **{i: (CANDIDATES[i].macs / 1e9,) * 2 for i in ticks}}
    both = ticks | points
    pixels = [both[i][axis] for i in sorted(both)]
    assert np.corrcoef(pixels, [values[i][axis] for i in sorted(both)])[0, 1] ** 2 == pytest.approx(1)


def test_kinds_look_different_and_the_legend_names_those_that_are_drawn(page: Any) -> None:
    choose(page, "gmacs", "top1")
    assert "claim" in mark(page, "saevit_claim").get_attribute("class")
    style = "return getComputedStyle(arguments[0])"
    paper = page.execute_script(f"{style}.backgroundColor", one(page, "body"))
    assert page.execute_script(f"{style}.fill", one(page, "#chart .claim path")) == paper
    kinds = ("plain", "apart", "claim", "none")
    assert len({one(page, f"#chart .{kind} path").get_attribute("d") for kind in kinds}) == 4
    legend = one(page, "#legend").text
    assert "claimed by the paper" in legend
    choose(page, "latency", "top1")
    assert "claimed by the paper" not in one(page, "#legend").text


def random_comparison(seed: int) -> Comparison:
    """Models with few different values, so that ties are common; some lack a figure or a plain accuracy."""
    random = np.random.default_rng(seed)
    found = []
    for i in range(24):
        kind = ["published", "published, distilled"][int(random.random() < 0.2)]
        c = timed(
            f"m{i}",
            0.01 * int(random.integers(1, 9)),
            macs=int(random.integers(1, 7)) * 10**8,
            params=int(random.integers(1, 7)) * 10**6,
            peak_bytes=None if random.random() < 0.2 else int(random.integers(1, 7)) * 10**6,
            accuracy=None if random.random() < 0.2 else published(70 + int(random.integers(0, 6)), kind),
        )
        found.append(replace(c, subject=None) if random.random() < 0.2 else c)
    return replace(COMPARISON, candidates=tuple(found), reference="m0")


@pytest.mark.parametrize("comparison", [COMPARISON, *map(random_comparison, range(3))])
def test_the_front_is_that_of_python_on_all_axes(
    show: Callable[[Comparison], Any], comparison: Comparison
) -> None:
    page = show(comparison)
    for x, y in permutations(METRICS, 2):
        choose(page, x, y)
        best = find_front(comparison.candidates, x, y)
        wanted = {i for i, c in enumerate(comparison.candidates) if best.get(c.model)}
        front = places(page, ".mark.front")
        assert front.keys() == wanted, (x, y)
        line = one(page, ".front-line").get_attribute("d")
        corners = [(float(a), float(b)) for a, b in re.findall(r"H([-\d.e]+)V([-\d.e]+)", line)]
        assert set(corners) == set(front.values())
        across, down = zip(*corners, strict=True)  # from the best x on; pixels of y run downwards
        assert list(across) == sorted(across, reverse=METRICS[x].better == "max")
        assert list(down) == sorted(down, reverse=METRICS[y].better == "max")


@pytest.mark.parametrize("seed", range(2))
def test_rank_correlation_is_shown_between_costs_only(show: Callable[[Comparison], Any], seed: int) -> None:
    comparison = random_comparison(seed)
    page = show(comparison)
    for x, y in permutations(COSTS, 2):
        choose(page, x, y)
        pairs = [(METRICS[x].of(c), METRICS[y].of(c)) for c in comparison.candidates]
        known = np.array([pair for pair in pairs if None not in pair], dtype=float)
        wanted = np.corrcoef(mean_ranks(known[:, 0]), mean_ranks(known[:, 1]))[0, 1]
        shown = one(page, "#summary data")
        assert float(shown.get_attribute("value")) == pytest.approx(wanted, abs=1e-12)
        assert shown.text == f"{wanted:.3f}"
    choose(page, "latency", "top1")
    assert not every(page, "#summary data")


def mean_ranks(values: Any) -> Any:
    """Ranks from 1, equal values sharing the mean of theirs."""
    _, inverse, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2)[inverse]


def test_a_metric_chosen_for_both_axes_swaps_them(page: Any) -> None:
    Select(one(page, "#x")).select_by_value("gmacs")
    Select(one(page, "#y")).select_by_value("params")
    before = one(page, ".axis-x").text, one(page, ".axis-y").text
    Select(one(page, "#x")).select_by_value("params")
    assert one(page, "#y").get_attribute("value") == "gmacs"
    assert (one(page, ".axis-y").text, one(page, ".axis-x").text) == before


def test_pointing_at_a_mark_shows_everything_about_its_model(page: Any) -> None:
    tip = one(page, "#tip")
    assert not tip.is_displayed()
    point_at(page, mark(page, "timm:delta.dist_in1k"))
    assert one(tip, "strong").text == "timm:delta.dist_in1k"
    table = tabulate_comparison(COMPARISON, None)
    row = next(row for row in table.rows if row[0] == "timm:delta.dist_in1k")
    names, texts = ([e.text for e in every(tip, tag)] for tag in ("dt", "dd"))
    shown = dict(zip(names, texts, strict=True))
    assert shown == dict(zip([column.heading for column in table.columns][1:], row[1:], strict=True)) | {
        "top-1 from": "table published, distilled",
        "counted by": "torch",
    }
    point_at(page, one(page, "#models-heading"))
    assert not tip.is_displayed()


def test_the_tooltip_stays_inside_the_plot_sideways(page: Any) -> None:
    frame = one(page, "#canvas").rect
    for name in ("timm:alpha.in1k", "timm:gamma.in1k", HOSTILE):
        point_at(page, mark(page, name))
        tip = one(page, "#tip")
        assert tip.is_displayed()
        assert frame["x"] <= tip.rect["x"]
        assert tip.rect["x"] + tip.rect["width"] <= frame["x"] + frame["width"] + 1


def test_the_keyboard_reads_marks_in_order_and_selects(page: Any) -> None:
    choose(page, "latency", "top1")
    assert len(every(page, '#chart .mark[tabindex="0"]')) == 1
    one(page, "#y").send_keys(Keys.TAB)
    read, place = [], places(page)
    webdriver.ActionChains(page).send_keys(Keys.ARROW_LEFT * len(place)).perform()
    for _ in place:
        focused = page.switch_to.active_element
        read.append(int(focused.get_attribute("data-index")))
        assert one(page, "#tip strong").get_property("textContent") == CANDIDATES[read[-1]].model
        assert CANDIDATES[read[-1]].model in focused.get_attribute("aria-label")
        webdriver.ActionChains(page).send_keys(Keys.ARROW_RIGHT).perform()
    assert read == sorted(place, key=lambda i: (place[i][0], i))
    webdriver.ActionChains(page).send_keys(Keys.ENTER).perform()
    assert selected(page) == [read[-1]]
    webdriver.ActionChains(page).send_keys(Keys.ESCAPE).perform()
    assert not one(page, "#tip").is_displayed()


def selected(page: Any) -> list[int]:
    return [int(row.get_attribute("data-index")) for row in every(page, "#models tr.selected")]


def test_a_click_selects_in_plot_and_table(page: Any) -> None:
    point = mark(page, "timm:beta.in1k")
    point_at(page, point)
    point.click()
    assert selected(page) == [3]
    assert point.get_attribute("aria-pressed") == "true"
    assert one(page, ".overlay .own").text == "beta"
    one(page, '#models tr[data-index="2"] td').click()
    assert selected(page) == [2]
    assert point.get_attribute("aria-pressed") == "false"
    assert one(page, ".overlay .own").text == "alpha"
    x, y = places(page)[2]
    ring = one(page, ".ring")
    assert (float(ring.get_attribute("cx")), float(ring.get_attribute("cy"))) == pytest.approx((x, y))
    one(page, '#models tr[data-index="2"] button').send_keys(Keys.ENTER)
    assert selected(page) == []
    assert not every(page, ".ring")


def test_a_selected_model_is_scrolled_into_the_table(show: Callable[[Comparison], Any]) -> None:
    page = show(random_comparison(1))
    last = max(places(page))
    page.execute_script("document.querySelector('.scroll').style.maxHeight = '200px'")
    page.execute_script("arguments[0].focus()", one(page, f'#chart .mark[data-index="{last}"]'))
    webdriver.ActionChains(page).send_keys(Keys.ENTER).perform()
    frame, row = one(page, ".scroll").rect, one(page, "tr.selected").rect
    assert frame["y"] <= row["y"]
    assert row["y"] + row["height"] <= frame["y"] + frame["height"]


def test_downloads_are_the_bytes_that_the_options_write(page: Any, tmp_path: Path) -> None:
    page.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    for ending, text in (
        ("json", write_comparison_json(COMPARISON)),
        ("csv", write_comparison_csv(COMPARISON)),
    ):
        (link,) = [a for a in every(page, "#downloads a") if a.text.endswith(ending)]
        link.click()
        target = tmp_path / link.text
        WebDriverWait(page, 20).until(lambda _, target=target: target.exists())
        assert target.read_bytes() == text.encode()


def test_without_two_metrics_there_is_no_plot(show: Callable[[Comparison], Any]) -> None:
    page = show(replace(COMPARISON, candidates=CANDIDATES[-1:], run=None))
    assert not one(page, "#plot").is_displayed()
    assert order(page) == [0]


def test_axes_that_no_model_has_both_of_are_drawn_empty(show: Callable[[Comparison], Any]) -> None:
    """Nothing stands in the plot, and nothing breaks."""
    counted = Candidate(model="a", params=10**6)
    claimed = Candidate(model="b", macs=10**9)
    page = show(replace(COMPARISON, candidates=(counted, claimed), reference="a", run=None))
    assert places(page) == {}
    assert one(page, "#summary").text.startswith("0 of 2 models have both values")


@pytest.mark.parametrize("width", [420, 800])
def test_the_page_never_scrolls_sideways(show: Callable[[Comparison], Any], width: int) -> None:
    page = show(COMPARISON)
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        assert page.execute_script("return document.documentElement.scrollWidth") <= width
        assert page.execute_script("return document.getElementById('chart').clientWidth") <= width
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
