"""Questions about spaces of thousands of variants, drawn by a seed."""

import random
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np

from saevit.explore.costs import Evaluator
from saevit.explore.question import OBJECTIVES, PARTIALS, QUANTITIES, Limit, Question
from saevit.explore.space import Space, make_space
from saevit.explore.sweep import evaluate
from tests.explore.spaces import BASE, CHOICES, IMG_SIZE

COUNTED = tuple(name for name in OBJECTIVES if name != "latency" and not name.startswith("most-"))
MOST = [("params", "most-gmacs"), ("gmacs", "most-params"), ("traffic", "memory", "most-gmacs")]
OBJECTIVE_SETS = [*combinations(COUNTED, 2), *combinations(COUNTED, 3), *MOST]
LIMITED = ("gmacs", "params", "activations", "weights", "memory", "traffic", "effectiveness")
WHOLE = {
    key: CHOICES[key]
    for key in ("width", "depth", "stem", "key_dim", "kernel", "attention", "sampling", "ffn", "local")
}
OF_STAGE: dict[str, tuple[Any, ...]] = {
    "depths": (1, 2, 3, 4, 6),
    "ratios": (1.0, 1.5, 2.0, 3.0, 4.0),
    "heads": (1, 2, 3, 4),
    "rates": (1, 2, 4, 7),
    "attn_blocks": (0, 1, 2, 4),
}


@cache
def draw_query(seed: int, least: int, most: int) -> Question:
    """Draw a space of so many variants, limits among their values, and objectives: each set in its turn."""
    draw = random.Random(seed)
    space = draw_space(draw, least, most)
    return Question(
        space=space,
        img_size=IMG_SIZE,
        objectives=OBJECTIVE_SETS[seed % len(OBJECTIVE_SETS)],
        limits=tuple(draw_limits(draw, space)),
        rising=draw.random() < 0.4,
        rank=draw.choice(COUNTED),
        top=draw.randrange(1, 8),
    )


def draw_space(draw: random.Random, least: int, most: int) -> Space:
    """Draw choices of up to two keys of the whole network, then of stages' keys until there are enough."""
    of_stage = {f"dims{i}": tuple(range(8 * i, 8 * i + 49, 8)) for i in range(1, 5)}
    of_stage |= {f"{key}{i}": values for key, values in OF_STAGE.items() for i in range(1, 5)}
    keys = draw.sample(sorted(WHOLE), draw.randrange(3)) + draw.sample(sorted(of_stage), len(of_stage))
    chosen: dict[str, tuple[Any, ...]] = {}
    size = 1
    for key in keys:
        pool = (WHOLE | of_stage)[key]
        count = draw.randrange(2, min(4, len(pool)) + 1)
        if size < least and size * count <= most:
            chosen[key] = tuple(draw.sample(pool, count))
            size *= count
    return make_space(BASE, chosen)


def draw_limits(draw: random.Random, space: Space) -> list[Limit]:
    """Draw up to three limits whose ends are values of variants, so that some are just kept."""
    places = np.array([draw.randrange(space.size) for _ in range(300)])
    seen = evaluate(Evaluator(space, IMG_SIZE, [name for name in PARTIALS if name != "latency"]), places)
    sums = {name: each[seen.valid] for name, each in seen.sums.items()}
    limits = []
    for name in draw.sample(LIMITED, draw.randrange(4)):
        values = np.sort(QUANTITIES[name].of(sums, 0.0))
        high = draw.randrange(len(values) // 4, len(values))
        is_band = name != "effectiveness" and draw.random() < 0.4
        limits.append(
            Limit(
                quantity=name,
                text=name,
                high=float(values[high]) * (1 + 1e-9 * (name == "effectiveness")),
                low=float(values[draw.randrange(high)]) if is_band else -np.inf,
            )
        )
    return limits
