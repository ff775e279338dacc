"""The attention of networks as a view, as JSON, as CSV and as NumPy arrays."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from itertools import groupby
from pathlib import Path
from statistics import fmean, median, stdev
from typing import TYPE_CHECKING, Any

from saevit.attention.findings import METRICS, Attention, AttentionBlock, HeadNumbers, NumbersBy
from saevit.report.attention_messages import join_words, summarize_attention
from saevit.report.columns import (
    Column,
    Table,
    View,
    attribute_columns,
    finite,
    make_table,
    row_values,
    size_value,
    write_csv,
    write_json,
)
from saevit.report.units import digits, fixed, percent
from saevit.text import plural
from saevit.weights import SHIPPED_MODEL

if TYPE_CHECKING:
    from numpy import ndarray

Group = tuple[HeadNumbers, ...]  # the heads of a row
GROUP_KEYS: dict[NumbersBy, Callable[[HeadNumbers], tuple[int, ...]]] = {
    "stage": lambda one: (one.block.stage,),
    "block": lambda one: (one.block.stage, one.block.number),
    "head": lambda one: (one.block.stage, one.block.number, one.head),
}
MAXIMA: dict[str, Callable[[AttentionBlock], float]] = {  # maxima of metrics that are shown as shares
    "attention_entropy": lambda block: math.log(block.keys),
    "window_entropy": lambda block: 2 * math.log(block.rate),
    "support": lambda block: block.pixels,
}
MEANINGS = (
    "support: number of equally attended pixels that would have the same entropy, as a share of the map "
    "(100 % = uniform)",
    "distance: mean distance from a pixel to the pixels that it attends to, in pixels of the input, over at "
    "most 1,024 pixels; uniform: the distance for uniform attention",
)
MEANINGS_OF_MORE = (
    "entropy: normalised entropy of the attention of a pixel over the tokens (100 % = uniform); window "
    "entropy: normalised entropy of the weights in a window",
    "top 1 %, 5 %, 10 %: share of the attention of a pixel that its strongest 1, 5 and 10 % of the pixels "
    "receive, over at most 1,024 pixels",
    "overlap: share of a head's map that the other heads of its block have in common",
)
MEANING_OF_DRAWN = (
    "drawn: attention that the pixels of a drawing on plain ground receive, relative to their share of the "
    "area (1 = uniform)"
)

FORMS: dict[str, Callable[[float], str]] = {
    "distance": partial(digits, significant=2),
    "drawn": partial(fixed, decimals=2),
}

NetworkHead = tuple[Attention, HeadNumbers]
BLOCK_COLUMNS: tuple[Column[AttentionBlock], ...] = (
    *attribute_columns(stage="stage", block="number", path="path", height="height", width="width"),
    Column(key="stride", value=lambda block: block.stride[0]),
    *attribute_columns("rate", "sampling", "pixels", "tokens", "sparsity"),
    Column(key="attention_entropy_max", value=lambda block: math.log(block.keys)),
)


def view_attention(networks: Sequence[Attention], view: str, by: NumbersBy) -> View:
    """Return the message of a view, a table for each network, and the suggested sampling rates."""
    spread = ["heads"] if by != "head" else []
    spread = ["blocks", *spread] if by == "stage" else spread
    spread += ["images"] * any(len(one.images) > 1 for one in networks)
    reading = f"Median (range) over {join_words(spread)}. " if spread else ""
    reading += (
        "Support: share of the map that a pixel effectively attends to (100 % = uniform). Distance: mean "
        "distance to the attended pixels in px; uniform: the distance for uniform attention."
    )
    if any(not math.isnan(numbers.mean("drawn")) for one in networks for numbers in one.numbers):
        reading += " Drawn: attention to the drawing, relative to its share of the area (1 = uniform)."
    advice = [
        f"{f'{one.model}, {one.weights}: ' * (len(networks) > 1)}{describe_redundancy(one)}"
        for one in networks
        if one.redundancy
    ]
    warnings = [
        f"{one.model} has random weights: `saevit train` trains it, and --checkpoint FILE shows the result"
        for one in networks
        if one.is_random and one.model != SHIPPED_MODEL
    ]
    warnings += [
        f"{one.model} is shown without {', '.join(one.left_out)}" for one in networks if one.left_out
    ]
    return View(
        result=summarize_attention(networks, view),
        warnings=tuple(dict.fromkeys(warnings)),
        tables=tuple(tabulate_heads(one, by) for one in networks),
        notes=(reading, *dict.fromkeys(advice)),
    )


def tabulate_heads(attention: Attention, by: NumbersBy) -> Table:
    """Return a table with one row per stage, block or head; rows of stages have the main columns only."""
    count = len(attention.images)
    images = attention.images[0] if count == 1 else plural(count, "image")
    height, width = attention.img_size
    similarities = (
        f"similarity of pixels in r x r windows, stage {one.stage}: "
        + ", ".join(f"{fmean(values):.3f} (r = {rate})" for rate, values in one.similarity.items())
        for one in attention.redundancy
    )
    predictions = [f"{one.name}: {percent(one.probability)}" for one in attention.predictions]
    predictions = [f"most probable classes: {', '.join(predictions)}"] if predictions else []
    rows = [tuple(group) for _, group in groupby(attention.numbers, GROUP_KEYS[by])]
    return make_table(
        f"{attention.model}, {attention.weights}, {width} x {height} px, {images}",
        list_columns(by),
        rows,
        (
            *MEANINGS,
            *(MEANINGS_OF_MORE if by != "stage" else ()),
            MEANING_OF_DRAWN,
            *predictions,
            *similarities,
            f"the image is {attention.preparation}",
            *attention.notes,
        ),
    ).without_empty_columns()


def list_columns(by: NumbersBy) -> list[Column[Group]]:
    """Return the columns sorted by importance."""

    def of_block(head: str, text: Callable[[AttentionBlock], str]) -> Column[Group]:
        return Column(head, lambda group: text(group[0].block), "right")

    columns = [of_block("stage", lambda block: str(block.stage))]
    if by != "stage":
        columns.append(of_block("block", lambda block: str(block.number)))
    if by == "head":
        columns.append(Column("head", lambda group: str(group[0].head), "right"))
    columns += [
        of_block("pixels", lambda block: f"{block.width} x {block.height}"),
        of_block("r", lambda block: str(block.rate)),
        of_block("tokens", lambda block: f"{block.tokens:,}"),
        of_block("sparsity", lambda block: percent(block.sparsity, 2)),
        Column("drawn", partial(write_spread, "drawn"), "right"),
        Column("support", partial(write_spread, "support"), "right"),
        Column("distance", partial(write_spread, "distance"), "right"),
        of_block("uniform", lambda block: digits(block.uniform_distance, 2)),
    ]
    if by != "stage":
        more = {"attention_entropy": "entropy", "window_entropy": "window entropy", "top_1": "top 1 %"}
        more |= {"top_5": "top 5 %", "top_10": "top 10 %", "overlap": "overlap"}
        columns += [Column(head, partial(write_spread, name), "right") for name, head in more.items()]
    return columns


def write_spread(name: str, group: Group) -> str | None:
    """Write the median of a metric with its range over heads and images: `47.3 % (4.3-61.0)`."""
    values = []
    for one in group:
        maximum = MAXIMA[name](one.block) if name in MAXIMA else 1
        values += [value / maximum for value in one.samples[name] if maximum and not math.isnan(value)]
    if not values:
        return None
    form = FORMS.get(name, percent)
    middle, low, high = (form(value) for value in (median(values), min(values), max(values)))
    return middle if low == high else f"{middle} ({low.removesuffix(' %')}-{high.removesuffix(' %')})"


def describe_redundancy(attention: Attention) -> str:
    """Describe the sampling rates that the similarity of pixels in windows suggests."""
    threshold = f"{attention.redundancy[0].threshold:g} (--similarity)"
    if all(one.suggested == 1 for one in attention.redundancy):
        return (
            "Redundancy suggests no sampling: in each stage the mean cosine similarity of pixels in a window "
            f"is below {threshold}."
        )
    stages = [f"r = {one.suggested} in stage {one.stage}" for one in attention.redundancy]
    rates = attention.suggested_rates
    caution = " With random weights, it depends on the image only." if attention.is_random else ""
    return (
        f"Redundancy suggests {f'--rates {rates}' if rates else join_words(stages)}: up to these r, the mean "
        f"cosine similarity of pixels in a window is at least {threshold}.{caution}"
    )


def attention_json(networks: Sequence[Attention]) -> str:
    """Return all numbers as JSON: one entry per network, one value per image, null for undefined values."""
    return write_json({"networks": [network_values(attention) for attention in networks]})


def network_values(attention: Attention) -> dict[str, Any]:
    """Return all results of a network except the maps."""
    photo = attention.photo
    return {
        "model": attention.model,
        "weights": attention.weights,
        "random_weights": attention.is_random,
        "infer_img_size": size_value(attention.img_size),
        "preparation": attention.preparation,
        "images": attention.images,
        "first_image": {"size": photo.size, "crop": photo.crop, "notes": photo.notes},
        "predictions": [asdict(one) for one in attention.predictions],
        "queries": [asdict(query) for query in attention.queries],
        "units": METRICS,
        "heads": [
            row_values(BLOCK_COLUMNS, numbers.block) | {"head": numbers.head} | dict(numbers.samples)
            for numbers in attention.numbers
        ],
        "redundancy": [asdict(one) for one in attention.redundancy],
        "suggested_sparsity": attention.suggested_rates,
        "notes": (*(f"left out: {block}" for block in attention.left_out), *attention.notes),
    }


def attention_csv(networks: Sequence[Attention]) -> str:
    """Return CSV with one row per head: means over images and, for several images, standard deviations."""
    columns: list[Column[NetworkHead]] = [
        Column(key="model", value=lambda row: row[0].model),
        Column(key="weights", value=lambda row: row[0].weights),
        Column(key="infer_img_size", value=lambda row: size_value(row[0].img_size)),
        Column(key="images", value=lambda row: len(row[0].images)),
        *(column.via(lambda row: row[1].block) for column in BLOCK_COLUMNS),
        Column(key="head", value=lambda row: row[1].head),
    ]
    for name in METRICS:
        columns += metric_columns(name)
    return write_csv(columns, [(attention, one) for attention in networks for one in attention.numbers])


def metric_columns(name: str) -> tuple[Column[NetworkHead], Column[NetworkHead]]:
    """Return the columns of the mean and the standard deviation of a metric; undefined values are None."""

    def deviation(row: NetworkHead) -> float | None:
        values = row[1].samples[name]
        return finite(stdev(values)) if len(values) > 1 else None

    mean = Column[NetworkHead](key=name, value=lambda row: finite(row[1].mean(name)))
    return mean, Column(key=f"{name}_std", value=deviation)


def save_arrays(networks: Sequence[Attention], path: Path) -> None:
    """Write the maps of the first image as .npz, with names such as `stage1.block2.received`.

    | name | shape | content |
    | --- | --- | --- |
    | window_weights | (H, W) | share of each pixel in the token of its window |
    | received | (heads, H, W) | mean effective attention to each pixel |
    | rows | (queries, heads, H, W) | effective attention of each query pixel |
    | attention | (groups, heads, queries, keys) | attention between tokens; missing if too large |
    | rollout | (1 + queries, H, W) | share of each pixel of the first map; only with that view |

    Grad-CAM of the view of classes is `stage4.class.NAME`, (H, W) with a sum of one.

    `image` is the input in RGB, `queries` are x and y in it. A second network has the prefix `second.`.
    """
    import numpy as np

    arrays: dict[str, ndarray] = {}
    for attention, prefix in zip(networks, ("", "second."), strict=False):
        arrays[f"{prefix}image"] = attention.photo.pixels
        arrays[f"{prefix}queries"] = np.array([q.input for q in attention.queries]).reshape(-1, 2)
        for maps in attention.maps:
            at = f"{prefix}stage{maps.block.stage}.block{maps.block.number}."
            parts = {"window_weights": maps.weights, "received": maps.received, "rows": maps.rows}
            if maps.attention is not None:
                parts["attention"] = maps.attention
            arrays |= {at + name: values for name, values in parts.items()}
        for rollout in attention.rollout:
            arrays[f"{prefix}stage{rollout.block.stage}.block{rollout.block.number}.rollout"] = rollout.mass
        for found in attention.class_maps:
            arrays[f"{prefix}stage{found.stage}.class.{found.of.name}"] = found.mass
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
