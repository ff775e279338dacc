"""Titles and captions: what a stranger needs to read a figure of attention."""

from collections.abc import Sequence
from dataclasses import dataclass

from saevit.attention.findings import Attention
from saevit.report.attention.sheet import ROBUST

TITLES = {
    "overview": "What attention looks at",
    "query": "What a pixel attends to",
    "pattern": "Which attention scores exist, and what they stand for",
    "rollout": "What each stage's map is made of",
}
EXPLAINED = {
    "overview": "Each row is one block's attention to this image. Samples: each r x r window of pixels "
    "becomes one token, a weighted mean; bright pixels are picked, 1 is an even mean. Attention "
    "received: what a pixel gives to the others, on average over them and over heads; then the same for "
    "each head.",
    "query": "Each map is of one block: how much the ringed pixel takes from every pixel, mean over "
    "heads. Pixels of one window share the attention of its token by their weights.",
    "pattern": "Rows of a matrix are pixels that ask, columns pixels that answer, both window by "
    "window. Left: a mark for each score that is computed, in the middle of all the pairs of pixels "
    "that it stands for. Sampled: the effective attention which these scores give. Dense: the same "
    "block, but every pixel a token. Mean over heads.",
    "rollout": "Followed back through all blocks to the first map (attention rollout, arXiv "
    "2005.00928): in each, a pixel keeps half of its content, by the residual connection, and takes "
    "half by the mean effective attention of the heads. A coarse pixel spreads evenly over its area. "
    "Convolutions and FFNs are left aside.",
}
EFFECTIVE = (
    "Effective attention is what reaches a pixel from another through sampling, attention and recovery; the "
    "projections' mixing of channels and the recovery's kernel are left aside."
)


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A paragraph beside the photograph."""

    text: str
    warns: bool = False


def title(view: str, seen: Sequence[Attention]) -> str:
    """Name the view and the networks."""
    return f"{TITLES[view]}: {' and '.join(dict.fromkeys(name(a) for a in seen))}"


def name(attention: Attention) -> str:
    """Name a network so that a long variant breaks into lines."""
    return attention.model.replace(",", ", ")


def heading(attention: Attention) -> str:
    """Name a network and its weights, above its grid."""
    return f"{name(attention)}, {attention.weights}"


def facts(view: str, seen: Sequence[Attention]) -> list[Fact]:
    """Say what is drawn, of which image, and plainly where no weights were trained."""
    first = seen[0]
    photo, (height, width) = first.photo, first.img_size
    left, top, right, bottom = photo.crop
    image = (
        f"Image: {photo.name}, {photo.size[0]} x {photo.size[1]} px; the network sees the "
        f"{right - left:.0f} x {bottom - top:.0f} px in its middle, at {width} x {height} px."
    )
    more = [f"{note[:1].upper()}{note[1:]}." for note in photo.notes]
    if len(first.images) > 1:
        more.append(f"It is the first of {len(first.images)} images.")
    return [*weights_facts(seen), Fact(text=EXPLAINED[view]), Fact(text=" ".join([image, *more]))]


def weights_facts(seen: Sequence[Attention]) -> list[Fact]:
    """Say where the weights are from."""
    texts = dict.fromkeys((name(a), a.weights, a.is_random) for a in seen)
    return [
        Fact(text=f"{model} has RANDOM WEIGHTS: nothing was learned, so nothing is looked for.", warns=True)
        if is_random
        else Fact(text=f"{model} with {weights}.")
        for model, weights, is_random in texts
    ]


def captions(view: str, seen: Sequence[Attention]) -> list[str]:
    """Return the paragraphs under a figure."""
    notes = [f"{name(attention)}: {note}." for attention in seen for note in attention.notes]
    prepared = dict.fromkeys(f"The image is {attention.preparation}." for attention in seen)
    return [EFFECTIVE, colours(view, seen), *prepared, *dict.fromkeys(notes)]


def colours(view: str, seen: Sequence[Attention]) -> str:
    """Say how colours are to be read."""
    edges = "" if view == "pattern" else " White lines on maps: edges of the image."
    both = ", of both networks" if len(seen) > 1 else ""
    return (
        f"Colours: one scale for all maps of a bar{both}, from the lowest {ROBUST[0]} % to the highest "
        f"{100 - ROBUST[1]:g} % of a map's values.{edges}"
    )
