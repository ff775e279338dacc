"""The plain form is what exporters and exchange formats can take; test_forms.py has what it computes."""

import pytest
import torch

from saevit.model.fuse import fuse
from saevit.model.plain import plain
from tests.model.test_fuse import SMALL, error, noise, trained


def test_nothing_is_computed_in_place_or_on_packed_weights() -> None:
    """What an exporter loses or cannot write."""
    with torch.no_grad():
        program = torch.export.export(plain(fuse(trained(SMALL))), (noise(2, 3, 64, 72),))
    called = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert not [name for name in called if "mkldnn" in name or "_." in name or "view" in name]
    assert called.count("aten.conv2d.default") > 20


def test_weights_are_named_for_the_layers_they_came_from() -> None:
    names = dict(plain(fuse(trained(SMALL))).named_parameters())
    assert {"stem.0.weight", "stages.0.blocks_0.attn.mix.qkv.weight", "head.weight"} <= names.keys()


@pytest.mark.parametrize("batch", [1, 300])
def test_one_program_serves_any_batch(batch: int) -> None:
    fused = fuse(trained(SMALL))
    sizes = ({0: torch.export.Dim("batch", min=1)},)
    with torch.no_grad():
        program = torch.export.export(plain(fused), (noise(2, 3, 40, 48),), dynamic_shapes=sizes)
        x = noise(batch, 3, 40, 48)
        assert error(program.module()(x), fused(x)) < 1e-4
