"""A network that is looked at: refused before its pass fills the memory, or where values are not finite."""

import numpy as np
import pytest
import torch

from saevit.attention import network as module
from saevit.attention.capture import capture
from saevit.attention.look import Choice, look_at
from saevit.attention.network import open_network
from saevit.count.peak import trace_peak
from saevit.errors import MeasureError, MemoryLimitError
from saevit.machine import SCRATCH
from saevit.model.pyramid import build
from saevit.variant import parse

SMALL = "saevit_pico:depths=1,dims=8-8-16-16,heads=1"
MIX = f"{SMALL},sampling=mix"
DEEP = "depths=1-1-1-200,dims=8-8-16-16,heads=1,attn_blocks=200,rates=1,key_dim=512"


@pytest.mark.parametrize("model", [SMALL, MIX, f"{SMALL},attention=dense", "timm:vit_tiny_patch16_224"])
def test_a_pass_beyond_the_memory_is_refused(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    named = model if model.startswith("timm:") else parse(model)
    assert open_network(named, (64, 96)).about.img_size == (64, 96)
    monkeypatch.setattr(module, "free_memory", lambda: SCRATCH)
    with pytest.raises(
        MemoryLimitError, match=r"at 64 x 96 px needs .* GB are free on cpu: nearest is a smaller --img"
    ):
        open_network(named, (64, 96))


@pytest.mark.slow  # a network of 200 blocks
def test_what_is_recorded_counts() -> None:
    """A deep network keeps queries and keys of every block, which by far outweigh what a pass needs."""
    net = open_network(parse(f"saevit_pico:{DEEP}"), (64, 64))
    passing = trace_peak(net.model, (1, 3, 64, 64)).bytes
    recorded = trace_peak(net.model, (1, 3, 64, 64), recording=lambda m: capture(m, features=True)).bytes
    assert passing < 200 * 2 * 4 * 512 * 4 < recorded


@pytest.mark.parametrize("size", [4096, 16384])
def test_a_huge_image_is_refused_at_once(size: int) -> None:
    """Dense attention over 65,536 patches, or a million."""
    with pytest.raises(MemoryLimitError, match="nearest is a smaller"):
        open_network(parse("saevit_pico:attention=dense"), (size, size))


NAMES = [name for name, _ in build(parse(SMALL)).named_parameters()]


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 3e38])
@pytest.mark.parametrize("name", NAMES[:: len(NAMES) // 12])
def test_broken_weights_are_an_error_or_show_nothing_broken(name: str, value: float) -> None:
    net = open_network(parse(SMALL), (64, 64))
    net.model.get_parameter(name).data.flatten()[0] = value
    choice = Choice(queries=((200, 300),))
    try:
        seen = look_at(net, [], choice)
    except MeasureError as error:
        reason = str(error)
    else:
        reason = ""
        numbers = [
            v for head in seen.numbers for k, values in head.samples.items() if k != "overlap" for v in values
        ]
        numbers += [v for stage in seen.redundancy for values in stage.similarity.values() for v in values]
        arrays = [a for block in seen.maps for a in (block.weights, block.received, block.rows)]
        assert np.isfinite(numbers).all()
        assert all(np.isfinite(array).all() for array in (*arrays, *(found.mass for found in seen.rollout)))
    assert reason == "" or "values that are not finite: these weights cannot be shown" in reason
