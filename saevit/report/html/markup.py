"""Elements of HTML and SVG: all text and attributes are escaped and printable."""

from collections.abc import Mapping
from xml.etree.ElementTree import Element, tostring

from saevit.text import printable


def element(tag: str, attributes: Mapping[str, str], *children: Element | str) -> Element:
    """Return an element with texts and elements in it."""
    made = Element(tag, {name: printable(value) for name, value in attributes.items()})
    last = None
    for child in children:
        if isinstance(child, Element):
            made.append(child)
            last = child
        elif last is None:
            made.text = (made.text or "") + printable(child)
        else:
            last.tail = (last.tail or "") + printable(child)
    return made


def write_html(*elements: Element) -> str:
    """Return elements as HTML, one per line."""
    return "\n".join(tostring(one, encoding="unicode", method="html") for one in elements)
