"""A convolution for inference that takes in its activation and the map that it is added to.

In eager torch on a CPU it calls the operators of oneDNN that torch.compile calls for frozen weights: the
weight is put once into the order that the kernel reads; activation and addition happen in the cache.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Act = type[nn.Module] | None
Kernel = Callable[[Tensor, Tensor | None], Tensor]

# By activation: the function, and oneDNN's name and algorithm of it; without a name, torch computes it.
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

    The packed weight is no parameter: copies and files leave it out. It is made again when the weight or the
    size of the map changes; a change of the weight through `.data` or within inference mode is not noticed.
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
        weight = self.weight
        if has_kernels(x, weight):
            version = 0 if weight.is_inference() else weight._version  # changed in place?
            key = (weight.data_ptr(), version, x.dtype, x.shape[2:])
            if self.kernel is None or self.packed_for != key:
                self.packed_for, self.kernel = key, self.pack(x)
            return self.kernel(x, to)
        return self.plain(x, to)

    def pack(self, x: Tensor) -> Kernel:
        """Return a call that computes maps of the size of x, for any batch."""
        is_product = self.weight.shape[-1] == self.stride == self.groups == 1
        if min(self.weight.shape[0], x.shape[1]) < MIN_CHANNELS or not ACTS[self.act][1]:
            return self.few_channels if is_product else self.plain
        return self.product() if is_product else self.convolution([1, *x.shape[1:]])

    def plain(self, x: Tensor, to: Tensor | None) -> Tensor:
        """Compute by torch's usual operator."""
        y = F.conv2d(x, self.weight, self.bias, self.stride, self.weight.shape[-1] // 2, 1, self.groups)
        return ACTS[self.act][0](y) if to is None else to + y

    def few_channels(self, x: Tensor, to: Tensor | None) -> Tensor:
        """Compute a 1x1 convolution as torch's product with the channels of each pixel."""
        y = F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)
        return ACTS[self.act][0](y) if to is None else to + y

    def product(self) -> Kernel:
        """Return a 1x1 convolution as oneDNN's product with the channels of each pixel."""
        weight = torch.ops.mkldnn._reorder_linear_weight(self.weight.flatten(1).contiguous())
        bias, (_, name, algorithm) = self.bias, ACTS[self.act]
        alone, added = (getattr(torch.ops.mkldnn._linear_pointwise, way) for way in ("default", "binary"))

        def run(x: Tensor, to: Tensor | None) -> Tensor:
            pixels = x.permute(0, 2, 3, 1)
            if to is None:
                y = alone(pixels, weight, bias, name, [], algorithm)
            else:
                y = added(pixels, to.permute(0, 2, 3, 1), weight, bias, "add")
            return y.permute(0, 3, 1, 2)

        return run

    def convolution(self, size: list[int]) -> Kernel:
        """Return oneDNN's convolution for maps of a size (1, C, H, W).

        Without the size, oneDNN may choose an order of the weight that the kernel then undoes at every call:
        14 times slower for 96 -> 192 channels at 28 x 28.
        """
        settings = ([self.weight.shape[-1] // 2] * 2, [self.stride] * 2, [1, 1], self.groups)
        weight = torch.ops.mkldnn._reorder_convolution_weight(self.weight, *settings, size)
        bias, (_, name, algorithm) = self.bias, ACTS[self.act]
        alone, added = (
            getattr(torch.ops.mkldnn._convolution_pointwise, way) for way in ("default", "binary")
        )

        def run(x: Tensor, to: Tensor | None) -> Tensor:
            if to is None:
                return alone(x, weight, bias, *settings, name, [], algorithm)
            return added(x, to, weight, bias, *settings, "add", 1.0, None, [], None)

        return run

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "packed_for": (), "kernel": None}  # for copies and files


def has_kernels(x: Tensor, weight: Tensor) -> bool:
    """Return whether oneDNN's operators take this input.

    Graph recorders, counters, fake tensors, autograd and autocast know the usual operators only.
    """
    return bool(
        not torch.compiler.is_compiling()
        and type(x) is Tensor
        and x.dtype in _DTYPES
        and x.device.type == "cpu"
        and not (torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad))
        and not torch.is_autocast_enabled("cpu")
        and not torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
        and torch._C._len_torch_dispatch_stack() == 0
        and torch.backends.mkldnn.enabled
    )


def _dtypes() -> tuple[torch.dtype, ...]:
    """Return the types that this build of torch has the operators for."""
    names = ("_linear_pointwise", "_reorder_linear_weight", "_convolution_pointwise")
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    if not all(has(f"mkldnn::{name}", "CPU") for name in (*names, "_reorder_convolution_weight")):
        return ()
    has_bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return (torch.float32, torch.bfloat16) if has_bf16 else (torch.float32,)


_DTYPES = _dtypes()
