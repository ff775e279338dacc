"""Attention in numbers, as tables."""

import math
from collections.abc import Callable, Sequence
from statistics import fmean, stdev

from saevit.attention.findings import Attention, HeadNumbers, Redundancy
from saevit.report.columns import NONE, Table, text_columns
from saevit.report.units import digits, percent, plural

COLUMNS = {  # name in the results: name in the table
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
    "entropy: of a pixel's attention over the tokens, as a share of the most possible (100 %: all "
    "alike); window entropy: the same of a window's weights",
    "distance: from a pixel to what it attends to, mean, in pixels of the input; top 1 %: what the strongest "
    "hundredth of all pixels holds of a pixel's effective attention; both on an even "
    "grid of pixels where there are over 1,024",
    "support: so many pixels, attended to alike, would have the same entropy, as a share of N; overlap: "
    "what a head's map has in common with those of the block's other heads",
)


def attention_tables(attention: Attention) -> tuple[Table, ...]:
    """Return the tables of a network: a row a head, and how alike the pixels of each stage are."""
    tables = (heads_table(attention),)
    return (*tables, redundancy_table(attention)) if attention.redundancy else tables


def heads_table(attention: Attention) -> Table:
    """One row a head."""
    places = ("stage", "block", "head", "N", "n", "r", "sparsity")
    table = Table(
        title=f"{title(attention)}: {images_text(attention)}",
        columns=text_columns(*(f">{name}" for name in (*places, *COLUMNS.values()))),
        rows=tuple(head_row(numbers) for numbers in attention.numbers),
        notes=(*MEANINGS, f"images are {attention.preparation}", *attention.notes),
    )
    return table.without_empty_columns()


def title(attention: Attention) -> str:
    """Name the network, its weights and the input's size."""
    height, width = attention.img_size
    return f"{attention.model}, {attention.weights}, {height} x {width} px"


def images_text(attention: Attention) -> str:
    """Name the image, or say how many."""
    count = len(attention.images)
    return attention.images[0] if count == 1 else f"{plural(count, 'image')}, mean +- standard deviation"


def head_row(numbers: HeadNumbers) -> tuple[str, ...]:
    """One head."""
    place = numbers.block
    most = {  # what a share is of
        "attention_entropy": math.log(place.keys),
        "window_entropy": 2 * math.log(place.rate),
        "support": place.pixels,
    }
    return (
        *map(str, (place.stage, place.number, numbers.head, place.pixels, place.tokens, place.rate)),
        percent(place.sparsity, 2),
        *(cell(name, numbers.samples[name], most.get(name, 1)) for name in COLUMNS),
    )


def cell(name: str, values: Sequence[float], most: float) -> str:
    """Write one quantity over all images; nothing where it does not apply."""
    if most == 0 or any(map(math.isnan, values)):
        return NONE
    form: Callable[[float], str] = digits if name == "distance" else percent
    text = form(fmean(values) / most)
    if len(values) == 1:
        return text
    spread = form(stdev(values) / most).removesuffix(" %")
    return f"{text.removesuffix(' %')} +- {spread}{' %' * text.endswith('%')}"


def redundancy_table(attention: Attention) -> Table:
    """How alike the pixels of windows are, and the rates that this suggests."""
    found = attention.redundancy
    rates = sorted({rate for one in found for rate in one.similarity})
    notes = [
        "similarity: mean cosine of two pixels of one r x r window of the stage's input features",
        f"suggested: the largest rate up to which it stays at or above {found[0].threshold:g} (--similarity)",
    ]
    if all(one.suggested == 1 for one in found):
        notes.append("no stage's windows are that alike: nothing speaks for sampling at this threshold")
    elif attention.suggested_sparsity:
        notes.append(f"to try them: --sparsity {attention.suggested_sparsity}{caution(attention)}")
    return Table(
        title=f"Redundancy: similarity of the pixels of a window, {images_text(attention)}",
        columns=text_columns(">stage", *(f">r = {rate}" for rate in rates), ">rate now", ">suggested"),
        rows=tuple(redundancy_row(one, rates) for one in found),
        notes=tuple(notes),
    )


def redundancy_row(found: Redundancy, rates: Sequence[int]) -> tuple[str, ...]:
    """One stage."""
    means = [f"{fmean(found.similarity[r]):.3f}" if r in found.similarity else NONE for r in rates]
    return str(found.stage), *means, str(found.rate), str(found.suggested)


def caution(attention: Attention) -> str:
    """Say what a suggestion from untrained features is worth."""
    return " (from random weights: a hint on the image, not on the task)" if attention.is_random else ""
