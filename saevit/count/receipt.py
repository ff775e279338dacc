"""The receipt: several independent counts of the same model, compared module path by module path."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from saevit.count.subject import Counted

if TYPE_CHECKING:
    from torch import nn

    from saevit.count.tracing import Count

TRACING = ("torch", "fvcore", "thop")
COUNTERS = ("analytic", *TRACING)
ON_REAL_TENSORS = ("fvcore",)  # torch.jit traces no convolution without data
MOST_SHOWN = 3  # paths named where counters disagree


@dataclass(frozen=True, kw_only=True)
class ReceiptLine:
    """The count of one counter, and whether it agrees with the first line, module by module."""

    counter: str
    macs: int | None  # None: it failed, and `notes` have the reason
    agrees: bool | None  # None: this is the line to agree with
    differs_at: tuple[str, ...] = ()  # the first module paths where it does not agree
    out_of_box: int | float | None = None  # what the tool reports without our formulas
    reasons: tuple[str, ...] = ()  # why out_of_box differs; each with its amount
    uncounted: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def attempt(name: str, model: "nn.Module", input_shape: tuple[int, int, int, int]) -> "Count | Exception":
    """Return a tracing counter's count, or its error: a third-party counter need not know every model."""
    from saevit.count.counters import COUNTERS as BY_NAME

    try:
        return BY_NAME[name](model, input_shape)
    except Exception as error:  # a tracer may raise anything; the receipt shows it
        return error


def lines(
    counted: Counted, counts: "Mapping[str, Count | Exception]", names: Sequence[str]
) -> tuple[ReceiptLine, ...]:
    """Return one line a counter. The reference is the closed form, or torch's count where there is none."""
    return tuple(line(counted, counts, name) for name in names)


def line(counted: Counted, counts: "Mapping[str, Count | Exception]", name: str) -> ReceiptLine:
    """Return one counter's line; it agrees if every module has the reference's MACs."""
    if name == counted.counted_by == "analytic":
        return ReceiptLine(counter=name, macs=sum(counted.macs.values()), agrees=None)
    from saevit.count.counters import differences

    count = counts[name]
    if isinstance(count, Exception):
        return ReceiptLine(counter=name, macs=None, agrees=None, notes=(short(count),))
    differs = tuple(differences(count.macs, counted.macs))
    return ReceiptLine(
        counter=name,
        macs=count.total,
        agrees=None if name == counted.counted_by else not differs,
        differs_at=differs[:MOST_SHOWN],
        out_of_box=count.out_of_box,
        reasons=count.reasons,
        uncounted=count.uncounted,
        notes=(*count.notes, *unseen(name, count, counts)),
    )


def unseen(name: str, count: "Count", counts: "Mapping[str, Count | Exception]") -> tuple[str, ...]:
    """Say what thop cannot see of what torch counts."""
    from saevit.count.counters import invisible_to_thop

    reference = counts.get("torch")
    if name != "thop" or reference is None or isinstance(reference, Exception):
        return ()
    remark = invisible_to_thop(count, reference)
    return (remark,) if remark else ()


def short(error: Exception) -> str:
    """Return an error's kind and first line."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
