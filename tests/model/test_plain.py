"""The plain form computes what the fused network computes, of any variant at any size."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from saevit.model.fuse import fuse
from saevit.model.plain import plain
from saevit.spec import VariantSpec
from tests.model.test_fuse import SMALL, error, noise, trained
from tests.strategies import img_sizes, specs


@settings(max_examples=30, deadline=None)
@given(specs(), img_sizes(100), st.integers(0, 2**16))
def test_any_variant_at_any_size(spec: VariantSpec, img_size: tuple[int, int], seed: int) -> None:
    fused = fuse(trained(spec, seed))
    x = noise(2, spec.in_chans, *img_size)
    with torch.inference_mode():
        assert error(plain(fused)(x), fused(x)) < 1e-4


def test_the_fused_network_and_the_input_are_untouched() -> None:
    fused, x = fuse(trained(SMALL)), noise(2, 3, 50, 70)
    before, copied = {name: w.clone() for name, w in fused.state_dict().items()}, x.clone()
    with torch.inference_mode():
        plain(fused)(x)
    assert torch.equal(x, copied)
    assert all(torch.equal(w, before[name]) for name, w in fused.state_dict().items())


def test_nothing_is_computed_in_place_or_on_packed_weights() -> None:
    """What an exporter loses or cannot write."""
    with torch.no_grad():
        program = torch.export.export(plain(fuse(trained(SMALL))), (noise(2, 3, 64, 72),))
    called = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert not [name for name in called if "mkldnn" in name or "_." in name or "view" in name]
    assert called.count("aten.conv2d.default") > 20


def test_other_networks_are_left_as_they_are() -> None:
    model = nn.Conv2d(3, 4, 1)
    assert plain(model) is model


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
