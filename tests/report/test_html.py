"""The page as text: what it says, that it says it safely, and that it needs nothing else."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saevit.comparing.comparison import Accuracy, Candidate, Comparison
from saevit.report.html.page import report_html
from saevit.report.metrics import METRICS
from saevit.report.views.compare import tabulate_comparison, write_comparison_csv, write_comparison_json
from saevit.runs.record import Conditions, Environment
from saevit.runs.run import Run, Subject
from saevit.text import printable
from tests.report.conftest import CONDITIONS, ENVIRONMENT, with_twin

HOSTILE = "</script><b>bold</b><!-- \u2028 &amp; \"'"
ROUNDS = 8
VOID = {"meta", "link", "input", "br"}


@dataclass
class Node:
    """An element of a parsed page."""

    tag: str
    attributes: dict[str, str]
    children: list["Node | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text inside."""
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def all(self, tag: str, **attributes: str) -> list["Node"]:
        """Every element inside of that name, with those attributes."""
        return [n for n in self.walk() if n.tag == tag and attributes.items() <= n.attributes.items()]

    def walk(self) -> Iterator["Node"]:
        """Every element inside, in the order of the page."""
        for child in self.children:
            if isinstance(child, Node):
                yield child
                yield from child.walk()


class Reader(HTMLParser):
    """Reads a page into nodes, and insists that every element is closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open = [Node("page", {})]
        self.feed(page)
        self.close()
        assert len(self.open) == 1

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read(page: str) -> Node:
    return Reader(page).open[0]


def payload(page: str) -> dict[str, Any]:
    return json.loads(read(page).all("script", id="payload")[0].text)


def published(top1: float, mark: str = "published", **changes: Any) -> Accuracy:
    usual = {"img_size": 224, "source": f"table {mark}", "plain": mark == "published"}
    return Accuracy(top1=top1, mark=mark, **(usual | changes))


def timed(model: str, seconds: float, batch_size: int = 1, **changes: Any) -> Candidate:
    """A candidate whose samples wander around its time."""
    samples = tuple(seconds * (1 + 0.01 * ((7 * i + len(model)) % 5)) for i in range(ROUNDS))
    conditions = replace(CONDITIONS, batch_size=batch_size)
    latency = Subject(conditions=conditions, label=model, name=model, samples=samples)
    return Candidate(model=model, counted_by="torch", subject=latency, **changes)


def costs(macs: float, params: float, peak: float) -> dict[str, int]:
    return {"macs": int(macs * 1e6), "params": int(params * 1e6), "peak_bytes": int(peak * 1e6)}


CANDIDATES = (
    timed("saevit_tiny", 0.040, family="SAEViT", **costs(807, 5.7, 8)),
    timed("saevit_pico", 0.021, family="SAEViT", **costs(199, 1.5, 4)),
    timed("timm:alpha.in1k", 0.012, family="Alpha", accuracy=published(74.0), **costs(186, 3.8, 4)),
    timed(
        "timm:beta.in1k", 0.030, family="Beta", accuracy=published(79.9, img_size=256), **costs(827, 9.7, 8)
    ),
    timed("timm:gamma.in1k", 0.035, family="Beta", accuracy=published(78.0), **costs(827, 4.9, 18)),
    timed(
        "timm:delta.dist_in1k",
        0.030,
        family="Delta",
        accuracy=published(81.0, "published, distilled"),
        **costs(960, 5.6, 7),
    ),
    timed(HOSTILE, 0.5, batch_size=8, family="<i>Evil</i>", accuracy=published(70.0), **costs(1100, 8, 9)),
    Candidate(
        model="saevit_claim",
        family="SAEViT (claim)",
        macs=800_000_000,
        published_only=True,
        counted_by="paper",
        accuracy=published(76.3, "paper claim", img_size=None, claim=True, plain=False),
    ),
    Candidate(
        model="timm:huge.in1k", family="Huge", failure="out of memory at batch 1", **costs(9000, 300, 900)
    ),
    Candidate(model="timm:gone.in1k", failure="no such model"),
)
LATENCIES = tuple(c.subject for c in CANDIDATES if c.subject)
TIMINGS = Run(
    subjects=with_twin(LATENCIES, LATENCIES[0].samples[::-1]),
    rounds=ROUNDS,
    min_time=0.1,
    seed=3,
    environment=replace(ENVIRONMENT, settings=("OMP_NUM_THREADS=2", "OTHER=1")),
    started="2026-01-02T03:04:05+00:00",
)
COMPARISON = Comparison(
    candidates=CANDIDATES, reference="saevit_tiny", img_size=(64, 64), dtype="fp32", run=TIMINGS
)
PAGE = report_html(COMPARISON, "saevit compare 'saevit_tiny' --report a.html")


def cells(page: str) -> list[list[str]]:
    """The texts of the table's body."""
    (body,) = read(page).all("table", id="models")[0].all("tbody")
    found = []
    for row in body.all("tr"):
        names = [row.all("th")[0].all("button")[0].text]
        found.append(names + [cell.text for cell in row.all("td")])
    return found


