"""The page in a browser: what its script sorts, filters, hides and highlights, and what works without it."""

import base64
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from saevit.report.columns import NONE, View, text_table
from saevit.report.html.page import report_html
from saevit.report.views.compare import tabulate_comparison
from saevit.text import printable
from tests.report.conftest import ENVIRONMENT
from tests.report.test_html import COMPARISON, DATA, HOSTILE, PAGE, page_of_rows

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

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


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return one browser, which keeps its console and the requests that it makes."""
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
def show(browser: Any, tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """Return a function that opens a page; whatever the test does, the console stays clean."""

    def open_page(text: str) -> Any:
        path = tmp_path / "report.html"
        path.write_text(text, encoding="utf-8")
        browser.get(path.as_uri())
        return browser

    browser.get_log("browser")
    yield open_page
    assert browser.get_log("browser") == []


@pytest.fixture
def page(show: Callable[[str], Any]) -> Any:
    return show(PAGE)


@pytest.fixture
def narrow(show: Callable[[str], Any]) -> Iterator[Any]:
    """Return the page in a window that is 390 px wide."""
    browser = show("")
    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    yield show(PAGE)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


TABLE = tabulate_comparison(COMPARISON, None)
HEADS = [column.heading for column in TABLE.columns]


def one(page: Any, selector: str) -> Any:
    return page.find_element(By.CSS_SELECTOR, selector)


def every(page: Any, selector: str) -> list[Any]:
    return page.find_elements(By.CSS_SELECTOR, selector)


def order(page: Any) -> list[int]:
    """Places, in the comparison, of the rows that are visible."""
    rows = [row for row in every(page, "tr[data-key]") if row.is_displayed()]
    return [int(row.get_attribute("id").rpartition("-")[2]) for row in rows]


def mark(page: Any, name: str) -> Any:
    """The first mark of a model."""
    return next(m for m in every(page, "a.mark") if m.get_attribute("data-key") == name)


def highlighted(page: Any, selector: str) -> set[str]:
    return {node.get_attribute("data-key") for node in every(page, f"{selector}.on")}


def point_at(page: Any, node: Any) -> None:
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", node)
    webdriver.ActionChains(page).move_to_element(node).perform()


def show_columns(page: Any) -> None:
    """Show all columns that were hidden."""
    one(page, ".columns summary").click()
    for box in every(page, ".columns input"):
        if not box.is_selected():
            box.click()


def press(page: Any, *keys: str) -> None:
    webdriver.ActionChains(page).send_keys(*keys).perform()


def test_the_page_asks_the_network_for_nothing(page: Any) -> None:
    urls = [
        entry["message"] for entry in page.get_log("performance") if "requestWillBeSent" in entry["message"]
    ]
    assert urls
    assert not [url for url in urls if '"url":"http' in url]


def test_a_script_from_elsewhere_does_not_run(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(PAGE, encoding="utf-8")
    browser.get(path.as_uri())
    browser.execute_script(
        "const script = document.createElement('script'); script.textContent = 'window.ran = true';"
        "document.body.append(script)"
    )
    assert browser.execute_script("return window.ran") is None
    assert "Content Security Policy" in browser.get_log("browser")[0]["message"]


@pytest.mark.parametrize("place", range(len(HEADS)))
def test_a_column_sorts_both_ways_with_unknown_values_last(page: Any, place: int) -> None:
    texts = [row[place] for row in TABLE.rows]
    values = [row[place] if isinstance(row[place], float | int) else None for row in TABLE.values]
    keys: list[Any] = [text if value is None else value for text, value in zip(texts, values, strict=True)]
    is_number = TABLE.columns[place].side == "right"
    known = [i for i, text in enumerate(texts) if text != NONE and not (is_number and values[i] is None)]
    unknown = [i for i in range(len(texts)) if i not in known]
    show_columns(page)
    for key, reverse in ((Keys.ENTER, False), (Keys.SPACE, True)):
        every(page, "thead button")[place].send_keys(key)
        assert order(page) == sorted(known, key=lambda i: keys[i], reverse=reverse) + unknown
    states = [head.get_attribute("aria-sort") for head in every(page, "thead th")]
    assert [state for state in states if state] == ["descending"]


def test_numbers_with_a_prefix_are_sorted_by_size(show: Callable[[str], Any]) -> None:
    table = text_table(
        "sizes", ["name", ">size"], [("a", "1.74 M"), ("b", "-"), ("c", "10.2 k"), ("d", "900")]
    )
    page = show(report_html(View(tables=(table,)), "saevit", ENVIRONMENT))
    every(page, "thead button")[1].click()
    assert order(page) == [3, 2, 0, 1]


def test_the_filter_leaves_rows_with_all_words(show: Callable[[str], Any]) -> None:
    names = [f"model {i}" for i in range(14)] + ["other"]
    page = show(page_of_rows(names, "model 1", "other"))
    one(page, "input[type=search]").send_keys("MODEL 1")
    assert order(page) == [1, 10, 11, 12, 13]
    assert "5 of 15 rows" in one(page, ".controls").text
    faded = [node.get_attribute("data-key") for node in every(page, "a.filtered")]
    assert faded == ["other"]


def test_columns_that_do_not_fit_are_hidden_and_can_be_shown(page: Any) -> None:
    shown = [head for head in every(page, "thead th") if head.is_displayed()]
    assert len(shown) < len(HEADS)
    assert [head.text for head in shown] == HEADS[: len(shown)]
    summary = one(page, ".columns summary")
    assert summary.text == f"Columns: {len(HEADS) - len(shown)} of {len(HEADS)} hidden"
    summary.click()
    (box,) = [label for label in every(page, ".columns label") if label.text.strip() == HEADS[-1]]
    box.click()
    assert every(page, "thead th")[-1].is_displayed()


def test_pointing_at_a_mark_shows_its_row_and_highlights_it(page: Any) -> None:
    name = "timm:delta.dist_in1k"
    point_at(page, mark(page, name))
    assert one(page, "#tip strong").text == name
    shown = {dt.text: dd.text for dt, dd in zip(every(page, "#tip dt"), every(page, "#tip dd"), strict=True)}
    row = TABLE.rows[[values[0] for values in TABLE.values].index(name)]
    assert shown == {
        head: text for head, text in zip(HEADS, row, strict=True) if text != NONE and head != "model"
    }
    assert highlighted(page, "tr") == highlighted(page, "a.mark") == {name}
    point_at(page, one(page, "h1"))
    assert not one(page, "#tip").is_displayed()
    assert highlighted(page, "tr") == set()


def test_pointing_at_a_row_highlights_all_its_marks(page: Any) -> None:
    (row,) = [row for row in every(page, "tr[data-key]") if row.get_attribute("data-key") == "saevit_pico"]
    point_at(page, row)
    assert {m.get_attribute("data-key") for m in every(page, ".mark.on")} == {"saevit_pico"}
    assert len(every(page, "a.mark.on")) == 2
    other = mark(page, "timm:beta.in1k")
    assert float(other.value_of_css_property("opacity")) < 1


def test_a_click_keeps_the_highlight_until_the_next_one(page: Any) -> None:
    point_at(page, mark(page, "timm:beta.in1k"))
    mark(page, "timm:beta.in1k").click()
    assert "#" not in page.current_url
    point_at(page, one(page, "h1"))
    assert highlighted(page, "tr") == {"timm:beta.in1k"}
    one(page, "h1").click()
    assert highlighted(page, "tr") == set()


def test_the_keyboard_moves_between_marks_from_left_to_right(page: Any) -> None:
    assert len(every(page, ".picture:first-child a.mark[tabindex='0']")) == 1
    page.execute_script("arguments[0].focus()", one(page, "a.mark[tabindex='0']"))
    found = []
    for _ in every(page, ".picture:first-child a.mark"):
        focused = page.switch_to.active_element
        found.append(focused.rect["x"] + focused.rect["width"] / 2)
        assert one(page, "#tip strong").text == focused.get_attribute("data-key")
        press(page, Keys.ARROW_RIGHT)
    assert len(set(found)) > 3
    assert found == sorted(found)
    press(page, Keys.ESCAPE)
    assert not one(page, "#tip").is_displayed()


def test_the_keyboard_moves_between_rows(page: Any) -> None:
    page.execute_script("arguments[0].focus()", one(page, "tr[tabindex='0']"))
    press(page, Keys.ARROW_DOWN)
    assert highlighted(page, "a.mark") == {"saevit_pico"}


def test_downloads_are_the_bytes_of_the_data(page: Any, tmp_path: Path) -> None:
    page.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    for name, text in DATA.items():
        one(page, f"a[download='{name}']").click()
        target = tmp_path / name
        WebDriverWait(page, 20).until(lambda _, target=target: target.exists())
        assert target.read_bytes() == text.encode()


def test_a_hostile_name_is_text(page: Any) -> None:
    assert printable(HOSTILE) in [row.get_attribute("data-key") for row in every(page, "tr[data-key]")]
    assert not every(page, "b")


def test_on_a_phone_nothing_is_beyond_the_edge_and_every_value_is_shown(narrow: Any) -> None:
    assert narrow.execute_script("return document.documentElement.scrollWidth") <= 390
    cells = every(narrow, "td:not(.none)")
    assert len(cells) == sum(text != NONE for row in TABLE.rows for text in row[1:]) + len(
        every(narrow, ".fields td")
    )
    for cell in cells:
        assert cell.is_displayed()
        assert cell.rect["x"] + cell.rect["width"] <= 390


def test_on_a_phone_the_row_of_a_mark_is_at_the_bottom(narrow: Any) -> None:
    point = mark(narrow, "saevit_pico")
    narrow.execute_script(
        "arguments[0].scrollIntoView({block: 'center', inline: 'center'}); arguments[0].focus()", point
    )
    tip = one(narrow, "#tip").rect
    assert (tip["x"], tip["width"]) == (0, narrow.execute_script("return document.body.clientWidth"))
    assert one(narrow, "#tip strong").text == "saevit_pico"


def test_without_a_script_the_page_is_complete(browser: Any, show: Callable[[str], Any]) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page = show(PAGE)
        assert [head.is_displayed() for head in every(page, "thead th")] == [True] * len(HEADS)
        mark(page, "saevit_pico").click()
        assert page.current_url.endswith("#row-0-1")
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_in_the_dark_pictures_are_dark_and_photos_keep_their_colours(browser: Any, page: Any) -> None:
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    try:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": dark})
        assert "invert" in one(page, ".figure").value_of_css_property("filter")
        page.execute_script(
            "const name = 'http://www.w3.org/2000/svg';"
            "document.querySelector('.figure').append(document.createElementNS(name, 'image'))"
        )
        assert one(page, ".figure").value_of_css_property("filter") == "none"
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert every(page, ".figure")[1].value_of_css_property("filter") == "none"


def test_it_prints_tables_and_pictures_without_controls(page: Any) -> None:
    document = page.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"]
    assert base64.b64decode(document).startswith(b"%PDF")
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert not one(page, ".controls").is_displayed()
        assert one(page, ".figure").is_displayed()
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
