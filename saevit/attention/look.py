"""Everything that figures and tables show of the attention of one network on one or several images."""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from saevit.attention.capture import Recording
from saevit.attention.effective import Layer
from saevit.attention.findings import (
    METRICS,
    Attention,
    AttentionBlock,
    HeadNumbers,
    Photo,
    QueryPixel,
    Redundancy,
    View,
)
from saevit.attention.maps import map_block, map_rollouts
from saevit.attention.network import Network, list_notes, record_attention
from saevit.attention.numbers import compute_numbers, compute_similarities, suggest_rate
from saevit.attention.photo import describe_preparation, locate_query, read_photo
from saevit.errors import MeasureError, OptionError

Samples = dict[str, list[float]]  # of a head, by the name of the number: one value per image


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What is shown of a network. Numbers count from 1; None is all."""

    stages: Collection[int] | None = None
    blocks: Collection[int] | None = None
    heads: Collection[int] | None = None
    queries: Sequence[tuple[int, int]] = ()  # x, y in pixels of the image as given
    threshold: float = 0.9  # cosine similarity that windows should keep
    views: Collection[View] = get_args(View)


def look_at(
    net: Network, paths: Sequence[Path], choice: Choice, on_image: Callable[[int], None] | None = None
) -> Attention:
    """Run a network on images: maps are of the first, numbers of all. Of several, broken ones are left out.

    Args:
        net: the network; it is not changed.
        paths: image files, one or more.
        choice: stages, blocks, heads, queries and views.
        on_image: called with the number of images that are done.

    Raises:
        SaevitError: no image can be read, a query is outside the image, or a chosen block does not exist.
    """
    attention: Attention | None = None
    names: list[str] = []
    failures: list[str] = []
    numbers: dict[tuple[AttentionBlock, int], Samples] = defaultdict(lambda: defaultdict(list))
    similarities: dict[int, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))  # by stage, rate
    rates: dict[int, int] = {}
    for done, path in enumerate(paths, 1):
        try:
            photo = read_photo(path, net.about.img_size)
        except OptionError as error:
            failures.append(str(error))
            if len(failures) == len(paths):
                raise
            continue
        names.append(photo.name)
        queries = () if attention else tuple(locate_query(query, photo) for query in choice.queries)
        recording = record_attention(net, photo, features=attention is None and "pattern" in choice.views)
        every = recording.layers()
        layers = choose_layers(every, choice)
        for layer in layers:
            add_numbers(layer, numbers)
        rates |= {layer.block.stage: layer.block.rate for layer in layers}
        for stage in rates.keys() & recording.inputs.keys():
            for rate, value in compute_similarities(recording.inputs[stage], rates[stage]).items():
                similarities[stage][rate].append(value)
        attention = attention or map_first(net, photo, queries, recording, every, choice)
        if on_image:
            on_image(done)
    assert attention
    return replace(
        attention,
        images=tuple(names),
        failures=tuple(failures),
        numbers=tuple(
            HeadNumbers(block=block, head=head, samples={name: tuple(one) for name, one in samples.items()})
            for (block, head), samples in numbers.items()
        ),
        redundancy=tuple(
            summarize_redundancy(stage, rates[stage], similarities[stage], choice.threshold)
            for stage in sorted(similarities)
        ),
    )


def choose_layers(layers: list[Layer], choice: Choice) -> list[Layer]:
    """Return the layers and heads that were asked for.

    Raises:
        OptionError: nothing is left; names the stages, blocks or heads that exist.
    """
    stages, blocks, heads = choice.stages, choice.blocks, choice.heads
    of_stages = [layer for layer in layers if stages is None or layer.block.stage in stages]
    if not of_stages:
        existing = join_numbers(layer.block.stage for layer in layers)
        raise OptionError(f"stage {join_numbers(stages or ())}: there is attention in {existing}")
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
        existing = f"are 1 to {most}" if most > 1 else "is only head 1"
        raise OptionError(f"head {join_numbers(heads)}: there {existing}")
    return of_heads


def join_numbers(numbers: Iterable[int]) -> str:
    """Write numbers as a list, each once: 1, 2 or 3."""
    *texts, last = map(str, sorted(set(numbers)))
    return f"{', '.join(texts)} or {last}" if texts else last


def add_numbers(layer: Layer, numbers: dict[tuple[AttentionBlock, int], Samples]) -> None:
    """Add the numbers of a layer on one more image to those of its heads.

    Raises:
        MeasureError: the values of the network overflow.
    """
    values = {name: one.tolist() for name, one in compute_numbers(layer).items()}
    if not all(map(math.isfinite, values["attention_entropy"])):
        raise MeasureError(
            f"{layer.block.path} has values that are not finite: these weights cannot be shown"
        )
    for i, head in enumerate(layer.heads):
        for name in METRICS:
            numbers[layer.block, head][name].append(values[name][i])


def map_first(
    net: Network,
    photo: Photo,
    queries: tuple[QueryPixel, ...],
    recording: Recording,
    layers: list[Layer],
    choice: Choice,
) -> Attention:
    """Return the maps of the first image and all that is known of the network; numbers are added later."""
    chosen = choose_layers(layers, choice)
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
            for layer in chosen
        ),
        rollout=map_rollouts(layers, choice.stages, queries) if "rollout" in choice.views else (),
        blocks_chosen=choice.blocks is not None,
        heads_chosen=choice.heads is not None,
        notes=list_notes(recording, layers),
    )


def summarize_redundancy(
    stage: int, rate: int, similarities: dict[int, list[float]], threshold: float
) -> Redundancy:
    """Return the similarities of a stage on all images, and the rate that their means suggest."""
    means = {r: sum(values) / len(values) for r, values in similarities.items()}
    return Redundancy(
        stage=stage,
        rate=rate,
        similarity={r: tuple(values) for r, values in similarities.items()},
        threshold=threshold,
        suggested=suggest_rate(means, threshold),
    )
