"""The page as text: its content is complete, safe, and needs nothing else."""

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from html.parser import HTMLParser
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from saevit.comparing.comparison import Accuracy, Candidate, Comparison
from saevit.report.columns import Table, View, make_table, number_column, text_table
from saevit.report.figure import new_figure, own_settings
from saevit.report.html.page import report_html
from saevit.report.latencies import CONDITIONS as CONDITION_COLUMNS
from saevit.report.scatter.scatter_plot import scatter_figure
from saevit.report.views.compare import tabulate_comparison
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
COMMAND = "saevit compare 'saevit_tiny' --report a.html"
RESULT = "saevit_tiny takes as long as beta."
DATA = {"a.json": '{"a": "</script>"}\n', "a.csv": "model\n\N{GREEK SMALL LETTER MU}\n"}


def view_of(comparison: Comparison) -> View:
    table = tabulate_comparison(comparison, None)
    return View(result=RESULT, warnings=("two rounds only",), tables=(table,), notes=("noise is large",))


def page_of(comparison: Comparison) -> str:
    """The page of a comparison with a picture of two panels."""
    return report_html(
        view_of(comparison),
        COMMAND,
        ENVIRONMENT,
        run=comparison.run,
        pictures=[scatter_figure(comparison, [x], "top1") for x in ("gmacs", "latency")],
        data=DATA,
    )


def page_of_rows(rows: list[str], *names: str) -> str:
    """A page with a table of rows, and a picture with one point per name."""
    table = text_table("rows", ["name", ">number"], [(row, str(i)) for i, row in enumerate(rows)])
    return report_html(View(tables=(table,)), "saevit", ENVIRONMENT, pictures=[draw_points(*names)])


@own_settings()
def draw_points(*names: str) -> Any:
    figure = new_figure(4, 3)
    axes = figure.add_subplot()
    for place, name in enumerate(names):
        axes.plot(place, place, marker="o", gid=name)
        axes.text(place, place, name, gid=name)
    return figure


PAGE = page_of(COMPARISON)


def table_rows(page: str, number: int = 0) -> list[list[str]]:
    """The texts of the body of a table."""
    (body,) = read(page).all("table")[number].all("tbody")
    return [[c.text for c in row.children if isinstance(c, Node)] for row in body.all("tr")]


def marks(page: str) -> list[Node]:
    return [node for svg in read(page).all("svg", **{"class": "figure"}) for node in svg.all("a")]


