"""The contents of a figure of attention: a grid of maps with one column per block, and the texts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from saevit.attention.findings import Attention, AttentionBlock, BlockMaps, ClassMap, RolloutMap
from saevit.errors import OptionError
from saevit.report.units import percent

if TYPE_CHECKING:
    from numpy import ndarray

Point = tuple[float, float]
Panels = dict[str, "tuple[MapPanel, ...]"]  # of one block, by the label of their row

MOST_HEADS = 16  # in one cell
TOKENS, BY_HEAD = "Tokens\none per cell of the grid", "Attention received\nby head"  # labels of rows
LINED = 16  # a matrix has lines between windows if a window has on average this number of pixels or more

COLOURS_MEAN = "White is uniform, light blue is below uniform, and red (darker: more) is above uniform."
EXPLANATIONS = {
    "overview": "First row: the pixels of each stage; each cell of the blue grid becomes one token. Maps: "
    f"the weight of each pixel. {COLOURS_MEAN}",
    "query": "Each map shows how much the ringed pixel attends to every pixel, as the mean over heads. "
    f"{COLOURS_MEAN}",
    "class": "Each map shows which pixels of a stage's output raise the score of a class (Grad-CAM). "
    f"{COLOURS_MEAN}",
    "pattern": "Rows of a matrix are query pixels, columns are key pixels, both ordered window by window. A "
    "black square is one computed score, drawn in the middle of the pairs of pixels that share it. "
    f"{COLOURS_MEAN} Mean over heads.",
    "rollout": "Each map shows how much of a stage's output comes from every pixel of the first map. "
    f"{COLOURS_MEAN}",
}
DETAILS = {
    "rollout": "Attention rollout (arXiv 2005.00928) follows attention back through all blocks: in each "
    "block a pixel keeps half of its content by the residual connection and takes half by the mean "
    "effective attention of the heads. A pixel of a coarser map spreads evenly over its area. Convolutions "
    "and FFNs are ignored.",
    "class": "Grad-CAM (arXiv 1610.02391) adds up the channels of a map, each weighted by the mean gradient "
    "of the logit of the class, and keeps the positive values; here it is scaled to a mean of 1.",
}
EFFECTIVE = (
    "Effective attention is the attention between pixels after sampling, attention and recovery. It ignores "
    "the mixing of channels by the projections and the kernel of the recovery."
)


@dataclass(frozen=True, kw_only=True)
class MapPanel:
    """One panel. Its kind says how the values are drawn.

    | kind | values |
    | --- | --- |
    | map | (h, w) over the image, as multiples of a uniform share |
    | windows | the image at the size of the map, (h, w, 3) |
    | matrix | (m, m) of query and key pixels, as multiples of a uniform share |
    | scores | (k, 2) points, y and x |
    | note | not drawn; only the title is written |
    """

    name: str
    values: "ndarray"
    extent: tuple[float, float, float, float]  # left, right, bottom, top
    kind: Literal["map", "windows", "matrix", "scores", "note"] = "map"
    points: tuple[Point, ...] = ()  # query pixels
    lines: tuple[Sequence[float], Sequence[float]] = ((), ())  # x and y of lines between windows
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class MapGrid:
    """The panels of one network in columns (blocks) and rows with labels."""

    attention: Attention
    heads: list[str]  # titles of the columns
    columns: list[Panels]
    aspect: float  # height over width of a cell

    @property
    def values(self) -> "list[ndarray]":
        """Return the values of every panel that is drawn in colours."""
        panels = (panel for column in self.columns for cell in column.values() for panel in cell)
        return [panel.values for panel in panels if panel.kind in ("map", "matrix")]


def make_grid(
    view: str, attention: Attention, *, with_heads: bool = True, with_tokens: bool = True
) -> MapGrid:
    """Return the grid of one network.

    Args:
        view: the view.
        attention: the maps of the network.
        with_heads: whether the overview has a row for single heads.
        with_tokens: whether the overview has a row for tokens.

    Raises:
        OptionError: the query view has no query pixel.
    """
    if view == "query" and not attention.queries:
        raise OptionError("the query view needs a pixel of the image: --query X,Y")
    if view == "rollout":
        heads = [f"After stage {one.block.stage}, block {one.block.number}" for one in attention.rollout]
        columns = [rollout_panels(attention, one) for one in attention.rollout]
    elif view == "class":
        stages = {one.stage: one.mass.shape for one in attention.class_maps}
        heads = [
            f"After stage {stage}\n{width} x {height} pixels" for stage, (height, width) in stages.items()
        ]
        columns = [
            dict(class_panels(one) for one in attention.class_maps if one.stage == stage) for stage in stages
        ]
    else:
        make = {"overview": overview_panels, "query": query_panels, "pattern": pattern_panels}[view]
        heads = [column_head(view, attention, maps) for maps in attention.shown_maps]
        columns = [make(attention, maps) for maps in attention.shown_maps]
    with_heads = with_heads and any(len(maps.heads) > 1 for maps in attention.shown_maps)
    hidden = [BY_HEAD] * (not with_heads) + [TOKENS] * (not with_tokens)
    columns = [{label: cell for label, cell in one.items() if label not in hidden} for one in columns]
    aspect = 1.0 if view == "pattern" else attention.img_size[0] / attention.img_size[1]
    return MapGrid(attention=attention, heads=heads, columns=columns, aspect=aspect)


def column_head(view: str, attention: Attention, maps: BlockMaps) -> str:
    """Return the title of a column: the block, the chosen heads, the sampling, and the shown section."""
    block = maps.block
    lines = [block.name.capitalize()]
    if attention.heads_chosen:
        lines.append(f"head{'s' * (len(maps.heads) > 1)} {', '.join(map(str, maps.heads))}")
    lines.append(f"{block.width} x {block.height} pixels, r = {block.rate}")
    lines.append(f"{block.tokens:,} tokens{f' in {block.groups} groups' * (block.groups > 1)}")
    lines.append(f"sparsity {percent(block.sparsity, 2)}" if block.sparsity else "dense: sparsity 0 %")
    if view == "pattern" and maps.pattern and len(maps.pattern.pixels) < block.pixels:
        lines.append(f"shown: {len(maps.pattern.pixels)} of {block.pixels:,} pixels")
    return "\n".join(lines)


def overview_panels(attention: Attention, maps: BlockMaps) -> Panels:
    """Return the panels of the overview: tokens, window weights, and received attention (mean, by head)."""
    received = image_panel(maps.block, "received", relative_to_uniform(maps.received.mean(0)))
    return {
        TOKENS: (windows_panel(attention, maps.block),),
        "Weights\nof the pixels in the token of their window": (weights_panel(maps),),
        "Attention received\nmean over query pixels and heads": (received,),
        BY_HEAD: head_panels(maps),
    }


def head_panels(maps: BlockMaps) -> "tuple[MapPanel, ...]":
    """Return the attention that pixels receive in each head; a single head gets a note instead."""
    panels = [
        image_panel(maps.block, f"head {head}", relative_to_uniform(received), title=str(head))
        for head, received in zip(maps.heads[:MOST_HEADS], maps.received, strict=False)
    ]
    if len(panels) == 1:
        panels = [replace(panels[0], kind="note", title=f"head {maps.heads[0]} only: the map above")]
    return tuple(panels)


def windows_panel(attention: Attention, block: AttentionBlock) -> MapPanel:
    """Return the image at the resolution of a block's map, with lines between the windows."""
    import numpy as np

    ends = (range(block.rate, side, block.rate) for side in (block.width, block.height))
    x, y = ([i * stride for i in inner] for inner, stride in zip(ends, block.stride[::-1], strict=True))
    H, W = attention.img_size
    rows, columns = (
        np.minimum((np.arange(side + 1) * stride).astype(int), length)
        for side, stride, length in zip((block.height, block.width), block.stride, (H, W), strict=True)
    )
    sums = np.add.reduceat(np.add.reduceat(attention.photo.pixels, rows[:-1], 0, float), columns[:-1], 1)
    areas = np.multiply.outer(np.diff(rows), np.diff(columns))
    panel = image_panel(block, "tokens", (sums / areas[..., None] / 255).clip(0, 1))
    return replace(panel, kind="windows", lines=(x, y))


