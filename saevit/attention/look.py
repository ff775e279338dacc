"""One network on one or several images: everything that figures and tables of its attention show."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import Tensor

from saevit.attention import inputs as images
from saevit.attention import redundancy
from saevit.attention.facts import METRICS, Attention, HeadNumbers, Photo, Query, Redundancy
from saevit.attention.layer import Layer
from saevit.attention.maps import maps_of, place_of, rollouts
from saevit.attention.network import Network, passed
from saevit.attention.selection import select, with_heads
from saevit.attention.sparsity import statistics
from saevit.errors import MeasureError, OptionError

View = Literal["overview", "query", "pattern", "rollout"]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What of a network is looked at. Numbers count from 1; None is all."""

    stages: Collection[int] | None = None
    blocks: Collection[int] | None = None
    heads: Collection[int] | None = None
    queries: Sequence[tuple[int, int]] = ()  # x, y in pixels of the image as given
    threshold: float = 0.9  # cosine similarity that windows should keep
    views: Collection[View] = ("overview", "query", "pattern", "rollout")


@dataclass(frozen=True, kw_only=True)
class First:
    """The image that is drawn: all layers, and those that are asked for."""

    photo: Photo
    queries: list[Query]
    every: list[Layer]
    layers: list[Layer]
    notes: list[str]


@dataclass(kw_only=True)
class Tally:
    """Numbers of all images, in their order."""

    names: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    numbers: list[list[dict[str, list[float]]]] = field(
        default_factory=list
    )  # by image, layer, quantity: heads
    alike: dict[int, list[dict[int, float]]] = field(default_factory=dict)  # by stage, image, rate

    def add(self, name: str, layers: list[Layer], inputs: dict[int, Tensor]) -> None:
        """Work out the numbers of one image."""
        self.names.append(name)
        self.numbers.append([in_lists(layer) for layer in layers])
        for stage, rate in {layer.stage: layer.rate for layer in layers}.items():
            if stage in inputs:
                self.alike.setdefault(stage, []).append(redundancy.similarities(inputs[stage], rate))


def look(
    net: Network,
    paths: Sequence[Path],
    img_size: tuple[int, int],
    choice: Choice,
    on_image: Callable[[int], None] | None = None,
) -> Attention:
    """Run a network on images; maps are of the first, numbers of all. Of several, broken ones are left out.

    Args:
        net: what to look at; left as it was.
        paths: image files, one or more.
        img_size: (H, W) of the input.
        choice: stages, blocks, heads, queries and views.
        on_image: called with the number of images that are done.

    Raises:
        SaevitError: no image that can be read, a query outside of it, a stage or head that is not there.
    """
    tally, first = Tally(), None
    for count, path in enumerate(paths):
        try:
            photo = images.load(path, img_size)
        except OptionError as error:
            if len(tally.failures) == len(paths) - 1:
                raise
            tally.failures.append(str(error))
            continue
        queries = [] if first else [images.place(query, photo) for query in choice.queries]
        every, inputs, notes = passed(net, photo, normed=first is None and "pattern" in choice.views)
        layers = kept(every, choice)
        tally.add(photo.name, layers, inputs)
        first = first or First(photo=photo, queries=queries, every=every, layers=layers, notes=notes)
        if on_image:
            on_image(count + 1)
    assert first
    return gathered(net, img_size, choice, first, tally)


def gathered(
    net: Network, img_size: tuple[int, int], choice: Choice, first: First, tally: Tally
) -> Attention:
    """Put maps and numbers together."""
    stages = {layer.stage: layer.rate for layer in first.layers}
    return Attention(
        model=net.name,
        weights=net.weights,
        is_random=net.is_random,
        preparation=f"{images.CROP}, {net.normalisation}",
        img_size=img_size,
        images=tuple(tally.names),
        photo=first.photo,
        queries=tuple(first.queries),
        blocks=tuple(
            maps_of(
                layer,
                net.model.get_submodule(layer.path),
                first.queries,
                with_pattern="pattern" in choice.views,
            )
            for layer in first.layers
        ),
        rollout=tuple(rollouts(first.every, choice.stages, first.queries))
        if "rollout" in choice.views
        else (),
        numbers=tuple(head_numbers(first.layers, tally.numbers)),
        redundancy=tuple(summary(s, stages[s], found, choice.threshold) for s, found in tally.alike.items()),
        blocks_chosen=choice.blocks is not None,
        heads_chosen=choice.heads is not None,
        failures=tuple(tally.failures),
        notes=tuple(first.notes),
    )


def kept(layers: list[Layer], choice: Choice) -> list[Layer]:
    """Return what was asked for."""
    places = {(layer.stage, layer.block): len(layer.heads) for layer in layers}
    chosen = select(places, choice.stages, choice.blocks, choice.heads)
    return [with_heads(layer, choice.heads) for layer in layers if (layer.stage, layer.block) in chosen]


def in_lists(layer: Layer) -> dict[str, list[float]]:
    """Return the numbers of a layer, a value a head.

    Raises:
        MeasureError: the network's values overflow.
    """
    found = {name: values.tolist() for name, values in statistics(layer).items()}
    if not all(map(math.isfinite, found["attention_entropy"])):
        raise MeasureError(f"{layer.path} has values that are not finite: these weights cannot be shown")
    return found


def head_numbers(layers: list[Layer], numbers: list[list[dict[str, list[float]]]]) -> list[HeadNumbers]:
    """Gather the images' values of each head."""
    return [
        HeadNumbers(
            place=place_of(layer),
            head=head,
            samples={name: tuple(one[i][name][j] for one in numbers) for name in METRICS},
        )
        for i, layer in enumerate(layers)
        for j, head in enumerate(layer.heads)
    ]


def summary(stage: int, rate: int, found: list[dict[int, float]], threshold: float) -> Redundancy:
    """Gather the images' similarities of a stage."""
    samples = {r: tuple(one[r] for one in found) for r in found[0]}
    means = {r: sum(values) / len(values) for r, values in samples.items()}
    return Redundancy(
        stage=stage,
        rate=rate,
        similarity=samples,
        threshold=threshold,
        suggested=redundancy.suggested_rate(means, threshold),
    )
