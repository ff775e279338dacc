"""Which stages, blocks and heads are looked at. All count from 1, as in the figures."""

from collections.abc import Collection, Mapping

from saevit.attention.layer import Layer
from saevit.errors import OptionError

Place = tuple[int, int]  # stage, block


def select(
    places: Mapping[Place, int],
    stages: Collection[int] | None,
    blocks: Collection[int] | None,
    heads: Collection[int] | None,
) -> list[Place]:
    """Return the places that are asked for. None is all.

    Args:
        places: where attention is, and the number of heads there.

    Raises:
        OptionError: nothing is left; names what there is.
    """
    if not places:
        raise OptionError("this network has no attention to look at: attention=saa or attention=dense has")
    of_stages = [p for p in places if stages is None or p[0] in stages]
    if not of_stages:
        raise OptionError(f"stage {listed(stages)}: there is attention in {listed({s for s, _ in places})}")
    of_blocks = [p for p in of_stages if blocks is None or p[1] in blocks]
    if not of_blocks:
        there = "; ".join(
            f"stage {s} has it in block {listed({b for t, b in of_stages if t == s})}"
            for s in sorted({s for s, _ in of_stages})
        )
        raise OptionError(f"block {listed(blocks)} has no attention: {there}")
    of_heads = [p for p in of_blocks if heads is None or any(1 <= head <= places[p] for head in heads)]
    if not of_heads:
        most = max(places[p] for p in of_blocks)
        raise OptionError(
            f"head {listed(heads)}: there are 1 to {most}"
            if most > 1
            else f"head {listed(heads)}: there is only head 1"
        )
    return of_heads


def with_heads(layer: Layer, heads: Collection[int] | None) -> Layer:
    """Keep those heads of a layer that are asked for."""
    return layer if heads is None else layer.of_heads(tuple(h for h in layer.heads if h in heads))


def listed(numbers: Collection[int] | None) -> str:
    """Write numbers as a list: 1, 2 or 3."""
    texts = [str(number) for number in sorted(numbers or ())]
    return " or ".join(filter(None, [", ".join(texts[:-1]), *texts[-1:]]))