def weights_panel(maps: BlockMaps) -> MapPanel:
    """Return the weight of each pixel in its window, relative to equal weights."""
    import numpy as np

    block = maps.block
    down, across = (  # pixels of the window of each row and of each column
        np.minimum(block.rate, side - np.arange(side) // block.rate * block.rate)
        for side in (block.height, block.width)
    )
    if block.rate == 1 or block.sampling in ("average", "reduction"):
        equal = "r = 1: each pixel is a token" if block.rate == 1 else "mean of the window: equal weights"
        return replace(image_panel(block, "weights", maps.weights, title=equal), kind="note")
    title = "" if block.sampling == "adaptive" else f"{block.sampling} sampling"
    weights = maps.weights * (down[:, None] * across)
    return image_panel(block, "weights", weights, title=title)


def query_panels(attention: Attention, maps: BlockMaps) -> Panels:
    """Return the attention of each query pixel to all pixels."""
    return {
        f"Pixel {query.image[0]},{query.image[1]}\nattends to": (
            image_panel(maps.block, f"query {i}", relative_to_uniform(row.mean(0)), points=(query.input,)),
        )
        for i, (query, row) in enumerate(zip(attention.queries, maps.rows, strict=True), 1)
    }


def pattern_panels(_attention: Attention, maps: BlockMaps) -> Panels:
    """Return the computed scores, the sampled attention, and the dense attention of the same block."""
    pattern = maps.pattern
    assert pattern is not None
    size, starts = len(pattern.pixels), pattern.window_starts
    lines = tuple(map(float, starts[1:])) if len(starts) <= size // LINED else ()
    attention = "Attention" if pattern.dense is None else "Sampled attention"
    matrices = {
        "Computed scores": ("scores", pattern.scores),
        f"{attention}\nthat these scores give": ("sampled", pattern.sampled),
        "Dense attention\nif each pixel were a token": ("dense", pattern.dense),
    }
    return {
        label: (
            MapPanel(
                name=f"{maps.block.name}: {name}",
                values=values,
                extent=(0.0, float(size), float(size), 0.0),
                kind="scores" if name == "scores" else "matrix",
                lines=(lines, lines),
                title="all scores are computed" if name == "scores" and not maps.block.sparsity else "",
            ),
        )
        for label, (name, values) in matrices.items()
        if values is not None
    }


def rollout_panels(attention: Attention, rollout: RolloutMap) -> Panels:
    """Return the share of each pixel of the first map in the map after a block."""
    first = replace(rollout.block, stride=rollout.stride)
    points: dict[str, tuple[Point, ...]] = {"Average of all pixels\nconsists of": ()}
    points |= {
        f"Pixel {query.image[0]},{query.image[1]}\nconsists of": (query.input,) for query in attention.queries
    }
    return {
        label: (image_panel(first, f"rollout {i}", relative_to_uniform(mass), points=marks),)
        for i, ((label, marks), mass) in enumerate(zip(points.items(), rollout.mass, strict=True))
    }


def class_panels(found: ClassMap) -> "tuple[str, tuple[MapPanel, ...]]":
    """Return the row label of a class, and its Grad-CAM at the end of a stage."""
    down, across = found.stride
    height, width = found.mass.shape
    panel = MapPanel(
        name=f"stage {found.stage}: {found.of.name}",
        values=relative_to_uniform(found.mass),
        extent=(0.0, width * across, height * down, 0.0),
    )
    if not found.mass.any():
        panel = replace(panel, kind="note", title="no pixel raises the score")
    return f"{found.of.name}\nprobability {percent(found.of.probability)}", (panel,)


def relative_to_uniform(values: "ndarray") -> "ndarray":
    """Scale a map with the sum 1, so that its mean is 1."""
    return values * values.size


def image_panel(
    block: AttentionBlock, name: str, values: "ndarray", *, points: tuple[Point, ...] = (), title: str = ""
) -> MapPanel:
    """Return a panel of a map over the image; its last row and column may extend beyond the input."""
    down, across = block.stride
    extent = (0.0, values.shape[1] * across, values.shape[0] * down, 0.0)
    return MapPanel(name=f"{block.name}: {name}", values=values, extent=extent, points=points, title=title)


def spaced_name(attention: Attention) -> str:
    """Return the text of a model with a space after each comma, so that a long variant can wrap."""
    return attention.model.replace(",", ", ")


def intro_paragraphs(view: str, networks: Sequence[Attention]) -> list[str]:
    """Return the paragraphs beside the photograph: explanation of the view, networks, and image."""
    photo, (height, width) = networks[0].photo, networks[0].img_size
    left, top, right, bottom = photo.crop
    models = "; ".join(f"{spaced_name(one)}, {one.weights}" for one in networks)
    image = [
        f"Image: {photo.name}, {photo.size[0]} x {photo.size[1]} px, centre crop of {right - left:.0f} x "
        f"{bottom - top:.0f} px, resized to {width} x {height} px.",
        *(f"{note[:1].upper()}{note[1:]}." for note in photo.notes),
    ]
    if len(networks[0].images) > 1:
        image.append(f"It is the first of {len(networks[0].images)} images.")
    return [EXPLANATIONS[view], f"Network: {models}.", " ".join(image)]


def caption_paragraphs(view: str, networks: Sequence[Attention]) -> list[str]:
    """Return the paragraphs below a figure."""
    edges = [] if view == "pattern" else ["Grey lines on the maps are edges of the image."]
    prepared = (f"The image is {one.preparation}." for one in networks)
    notes = [f"{spaced_name(one)}: {note}." for one in networks for note in one.notes]
    notes += [f"{spaced_name(one)}: without {', '.join(one.left_out)}." for one in networks if one.left_out]
    details = [DETAILS[view]] if view in DETAILS else []
    effective = [] if view == "class" else [EFFECTIVE]
    return [*details, " ".join([*effective, *edges]), *dict.fromkeys(prepared), *dict.fromkeys(notes)]
