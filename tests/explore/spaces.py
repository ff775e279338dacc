"""Small random spaces, and what a plain loop over all their variants says."""

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from saevit.count.cost import count_network, count_peak, count_traffic
from saevit.errors import SpecError
from saevit.explore import capacity
from saevit.explore.latency_model import LatencyModel, LatencyPart, PartGroup, make_grids
from saevit.explore.latency_parts import list_sizes
from saevit.explore.question import Question, compute_loss
from saevit.explore.space import Space, make_space
from saevit.variant import VariantSpec

BASE = VariantSpec(
    dims=(16, 24, 32, 48),
    depths=(1, 2, 3, 2),
    num_heads=(1, 2, 2, 3),
    ratios=(2, 2, 3, 3),
    rates=(8, 4, 2, 1),
    attn_blocks=(1, 1, 2, 1),
)
IMG_SIZE = (64, 96)
MIDDLE = VariantSpec(  # of a preset's size, whatever the presets are
    dims=(48, 96, 192, 320),
    depths=(2, 2, 6, 2),
    num_heads=(1, 3, 6, 10),
    ratios=(3, 3, 3, 4),
    rates=(8, 4, 2, 1),
    attn_blocks=(1, 1, 3, 1),
)

CHOICES: dict[str, tuple[Any, ...]] = {
    "width": (0.5, 0.75, 1.0, 1.3),
    "depth": (0.5, 1.0, 1.5),
    "rates": ((8, 4, 2, 1), (4, 4, 4, 4), (1, 1, 1, 1)),
    "ratios": ((2.0,) * 4, (3.0, 2.5, 2.0, 4.0)),
    "attn_blocks": ((0, 0, 0, 0), (1, 1, 2, 1), (9, 9, 9, 9)),
    "stem": (8, 12, 32),
    "key_dim": (4, 12, 16),
    "kernel": (3, 5),
    "attention": ("saa", "dense", "none"),
    "sampling": ("adaptive", "mix", "average", "stride"),
    "ffn": ("ciffn", "mlp"),
    "local": ("dwsconv", "none"),
    "act": ("hardswish", "relu"),
    "classes": (0, 10, 1000),
    "in_chans": (1, 3),
    "dims1": (8, 16, 20),
    "dims2": (16, 24, 40),
    "dims3": (24, 32, 56),
    "dims4": (32, 48, 64),
    "depths1": (1, 2, 3),
    "depths3": (1, 2, 5),
    "heads3": (1, 2, 3),
    "heads4": (2, 4, 5),
    "ratios2": (1.0, 2.0, 4.0),
    "ratios4": (2.0, 3.0),
    "rates1": (1, 4, 7),
    "rates4": (1, 2),
    "attn_blocks1": (0, 1, 2),
    "attn_blocks3": (0, 1, 3),
}


@st.composite
def spaces(draw: st.DrawFn, most: int = 400) -> Space:
    """Draw a space of few variants, any kind of key among its axes."""
    keys = draw(st.lists(st.sampled_from(sorted(CHOICES)), min_size=1, max_size=6, unique=True))
    keys = [
        k for k in keys if not any(k != other and k.startswith(other) and k[-1].isdigit() for other in keys)
    ]
    chosen, size = {}, 1
    for key in keys:
        values = draw(st.lists(st.sampled_from(CHOICES[key]), min_size=1, max_size=3, unique=True))
        if size * len(values) <= most:
            chosen[key] = tuple(values)
            size *= len(values)
    return make_space(BASE, chosen)


def partials_of(spec: VariantSpec, img_size: tuple[int, int]) -> dict[str, int]:
    """All partials of one variant, by the functions that count one variant."""
    cost = count_network(spec, img_size)
    logs, layers = capacity.sum_layers(spec)
    return {
        "macs": cost.macs,
        "params": cost.params,
        "activations": cost.activations,
        "traffic": count_traffic(spec, img_size),
        "logs": logs,
        "layers": int(layers),
        "peak": count_peak(spec, img_size),
        "latency": latency_of(spec),
    }


ONCE, EACH = 100, 5  # nanoseconds of a pass, and of each part


def part_ns(part: LatencyPart) -> int:
    """A time of a part that differs between all sizes and settings, in nanoseconds."""
    group = part.group
    settings = sum(len(str(value)) for _, value in group.settings)
    return (7 * (group.stage + 1) + 3 * len(group.kind) + 11 * settings) * part.first * max(1, part.second)


def make_part(kind: str, stage: int, settings: Iterable[tuple[str, Any]], *sizes: int) -> LatencyPart:
    """Return a part; those whose channels are all multiples of 16 are a group of their own."""
    channels = sizes[:1] if kind in ("attention", "head") else sizes
    multiple = 1 if any(size % 16 for size in channels) else 16
    return LatencyPart(PartGroup(kind, stage, (*settings, ("multiple", multiple))), *sizes)


def make_latency(space: Space) -> LatencyModel:
    """A model with the time of each part of a space; it doubles their sum."""
    parts = [LatencyPart(group, *pair) for group, pairs in list_sizes(space).items() for pair in pairs]
    times = {part: part_ns(part) * 1e-9 for part in parts}
    return LatencyModel(make_grids(times), (ONCE * 1e-9, 2.0, EACH * 1e-9))


def latency_of(spec: VariantSpec) -> int:
    """What that model predicts for one variant, in nanoseconds, part by part."""
    ffn = {key: getattr(spec, key) for key in ("kernel", "act", "ffn", "local")}
    parts, before = [], spec.stem_dim
    for i, stage in enumerate(spec.stages):
        first = () if i else (("in_chans", spec.in_chans), ("act", spec.act))
        parts.append(make_part("downsample" if i else "stem", i, first, before, stage.dim))
        attention = (("rate", stage.rate), ("key_dim", spec.key_dim), ("sampling", spec.sampling))
        for attends in stage.attends:
            parts.append(make_part("ffn", i, ffn.items(), stage.dim, stage.hidden_dim))
            if attends:
                parts.append(make_part("attention", i, attention, stage.dim, stage.num_heads))
        before = stage.dim
    parts.append(make_part("head", 3, (), before, spec.num_classes))
    return ONCE + sum(2 * part_ns(part) + EACH for part in parts)


def networks(space: Space) -> dict[int, VariantSpec]:
    """Every variant of a space that is a network, by its place."""
    found = {}
    for place in range(space.size):
        try:
            found[place] = space.spec_at(place)
        except SpecError:
            continue
    return found


def by_brute_force(query: Question) -> tuple[dict[int, tuple[float, ...]], set[tuple[float, ...]]]:
    """Return the losses of all variants that keep the limits, and those that no other one dominates."""
    kept = {}
    for place, spec in networks(query.space).items():
        sums = partials_of(spec, query.img_size)
        dims = [stage.dim for stage in spec.stages]
        if query.rising and dims != sorted(dims):
            continue
        if all(limit.kept(sums) for limit in query.limits):
            factor = capacity.last_factor(spec.stages[-1].dim, query.img_size)
            kept[place] = tuple(float(compute_loss(name, sums, factor)) for name in query.objectives)
    points = set(kept.values())
    best = {p for p in points if not any(q != p and all(map(lambda a, b: a <= b, q, p)) for q in points)}
    return kept, best
