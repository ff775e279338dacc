"""Compute all maps and metrics of the attention of one network on one or several images."""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from saevit.attention.capture import Recording
from saevit.attention.classes import map_classes, predict_classes
from saevit.attention.drawing import NAME, draw_scene
from saevit.attention.effective import Layer
from saevit.attention.findings import (
    METRICS,
    Attention,
    AttentionBlock,
    HeadNumbers,
    MapView,
    Photo,
    QueryPixel,
    Redundancy,
)
from saevit.attention.maps import map_block, map_rollouts
from saevit.attention.network import list_notes, record_attention
from saevit.attention.numbers import compute_numbers, compute_similarities, suggest_rate
from saevit.attention.photo import describe_preparation, find_drawing, fit_image, locate_query, read_photo
from saevit.errors import MeasureError, OptionError
from saevit.loading import LoadedNetwork

HeadValues = dict[tuple[AttentionBlock, int], dict[str, float]]  # (block, head) to metric to value
StageValues = dict[tuple[int, int], dict[int, float]]  # (stage, its rate) to tried rate to similarity


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The stages, blocks, heads, query pixels and views to compute. Numbers count from 1; None is all."""

    stages: Collection[int] | None = None
    blocks: Collection[int] | None = None
    heads: Collection[int] | None = None
    queries: Sequence[tuple[int, int]] = ()  # x, y in pixels of the image file
    classes: Sequence[str] = ()  # names or numbers of classes for the class view
    threshold: float = 0.9  # minimum cosine similarity in windows, for the suggested rates
    views: Collection[MapView] = ("overview", "query", "pattern", "rollout")


def look_at(
    net: LoadedNetwork, paths: Sequence[Path], choice: Choice, on_image: Callable[[int], None] | None = None
) -> Attention:
    """Run a network on images. Maps are of the first readable image, and metrics are of all readable images.

    Args:
        net: the network, which is not changed.
        paths: image files; empty is the drawing of `draw_scene`.
        choice: the blocks and views to compute.
        on_image: called with the number of finished images.

    Raises:
        SaevitError: no image can be read, a query is outside the image, or a chosen block does not exist.
    """
    attention: Attention | None = None
    names, failures = [], list[str]()
    numbers, similarities = [], []
    size = net.about.img_size
    for done, path in enumerate(paths or (None,), 1):
        try:
            photo = read_photo(path, size) if path else fit_image(draw_scene(), size, NAME)
        except OptionError as error:
            failures.append(str(error))
            if len(failures) == len(paths):
                raise
            continue
        queries = () if attention else tuple(locate_query(query, photo) for query in choice.queries)
        recording = record_attention(net, photo, features=not attention and "pattern" in choice.views)
        every = recording.layers()
        layers = choose_layers(every, choice)
        names.append(photo.name)
        numbers.append(measure_heads(layers, find_drawing(photo.pixels)))
        similarities.append(measure_stages(layers, recording))
        attention = attention or map_first(net, photo, queries, recording, every, choice)
        if on_image:
            on_image(done)
    assert attention
    return replace(
        attention,
        images=tuple(names),
        failures=tuple(failures),
        numbers=gather_numbers(numbers),
        redundancy=gather_redundancy(similarities, choice.threshold),
    )


def choose_layers(layers: list[Layer], choice: Choice) -> list[Layer]:
    """Return the layers and heads that the user chose.

    Raises:
        OptionError: no layer has them; the message names the existing stages, blocks or heads.
    """
    stages, blocks, heads = choice.stages, choice.blocks, choice.heads
    of_stages = [layer for layer in layers if stages is None or layer.block.stage in stages]
    if not of_stages:
        existing = join_numbers(layer.block.stage for layer in layers)
        raise OptionError(f"stage {join_numbers(stages or ())} has no attention: choose stage {existing}")
    of_blocks = [layer for layer in of_stages if blocks is None or layer.block.number in blocks]
    if not of_blocks:
        existing_blocks = defaultdict(list)
        for layer in of_stages:
            existing_blocks[layer.block.stage].append(layer.block.number)
        there = "; ".join(f"stage {s} has it in block {join_numbers(b)}" for s, b in existing_blocks.items())
        raise OptionError(f"block {join_numbers(blocks or ())} has no attention: {there}")
    if heads is None:
        return of_blocks
    of_heads = [layer.select_heads(heads) for layer in of_blocks if set(heads) & set(layer.heads)]
    if not of_heads:
        most = max(len(layer.heads) for layer in of_blocks)
        raise OptionError(f"head {join_numbers(heads)} does not exist: choose 1{f' to {most}' * (most > 1)}")
    return of_heads


def join_numbers(numbers: Iterable[int]) -> str:
    """Write the distinct numbers as a list: 1, 2 or 3."""
    *texts, last = map(str, sorted(set(numbers)))
    return f"{', '.join(texts)} or {last}" if texts else last


def measure_heads(layers: list[Layer], drawing: Tensor | None) -> HeadValues:
    """Return the metrics of each head on one image; raise MeasureError if a value is not finite."""
    heads: HeadValues = {}
    for layer in layers:
        values = {name: one.tolist() for name, one in compute_numbers(layer, drawing).items()}
        if not all(map(math.isfinite, values["attention_entropy"])):
            path = layer.block.path
            raise MeasureError(f"{path} has values that are not finite: these weights cannot be shown")
        for i, head in enumerate(layer.heads):
            heads[layer.block, head] = {name: values[name][i] for name in METRICS}
    return heads


def measure_stages(layers: list[Layer], recording: Recording) -> StageValues:
    """Return the similarities in the input of each stage of a SAEViT on one image."""
    stages = {layer.block.stage: layer.block.rate for layer in layers}
    inputs = recording.inputs
    return {(s, rate): compute_similarities(inputs[s], rate) for s, rate in stages.items() if s in inputs}


def gather_numbers(images: list[HeadValues]) -> tuple[HeadNumbers, ...]:
    """Return the metrics of each head on all images."""
    return tuple(
        HeadNumbers(
            block=block,
            head=head,
            samples={name: tuple(image[block, head][name] for image in images) for name in METRICS},
        )
        for block, head in images[0]
    )


def gather_redundancy(images: list[StageValues], threshold: float) -> tuple[Redundancy, ...]:
    """Return the similarities of each stage on all images, with the suggested rates."""
    redundancy = []
    for (stage, rate), first in images[0].items():
        samples = {r: tuple(image[stage, rate][r] for image in images) for r in first}
        suggested = suggest_rate({r: sum(values) / len(values) for r, values in samples.items()}, threshold)
        redundancy.append(
            Redundancy(stage=stage, rate=rate, similarity=samples, threshold=threshold, suggested=suggested)
        )
    return tuple(redundancy)


def map_first(
    net: LoadedNetwork,
    photo: Photo,
    queries: tuple[QueryPixel, ...],
    recording: Recording,
    layers: list[Layer],
    choice: Choice,
) -> Attention:
    """Return the result with the maps of the first image, without metrics."""
    pattern = "pattern" in choice.views
    return Attention(
        model=net.about.model,
        weights=net.weights,
        is_random=net.is_random,
        preparation=describe_preparation(net.about),
        img_size=net.about.img_size,
        photo=photo,
        queries=queries,
        maps=tuple(
            map_block(layer, net.model.get_submodule(layer.block.path), queries, with_pattern=pattern)
            for layer in choose_layers(layers, choice)
        ),
        rollout=map_rollouts(layers, choice.stages, queries) if "rollout" in choice.views else (),
        predictions=predict_classes(net, recording.logits),
        class_maps=map_classes(net, photo, choice.classes, choice.stages) if "class" in choice.views else (),
        blocks_chosen=choice.blocks is not None,
        heads_chosen=choice.heads is not None,
        left_out=tuple(f"{path} ({why})" for path, why in recording.left_out.items()),
        notes=list_notes(layers),
    )
