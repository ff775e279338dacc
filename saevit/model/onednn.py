"""Products and convolutions on a CPU by oneDNN's own operators, with what eager PyTorch leaves to compilers.

Weights are put once into the order that the kernel works in, and an activation is applied before the result
leaves the cache.

They are what torch.compile calls once weights are frozen. N tokens, C channels, (B, C, H, W) maps.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

# The operators' names of activations, and the form of each: GELU by erf, as nn.GELU computes it.
ACTS: dict[type[nn.Module] | None, tuple[str, str]] = {
    None: ("none", ""),
    nn.Hardswish: ("hardswish", ""),
    nn.GELU: ("gelu", "none"),
    nn.ReLU: ("relu", ""),
    nn.SiLU: ("swish", ""),
}


class Packed:
    """A weight in oneDNN's order, made at first use and again when the weight or the map is another one.

    It belongs to no state: copies and files of a network leave it out. A weight that is overwritten through
    `.data` or within inference mode leaves no trace, and is not noticed.
    """

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._weight: Tensor | None = None

    def get(self, weight: Tensor, reorder: Callable[..., Tensor], *size: int) -> Tensor:
        """Return `reorder(weight, *size)`, computed once for a weight and a size of the map."""
        version = 0 if weight.is_inference() else weight._version  # changed in place?
        key = (weight.data_ptr(), weight.dtype, version, *size)
        if self._weight is None or self._key != key:
            self._key, self._weight = key, reorder(weight, *size)
        return self._weight

    def __reduce__(self) -> Any:
        return Packed, ()  # copy and pickle make an empty one


def usable(x: Tensor) -> bool:
    """Does oneDNN compute on this input? Never while a graph is recorded: the recorder has its own passes.

    Nor where anything looks on at the operators (a counter, fake tensors): it knows the usual ones.
    """
    return bool(
        _HAS_OPERATORS
        and type(x) is Tensor
        and x.device.type == "cpu"
        and (x.dtype == torch.float32 or (x.dtype == torch.bfloat16 and _HAS_BFLOAT16))
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
        and torch._C._len_torch_dispatch_stack() == 0
        and torch.backends.mkldnn.enabled
    )


def linear(t: Tensor, weight: Tensor, bias: Tensor | None, act: type[nn.Module] | None) -> Tensor:
    """act(t W^T + b) of tokens (..., C) and a weight (C', C), packed or as it is -> (..., C')."""
    name, form = ACTS[act]
    return torch.ops.mkldnn._linear_pointwise(t, weight, bias, name, [], form)


def add_linear(to: Tensor, t: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """to + t W^T + b of tokens, as a new tensor. t: (N, C), to: (N, C') -> (N, C')."""
    return torch.ops.mkldnn._linear_pointwise.binary(t, to, weight, bias, "add")


def pack_linear(weight: Tensor) -> Tensor:
    """Reorder a matrix (C', C) for any number of tokens."""
    return torch.ops.mkldnn._reorder_linear_weight(weight.contiguous())


def conv3x3(
    x: Tensor, weight: Tensor, bias: Tensor, stride: int, groups: int, act: type[nn.Module] | None
) -> Tensor:
    """act(conv(x)) with padding 1 and a packed weight. (B, C, H, W) -> (B, C', H', W')."""
    name, form = ACTS[act]
    return torch.ops.mkldnn._convolution_pointwise(
        x, weight, bias, [1, 1], [stride, stride], [1, 1], groups, name, [], form
    )


def pack_conv3x3(weight: Tensor, stride: int, groups: int, H: int, W: int) -> Tensor:
    """Reorder the weight (C', C/groups, 3, 3) of a convolution for maps of H x W, whatever the batch.

    Without the size, oneDNN may settle on an order that the kernel then undoes at every call: 14 times slower
    for 96 -> 192 channels at 28 x 28.
    """
    size = [1, weight.shape[1] * groups, H, W]
    return torch.ops.mkldnn._reorder_convolution_weight(
        weight, [1, 1], [stride, stride], [1, 1], groups, size
    )


def _registered(name: str) -> bool:
    return torch._C._dispatch_has_kernel_for_dispatch_key(f"mkldnn::{name}", "CPU")


_HAS_OPERATORS = torch.backends.mkldnn.is_available() and all(  # type: ignore[no-untyped-call]
    hasattr(torch.ops.mkldnn, name) and _registered(name)
    for name in ("_linear_pointwise", "_reorder_linear_weight", "_reorder_convolution_weight")
)
_HAS_BFLOAT16 = _HAS_OPERATORS and torch.ops.mkldnn._is_mkldnn_bf16_supported()
