"""What a variant is: a frozen, checked description, the presets, and the text that names one.

The text is `PRESET[:key=value,...]`; the law `parse(str(spec)) == spec` holds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from saevit.errors import SpecError, nearest
from saevit.text import abbreviated, read_number, read_whole

NUM_STAGES = 4
STRIDES = (4, 8, 16, 32)
MIN_IMG_SIZE = 32
MAX_DIM = 2**20
MAX_DEPTH = 4096
NUM_GROUPS = 16  # of hidden channels in CIFFN, each with one aggregate


@dataclass(frozen=True, kw_only=True)
class Key:
    """One key of the grammar: the field that it sets, what it means, and the values that it takes.

    Numbers lie in [low, high]; a factor is above 0.
    """

    field: str
    help: str
    kind: type = int  # int, float or str
    low: float = 0
    high: float = 0
    choices: tuple[Any, ...] = ()
    is_factor: bool = False
    per_stage: bool = False

    @property
    def form(self) -> str:
        """How a value is written."""
        if self.choices:
            return "|".join(map(str, self.choices))
        return "a-b-c-d or a" if self.per_stage else "integer" if self.kind is int else "number"

    def read(self, key: str, text: str) -> Any:
        """Read a value: of a key with a value for each stage, four joined by `-`, or one for all."""
        if not self.per_stage:
            return self.read_one(key, text)
        values = tuple(self.read_one(key, part) for part in text.split("-"))
        return values * NUM_STAGES if len(values) == 1 else values

    def read_one(self, key: str, text: str) -> Any:
        """Read one number, or the text of a switch, which `check` looks at."""
        if self.kind is str:
            return text
        try:
            return read_whole(text) if self.kind is int else read_number(text)
        except ValueError:
            noun, example = ("whole number", "2") if self.kind is int else ("number", "0.5")
            given = f"{key}={abbreviated(text)}"
            raise SpecError(f"{given} is not a {noun}: for example {key}={example}") from None

    def check(self, value: object) -> Any:
        """Return a value with exact types.

        Raises:
            SpecError: a value that no network can have, with the nearest one that it can.
        """
        if not self.per_stage:
            return self.check_one(self.field, value)
        expected = f"give {NUM_STAGES} values, one per stage"
        if not isinstance(value, tuple | list):
            raise SpecError(f"{self.field}={value} is not a sequence: {expected}")
        if len(value) != NUM_STAGES:
            text = "-".join(map(str, value))
            raise SpecError(f"{self.field}={text} has {len(value)} values: {expected}, or one for all")
        name = self.field.removeprefix("num_")
        return tuple(self.check_one(f"{name}{i}", one) for i, one in enumerate(value, 1))

    def check_one(self, name: str, value: Any) -> Any:
        """Check one value, which errors call `name`."""
        if self.choices:
            if isinstance(value, bool) or value not in self.choices:
                near = nearest(str(value), map(str, self.choices))
                raise SpecError(f"{name}={value} is not available: {near}")
            return self.kind(value)
        kinds, noun = (int, "whole number") if self.kind is int else (int | float, "number")
        if isinstance(value, bool) or not isinstance(value, kinds) or value != value:  # NaN
            span = f"{write_value(self.low)} to {write_value(self.high)}"
            raise SpecError(f"{name}={value} is not a {noun}: choose from {span}")
        given = f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
        if self.is_factor and value <= 0:
            raise SpecError(f"{given} must be above 0: 1 changes nothing")
        if not self.low <= value <= self.high:
            near = write_value(min(max(value, self.low), self.high))
            raise SpecError(f"{given} is out of range: nearest is {near}")
        return self.kind(value)


def write_value(value: Any) -> str:
    """Write a value as the grammar reads it; equal values of all stages are written once."""
    if isinstance(value, tuple):
        return write_value(value[0]) if len(set(value)) == 1 else "-".join(map(write_value, value))
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _factor(field: str, help: str) -> Key:
    return Key(field=field, help=help, kind=float, high=1024, is_factor=True)


def _number(field: str, help: str, low: int, high: int) -> Key:
    return Key(field=field, help=help, low=low, high=high)


def _switch(field: str, help: str, *choices: str) -> Key:
    return Key(field=field, help=help, kind=str, choices=choices)


def _stages(field: str, help: str, low: float, high: float, kind: type = int) -> Key:
    return Key(field=field, help=help, kind=kind, low=low, high=high, per_stage=True)


KEYS = {
    "width": _factor("width", "multiplies dims and stem (to a multiple of 8 that heads divide)"),
    "depth": _factor("depth", "multiplies depths (at least 1 block a stage)"),
    "dims": _stages("dims", "channels of each stage", 1, MAX_DIM),
    "depths": _stages("depths", "blocks of each stage", 1, MAX_DEPTH),
    "rates": _stages("rates", "sampling rate r: one token for each r x r window", 1, 256),
    "heads": _stages("num_heads", "attention heads of each stage; they divide dims", 1, MAX_DIM),
    "ratios": _stages("ratios", "FFN expansion; hidden channels round to 16", 0.125, 64.0, float),
    "attn_blocks": _stages("attn_blocks", "attention in the last n blocks of each stage", 0, MAX_DEPTH),
    "stem": _number("stem", "channels between the two convolutions of the stem", 1, MAX_DIM),
    "key_dim": _number("key_dim", "channels of queries and of keys in each head", 1, 2**12),
    "kernel": Key(field="kernel", help="side of the FFN's depth-wise convolution", choices=(3, 5)),
    "act": _switch("act", "activation of stem and FFN", "relu", "hardswish", "gelu", "silu"),
    "attention": _switch("attention", "dense: r = 1 in every stage", "saa", "dense", "none"),
    "sampling": _switch("sampling", "what represents a window", "adaptive", "mix", "average", "stride"),
    "ffn": _switch("ffn", "mlp: no aggregates, no redistribution", "ciffn", "mlp"),
    "local": _switch("local", "none: no depth-wise convolution in the FFN", "dwsconv", "none"),
    "classes": _number("num_classes", "0: pooled features, no classifier", 0, 2**24),
    "in_chans": _number("in_chans", "channels of the input image", 1, 2**16),
    "drop_path": Key(
        field="drop_path_rate",
        help="stochastic depth of the last block, in training",
        kind=float,
        high=0.99,
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """The sizes of one stage, with every multiplier applied. Each may be an array, for many variants."""

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
        """Whether each block carries attention."""
        return tuple(j >= self.depth - self.attn_blocks for j in range(self.depth))


@dataclass(frozen=True, kw_only=True)
class VariantSpec:
    """A SAEViT variant. Four values are one per stage (strides 4, 8, 16, 32); `KEYS` has what is allowed.

    Raises:
        SpecError: a value that no network can have, with the nearest one that it can.
    """

    dims: tuple[int, ...]  # channels, before `width`
    depths: tuple[int, ...]  # blocks, before `depth`
    num_heads: tuple[int, ...]  # attention heads; they divide the channels
    ratios: tuple[float, ...]  # FFN hidden channels over channels, rounded to a multiple of 16
    rates: tuple[int, ...]  # SAA's sampling rate r: one token for each r x r window
    attn_blocks: tuple[int, ...]  # how many blocks at the end of the stage carry attention, at most all
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
        for key in KEYS.values():
            object.__setattr__(self, key.field, key.check(getattr(self, key.field)))
        self._check_heads()
        self._check_size()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The four stages with `width`, `depth`, `ratios` and `attention` applied."""
        names = [key.field for key in KEYS.values() if key.per_stage]
        return tuple(
            resolve_stage(
                {name: getattr(self, name)[i] for name in names},
                width=self.width,
                depth=self.depth,
                attention=self.attention,
            )
            for i in range(NUM_STAGES)
        )

    @property
    def stem_dim(self) -> int:
        """Channels between the stem's two convolutions, `width` applied."""
        return int(resolve_dim(self.stem, 1, self.width))

    def _check_heads(self) -> None:
        for i, (dim, heads) in enumerate(zip(self.dims, self.num_heads, strict=True), 1):
            if dim % heads:
                divisors = [h for h in range(1, dim + 1) if dim % h == 0]
                fits = sorted(sorted(divisors, key=lambda h: abs(h - heads))[:2])
                raise SpecError(
                    f"heads{i}={heads} does not divide dims{i}={dim}: "
                    f"nearest are {' or '.join(map(str, fits))} heads, or {-(-dim // heads) * heads} channels"
                )

    def _check_size(self) -> None:
        sizes = [("width", self.stem, self.stem_dim, "channels in the stem", MAX_DIM)]
        for i, stage in enumerate(self.stages):
            sizes.append(("width", self.dims[i], stage.dim, f"channels in stage {i + 1}", MAX_DIM))
            sizes.append(("depth", self.depths[i], stage.depth, f"blocks in stage {i + 1}", MAX_DEPTH))
        for factor, before, size, what, most in sizes:
            if size > most:
                raise SpecError(
                    f"{factor}={getattr(self, factor):g} makes {size} {what}: at most {most}, "
                    f"that is {factor}={most / before:.4g}"
                )

    def __str__(self) -> str:
        """Return the shortest text that `parse` reads as this variant; ties go to the earlier preset."""
        return min((write_difference(self, name) for name in PRESETS), key=lambda text: text.count("="))


