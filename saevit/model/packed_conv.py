"""A convolution for inference that takes in its activation and the map that it is added to.

On a CPU it calls the operators of oneDNN that torch.compile calls for frozen weights, so that eager inference
has them too: the weight is put once into the order that the kernel reads, and activation and addition happen
before the result leaves the cache. Everywhere else it calls the operators that anyone would write.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Act = type[nn.Module] | None
Kernel = Callable[[Tensor, Tensor | None], Tensor]

# By activation: the function, and oneDNN's name and algorithm of it.
ACTS: dict[Act, tuple[Callable[[Tensor], Tensor], str, str]] = {
    None: (lambda x: x, "none", ""),
    nn.ReLU: (F.relu, "relu", ""),
    nn.Hardswish: (F.hardswish, "hardswish", ""),
    nn.GELU: (F.gelu, "gelu", "none"),
    nn.SiLU: (F.silu, "swish", ""),
}
MIN_CHANNELS = 16  # with fewer, the weight in its usual order is faster


class PackedConv(nn.Module):
    """act(convolution), or convolution + to. (B, C, H, W) -> (B, C', ceil(H/stride), ceil(W/stride)).

    The packed weight is no parameter: copies and files of a network leave it out. It is made again where the
    weight or the size of the map is another one. A weight that is overwritten through `.data` or within
    inference mode leaves no trace, and is not noticed.

    Args:
        weight: (C', C/groups, k, k).
        bias: (C',).
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, *, stride: int = 1, groups: int = 1, act: Act = None
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())
        self.stride, self.groups, self.act = stride, groups, act
        self.packed_for: tuple[object, ...] = ()
        self.kernel: Kernel | None = None

    def forward(self, x: Tensor, to: Tensor | None = None) -> Tensor:
        if has_kernels(x):
            weight = self.weight
            version = 0 if weight.is_inference() else weight._version  # changed in place?
            key = (weight.data_ptr(), version, x.dtype, x.shape[2:])
            if self.kernel is None or self.packed_for != key:
                self.packed_for, self.kernel = key, self.pack(x)
            return self.kernel(x, to)
        y = F.conv2d(x, self.weight, self.bias, self.stride, self.weight.shape[-1] // 2, 1, self.groups)
        return ACTS[self.act][0](y) if to is None else to + y

    def pack(self, x: Tensor) -> Kernel:
        """Return a call of oneDNN for maps of the size of x and any batch."""
        weight = self.weight.detach()
        _, *act = ACTS[self.act]
        if min(weight.shape[0], x.shape[1]) < MIN_CHANNELS:
            return conv_unpacked(weight, self.bias, self.stride, self.groups, self.act)
        if weight.shape[-1] == 1 and self.stride == 1 and self.groups == 1:
            return pointwise(weight, self.bias, act)
        return spatial(weight, self.bias, self.stride, self.groups, act, x.shape[1:])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "packed_for": (), "kernel": None}  # for copies and files

    def extra_repr(self) -> str:
        act = self.act.__name__ if self.act else None
        return f"{tuple(self.weight.shape)}, stride={self.stride}, groups={self.groups}, act={act}"


def conv_unpacked(weight: Tensor, bias: Tensor | None, stride: int, groups: int, act: Act) -> Kernel:
    """Return a convolution of few channels; one of 1x1 is a product."""
    if weight.shape[-1] == 1 and stride == 1 and groups == 1:
        matrix = weight.flatten(1)
        run = lambda x: F.linear(x.permute(0, 2, 3, 1), matrix, bias).permute(0, 3, 1, 2)
    else:
        run = lambda x: F.conv2d(x, weight, bias, stride, weight.shape[-1] // 2, 1, groups)
    apply = ACTS[act][0]
    return lambda x, to: apply(run(x)) if to is None else to + run(x)


def pointwise(weight: Tensor, bias: Tensor | None, act: list[str]) -> Kernel:
    """Return a convolution of 1x1 as a product with each pixel's channels."""
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.flatten(1).contiguous())
    alone, added = (getattr(torch.ops.mkldnn._linear_pointwise, name) for name in ("default", "binary"))
    name, algorithm = act

    def run(x: Tensor, to: Tensor | None) -> Tensor:
        pixels = x.permute(0, 2, 3, 1)
        if to is None:
            y = alone(pixels, packed, bias, name, [], algorithm)
        else:
            y = added(pixels, to.permute(0, 2, 3, 1), packed, bias, "add")
        return y.permute(0, 3, 1, 2)

    return run


def spatial(
    weight: Tensor, bias: Tensor | None, stride: int, groups: int, act: list[str], size: tuple[int, ...]
) -> Kernel:
    """Return any convolution for maps of a size (C, H, W).

    Without the size, oneDNN may choose an order of the weight that the kernel then undoes at every call: 14
    times slower for 96 -> 192 channels at 28 x 28.
    """
    settings = ([weight.shape[-1] // 2] * 2, [stride] * 2, [1, 1], groups)
    packed = torch.ops.mkldnn._reorder_convolution_weight(weight, *settings, [1, *size])
    alone, added = (getattr(torch.ops.mkldnn._convolution_pointwise, name) for name in ("default", "binary"))
    name, algorithm = act

    def run(x: Tensor, to: Tensor | None) -> Tensor:
        if to is None:
            return alone(x, packed, bias, *settings, name, [], algorithm)
        return added(x, to, packed, bias, *settings, "add", 1.0, None, [], None)

    return run


def has_kernels(x: Tensor) -> bool:
    """Say whether oneDNN's operators take this input.

    Never while a graph is recorded, as the recorder has passes of its own, nor where a counter or fake tensors
    intercept operators: they know the usual ones.
    """
    return bool(
        not torch.compiler.is_compiling()
        and type(x) is Tensor
        and x.dtype in _DTYPES
        and x.device.type == "cpu"
        and not torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
        and torch._C._len_torch_dispatch_stack() == 0
        and torch.backends.mkldnn.enabled
    )


def _dtypes() -> tuple[torch.dtype, ...]:
    """Return the types that this build of torch has the operators for."""
    names = ("_linear_pointwise", "_reorder_linear_weight")
    names += ("_convolution_pointwise", "_reorder_convolution_weight")
    available = torch.backends.mkldnn.is_available() and all(  # type: ignore[no-untyped-call]
        torch._C._dispatch_has_kernel_for_dispatch_key(f"mkldnn::{name}", "CPU") for name in names
    )
    if not available:
        return ()
    has_bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return (torch.float32, torch.bfloat16) if has_bf16 else (torch.float32,)


_DTYPES = _dtypes()
