"""What a figure of attention consists of: a grid of maps, a row for each block, and the colours' scales."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from saevit.attention.findings import Attention, AttentionBlock
from saevit.report.units import percent

if TYPE_CHECKING:
    from numpy import ndarray

Extent = tuple[float, float, float, float]  # left, right, bottom, top
Point = tuple[float, float]

ROBUST = (0.5, 99.5)  # percentiles between which colours differ; beyond them they stay at the end's
WIDE = 6.0  # a factor between the ends beyond which a scale is logarithmic
FLOOR = 0.1  # of an even share: less is drawn as this
LEAST_RANGE = 0.01  # where all is even, colours do not magnify rounding


@dataclass(frozen=True, kw_only=True)
class Scale:
    """One colour bar; every map that names it has its colours."""

    label: str
    cmap: str


SCALES = {
    "weights": Scale(label="weight in its window's token\n(times that of an even mean)", cmap="viridis"),
    "attention": Scale(label="attention to a pixel\n(times an even share)", cmap="magma"),
    "rollout": Scale(label="share of a pixel in the map\n(times an even share)", cmap="magma"),
}


@dataclass(frozen=True, kw_only=True)
class Range:
    """The ends of a scale, and whether equal factors, not differences, are equal steps."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One map: values over the image, or a matrix; without a scale, points (y, x) in black on white."""

    name: str
    values: "ndarray"  # (h, w), or (k, 2)
    extent: Extent
    scale: str | None
    is_matrix: bool = False  # else over the image
    points: tuple[Point, ...] = ()  # queries
    lines: tuple[float, ...] = ()  # where windows begin, in a matrix
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What stands in one row and column: a map, one for each head, or a few words instead."""

    panels: tuple[Panel, ...] = ()
    words: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A block: what it is, and its cells."""

    label: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """The grid of one network."""

    attention: Attention
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    aspect: float  # height over width of a cell


def flat(sheet: Sheet) -> Sheet:
    """Lay a grid of one column down, its blocks side by side."""
    cells = tuple(row.cells[0] for row in sheet.rows)
    labels = tuple(row.label for row in sheet.rows)
    return replace(sheet, columns=labels, rows=(Row(label=sheet.columns[0], cells=cells),))


def extent_of(place: AttentionBlock) -> Extent:
    """Return where a map lies on the input: it may stand over the right and lower edge."""
    return extent(place.height, place.width, place.stride)


def extent(height: int, width: int, stride: tuple[float, float]) -> Extent:
    """Return what so many pixels of a stride cover."""
    down, across = stride
    return 0.0, width * across, height * down, 0.0


def row_label(place: AttentionBlock, heads: Sequence[int] = ()) -> str:
    """Say which block this is, which heads if not all, and how it samples."""
    lines = [f"stage {place.stage}, block {place.number}"]
    if heads:
        lines.append(heads_text(heads))
    lines.append(f"{place.height} x {place.width} pixels")
    if place.rate > 1:
        lines += [f"r = {place.rate}: {place.tokens} tokens", f"sparsity {percent(place.sparsity, 2)}"]
    elif place.sparsity > 0:
        lines += ["in groups", f"sparsity {percent(place.sparsity, 2)}"]
    else:
        lines.append("r = 1: dense")
    return "\n".join(lines)


def heads_text(heads: Sequence[int]) -> str:
    """Name heads."""
    return f"head{'s' * (len(heads) > 1)} {', '.join(map(str, heads))}"


def panels_of(sheets: Iterable[Sheet]) -> list[Panel]:
    """Return every map of some grids."""
    return [p for sheet in sheets for row in sheet.rows for cell in row.cells for p in cell.panels]


def ranges(sheets: Sequence[Sheet]) -> dict[str, Range]:
    """Return each scale's ends: one for all grids, so that colours compare."""
    import numpy as np

    ends: dict[str, list[tuple[float, float]]] = {}
    for panel in panels_of(sheets):
        if panel.scale:  # a small map counts as much as a large one
            low, high = np.percentile(panel.values, ROBUST)
            ends.setdefault(panel.scale, []).append((float(low), float(high)))
    return {name: range_of(found) for name, found in ends.items()}


def range_of(ends: Sequence[tuple[float, float]]) -> Range:
    """Return a range of multiples of an even share: logarithmic if wide, around 1 if all is even."""
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    if high - low < LEAST_RANGE:
        return Range(low=1 - LEAST_RANGE, high=1 + LEAST_RANGE)
    if high > WIDE * max(low, FLOOR):
        return Range(low=max(low, FLOOR), high=high, log=True)
    return Range(low=low, high=high)
