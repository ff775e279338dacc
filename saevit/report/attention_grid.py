"""What a figure of attention shows: a grid of maps with one row per block, and the texts around it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from saevit.attention.findings import Attention, AttentionBlock, BlockMaps, RolloutMap, pick_typical
from saevit.errors import OptionError
from saevit.report.units import percent

if TYPE_CHECKING:
    from numpy import ndarray

Point = tuple[float, float]

ROBUST = (0.5, 99.5)  # percentiles of a map's values at the ends of the colours
MOST_HEADS = 16  # in one cell
LINED = 16  # pixels of a window, from which on there is room for lines between windows

TITLES = {
    "overview": "What attention looks at",
    "query": "What a pixel attends to",
    "pattern": "Which attention scores are computed, and what they stand for",
    "rollout": "Which pixels the map of each stage is made of",
}
EXPLANATIONS = {
    "overview": "Each row shows the attention of one block to this image. Samples: each r x r window of "
    "pixels becomes one token, a weighted mean; the weights are shown, and 1 is the weight in an even mean. "
    "Attention received: the attention that each pixel receives from all pixels, mean over these and over "
    "heads. Last column: the same for each head.",
    "query": "Each map shows for one block how much the ringed pixel attends to every pixel, mean over "
    "heads. The pixels of a window share the attention to its token by their weights.",
    "pattern": "Rows of a matrix are query pixels, columns are key pixels, both ordered window by window. "
    "Left: one mark for each computed score, in the middle of the pairs of pixels that it stands for. "
    "Sampled: the effective attention that these scores give. Dense: the same block if every pixel were a "
    "token. Mean over heads.",
    "rollout": "Attention rollout (arXiv 2005.00928) follows attention through all blocks, back to the "
    "first map: in each block a pixel keeps half of its content by the residual connection and takes half "
    "by the mean effective attention of the heads. A coarse pixel is spread evenly over its area. "
    "Convolutions and FFNs are left out.",
}
EFFECTIVE = (
    "Effective attention is the attention between pixels through sampling, attention and recovery. The "
    "mixing of channels by the projections and the kernel of the recovery are left out."
)


@dataclass(frozen=True, kw_only=True)
class MapPanel:
    """One map: values over the image or a matrix; without a scale, points (y, x) in black on white."""

    name: str
    values: "ndarray"  # (h, w), or (k, 2)
    extent: tuple[float, float, float, float]  # left, right, bottom, top
    scale: str | None = "attention"  # its colour bar
    is_matrix: bool = False
    points: tuple[Point, ...] = ()  # query pixels
    lines: tuple[float, ...] = ()  # where windows begin, in a matrix
    title: str = ""


Cell = tuple[MapPanel, ...] | str  # a map, one for each head, or a text instead


@dataclass(frozen=True, kw_only=True)
class MapGrid:
    """The maps of one network: labelled rows of cells."""

    attention: Attention
    columns: tuple[str, ...]
    rows: list[tuple[str, tuple[Cell, ...]]]
    aspect: float  # height over width of a cell

    @property
    def panels(self) -> list[MapPanel]:
        """Return every map."""
        return [p for _, cells in self.rows for cell in cells if not isinstance(cell, str) for p in cell]


def make_grids(view: str, networks: Sequence[Attention]) -> list[MapGrid]:
    """Return the grid of each network; the blocks of a single column are laid out side by side."""
    grids = [make_grid(view, attention) for attention in networks]
    if len(grids) == 1 and len(grids[0].columns) == 1:
        (grid,) = grids
        row = (grid.columns[0], tuple(cells[0] for _, cells in grid.rows))
        return [replace(grid, columns=tuple(label for label, _ in grid.rows), rows=[row])]
    return grids


def make_grid(view: str, attention: Attention) -> MapGrid:
    """Return the grid of one network, with a row for each block that is shown."""
    queries = [f"pixel {query.image[0]},{query.image[1]}" for query in attention.queries]
    if view == "query" and not queries:
        raise OptionError("the query view needs a pixel of the image: --query X,Y")
    columns = {
        "overview": ("samples", "attention received", "of each head"),
        "query": tuple(f"from {pixel}" for pixel in queries),
        "pattern": ("computed scores", "sampled attention", "dense attention"),
        "rollout": ("average of all pixels", *queries),
    }[view]
    if view == "rollout":
        rows = [rollout_row(attention, rollout) for rollout in attention.rollout]
    else:
        cells_of = {"overview": overview_cells, "query": query_cells, "pattern": pattern_cells}[view]
        blocks = list(attention.maps)
        if not attention.blocks_chosen:  # those that fit one figure
            blocks = [blocks[i] for i in pick_typical([maps.block.stage for maps in blocks])]
        rows = [(row_label(view, attention, maps), cells_of(attention, maps)) for maps in blocks]
    if view == "pattern" and all(len(cells) == 2 for _, cells in rows):
        columns = ("computed scores", "attention")
    aspect = 1.0 if view == "pattern" else attention.img_size[0] / attention.img_size[1]
    return MapGrid(attention=attention, columns=columns, rows=rows, aspect=aspect)


def overview_cells(_attention: Attention, maps: BlockMaps) -> tuple[Cell, ...]:
    """Return the samples, the attention that each pixel receives, and the same for each head."""
    heads = (
        image_panel(maps.block, f"head {head}", even_share(received), title=str(head))
        for head, received in zip(maps.heads[:MOST_HEADS], maps.received, strict=False)
    )
    received = image_panel(maps.block, "received", even_share(maps.received.mean(0)))
    return samples_cell(maps), (received,), tuple(heads)


def samples_cell(maps: BlockMaps) -> Cell:
    """Return the window weights of a block, relative to an even mean, or a text if nothing is sampled."""
    import numpy as np

    block = maps.block
    if block.sampling == "reduction":
        return "keys are regions,\nread by a convolution"
    if block.rate == 1:
        return "every pixel is a token"
    down, across = (  # pixels of the window of each row and of each column
        np.minimum(block.rate, side - np.arange(side) // block.rate * block.rate)
        for side in (block.height, block.width)
    )
    title = "" if block.sampling == "adaptive" else f"{block.sampling} sampling"
    weights = maps.weights * (down[:, None] * across)
    return (image_panel(block, "weights", weights, scale="weights", title=title),)


def query_cells(attention: Attention, maps: BlockMaps) -> tuple[Cell, ...]:
    """Return what each query pixel attends to."""
    return tuple(
        (image_panel(maps.block, f"query {i}", even_share(row.mean(0)), points=(query.input,)),)
        for i, (query, row) in enumerate(zip(attention.queries, maps.rows, strict=True), 1)
    )


def pattern_cells(_attention: Attention, maps: BlockMaps) -> tuple[Cell, ...]:
    """Return the scores that are computed, sampled attention, and dense attention of the same block."""
    pattern = maps.pattern
    assert pattern is not None
    size, starts = len(pattern.pixels), pattern.window_starts
    lines = tuple(map(float, starts[1:])) if len(starts) <= size // LINED else ()
    matrices = {"scores": pattern.scores, "sampled": pattern.sampled, "dense": pattern.dense}
    return tuple(
        (
            MapPanel(
                name=f"{maps.block.name}: {name}",
                values=values,
                extent=(0.0, float(size), float(size), 0.0),
                scale=None if name == "scores" else "attention",
                is_matrix=True,
                lines=lines,
            ),
        )
        for name, values in matrices.items()
        if values is not None
    )


def rollout_row(attention: Attention, rollout: RolloutMap) -> tuple[str, tuple[Cell, ...]]:
    """Return which pixels of the first map make up the map after a block, and the label of the row."""
    block = rollout.block
    points: list[tuple[Point, ...]] = [(), *((query.input,) for query in attention.queries)]
    cells = []
    for i, (mass, marks) in enumerate(zip(rollout.mass, points, strict=True)):
        first = replace(block, stride=rollout.stride)
        name = f"rollout {i}" if i else "rollout"
        cells.append((image_panel(first, name, even_share(mass), scale="rollout", points=marks),))
    return f"after stage {block.stage},\nblock {block.number}", tuple(cells)


def even_share(values: "ndarray") -> "ndarray":
    """Return a map relative to an even share of its sum, which is one."""
    return values * values.size


def image_panel(
    block: AttentionBlock,
    name: str,
    values: "ndarray",
    *,
    scale: str = "attention",
    points: tuple[Point, ...] = (),
    title: str = "",
) -> MapPanel:
    """Return a map over the image; its last row and column may reach over the edge of the input."""
    down, across = block.stride
    extent = (0.0, values.shape[1] * across, values.shape[0] * down, 0.0)
    return MapPanel(
        name=f"{block.name}: {name}", values=values, extent=extent, scale=scale, points=points, title=title
    )


def row_label(view: str, attention: Attention, maps: BlockMaps) -> str:
    """Name a block, its heads if the user chose some, how it samples, and which part of it is shown."""
    block = maps.block
    lines = [block.name]
    if attention.heads_chosen:
        lines.append(f"head{'s' * (len(maps.heads) > 1)} {', '.join(map(str, maps.heads))}")
    lines.append(f"{block.height} x {block.width} pixels")
    if block.rate == 1 and block.sparsity == 0:
        lines.append("r = 1: dense")
    else:
        lines.append(f"r = {block.rate}: {block.tokens} tokens" if block.rate > 1 else "in groups")
        lines.append(f"sparsity {percent(block.sparsity, 2)}")
    if view == "pattern" and maps.pattern and len(maps.pattern.pixels) < block.pixels:
        lines.append(f"{len(maps.pattern.pixels)} of {block.pixels} pixels shown")
    return "\n".join(lines)


def spaced_name(attention: Attention) -> str:
    """Return the name of a network with spaces, so that a long variant breaks into lines."""
    return attention.model.replace(",", ", ")


def intro_paragraphs(view: str, networks: Sequence[Attention]) -> list[tuple[str, bool]]:
    """Return the paragraphs beside the photograph, each with whether it is a warning."""
    photo, (height, width) = networks[0].photo, networks[0].img_size
    left, top, right, bottom = photo.crop
    untrained = "has RANDOM WEIGHTS: it was not trained, so it has not learned what to attend to"
    weights = (
        (f"{spaced_name(one)} {untrained if one.is_random else f'with {one.weights}'}.", one.is_random)
        for one in networks
    )
    image = [
        f"Image: {photo.name}, {photo.size[0]} x {photo.size[1]} px; the network sees the "
        f"{right - left:.0f} x {bottom - top:.0f} px in its middle, at {width} x {height} px.",
        *(f"{note[:1].upper()}{note[1:]}." for note in photo.notes),
    ]
    if len(networks[0].images) > 1:
        image.append(f"It is the first of {len(networks[0].images)} images.")
    return [*dict.fromkeys(weights), (EXPLANATIONS[view], False), (" ".join(image), False)]


def caption_paragraphs(view: str, networks: Sequence[Attention]) -> list[str]:
    """Return the paragraphs under a figure."""
    both = " of both networks" if len(networks) > 1 else ""
    edges = "" if view == "pattern" else " White lines on maps are edges in the image."
    colours = (
        f"Colours: all maps of one colour bar{both} share one scale, from percentile {ROBUST[0]} to "
        f"percentile {ROBUST[1]} of the values of a map.{edges}"
    )
    prepared = (f"The image is {one.preparation}." for one in networks)
    notes = (f"{spaced_name(one)}: {note}." for one in networks for note in one.notes)
    return [EFFECTIVE, colours, *dict.fromkeys(prepared), *dict.fromkeys(notes)]
