"""HTML as elements: text and attributes are escaped wherever they come from."""

from collections.abc import Mapping
from xml.etree.ElementTree import Element, tostring


def element(tag: str, attributes: Mapping[str, str], *children: Element | str) -> Element:
    """Return an element of HTML or SVG with texts and elements in it."""
    made = Element(tag, dict(attributes))
    last = None
    for child in children:
        if isinstance(child, Element):
            made.append(child)
            last = child
        elif last is None:
            made.text = (made.text or "") + child
        else:
            last.tail = (last.tail or "") + child
    return made


def rendered(*elements: Element) -> str:
    """Write elements as HTML, one a line."""
    return "\n".join(tostring(one, encoding="unicode", method="html") for one in elements)
