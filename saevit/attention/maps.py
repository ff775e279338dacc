"""What figures show of one image, as arrays."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from saevit.attention.facts import BlockMaps, Place, Query, RolloutMap, typical
from saevit.attention.layer import LIMIT, Layer
from saevit.attention.pattern import pattern
from saevit.attention.rollout import rollout
from saevit.model.saa import SAA


def maps_of(layer: Layer, module: nn.Module, queries: Sequence[Query], *, with_pattern: bool) -> BlockMaps:
    """Return a layer's maps as arrays, its pattern too if it is wanted.

    Args:
        layer: what was recorded.
        module: the attention module that it is of.
        queries: pixels whose rows are kept.
        with_pattern: costs the rows of some hundred pixels.
    """
    H, W = layer.height, layer.width
    G, heads, nq, nk = layer.scores.shape
    attention = module if isinstance(module, SAA) else None
    return BlockMaps(
        place=place_of(layer),
        heads=layer.heads,
        weights=layer.weights.view(H, W).numpy(),
        received=layer.received().view(heads, H, W).numpy(),
        rows=layer.rows(pixels_of(queries, layer)).transpose(0, 1).reshape(-1, heads, H, W).numpy(),
        attention=layer.attention().numpy() if G * heads * nq * nk <= LIMIT else None,
        pattern=pattern(layer, attention) if with_pattern else None,
    )


def place_of(layer: Layer) -> Place:
    """Return where a layer is."""
    return Place(
        stage=layer.stage,
        block=layer.block,
        path=layer.path,
        height=layer.height,
        width=layer.width,
        stride=layer.stride,
        rate=layer.rate,
        sampling=layer.sampling,
        tokens=layer.tokens,
        keys=layer.scores.shape[3],
        sparsity=layer.sparsity,
    )


def pixels_of(queries: Sequence[Query], layer: Layer) -> Tensor:
    """Return the pixels of a layer's map in which queries lie. (queries,)."""
    found = []
    for query in queries:
        x, y = (int(at // stride) for at, stride in zip(query.input, layer.stride[::-1], strict=True))
        found.append(min(y, layer.height - 1) * layer.width + min(x, layer.width - 1))
    return torch.tensor(found, dtype=torch.long)


def rollouts(
    layers: list[Layer], stages: Collection[int] | None, queries: Sequence[Query]
) -> list[RolloutMap]:
    """Roll out from the last block of each stage that is asked for, or from blocks of the only stage."""
    chosen = [i for i, a in enumerate(layers) if stages is None or a.stage in stages]
    maps = []
    for i in (chosen[j] for j in typical([layers[i].stage for i in chosen])):
        layer, fine = layers[i], layers[0]
        average = torch.full((1, layer.pixels), 1 / layer.pixels)
        mass = torch.cat([average, nn.functional.one_hot(pixels_of(queries, layer), layer.pixels).float()])
        traced = rollout(layers[: i + 1], mass).view(-1, fine.height, fine.width)
        maps.append(RolloutMap(place=place_of(layer), stride=fine.stride, mass=traced.numpy()))
    return maps
