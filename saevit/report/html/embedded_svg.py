"""Embed a figure in the page as SVG with text elements, whose marks link to rows of tables.

The `gid` of a mark in the figure is the key of its row, which is the first cell of the row.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, fromstring

from saevit.report.figure import write_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DECIMALS = re.compile(r"\d+\.\d{3,}")  # numbers that are rounded to two decimals
REFERENCE = re.compile(r"(?<=url\(#)[^)]+|(?<=^#)\w+$")  # to another element of the figure
SCALE = 1.4  # pixels of a wide window per point of the figure
DROPPED = ("metadata", "style")
FONT = "font-family"  # dropped, so that the page sets the font


def embed_figure(figure: "Figure", rows: Mapping[str, str], number: int) -> Element:
    """Return a figure as an SVG element.

    Args:
        figure: the figure.
        rows: key of a row to the id of its element in the page.
        number: number of the figure in the page, which makes its ids unique.
    """
    svg = fromstring(write_svg(figure))
    width = float(svg.attrib["viewBox"].split()[2])
    for parent in svg.iter():
        for child in [child for child in parent if strip_namespace(child.tag) in DROPPED]:
            parent.remove(child)
    nodes = list(svg.iter())
    links = (v for node in nodes for n, v in node.attrib.items() if n.endswith("href") or "url(" in v)
    wanted = {found[0] for value in links if (found := REFERENCE.search(value))}  # ids that are referenced
    for node in nodes:
        node.text = node.text and node.text.strip()
        node.tail = None
        node.tag = strip_namespace(node.tag)
        key = node.get("id", "")
        node.attrib = {n: v for n, v in read_attributes(node, number).items() if n != "id" or key in wanted}
        if key in rows:
            link_mark(node, key, rows[key])
    svg.attrib = {"viewBox": svg.attrib["viewBox"], "width": f"{SCALE * width:.0f}", "class": "figure"}
    return svg


def strip_namespace(name: str) -> str:
    """Return a name without its XML namespace, which HTML does not have."""
    return name.rpartition("}")[2]


def read_attributes(node: Element, number: int) -> dict[str, str]:
    """Return the attributes of an element with rounded numbers, and with its inline styles as attributes.

    The content security policy of the page forbids inline styles.
    """
    found = {strip_namespace(name): value for name, value in node.attrib.items()}
    style = dict(part.split(":", 1) for part in found.pop("style", "").split(";") if ":" in part)
    found |= {name.strip(): value.strip() for name, value in style.items() if name.strip() != FONT}
    for name, value in found.items():
        if name == "id":
            found[name] = f"f{number}-{value}"
        elif name == "href" or "url(" in value:
            found[name] = REFERENCE.sub(rf"f{number}-\g<0>", value)
        else:
            found[name] = " ".join(DECIMALS.sub(lambda text: f"{float(text[0]):.2f}", value).split())
    return found


def link_mark(node: Element, key: str, row: str) -> None:
    """Make a mark a link to its row. Its label is not a link, so that the tab key stops once per mark."""
    node.attrib |= {"class": "mark", "data-key": key}
    if not any(strip_namespace(child.tag) == "text" for child in node.iter()):
        node.tag = "a"
        node.attrib |= {"href": f"#{row}", "aria-label": key}