def test_nothing_is_loaded_from_elsewhere() -> None:
    page = read(PAGE)
    links = [n.attributes[name] for n in page.walk() for name in ("src", "href") if name in n.attributes]
    assert all(link.startswith(("data:", "#")) for link in links)
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
    for kind in ("style", "script"):
        (node,) = page.all(kind)
        digest = base64.b64encode(hashlib.sha256(node.text.encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"


def test_the_result_is_the_headline_and_warnings_and_notes_are_there() -> None:
    page = read(PAGE)
    assert page.all("h1")[0].text == page.all("title")[0].text == RESULT
    assert [p.text for p in page.all("p", **{"class": "warning"})] == ["two rounds only"]
    items = [item.text for item in page.all("li")]
    assert {"noise is large", *tabulate_comparison(COMPARISON, None).notes} <= set(items)
    assert page.all("code")[0].text == COMMAND


def test_a_page_without_a_result_has_the_title_of_its_table_as_headline() -> None:
    assert read(page_of_rows(["a"])).all("h1")[0].text == "rows"


def test_tables_are_those_of_the_view() -> None:
    table = tabulate_comparison(COMPARISON, None)
    assert table_rows(PAGE) == [[printable(text) for text in row] for row in table.rows]
    heads = read(PAGE).all("table")[0].all("thead")[0].all("th")
    assert [head.text for head in heads] == [column.heading for column in table.columns]
    assert table.title in [heading.text for heading in read(PAGE).all("h2")]


def test_cells_carry_unrounded_values_and_unknown_ones_none() -> None:
    column: Any = number_column("size", "size", lambda row: row, "{:.0f}".format)
    table: Table = make_table("sizes", [column, column], [1.25, None])
    cells = read(report_html(View(tables=(table,)), "saevit", ENVIRONMENT)).all("table")[0].all("td")
    assert [cell.attributes.get("data-value") for cell in cells] == ["1.25", None]
    assert ["none" in cell.attributes["class"] for cell in cells] == [False, True]


def test_a_mark_links_to_the_row_of_its_name() -> None:
    rows = {
        row.attributes["data-key"]: row.attributes["id"] for row in read(PAGE).all("tr") if row.attributes
    }
    found = {mark.attributes["data-key"] for mark in marks(PAGE)}
    assert found == {printable(c.model) for c in CANDIDATES if c.accuracy or c.is_variant}
    for mark in marks(PAGE):
        assert mark.attributes["href"] == f"#{rows[mark.attributes['data-key']]}"


def test_labels_belong_to_their_mark_and_are_no_links() -> None:
    page = page_of_rows(["first", "second"], "first", "second", "third")
    assert [mark.attributes["data-key"] for mark in marks(page)] == ["first", "second"]
    labels = read(page).all("g", **{"class": "mark"})
    assert [label.text for label in labels] == ["first", "second"]
    assert "third" in [text.text for text in read(page).all("text")]


def test_no_two_elements_share_an_id() -> None:
    names = [node.attributes["id"] for node in read(PAGE).walk() if "id" in node.attributes]
    assert len(names) == len(set(names))
    wanted = re.findall(r"url\(#([^)]+)\)", PAGE)
    wanted += [n.attributes["href"][1:] for n in read(PAGE).walk() if n.attributes.get("href", "")[:1] == "#"]
    assert wanted
    assert set(wanted) <= set(names)


def test_downloads_are_the_data() -> None:
    links = {
        a.attributes["download"]: a.attributes["href"]
        for a in read(PAGE).all("a")
        if "download" in a.attributes
    }
    found = {name: base64.b64decode(link.partition(",")[2]).decode() for name, link in links.items()}
    assert found == DATA


def test_every_field_of_environment_and_conditions_is_shown_in_words() -> None:
    tables = read(PAGE).all("table", **{"class": "fields"})
    shown = {row.all("th")[0].text: row.all("td")[0].text for table in tables for row in table.all("tr")}
    names = {f.name.replace("_", " ") for f in fields(Environment) if getattr(ENVIRONMENT, f.name)}
    assert shown.keys() >= names - {"memory bytes"} | {"px", "batch", "dtype", "runtime", "threads", "layout"}
    assert len(fields(Conditions)) == len(CONDITION_COLUMNS)
    assert shown["memory"] == "17.2 GB"
    assert shown["batch"] == "1; 8"
    assert shown["form"] == "as defined"
    assert shown["seed"] == "3"
    assert not {"True", "False", "-"} & set(shown.values())


def test_each_sample_is_one_mark_of_its_model() -> None:
    strips = read(PAGE).all("ul", **{"class": "strips"})[0].all("li")
    assert len(strips) == len(LATENCIES) + 1
    assert strips[-1].text.startswith("saevit_tiny again")
    for strip in strips:
        assert len(strip.all("circle")) + len(strip.all("path")) == ROUNDS


def test_samples_of_one_model_are_named_by_what_differs() -> None:
    first = LATENCIES[0]
    second = replace(first, label="other", conditions=replace(first.conditions, batch_size=4))
    run = replace(TIMINGS, subjects=(first, second))
    strips = read(report_html(View(), "saevit", ENVIRONMENT, run=run)).all("ul", **{"class": "strips"})[0]
    assert [item.all("span")[0].text for item in strips.all("li")] == ["batch 1", "batch 4"]


def test_a_slow_round_lies_above_the_others_and_one_beyond_the_scale_points_up() -> None:
    samples = (*(0.1,) * 29, 0.101, *(0.1,) * 29, 5.0)
    run = replace(TIMINGS, subjects=(replace(LATENCIES[0], samples=samples),))
    strip = (
        read(report_html(View(), "saevit", ENVIRONMENT, run=run))
        .all("ul", **{"class": "strips"})[0]
        .all("li")[0]
    )
    heights = [float(circle.attributes["cy"]) for circle in strip.all("circle")]
    assert min(heights) == heights[29] < heights[0] == heights[-1]
    (beyond,) = strip.all("path")
    assert beyond.attributes["d"].split()[1].startswith("0.5L")


@settings(max_examples=50, deadline=None)
@given(name=st.text(st.characters(), min_size=1) | st.just(HOSTILE))
def test_any_name_is_text_wherever_it_is(name: str) -> None:
    rows = [name, "other"]
    table = text_table(name, ["name", name], [(row, row) for row in rows], [name])
    view = View(result=name, warnings=(name,), tables=(table,), notes=(name,))
    page = report_html(view, name, ENVIRONMENT, pictures=[draw_points(*rows)], data={name: name})
    page.encode()  # a lone surrogate could not be written
    shown = printable(name)
    assert all(character in "\n\t" or printable(character) == character for character in page)
    assert table_rows(page)[0] == [shown, shown]
    assert [mark.attributes["data-key"] for mark in marks(page)] == [shown, "other"]
    assert read(page).all("h1")[0].text == read(page).all("code")[0].text == shown
    assert len(read(page).all("script")) == 1
    assert not read(page).all("b")


def test_the_page_stays_small() -> None:
    many = [
        replace(CANDIDATES[3], model=f"timm:a_rather_long_name_of_a_model_{i}.with_a_tag_in1k")
        for i in range(145)
    ]
    found = replace(COMPARISON, candidates=tuple(many), reference=many[0].model, run=None)
    assert len(report_html(view_of(found), COMMAND, ENVIRONMENT).encode()) < 40_000 + 2_500 * len(many)
    assert len(page_of(COMPARISON)) < 150_000
