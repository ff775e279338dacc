"""The form for compilers is loops that can be merged; test_forms.py has what it computes."""

import pytest
import torch

from saevit.model.compilable import compilable
from saevit.model.fuse import fuse
from tests.model.test_fuse import SMALL, error, noise, trained


@pytest.mark.parametrize("img_size", [(64, 64), (72, 50)])
def test_in_double_precision_it_is_the_same_function(img_size: tuple[int, int]) -> None:
    fused = fuse(trained(SMALL)).double()
    x = noise(2, 3, *img_size).double()
    with torch.inference_mode():  # both take the weights in a window from scores in fp32
        assert error(compilable(fused)(x), fused(x)) < 1e-6


def test_only_convolutions_and_products_are_left_as_calls() -> None:
    """Of what the fused network does, the compiler makes loops of all else."""
    with torch.no_grad():
        program = torch.export.export(compilable(fuse(trained(SMALL))), (noise(2, 3, 64, 72),))
    called = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert "aten.conv2d.default" in called
    assert not [name for name in called if "pool" in name or "transpose2d" in name or "mkldnn" in name]
    assert not [name for name in called if "_." in name]  # in place


def test_half_precision_stays_in_it() -> None:
    fused = fuse(trained(SMALL, decades=0.5)).to(torch.bfloat16)
    x = noise(2, 3, 64, 72).to(torch.bfloat16)
    with torch.inference_mode():
        y = compilable(fused)(x)
        assert y.dtype == torch.bfloat16
        assert error(y, fused(x)) < 2e-2