def test_nothing_is_loaded_from_elsewhere() -> None:
    page = read(PAGE)
    links = [n.attributes[name] for n in page.walk() for name in ("src", "href") if name in n.attributes]
    assert links == ["data:,"]
    (style,) = page.all("style")
    assert not re.search(r"url\(|@import|image-set", style.text)
    assert not [n for n in page.walk() if n.tag in ("iframe", "object", "embed", "base", "form", "img")]
    assert not [
        name for n in page.walk() for name in n.attributes if name.startswith("on") or name == "style"
    ]


def test_the_policy_names_exactly_the_style_and_the_script_of_the_page() -> None:
    page = read(PAGE)
    (policy,) = [n.attributes["content"] for n in page.all("meta") if "http-equiv" in n.attributes]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    (script,) = [n for n in page.all("script") if "type" not in n.attributes]
    for kind, node in {"style": page.all("style")[0], "script": script}.items():
        digest = base64.b64encode(hashlib.sha256(node.text.encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"


def test_the_table_is_the_text_table() -> None:
    table = tabulate_comparison(COMPARISON, None)
    assert cells(PAGE) == [[printable(text) for text in row] for row in table.rows]
    heads = read(PAGE).all("table", id="models")[0].all("thead")[0].all("th")
    assert [head.text for head in heads] == [column.heading for column in table.columns]
    assert table.title in {read(PAGE).all("h1")[0].text} & {read(PAGE).all("title")[0].text}


def test_columns_of_numbers_sort_by_their_figures() -> None:
    heads = read(PAGE).all("table", id="models")[0].all("thead")[0].all("th")
    numbers = {head.text for head in heads if head.attributes["data-kind"] == "number"}
    ratio = f"ratio to {COMPARISON.reference}"
    assert numbers == {"params", "GMACs", "peak act.", "ms/batch", "images/s", ratio, "top-1", "at px"}


def test_cells_carry_raw_figures_and_unknown_ones_none() -> None:
    rows = read(PAGE).all("table", id="models")[0].all("tbody")[0].all("tr")
    heads = [column.heading for column in tabulate_comparison(COMPARISON, None).columns]
    place = heads.index("GMACs") - 1
    assert rows[0].all("td")[place].attributes["data-value"] == "0.807"
    assert "data-value" not in rows[-1].all("td")[place].attributes
    failed = rows[-2].all("td")[heads.index("ms/batch") - 1]
    assert (failed.text, failed.attributes.get("data-value")) == ("failed", None)


def test_failed_models_show_their_reason_in_their_row() -> None:
    rows = read(PAGE).all("table", id="models")[0].all("tbody")[0].all("tr")
    reasons = {row.all("button")[0].text: [n.text for n in row.all("span")] for row in rows}
    assert reasons["timm:huge.in1k"] == ["out of memory at batch 1"]
    assert reasons["timm:gone.in1k"] == ["no such model"]
    assert sum(map(len, reasons.values())) == 2


def test_notes_are_all_there_and_warnings_marked() -> None:
    notes = tabulate_comparison(COMPARISON, None).notes
    items = read(PAGE).all("ul", **{"class": "notes"})[0].all("li")
    assert tuple(item.text for item in items) == notes
    few = replace(COMPARISON, run=replace(TIMINGS, rounds=2))
    items = read(report_html(few)).all("ul", **{"class": "notes"})[0].all("li")
    assert [i.text.startswith("warning:") for i in items] == [
        i.attributes == {"class": "warning"} for i in items
    ]
    assert any("only 2 rounds" in item.text for item in items)


def test_the_header_says_when_where_and_what_a_ratio_is() -> None:
    page = read(PAGE)
    facts = {
        n.all("dt")[0].text: n.all("dd")[0].text for n in page.all("dl", **{"class": "facts"})[0].all("div")
    }
    assert facts["Reference"] == "saevit_tiny"
    assert "2026-01-02" in facts["Timed"]
    assert facts["Conditions"] == str(CONDITIONS)
    assert facts["Rounds"].startswith("8, interleaved")
    floor = TIMINGS.noise_floor
    assert floor is not None
    assert f"{floor.median:.3f} [{floor.low:.3f}, {floor.high:.3f}]" in facts["Noise floor"]
    (lead,) = page.all("p", **{"class": "lead"})
    assert "relative to that of saevit_tiny in the same round" in lead.text
    assert "at 99 % confidence" in lead.text
    assert page.all("code")[0].text == "saevit compare 'saevit_tiny' --report a.html"
    assert not read(report_html(COMPARISON)).all("code")


def test_an_interrupted_run_says_so() -> None:
    cut = replace(COMPARISON, run=replace(TIMINGS, ending="interrupted"))
    assert "interrupted: the values are of these 8" in read(report_html(cut)).all("dl")[0].text


def test_every_field_of_environment_and_conditions_is_shown() -> None:
    (section,) = read(PAGE).all("div", **{"class": "environment"})
    shown = {row.all("th")[0].text: row.all("td")[0].text for row in section.all("tr")}
    names = {f.name.replace("_", " ") for cls in (Environment, Conditions) for f in fields(cls)}
    assert shown.keys() >= names - {"memory bytes"}
    assert shown["memory"] == "17.2 GB"
    assert shown["settings"] == "OMP_NUM_THREADS=2, OTHER=1"
    assert shown["governor"] == "-"
    assert shown["batch size"] == "1; 8"
    assert shown["seed"] == "3"


def test_each_sample_is_one_mark_of_its_model() -> None:
    strips = read(PAGE).all("ul", **{"class": "strips"})[0].all("li")
    assert len(strips) == len(LATENCIES) + 1
    assert strips[-1].text.startswith("the reference again")
    for strip in strips:
        assert len(strip.all("circle")) + len(strip.all("path")) == ROUNDS


def test_a_slow_round_lies_above_the_others_and_one_beyond_the_scale_points_up() -> None:
    first = LATENCIES[0]
    usual, slow, stuck = (0.1,) * 29, 0.101, 5.0
    samples = (*usual, slow, *usual, stuck)
    one = replace(CANDIDATES[0], subject=replace(first, samples=samples))
    alone = replace(
        COMPARISON, candidates=(one,), run=replace(TIMINGS, subjects=with_twin(LATENCIES, samples))
    )
    strip = read(report_html(alone)).all("ul", **{"class": "strips"})[0].all("li")[0]
    heights = [float(circle.attributes["cy"]) for circle in strip.all("circle")]
    assert min(heights) == heights[29] < heights[0] == heights[-1]
    (beyond,) = strip.all("path")
    assert beyond.attributes["d"].split()[1].startswith("0.5L")


def test_the_downloads_are_what_the_options_write() -> None:
    files = {file["name"]: file["text"] for file in payload(PAGE)["files"]}
    assert files == {
        "saevit-compare-20260102030405.json": write_comparison_json(COMPARISON),
        "saevit-compare-20260102030405.csv": write_comparison_csv(COMPARISON),
    }


def test_the_plot_gets_every_metric_and_knows_what_is_comparable() -> None:
    data = payload(PAGE)
    assert list(data["metrics"]) == list(METRICS)
    for entry, c in zip(data["models"], CANDIDATES, strict=True):
        wanted = {name: metric.of(c) for name, metric in METRICS.items()}
        assert entry["values"] == {name: value for name, value in wanted.items() if value is not None}
    kinds = {entry["name"]: (entry["kind"], entry["comparable"]) for entry in data["models"]}
    assert kinds["saevit_tiny"] == ("none", True)
    assert kinds["timm:alpha.in1k"] == ("plain", True)
    assert kinds["timm:delta.dist_in1k"] == ("apart", False)
    assert kinds["saevit_claim"] == ("claim", False)


def test_without_times_the_page_says_so_and_has_no_metric_of_time() -> None:
    counted = [replace(c, subject=None) for c in CANDIDATES]
    page = report_html(replace(COMPARISON, candidates=tuple(counted), run=None))
    assert list(payload(page)["metrics"]) == ["gmacs", "params", "memory", "top1"]
    assert "Nothing was timed" in read(page).all("div", **{"class": "environment"})[0].text
    assert not read(page).all("ul", **{"class": "strips"})
    assert [file["name"] for file in payload(page)["files"]] == ["saevit-compare.json", "saevit-compare.csv"]


def test_a_comparison_in_which_everything_failed_is_a_page() -> None:
    page = report_html(replace(COMPARISON, candidates=CANDIDATES[-1:], run=None))
    assert payload(page)["metrics"] == {}
    assert "no such model" in read(page).all("table", id="models")[0].text


@settings(max_examples=50)
@given(name=st.text(st.characters(), min_size=1) | st.just(HOSTILE))
def test_any_name_is_text_wherever_it_stands(name: str) -> None:
    odd = replace(CANDIDATES[1], model=name, family=name, failure=name)
    page = report_html(replace(COMPARISON, candidates=(CANDIDATES[0], odd), reference=name), name)
    page.encode()  # a lone surrogate could not be written
    shown = printable(name)
    assert all(character in "\n\t" or printable(character) == character for character in page)
    assert cells(page)[1][:2] == [shown, shown]
    assert payload(page)["models"][1]["name"] == shown
    assert json.loads(payload(page)["files"][0]["text"])["candidates"][1]["model"] == name
    assert read(page).all("code")[0].text == shown
    assert len(read(page).all("script")) == 2
    assert not read(page).all("b")


@pytest.mark.parametrize("models", [1, 145])
def test_the_page_stays_small(models: int) -> None:
    samples = tuple(0.0123456789012345 * (1 + i / 97) for i in range(30))
    many = tuple(
        replace(
            CANDIDATES[3],
            model=f"timm:a_rather_long_name_of_a_model_{i}.with_a_tag_in1k",
            subject=replace(LATENCIES[0], label=str(i), samples=samples),
        )
        for i in range(models)
    )
    subjects = tuple(c.subject for c in many if c.subject)
    timings = replace(TIMINGS, subjects=with_twin(subjects, samples), rounds=30)
    page = report_html(replace(COMPARISON, candidates=many, run=timings))
    assert len(page.encode()) < 2e6
