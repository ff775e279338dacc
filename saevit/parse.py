"""Text to variant and back: `PRESET[:key=value,...]`, with the law `parse(str(spec)) == spec`."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from saevit.errors import SpecError, nearest
from saevit.presets import PRESETS
from saevit.spec import ACTS, ATTENTIONS, FFNS, LOCALS, NUM_STAGES, SAMPLINGS, VariantSpec
from saevit.text import abbreviated, read_number, read_whole


class Key(NamedTuple):
    """One key of the grammar: which field it sets, how its text is read, and what it means."""

    field: str
    read: Callable[[str, str], Any]
    form: str
    help: str


def parse(text: str) -> VariantSpec:
    """Read a variant: a preset's name, then optional `key=value` pairs in any order.

    Raises:
        SpecError: an unknown preset or key (names the nearest), a value that cannot be read or used.
    """
    name, colon, tail = text.strip().partition(":")
    if name not in PRESETS:
        raise SpecError(f"{name or 'empty text'!r} is not a preset: {nearest(name, PRESETS)}")
    if colon and not tail.strip():
        raise SpecError(f"{text!r} ends after its colon: add key=value, or write {name}")
    return with_values(PRESETS[name], pairs(tail.split(",")) if tail else {})


def pairs(items: list[str]) -> dict[str, str]:
    """Split `key=value` items, refusing a key that stands twice."""
    found: dict[str, str] = {}
    for item in items:
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not value:
            raise SpecError(
                f"{item.strip()!r} is not key=value: for example rates=8-4-2-1 (keys: {', '.join(KEYS)})"
            )
        if key not in KEYS:
            raise SpecError(f"{key!r} is not a key: {nearest(key, KEYS)}")
        if key in found:
            raise SpecError(f"{key!r} is given twice ({found[key]} and {value}): keep one")
        found[key] = value
    return found


def with_values(spec: VariantSpec, values: Mapping[str, str]) -> VariantSpec:
    """Return the variant with some keys of the grammar set, each value still text."""
    changes = {KEYS[key].field: KEYS[key].read(key, value) for key, value in values.items()}
    return replace(spec, **changes)


def text_of(spec: VariantSpec) -> str:
    """Return the shortest text that `parse` reads as this variant; ties go to the earlier preset."""
    texts = [as_difference(spec, name) for name in PRESETS]
    return min(texts, key=lambda text: (text.count("="), PRESETS_ORDER[text.partition(":")[0]]))


def as_difference(spec: VariantSpec, preset: str) -> str:
    """Write a variant as its difference from a preset, in the order of the grammar's keys."""
    base = PRESETS[preset]
    items = [
        f"{name}={shown(getattr(spec, key.field))}"
        for name, key in KEYS.items()
        if getattr(spec, key.field) != getattr(base, key.field)
    ]
    return f"{preset}:{','.join(items)}" if items else preset


def shown(value: Any) -> str:
    """Write a value as the grammar reads it; equal values of all stages are written once."""
    if isinstance(value, tuple):
        return shown(value[0]) if len(set(value)) == 1 else "-".join(map(shown, value))
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)


def read_int(key: str, text: str) -> int:
    """Read a whole number."""
    try:
        return read_whole(text)
    except ValueError:
        raise SpecError(f"{key}={abbreviated(text)} is not a whole number: for example {key}=2") from None


def read_float(key: str, text: str) -> float:
    """Read a number."""
    try:
        return read_number(text)
    except ValueError:
        raise SpecError(f"{key}={abbreviated(text)} is not a number: for example {key}=0.5") from None


def read_text(_key: str, text: str) -> str:
    """Read a switch; the variant checks its value."""
    return text


def per_stage(read: Callable[[str, str], Any]) -> Callable[[str, str], tuple[Any, ...]]:
    """Return a reader of four values joined by `-`, or of one for all stages."""

    def read_all(key: str, text: str) -> tuple[Any, ...]:
        values = tuple(read(key, part) for part in text.split("-"))
        return values * NUM_STAGES if len(values) == 1 else values

    return read_all


def choice(values: tuple[str, ...]) -> str:
    """Show the values of a switch."""
    return "|".join(values)


FOUR = "a-b-c-d or a"
INTS, FLOATS = per_stage(read_int), per_stage(read_float)
KEYS = {
    "width": Key(
        "width", read_float, "number", "multiplies dims and stem (to a multiple of 8 that heads divide)"
    ),
    "depth": Key("depth", read_float, "number", "multiplies depths (at least 1 block a stage)"),
    "dims": Key("dims", INTS, FOUR, "channels of each stage"),
    "depths": Key("depths", INTS, FOUR, "blocks of each stage"),
    "rates": Key("rates", INTS, FOUR, "sampling rate r: one token for each r x r window"),
    "heads": Key("num_heads", INTS, FOUR, "attention heads of each stage; they divide dims"),
    "ratios": Key("ratios", FLOATS, FOUR, "FFN expansion; hidden channels round to 16"),
    "attn_blocks": Key("attn_blocks", INTS, FOUR, "attention in the last n blocks of each stage"),
    "stem": Key("stem", read_int, "integer", "channels between the two convolutions of the stem"),
    "key_dim": Key("key_dim", read_int, "integer", "channels of queries and of keys in each head"),
    "kernel": Key("kernel", read_int, "3|5", "side of the FFN's depth-wise convolution"),
    "act": Key("act", read_text, choice(ACTS), "activation of stem and FFN"),
    "attention": Key("attention", read_text, choice(ATTENTIONS), "dense: r = 1 in every stage"),
    "sampling": Key("sampling", read_text, choice(SAMPLINGS), "what represents a window"),
    "ffn": Key("ffn", read_text, choice(FFNS), "mlp: no aggregates, no redistribution"),
    "local": Key("local", read_text, choice(LOCALS), "none: no depth-wise convolution in the FFN"),
    "classes": Key("num_classes", read_int, "integer", "0: pooled features, no classifier"),
    "in_chans": Key("in_chans", read_int, "integer", "channels of the input image"),
    "drop_path": Key(
        "drop_path_rate", read_float, "number", "stochastic depth of the last block, in training"
    ),
}
PRESETS_ORDER = {name: i for i, name in enumerate(PRESETS)}
