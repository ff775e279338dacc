"""The views of attention, each as a grid with a row for a block."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from saevit.attention.findings import Attention, AttentionBlock, BlockMaps, pick_typical
from saevit.errors import OptionError
from saevit.report.attention.sheet import Cell, Panel, Row, Sheet, extent, extent_of, row_label

if TYPE_CHECKING:
    from numpy import ndarray

MOST_HEADS = 16  # in one cell
LINED = 16  # pixels of a window, from which on there is room for lines between windows


def overview(attention: Attention, blocks: Sequence[BlockMaps]) -> Sheet:
    """Where samples are taken from, what each pixel receives, and that for each head."""
    rows = []
    for block in blocks:
        whole = panel(block, "received", block.received.mean(0))
        heads = [
            panel(block, f"head {head}", received, title=str(head))
            for head, received in zip(block.heads[:MOST_HEADS], block.received, strict=False)
        ]
        cells = (weights_cell(block), Cell(panels=(whole,)), Cell(panels=tuple(heads)))
        rows.append(Row(label=label_of(attention, block), cells=cells))
    columns = ("samples", "attention received", "of each head")
    return sheet(attention, columns, rows)


def weights_cell(block: BlockMaps) -> Cell:
    """Where samples are taken from; words where nothing is sampled."""
    place = block.block
    if place.sampling == "reduction":
        return Cell(words="keys are regions,\nread by a convolution")
    if place.rate == 1:
        return Cell(words="every pixel is a token")
    values = block.weights * window_sizes(place)
    title = "" if place.sampling == "adaptive" else f"{place.sampling} sampling"
    return Cell(
        panels=(
            Panel(
                name=name_of(place, "weights"),
                values=values,
                extent=extent_of(place),
                scale="weights",
                title=title,
            ),
        )
    )


def window_sizes(place: AttentionBlock) -> "ndarray":
    """Return the number of real pixels in each pixel's window, (H, W)."""
    import numpy as np

    def along(length: int) -> "ndarray":
        first = np.arange(length) // place.rate * place.rate
        return np.minimum(first + place.rate, length) - first

    return along(place.height)[:, None] * along(place.width)


def query(attention: Attention, blocks: Sequence[BlockMaps]) -> Sheet:
    """What the pixels that are asked for attend to, a column each."""
    if not attention.queries:
        raise OptionError("the query view needs a pixel of the image: --query X,Y")
    rows = []
    for block in blocks:
        cells = tuple(
            Cell(panels=(panel(block, f"query {i + 1}", one.mean(0), points=(asked.input,)),))
            for i, (asked, one) in enumerate(zip(attention.queries, block.rows, strict=True))
        )
        rows.append(Row(label=label_of(attention, block), cells=cells))
    columns = tuple(f"from pixel {q.image[0]},{q.image[1]}" for q in attention.queries)
    return sheet(attention, columns, rows)


def pattern(attention: Attention, blocks: Sequence[BlockMaps]) -> Sheet:
    """Which scores exist, sampled attention, and dense attention of the same block."""
    rows = []
    for block in blocks:
        found, size = block.pattern, block.block.pixels
        assert found is not None
        cells = [matrix(block, "scores", found.scores, None), matrix(block, "sampled", found.sampled)]
        if found.dense is not None:
            cells.append(matrix(block, "dense", found.dense))
        part = "" if len(found.pixels) == size else f"\n{len(found.pixels)} of {size} pixels shown"
        rows.append(Row(label=label_of(attention, block) + part, cells=tuple(cells)))
    columns = ("scores that exist", "sampled attention", "dense attention")
    if all(len(row.cells) == 2 for row in rows):
        columns = ("scores that exist", "attention")  # type: ignore[assignment]
    return sheet(attention, columns, rows, aspect=1.0)


def matrix(block: BlockMaps, name: str, values: "ndarray", scale: str | None = "attention") -> Cell:
    """Return a section of the N x N matrix, lines between windows where they can be told apart."""
    assert block.pattern is not None
    size, begin = len(block.pattern.pixels), block.pattern.window_starts
    return Cell(
        panels=(
            Panel(
                name=name_of(block.block, name),
                values=values,
                extent=(0.0, float(size), float(size), 0.0),
                scale=scale,
                is_matrix=True,
                lines=tuple(map(float, begin[1:])) if len(begin) <= size // LINED else (),
            ),
        )
    )


def rollout(attention: Attention, _blocks: Sequence[BlockMaps]) -> Sheet:
    """What the maps are made of, followed back to the first one through all blocks."""
    rows = []
    for found in attention.rollout:
        place, (_, height, width) = found.block, found.mass.shape
        points = [(), *((q.input,) for q in attention.queries)]
        cells = tuple(
            Cell(
                panels=(
                    Panel(
                        name=name_of(place, f"rollout {i}" if i else "rollout"),
                        values=mass * height * width,
                        extent=extent(height, width, found.stride),
                        scale="rollout",
                        points=marks,
                    ),
                )
            )
            for i, (mass, marks) in enumerate(zip(found.mass, points, strict=True))
        )
        rows.append(Row(label=f"after stage {place.stage},\nblock {place.number}", cells=cells))
    columns = ("all pixels, on average", *(f"pixel {q.image[0]},{q.image[1]}" for q in attention.queries))
    return sheet(attention, columns, rows)


def panel(
    block: BlockMaps,
    name: str,
    values: "ndarray",
    *,
    points: tuple[tuple[float, float], ...] = (),
    title: str = "",
) -> Panel:
    """Return attention over the image, as multiples of an even share."""
    return Panel(
        name=name_of(block.block, name),
        values=values * block.block.pixels,
        extent=extent_of(block.block),
        scale="attention",
        points=points,
        title=title,
    )


def name_of(place: AttentionBlock, what: str) -> str:
    """Name a map, as figures' data are found by."""
    return f"stage {place.stage}, block {place.number}: {what}"


def label_of(attention: Attention, block: BlockMaps) -> str:
    """Say which block a row is of; heads, where not all are shown."""
    return row_label(block.block, block.heads if attention.heads_chosen else ())


def sheet(
    attention: Attention, columns: tuple[str, ...], rows: list[Row], aspect: float | None = None
) -> Sheet:
    """Return a grid, its cells of the input's shape."""
    height, width = attention.img_size
    return Sheet(attention=attention, columns=columns, rows=tuple(rows), aspect=aspect or height / width)


def shown(attention: Attention) -> list[BlockMaps]:
    """Return the blocks that fit one figure; where blocks were asked for, all of them."""
    if attention.blocks_chosen:
        return list(attention.maps)
    return [attention.maps[i] for i in pick_typical([block.block.stage for block in attention.maps])]


VIEWS: dict[str, Callable[[Attention, Sequence[BlockMaps]], Sheet]] = {
    "overview": overview,
    "query": query,
    "pattern": pattern,
    "rollout": rollout,
}
