"""Networks that were looked at, small and quick."""

from collections.abc import Callable

import pytest
import torch

from saevit.attention.findings import Attention
from saevit.attention.look import Choice, look_at
from saevit.attention.network import open_network
from saevit.attention.photo import shipped_photo
from saevit.variant import parse

Look = Callable[..., Attention]
QUERY = (256, 300)
SMALL = "saevit_pico:dims=16-24-36-48,depths=2-2-3-2,heads=2-2-3-4,rates=8-4-3-1,ratios=2"


@pytest.fixture(scope="session")
def looked() -> Look:
    """Return a function that looks at the shipped photograph with a network far from uniform."""

    def run(text: str = SMALL, size: int = 72, **choice: object) -> Attention:
        net = open_network(text if text.startswith("timm:") else parse(text), (size, size))
        torch.manual_seed(0)
        for name, parameter in net.model.named_parameters():
            if name.endswith(("qkv.weight", "score.weight")):
                parameter.data.normal_(0, 0.3)
        return look_at(net, [shipped_photo()], Choice(**choice))  # type: ignore[arg-type]

    return run


@pytest.fixture(scope="session")
def seen(looked: Look) -> Attention:
    """Everything of one network, one query."""
    return looked(queries=[QUERY])
