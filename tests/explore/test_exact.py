"""Every row of a search is what counter 2 counts on the network that is built."""

import numpy as np
import pytest

from saevit.count.model_costs import build_skeleton
from saevit.count.torch_counter import count_torch
from saevit.explore.costs import Evaluator
from saevit.explore.exploration import count_variant
from saevit.explore.space import Space, make_space
from saevit.explore.sweep import evaluate
from saevit.variant import PRESETS, parse

IMG_SIZE = (160, 224)
CHOICES = {
    "width": (0.5, 0.75, 1.0, 1.25),
    "depth": (0.5, 1.0, 1.5),
    "rates": ((8, 4, 2, 1), (4, 2, 2, 1), (7, 3, 1, 1)),
    "attention": ("saa", "dense", "none"),
    "sampling": ("adaptive", "mix", "stride"),
    "ffn": ("ciffn", "mlp"),
    "local": ("dwsconv", "none"),
    "stem": (16, 24, 32),
    "key_dim": (8, 16),
    "kernel": (3, 5),
    **{f"dims{i}": tuple(range(16 * i, 48 * i + 1, 8)) for i in range(1, 5)},
    **{f"depths{i}": (1, 2, 3, 4) for i in range(1, 5)},
    **{f"ratios{i}": (1.5, 2.0, 3.0, 4.0) for i in range(1, 5)},
    **{f"attn_blocks{i}": (0, 1, 2) for i in range(1, 5)},
}


def check_rows(space: Space, count: int, seed: int) -> None:
    """Draw rows and count each on its network."""
    evaluator = Evaluator(space, IMG_SIZE, ("macs", "params", "activations"))
    places = np.random.default_rng(seed).integers(0, space.size, count, dtype=np.int64)
    drawn = evaluate(evaluator, places)
    for i, place in enumerate(places.tolist()):
        text = count_variant(space.spec_at(place), IMG_SIZE).model
        model = build_skeleton(parse(text))
        counted = count_torch(model, (1, 3, *IMG_SIZE))
        assert drawn.sums["macs"][i] == counted.total, text
        assert drawn.sums["activations"][i] == sum((counted.activations or {}).values()), text
        assert drawn.sums["params"][i] == sum(p.numel() for p in model.parameters()), text


def test_rows_equal_the_counter_on_the_built_network() -> None:
    check_rows(make_space(PRESETS["saevit_tiny"], CHOICES), 8, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(10))
def test_a_thousand_rows_equal_the_counter_on_the_built_network(shard: int) -> None:
    space = make_space(PRESETS["saevit_tiny"], CHOICES)
    assert space.size > 10**12
    check_rows(space, 100, seed=1 + shard)