def resolve_stage(sizes: Mapping[str, Any], *, width: Any, depth: Any, attention: str) -> Stage:
    """Apply the multipliers and `attention` to one stage's values of the fields with a value for each stage.

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


def _preset(dims: Any, depths: Any, num_heads: Any, ratios: Any, attn_blocks: Any) -> VariantSpec:
    """Return a preset. Rates 8-4-2-1 leave 49 tokens in every stage at 224 px."""
    sizes = {"dims": dims, "depths": depths, "num_heads": num_heads, "ratios": ratios}
    return VariantSpec(**sizes, attn_blocks=attn_blocks, rates=(8, 4, 2, 1))


# tiny and small have the two budgets that the paper's abstract claims (0.8 and 1.3 GFLOPs, read as GMACs as
# this literature does); all sizes are our decision, found by benchmarks/preset_search.py.
PRESETS = {
    "saevit_pico": _preset((32, 48, 80, 320), (1, 1, 5, 2), (1, 1, 1, 5), (2, 2, 2, 3), (1, 1, 3, 1)),
    "saevit_nano": _preset((32, 80, 128, 352), (1, 1, 6, 2), (1, 1, 2, 8), (2, 4, 3, 4), (1, 1, 3, 1)),
    "saevit_tiny": _preset((48, 128, 208, 384), (1, 1, 4, 3), (1, 2, 4, 6), (2, 3.5, 4, 4), (1, 1, 2, 1)),
    "saevit_small": _preset((48, 128, 240, 448), (1, 2, 6, 4), (1, 2, 4, 7), (3, 3, 3.5, 4), (1, 1, 3, 2)),
    "saevit_base": _preset((64, 160, 336, 640), (1, 2, 8, 4), (1, 2, 6, 10), (3, 3, 3.5, 3), (1, 1, 4, 2)),
}


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
    return set_values(PRESETS[name], read_pairs(tail.split(",")) if tail else {})


def read_pairs(items: Iterable[str]) -> dict[str, str]:
    """Split `key=value` items, refusing a key that is given twice."""
    values: dict[str, str] = {}
    for item in items:
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not value:
            raise SpecError(
                f"{item.strip()!r} is not key=value: for example rates=8-4-2-1 (keys: {', '.join(KEYS)})"
            )
        if key not in KEYS:
            raise SpecError(f"{key!r} is not a key: {nearest(key, KEYS)}")
        if key in values:
            raise SpecError(f"{key!r} is given twice ({values[key]} and {value}): keep one")
        values[key] = value
    return values


def set_values(spec: VariantSpec, values: Mapping[str, str]) -> VariantSpec:
    """Return the variant with some keys of the grammar set, each value still text."""
    return replace(spec, **{KEYS[key].field: KEYS[key].read(key, value) for key, value in values.items()})


def write_difference(spec: VariantSpec, preset: str) -> str:
    """Write a variant as its difference from a preset, in the order of the grammar's keys."""
    base = PRESETS[preset]
    items = [
        f"{name}={write_value(getattr(spec, key.field))}"
        for name, key in KEYS.items()
        if getattr(spec, key.field) != getattr(base, key.field)
    ]
    return f"{preset}:{','.join(items)}" if items else preset
