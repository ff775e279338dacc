"""Memory traffic in closed form against the operators that the folded network really runs on this CPU."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from saevit.count.cost import count_network, count_traffic
from saevit.model import packed_conv
from saevit.model.fold import fold
from saevit.model.packed_conv import has_kernels
from saevit.model.pyramid import build
from saevit.variant import PRESETS, VariantSpec, parse
from tests.strategies import img_sizes, specs

# Operators that move and do not compute, and those that put a weight into its order, once for all images.
MOVES = {
    "clone",
    "copy_",
    "constant_pad_nd",
    "pixel_shuffle",
    "pixel_unshuffle",
    "_unsafe_view",
    "upsample_nearest2d",
}
ONCE = {"_reorder_linear_weight", "_reorder_convolution_weight"}
FUSES = has_kernels(torch.ones(1), torch.ones(1))  # else convolution, activation and addition are apart


class Moved(TorchDispatchMode):
    """Adds up the elements of every tensor that an operator is given, and of those that it returns."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func._schema.name.partition("::")[2]
        if not func.is_view and name not in MOVES | ONCE:
            tensors = [leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, Tensor)]
            self.elements += sum(t.numel() for t in tensors if t.dtype.is_floating_point)
        return out


def moved(spec: VariantSpec, img_size: tuple[int, int]) -> int:
    """Run the folded form with oneDNN's operators for every convolution, as from 16 channels on."""
    network, x = fold(build(spec)), torch.zeros(1, spec.in_chans, *img_size)
    with pytest.MonkeyPatch.context() as patch, torch.no_grad(), Moved() as mode:
        patch.setattr(packed_conv, "has_kernels", lambda x, weight: True)  # under a mode too
        patch.setattr(packed_conv, "MIN_CHANNELS", 0)
        network(x)
    return mode.elements


@pytest.mark.skipif(not FUSES, reason="this torch has no oneDNN operators here")
@settings(max_examples=25)
@given(specs(), img_sizes())
@example(parse("saevit_pico:sampling=mix"), (97, 131))
@example(parse("saevit_pico:sampling=adaptive,rates=3"), (97, 131))
def test_closed_form_is_what_moves(spec: VariantSpec, img_size: tuple[int, int]) -> None:
    assert count_traffic(spec, img_size) == moved(spec, img_size)


@pytest.mark.skipif(not FUSES, reason="this torch has no oneDNN operators here")
@pytest.mark.parametrize("name", PRESETS)
def test_presets(name: str) -> None:
    assert count_traffic(PRESETS[name], (64, 96)) == moved(PRESETS[name], (64, 96))


def test_the_counter_counts() -> None:
    conv, x = nn.Conv2d(3, 5, 1).requires_grad_(False), torch.zeros(1, 3, 4, 7)
    with Moved() as mode:
        torch.relu(conv(x)).view(5, 28)
    assert mode.elements == (3 * 28 + 3 * 5 + 5 + 5 * 28) + 2 * 5 * 28


def test_a_network_moves_at_least_what_it_holds() -> None:
    ones = (1,) * 4
    spec = VariantSpec(
        dims=(8,) * 4, depths=ones, num_heads=ones, ratios=(2,) * 4, rates=ones, attn_blocks=ones
    )
    cost = count_network(spec, (64, 64))
    assert count_traffic(spec, (64, 64)) > cost.params + 2 * cost.activations
