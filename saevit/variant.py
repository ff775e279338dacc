"""What a variant is: a frozen, checked description, the presets, and the text that names one.

The text is `PRESET[:key=value,...]`; the law `parse(str(spec)) == spec` holds.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from saevit.errors import SpecError, nearest
from saevit.text import abbreviated, read_number, read_whole

NUM_STAGES = 4
STRIDES = (4, 8, 16, 32)
MIN_IMG_SIZE = 32
MAX_DIM = 2**20
MAX_DEPTH = 4096
MAX_RATE = 256
MAX_RATIO = 64.0

MAX_KEY_DIM = 2**12
NUM_GROUPS = 16  # of hidden channels in CIFFN, each with one aggregate

ACTS = ("relu", "hardswish", "gelu", "silu")
ATTENTIONS = ("saa", "dense", "none")
SAMPLINGS = ("adaptive", "mix", "average", "stride")
FFNS = ("ciffn", "mlp")
LOCALS = ("dwsconv", "none")


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One stage with every multiplier applied: what the network builds and the formulas count."""

    dim: int
    hidden_dim: int
    num_heads: int
    rate: int
    depth: int  # blocks
    attn_blocks: int  # the last of them, which carry attention

    @property
    def samples(self) -> bool:
        """Whether attention works on sampled tokens: r = 1 is dense attention, without sampling."""
        return self.rate > 1

    @property
    def attends(self) -> tuple[bool, ...]:
        """Say of each block whether it carries attention."""
        return tuple(j >= self.depth - self.attn_blocks for j in range(self.depth))


@dataclass(frozen=True, kw_only=True)
class VariantSpec:
    """A SAEViT variant. The names are the field's; four values mean one per stage (strides 4, 8, 16, 32).

    Raises:
        SpecError: a value that no network can have, with the nearest one that it can.
    """

    dims: tuple[int, ...]  # channels, before `width`
    depths: tuple[int, ...]  # blocks, before `depth`
    num_heads: tuple[int, ...]  # attention heads; they divide the channels
    ratios: tuple[float, ...]  # FFN hidden channels over channels, rounded to a multiple of 16
    rates: tuple[int, ...]  # SAA's sampling rate r: one token for each r x r window
    attn_blocks: tuple[int, ...]  # attention in the last so many blocks of the stage, at most all
    width: float = 1.0  # multiplies dims and stem
    depth: float = 1.0  # multiplies depths
    stem: int = 32  # channels between the two convolutions of the stem, before `width`
    key_dim: int = 16  # channels of queries and of keys in each head
    kernel: int = 3  # side of the depth-wise convolution in the FFN
    act: str = "relu"
    attention: str = "saa"
    sampling: str = "adaptive"
    ffn: str = "ciffn"
    local: str = "dwsconv"
    num_classes: int = 1000  # 0: no classifier, pooled features
    in_chans: int = 3
    drop_path_rate: float = 0.0

    def __post_init__(self) -> None:
        for name, (low, high) in PER_STAGE_INTS.items():
            object.__setattr__(self, name, per_stage(name, getattr(self, name), whole(low, high)))
        object.__setattr__(self, "ratios", per_stage("ratios", self.ratios, number(0.125, MAX_RATIO)))
        for name, check in SCALARS.items():
            object.__setattr__(self, name, check(name, getattr(self, name)))
        for name, choices in CHOICES.items():
            one_of(name, getattr(self, name), choices)
        self._check_heads()
        self._check_size()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The four stages with `width`, `depth`, `ratios` and `attention` applied."""
        return tuple(self._stage(i) for i in range(NUM_STAGES))

    @property
    def stem_dim(self) -> int:
        """Channels between the stem's two convolutions, `width` applied."""
        return resolve_dim(self.stem, 1, self.width)

    def _stage(self, i: int) -> Stage:
        sizes = {name: getattr(self, name)[i] for name in PER_STAGE}
        return resolve_stage(sizes, width=self.width, depth=self.depth, attention=self.attention)

    def _check_heads(self) -> None:
        for i, (dim, heads) in enumerate(zip(self.dims, self.num_heads, strict=True)):
            if dim % heads:
                divisors = [h for h in range(1, dim + 1) if dim % h == 0]
                fits = sorted(sorted(divisors, key=lambda h: abs(h - heads))[:2])
                raise SpecError(
                    f"num_heads[{i}]={heads} does not divide dims[{i}]={dim}: "
                    f"nearest are {' or '.join(map(str, fits))} heads, or {-(-dim // heads) * heads} channels"
                )

    def _check_size(self) -> None:
        if self.stem_dim > MAX_DIM:
            raise SpecError(
                f"width={self.width:g} makes {self.stem_dim} channels in the stem: at most {MAX_DIM}, "
                f"that is width={MAX_DIM / self.stem:.4g}"
            )
        for i, stage in enumerate(self.stages):
            if stage.dim > MAX_DIM:
                raise SpecError(
                    f"width={self.width:g} makes {stage.dim} channels in stage {i}: at most {MAX_DIM}, "
                    f"that is width={MAX_DIM / self.dims[i]:.4g}"
                )
            if stage.depth > MAX_DEPTH:
                raise SpecError(
                    f"depth={self.depth:g} makes {stage.depth} blocks in stage {i}: at most {MAX_DEPTH}, "
                    f"that is depth={MAX_DEPTH / self.depths[i]:.4g}"
                )

    def __str__(self) -> str:
        return text_of(self)


