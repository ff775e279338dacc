"""Names and shapes of weights: a checkpoint of today must load tomorrow."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from saevit.count.model_costs import build_skeleton
from tests.model.networks import SMALL


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("small", {}),
        ("mix", {"sampling": "mix", "kernel": 5, "key_dim": 4}),
        ("ablation", {"sampling": "average", "ffn": "mlp", "local": "none", "num_classes": 0}),
    ],
)
def test_keys_are_stable(name: str, changes: dict[str, Any], golden: Callable[[str, Any], None]) -> None:
    state = build_skeleton(replace(SMALL, **changes)).state_dict()
    golden(
        f"state_dict_{name}.json", {name: "x".join(map(str, tensor.shape)) for name, tensor in state.items()}
    )
