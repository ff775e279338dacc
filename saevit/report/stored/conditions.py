"""Conditions of several measurements: what they share is said once, what differs stands in columns."""

from collections.abc import Callable, Iterable

from saevit.runs.record import Conditions

TEXTS: dict[str, Callable[[Conditions], str]] = {
    "px": lambda c: "x".join(map(str, c.img_size)),
    "batch": lambda c: str(c.batch_size),
    "dtype": lambda c: c.dtype,
    "device": lambda c: c.device,
    "runtime": lambda c: c.runtime,
    "threads": lambda c: str(c.threads),
    "layout": lambda c: c.memory_format,
    "form": lambda c: "folded" if c.folded else "as defined",
}


def varying(conditions: Iterable[Conditions]) -> list[str]:
    """Return the names of the conditions in which some differ."""
    known = list(conditions)
    return [name for name, text in TEXTS.items() if len({text(c) for c in known}) > 1]


def shared(conditions: Iterable[Conditions]) -> str:
    """Write the conditions that are equal in all."""
    known = list(conditions)
    apart = varying(known)
    if known and not apart:
        return str(known[0])
    equal = [(name, text(known[0])) for name, text in TEXTS.items() if known and name not in apart]
    return ", ".join(f"{name} {text}" if text.isdecimal() else text for name, text in equal)
