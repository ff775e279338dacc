"""The attention of a network as tables, JSON, CSV and arrays."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from saevit.attention.findings import METRICS, Attention, AttentionBlock, HeadNumbers
from saevit.report.columns import (
    NONE,
    Column,
    Table,
    attribute_columns,
    finite,
    row_values,
    size_value,
    text_table,
    write_csv,
    write_json,
)
from saevit.report.units import digits, percent
from saevit.text import plural

if TYPE_CHECKING:
    from numpy import ndarray

HEADS = {  # name of a metric: head of its column
    "attention_entropy": "entropy",
    "window_entropy": "window entropy",
    "distance": "distance px",
    "top_1": "top 1 %",
    "top_5": "top 5 %",
    "top_10": "top 10 %",
    "support": "support",
    "overlap": "overlap",
}
MEANINGS = (
    "entropy: of the attention of a pixel over the tokens, relative to the maximum (100 %: even attention); "
    "window entropy: the same for the weights of a window",
    "distance: mean distance from a pixel to the pixels that it attends to, in pixels of the input; top 1 "
    "%: share of the effective attention of a pixel that the strongest 1 % of all pixels receive; both are "
    "means over an even grid of pixels if the map has more than 1,024",
    "support: number of equally attended pixels that gives the same entropy, relative to N; overlap: share "
    "of the map of a head that it has in common with the other heads of its block",
)

NetworkHead = tuple[Attention, HeadNumbers]
BLOCK_COLUMNS: tuple[Column[AttentionBlock], ...] = (
    *attribute_columns(stage="stage", block="number", path="path", height="height", width="width"),
    Column(key="stride", value=lambda block: block.stride[0]),
    *attribute_columns("rate", "sampling", "pixels", "tokens", "sparsity"),
    Column(key="attention_entropy_max", value=lambda block: math.log(block.keys)),
)


def attention_tables(attention: Attention) -> tuple[Table, ...]:
    """Return the table of heads, and the table of the redundancy of each stage if it is known."""
    count = len(attention.images)
    images = attention.images[0] if count == 1 else f"{plural(count, 'image')}, mean +- standard deviation"
    heads = heads_table(attention, images)
    return (heads, redundancy_table(attention, images)) if attention.redundancy else (heads,)


def heads_table(attention: Attention, images: str) -> Table:
    """Return one row per head."""
    height, width = attention.img_size
    heads = ("stage", "block", "head", "N", "n", "r", "sparsity", *HEADS.values())
    return text_table(
        f"{attention.model}, {attention.weights}, {height} x {width} px: {images}",
        (f">{head}" for head in heads),
        map(head_row, attention.numbers),
        (*MEANINGS, f"images are {attention.preparation}", *attention.notes),
    ).without_empty_columns()


def head_row(numbers: HeadNumbers) -> tuple[str, ...]:
    """Return the texts of one head."""
    block = numbers.block
    maxima = {
        "attention_entropy": math.log(block.keys),
        "window_entropy": 2 * math.log(block.rate),
        "support": block.pixels,
    }
    return (
        *map(str, (block.stage, block.number, numbers.head, block.pixels, block.tokens, block.rate)),
        percent(block.sparsity, 2),
        *(metric_text(name, numbers.samples[name], maxima.get(name, 1)) for name in HEADS),
    )


def metric_text(name: str, values: Sequence[float], maximum: float) -> str:
    """Write a metric as mean and standard deviation over images, relative to its maximum."""
    if maximum == 0 or any(map(math.isnan, values)):
        return NONE
    form: Callable[[float], str] = digits if name == "distance" else percent
    text = form(fmean(values) / maximum)
    if len(values) == 1:
        return text
    number, sign, unit = text.partition(" %")
    return f"{number} +- {form(stdev(values) / maximum).removesuffix(' %')}{sign}{unit}"


def redundancy_table(attention: Attention, images: str) -> Table:
    """Return one row per stage: the similarity of the pixels of windows, and the rate that it suggests."""
    redundancy = attention.redundancy
    rates = sorted({rate for one in redundancy for rate in one.similarity})
    notes = [
        "similarity: mean cosine similarity of two pixels of one r x r window of the stage's input features",
        f"suggested: the largest rate up to which it is not below {redundancy[0].threshold:g} (--similarity)",
    ]
    if all(one.suggested == 1 for one in redundancy):
        notes.append("no stage reaches this similarity, so no sampling is suggested")
    elif attention.suggested_rates:
        caution = " (from random weights: this depends on the image, not on a task)" * attention.is_random
        notes.append(f"to try the suggested rates: --rates {attention.suggested_rates}{caution}")
    rows = []
    for one in redundancy:
        means = [f"{fmean(one.similarity[r]):.3f}" if r in one.similarity else NONE for r in rates]
        rows.append((str(one.stage), *means, str(one.rate), str(one.suggested)))
    heads = (">stage", *(f">r = {rate}" for rate in rates), ">rate", ">suggested")
    return text_table(f"Redundancy: similarity of the pixels of a window, {images}", heads, rows, notes)


def attention_json(networks: Sequence[Attention]) -> str:
    """Write all numbers as JSON: one entry per network, one value per image, null for what does not apply."""
    return write_json({"networks": [network_values(attention) for attention in networks]})


def network_values(attention: Attention) -> dict[str, Any]:
    """Return all that is known of a network but the maps."""
    photo = attention.photo
    return {
        "model": attention.model,
        "weights": attention.weights,
        "random_weights": attention.is_random,
        "infer_img_size": size_value(attention.img_size),
        "preparation": attention.preparation,
        "images": attention.images,
        "first_image": {"size": photo.size, "crop": photo.crop, "notes": photo.notes},
        "queries": [asdict(query) for query in attention.queries],
        "units": METRICS,
        "heads": [
            row_values(BLOCK_COLUMNS, numbers.block) | {"head": numbers.head} | dict(numbers.samples)
            for numbers in attention.numbers
        ],
        "redundancy": [asdict(one) for one in attention.redundancy],
        "suggested_sparsity": attention.suggested_rates,
        "notes": attention.notes,
    }


def attention_csv(networks: Sequence[Attention]) -> str:
    """Write CSV with one row per head: means over images and, for several images, standard deviations."""
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
    """Return the columns of the mean and the standard deviation of a metric, None where they do not apply."""

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
    | attention | (groups, heads, queries, keys) | attention between tokens; missing if it is large |
    | rollout | (1 + queries, H, W) | share of each pixel of the first map; only with that view |

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
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