def resolve_stage(sizes: Mapping[str, Any], *, width: Any, depth: Any, attention: str) -> Stage:
    """Apply the multipliers and switches to one stage's values of the fields that have one for each stage.

    Every value but `attention` may be an array, for many variants at once.
    """
    dim = resolve_dim(sizes["dims"], sizes["num_heads"], width)
    blocks = round_to_multiple(sizes["depths"] * depth, 1)
    attn_blocks = sizes["attn_blocks"] * (attention != "none")
    return Stage(
        dim=dim,
        hidden_dim=round_to_multiple(dim * sizes["ratios"], NUM_GROUPS),
        num_heads=sizes["num_heads"],
        rate=1 if attention == "dense" else sizes["rates"],
        depth=blocks,
        attn_blocks=blocks + (attn_blocks - blocks) * (attn_blocks < blocks),
    )


def resolve_dim(dim: Any, num_heads: Any, width: Any) -> Any:
    """Multiply channels by `width`, to a multiple of 8 that the heads divide; 1 changes nothing."""
    shared = (num_heads | 8) & -(num_heads | 8)  # the power of two, up to 8, that divides the heads
    return dim + (round_to_multiple(dim * width, 8 * num_heads // shared) - dim) * (width != 1)


def round_to_multiple(value: Any, multiple: Any) -> Any:
    """Round to the nearest positive multiple (halves go up). Numbers or arrays."""
    steps = value / multiple + 0.5
    whole = steps.astype("int64") if hasattr(steps, "astype") else int(steps)
    return (whole + (whole == 0)) * multiple


def whole(low: int, high: int) -> Any:
    """Return a check that a value is an integer in [low, high]."""

    def check(name: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise SpecError(f"{name}={value} is not a whole number: choose from {low} to {high}")
        if not low <= value <= high:
            raise SpecError(f"{name}={value} is out of range: nearest is {min(max(value, low), high)}")
        return value

    return check


def odd(*choices: int) -> Any:
    """Return a check that a value is one of a few odd numbers."""

    def check(name: str, value: object) -> int:
        if isinstance(value, bool) or value not in choices:
            raise SpecError(f"{name}={value} is not available: choose from {', '.join(map(str, choices))}")
        return int(value)

    return check


def number(low: float, high: float, *, above_low: bool = False) -> Any:
    """Return a check that a value is a finite number in [low, high], or in (low, high]."""

    def check(name: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            raise SpecError(f"{name}={value} is not a number: choose from {low:g} to {high:g}")
        if above_low and value <= low:
            raise SpecError(f"{name}={value:g} must be above {low:g}: 1 leaves the preset as it is")
        if not low <= value <= high:
            raise SpecError(f"{name}={value:g} is out of range: nearest is {min(max(value, low), high):g}")
        return float(value)

    return check


def per_stage(name: str, values: object, check: Any) -> tuple[Any, ...]:
    """Check one value a stage."""
    if not isinstance(values, tuple | list):
        raise SpecError(f"{name}={values} is not a sequence: give {NUM_STAGES} values, one per stage")
    if len(values) != NUM_STAGES:
        shown = "-".join(map(str, values))
        raise SpecError(f"{name}={shown} has {len(values)} values: give {NUM_STAGES}, one per stage, or one")
    return tuple(check(f"{name}[{i}]", value) for i, value in enumerate(values))


def one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Check a switch."""
    if value not in choices:
        raise SpecError(f"{name}={value} is unknown: {nearest(str(value), choices)}")


PER_STAGE_INTS = {
    "dims": (1, MAX_DIM),
    "depths": (1, MAX_DEPTH),
    "num_heads": (1, MAX_DIM),
    "rates": (1, MAX_RATE),
    "attn_blocks": (0, MAX_DEPTH),
}
SCALARS = {
    "width": number(0, 1024, above_low=True),
    "depth": number(0, 1024, above_low=True),
    "stem": whole(1, MAX_DIM),
    "key_dim": whole(1, MAX_KEY_DIM),
    "kernel": odd(3, 5),
    "num_classes": whole(0, 2**24),
    "in_chans": whole(1, 2**16),
    "drop_path_rate": number(0, 0.99),
}
CHOICES = {
    "act": ACTS,
    "attention": ATTENTIONS,
    "sampling": SAMPLINGS,
    "ffn": FFNS,
    "local": LOCALS,
}
PER_STAGE = (*PER_STAGE_INTS, "ratios")
FIELDS = tuple(field.name for field in fields(VariantSpec))

# tiny and small stand at the two budgets that the paper's abstract claims (0.8 and 1.3 GFLOPs, read as
# GMACs as this literature does); all sizes are our decision, found by benchmarks/preset_search.py. Rates
# 8-4-2-1 leave 49 tokens in every stage at 224 px.
PRESETS = {
    "saevit_pico": VariantSpec(
        dims=(32, 48, 80, 320),
        depths=(1, 1, 5, 2),
        num_heads=(1, 1, 1, 5),
        ratios=(2, 2, 2, 3),
        rates=(8, 4, 2, 1),
        attn_blocks=(1, 1, 3, 1),
    ),
    "saevit_nano": VariantSpec(
        dims=(32, 80, 128, 352),
        depths=(1, 1, 6, 2),
        num_heads=(1, 1, 2, 8),
        ratios=(2, 4, 3, 4),
        rates=(8, 4, 2, 1),
        attn_blocks=(1, 1, 3, 1),
    ),
    "saevit_tiny": VariantSpec(
        dims=(48, 128, 208, 384),
        depths=(1, 1, 4, 3),
        num_heads=(1, 2, 4, 6),
        ratios=(2, 3.5, 4, 4),
        rates=(8, 4, 2, 1),
        attn_blocks=(1, 1, 2, 1),
    ),
    "saevit_small": VariantSpec(
        dims=(48, 128, 240, 448),
        depths=(1, 2, 6, 4),
        num_heads=(1, 2, 4, 7),
        ratios=(3, 3, 3.5, 4),
        rates=(8, 4, 2, 1),
        attn_blocks=(1, 1, 3, 2),
    ),
    "saevit_base": VariantSpec(
        dims=(64, 160, 336, 640),
        depths=(1, 2, 8, 4),
        num_heads=(1, 2, 6, 10),
        ratios=(3, 3, 3.5, 3),
        rates=(8, 4, 2, 1),
        attn_blocks=(1, 1, 4, 2),
    ),
}


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


def read_per_stage(read: Callable[[str, str], Any]) -> Callable[[str, str], tuple[Any, ...]]:
    """Return a reader of four values joined by `-`, or of one for all stages."""

    def read_all(key: str, text: str) -> tuple[Any, ...]:
        values = tuple(read(key, part) for part in text.split("-"))
        return values * NUM_STAGES if len(values) == 1 else values

    return read_all


def choice(values: tuple[str, ...]) -> str:
    """Show the values of a switch."""
    return "|".join(values)


FOUR = "a-b-c-d or a"
INTS, FLOATS = read_per_stage(read_int), read_per_stage(read_float)
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
