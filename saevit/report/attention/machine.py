"""Attention for other programs: every number unrounded, and the maps as arrays."""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from saevit.attention.findings import METRICS, Attention, AttentionBlock, HeadNumbers
from saevit.report.columns import finite, write_json
from saevit.report.machine import csv_text

if TYPE_CHECKING:
    from numpy import ndarray


def attention_json(seen: Sequence[Attention]) -> str:
    """Write all numbers, one value an image, as one JSON object with one entry a network."""
    return write_json({"networks": [entry(a) for a in seen]})


def entry(attention: Attention) -> dict[str, Any]:
    """Return everything but the maps; what does not apply is null."""
    height, width = attention.img_size
    photo = attention.photo
    return {
        "model": attention.model,
        "weights": attention.weights,
        "random_weights": attention.is_random,
        "infer_img_size": height if height == width else f"{height},{width}",
        "preparation": attention.preparation,
        "images": list(attention.images),
        "first_image": {"size": photo.size, "crop": photo.crop, "notes": photo.notes},
        "queries": [{"image": q.image, "input": q.input} for q in attention.queries],
        "units": METRICS,
        "heads": [
            place_columns(numbers.block)
            | {"head": numbers.head}
            | {name: list(numbers.samples[name]) for name in METRICS}
            for numbers in attention.numbers
        ],
        "redundancy": [
            {
                "stage": one.stage,
                "rate": one.rate,
                "similarity": one.similarity,
                "threshold": one.threshold,
                "suggested": one.suggested,
            }
            for one in attention.redundancy
        ],
        "suggested_sparsity": attention.suggested_sparsity,
        "notes": list(attention.notes),
    }


def place_columns(place: AttentionBlock) -> dict[str, Any]:
    """Return what a block is."""
    return {
        "stage": place.stage,
        "block": place.number,
        "path": place.path,
        "height": place.height,
        "width": place.width,
        "stride": place.stride[0],
        "rate": place.rate,
        "sampling": place.sampling,
        "pixels": place.pixels,
        "tokens": place.tokens,
        "sparsity": place.sparsity,
        "attention_entropy_max": math.log(place.keys),
    }


def attention_csv(seen: Sequence[Attention]) -> str:
    """Write one row a head: means over images and, where there are several, standard deviations."""
    rows = [csv_row(attention, numbers) for attention in seen for numbers in attention.numbers]
    return csv_text(rows)


def csv_row(attention: Attention, numbers: HeadNumbers) -> dict[str, Any]:
    """One head."""
    height, width = attention.img_size
    row = {
        "model": attention.model,
        "weights": attention.weights,
        "infer_img_size": height if height == width else f"{height},{width}",
        "images": len(attention.images),
        **place_columns(numbers.block),
        "head": numbers.head,
    }
    for name in METRICS:
        values = numbers.samples[name]
        row[name] = finite(fmean(values))
        row[f"{name}_std"] = finite(stdev(values)) if len(values) > 1 else None
    return row


def save_arrays(seen: Sequence[Attention], path: Path) -> None:
    """Write the first image's maps as .npz, named as `arrays` does."""
    import numpy as np

    with path.open("wb") as file:
        np.savez_compressed(file, **arrays(seen))  # type: ignore[arg-type]


def arrays(seen: Sequence[Attention]) -> "dict[str, ndarray]":
    """Return the maps by name: `stage1.block2.received` and so on; of a second network behind `second.`

    | name | shape | what |
    | --- | --- | --- |
    | window_weights | (H, W) | share of each pixel in its window's token |
    | received | (heads, H, W) | mean effective attention on each pixel |
    | rows | (queries, heads, H, W) | effective attention of each query |
    | attention | (groups, heads, queries, keys) | the attention itself; missing where it is large |
    | rollout | (1 + queries, H, W) | what the map is made of, on the first map; only with that view |

    `image` is the input in RGB, `queries` are x, y in it.
    """
    import numpy as np

    found: dict[str, ndarray] = {}
    for attention, prefix in zip(seen, ("", "second."), strict=False):
        found[f"{prefix}image"] = attention.photo.pixels
        found[f"{prefix}queries"] = np.array([q.input for q in attention.queries]).reshape(-1, 2)
        for block in attention.maps:
            at = f"{prefix}stage{block.block.stage}.block{block.block.number}."
            found[at + "window_weights"] = block.weights
            found[at + "received"] = block.received
            found[at + "rows"] = block.rows
            if block.attention is not None:
                found[at + "attention"] = block.attention
        for one in attention.rollout:
            found[f"{prefix}stage{one.block.stage}.block{one.block.number}.rollout"] = one.mass
    return found
