"""The parts that the variants of a space are built of: which are timed, as text and as networks."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from saevit.count.ops import map_sizes
from saevit.errors import OptionError
from saevit.explore.costs import Evaluator, Ints, count_widths, digits_of, width_axes
from saevit.explore.latency_model import (
    LatencyModel,
    LatencyPart,
    PartGroup,
    UsedPart,
    find_gap,
    list_stage_parts,
    list_variant_parts,
)
from saevit.explore.space import Space
from saevit.text import read_whole
from saevit.variant import MIN_IMG_SIZE, NUM_STAGES

if TYPE_CHECKING:
    from torch import nn

PREFIX = "part:"
EMPTY = LatencyPart(PartGroup("empty", 0), 8, 8)  # a pass that computes almost nothing
REPEATS = {"ffn": 3, "attention": 3}  # copies in a row, so that reading and writing the map counts less
MOST_PARTS = 100
MOST_SIZES = range(8, 1, -1)  # of each size of a group
ENDS = {"downsample": (2, 2), "head": (2, 2), "ffn": (8, 2)}  # two sizes, where times follow a power of them
FREE = ("depth", "drop_path", "attn_blocks")  # keys that change how often parts run, not which
MOST_ENTRIES = 2**24  # combinations that are listed

Pairs = dict[PartGroup, set[tuple[int, int]]]


def list_sizes(space: Space) -> Pairs:
    """Return the sizes of all parts of the valid variants of a space, and of its base variant.

    Raises:
        OptionError: more combinations of choices than can be listed.
    """
    axes = tuple(axis for axis in space.axes if not axis.key.startswith(FREE))
    reduced, found = replace(space, axes=axes), Pairs()
    evaluator = Evaluator(space, (MIN_IMG_SIZE, MIN_IMG_SIZE), ())
    attends = [max(evaluator.values("attn_blocks", i)) > 0 for i in range(NUM_STAGES)]
    base = replace(space.base, attn_blocks=tuple(int(one) for one in attends))
    for used in list_variant_parts(space.base):
        found.setdefault(used.group, set()).add((int(used.first), int(used.second)))
    for part, valid in walk_stages(replace(reduced, base=base)):
        sizes = [np.broadcast_to(each, valid.shape)[valid] for each in (part.first, part.second)]
        used = np.broadcast_to(part.times, valid.shape)[valid] > 0
        pairs = np.unique(np.stack(sizes, axis=1)[used], axis=0)
        if len(pairs):  # some occur in invalid combinations only
            found.setdefault(part.group, set()).update(map(tuple, pairs.tolist()))
    return found


def walk_stages(space: Space) -> Iterator[tuple[UsedPart, Any]]:
    """Yield the parts of each stage for all choices together, and which of these are valid."""
    evaluator = Evaluator(space, (MIN_IMG_SIZE, MIN_IMG_SIZE), ())
    whole: dict[str, Ints] = digits_of(evaluator.whole, np.arange(space.shape[0]), (-1, 1, 1))
    for i, size in enumerate(space.shape[1:]):
        widths = count_widths(space, i - 1)
        if (count := space.shape[0] * widths * size) > MOST_ENTRIES:
            raise OptionError(
                f"stage {i + 1} has {count:,} combinations of choices: latency takes at most "
                f"{MOST_ENTRIES:,}, take longer steps"
            )
        own = digits_of(evaluator.own[i], np.arange(size), (1, 1, -1))
        before = {**whole, **digits_of(width_axes(space, i - 1), np.arange(widths), (1, -1, 1))}
        for _, spec, stage, in_dim, valid in evaluator.resolve(i, {**whole, **own}, before):
            parts = list_stage_parts(i, spec, stage, in_dim)
            sizes = (valid, *(each for part in parts for each in part[1:]))
            shape = np.broadcast_shapes(*(np.shape(each) for each in sizes))
            for part in parts:
                yield part, np.broadcast_to(valid, shape)


def choose_parts(space: Space) -> list[LatencyPart]:
    """Return the parts to time: as many sizes of each group as `MOST_PARTS` allows.

    Both ends of each size are included, and the sizes of the base variant.

    Raises:
        OptionError: even the ends are too many, because the space has too many settings.
    """
    sizes, base = list_sizes(space), Pairs()
    for used in list_variant_parts(space.base):
        base.setdefault(used.group, set()).add((int(used.first), int(used.second)))
    for most in MOST_SIZES:
        parts = [
            part
            for group, pairs in sizes.items()
            for part in thin_group(group, pairs, base.get(group, set()), most)
        ]
        if len(parts) <= MOST_PARTS:
            return parts
    raise OptionError(
        f"the variants of this space have {len(parts)} kinds of parts to time: at most {MOST_PARTS}, take "
        "fewer choices of rates, heads, act, kernel, sampling, ffn, local, key_dim, classes and in_chans"
    )


def thin_group(
    group: PartGroup, pairs: set[tuple[int, int]], kept: set[tuple[int, int]], most: int
) -> Iterator[LatencyPart]:
    """Yield the parts of a group to time, at most this many of either size beside those of `kept`."""
    few_first, few_second = (min(most, few) for few in ENDS.get(group.kind, (most, most)))
    firsts = thin_sizes({first for first, _ in pairs}, few_first)
    for first in sorted(firsts | {first for first, _ in kept}):
        seconds = {second for one, second in pairs if one == first}
        for second in sorted(
            thin_sizes(seconds, few_second) | {second for one, second in kept if one == first}
        ):
            yield LatencyPart(group, first, second)


def thin_sizes(sizes: set[int], most: int) -> set[int]:
    """Return at most this many sizes at even distances, both ends included."""
    ordered = sorted(sizes)
    if len(ordered) <= most:
        return sizes
    return {ordered[round(i * (len(ordered) - 1) / (most - 1))] for i in range(most)}


def check_covers(model: LatencyModel, space: Space) -> None:
    """Refuse, by an OptionError, a space with parts outside of those that were timed."""
    for group, pairs in list_sizes(space).items():
        first, second = np.array(sorted(pairs)).T
        if gap := find_gap(model.grid_of, UsedPart(group, first, second)):
            raise OptionError(f"the calibration is of other variants ({gap})")


def write_part(part: LatencyPart) -> str:
    """Write a part as text, such as `part:ffn,stage=3,channels=208,hidden=832,...`."""
    first, second = part.group.sizes
    items = {"stage": part.group.stage + 1, first: part.first, second: part.second}
    pairs = (*items.items(), *part.group.settings)
    return PREFIX + ",".join([part.group.kind, *(f"{name}={value}" for name, value in pairs)])


def read_part(text: str) -> LatencyPart:
    """Read what `write_part` wrote. Raises ValueError for another text."""
    kind, *items = text.removeprefix(PREFIX).split(",")
    values: dict[str, Any] = {}
    for item in items:
        name, _, value = item.partition("=")
        values[name] = read_whole(value) if value.isdigit() else value
    try:
        stage = values.pop("stage") - 1
        names = PartGroup(kind, stage).sizes
        first, second = (values[name] for name in names)
        settings = tuple((name, value) for name, value in values.items() if name not in names)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{text} is no part of a network") from error
    return LatencyPart(PartGroup(kind, stage, settings), first, second)


def describe_input(part: LatencyPart, img_size: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    """Return channels and size of the map that a part reads."""
    kind, stage, settings = part.group
    if kind == "stem":
        return dict(settings)["in_chans"], img_size
    return part.first, map_sizes(img_size)[stage - (kind == "downsample")]


def build_part(part: LatencyPart) -> "nn.Module":
    """Return a part as a network in the folded form, with random weights."""
    import torch
    from torch import nn

    from saevit.model.layers import init_weights

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        copies = [fold_part(part, init_weights) for _ in range(REPEATS.get(part.group.kind, 1))]
    network = nn.Sequential(*copies) if len(copies) > 1 else copies[0]
    layout: dict[str, Any] = {"memory_format": torch.channels_last}  # not in every torch's stubs
    return network.to(**layout).requires_grad_(False).eval()


def fold_part(part: LatencyPart, initialize: Any) -> "nn.Module":
    """Return one copy of a part in the folded form."""
    from saevit.model import ciffn, fold, layers, saa

    kind, first, second = part.group.kind, part.first, part.second
    values = dict(part.group.settings)
    if kind == "stem":
        stem = layers.Stem(values["in_chans"], first, second, values["act"]).apply(initialize)
        return fold.folded_stem(stem.eval())
    if kind in ("downsample", "empty"):
        stride = 2 if kind == "downsample" else 1
        return fold.folded_conv(layers.ConvNorm(first, second, 3, stride=stride).apply(initialize).eval())
    if kind == "ffn":
        ffn = ciffn.CIFFN if values["ffn"] == "ciffn" else ciffn.MLP
        layer = ffn(first, second, values["act"], values["local"], values["kernel"])
        return fold.FoldedFFN(layer.apply(initialize).eval())
    if kind == "attention":
        sizes = (first, second, values["key_dim"], values["rate"], values["sampling"])
        return fold.FoldedSAA(saa.SAA(*sizes).apply(initialize).eval())
    return layers.Head(first, second).apply(initialize)
