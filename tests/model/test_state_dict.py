"""Names and shapes of weights: a checkpoint of today must load tomorrow."""

from collections.abc import Callable
from typing import Any

from saevit.count.subject import variant_skeleton
from saevit.parse import parse


def test_keys_are_stable(golden: Callable[[str, Any], None]) -> None:
    state = variant_skeleton(parse("saevit_tiny")).state_dict()
    golden(
        "state_dict_saevit_tiny.json",
        {name: "x".join(map(str, tensor.shape)) for name, tensor in state.items()},
    )


def test_ablations_are_stable(golden: Callable[[str, Any], None]) -> None:
    spec = parse("saevit_tiny:depths=2,sampling=average,ffn=mlp,local=none,classes=0,rates=2-1-2-1")
    state = variant_skeleton(spec).state_dict()
    golden(
        "state_dict_ablation.json", {name: "x".join(map(str, tensor.shape)) for name, tensor in state.items()}
    )
