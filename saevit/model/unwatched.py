"""Layers of the reference form, computed by other operators where nobody can tell: no gradient, no onlooker.

B batch, C channels, H W the map, r the rate.

In inference mode on a CPU a 1x1 convolution in channels_last reorders its weight on every call, a product of
tokens does not; and the transposed convolution crawls in bf16, a product that broadcasts does not. Anywhere
else (training, counters, hooks, compilers, exporters, autocast) the layer itself is called. No weight is kept
between calls, so that none can be out of date.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from saevit.model import onednn


def pointwise(layer: nn.Module, x: Tensor) -> Tensor:
    """Return layer(x) of an `nn.Conv2d` of 1x1. (B, C, H, W) -> (B, C', H, W)."""
    if type(layer) is not nn.Conv2d or not _unwatched(layer, x):
        return cast(Tensor, layer(x))
    return onednn.linear(x.permute(0, 2, 3, 1), layer.weight.flatten(1), layer.bias, None).permute(0, 3, 1, 2)


def recover(layer: nn.Module, y: Tensor) -> Tensor:
    """Return layer(y) of a depth-wise `nn.ConvTranspose2d`, kernel = stride = r.

    (B, C, h, w) -> (B, C, h r, w r).
    """
    if type(layer) is not nn.ConvTranspose2d or not _unwatched(layer, y):
        return cast(Tensor, layer(y))
    r, (B, C, h, w) = layer.kernel_size[0], y.shape
    kernel = layer.weight[:, 0].permute(1, 2, 0).contiguous().view(1, 1, r, 1, r, C)
    windows = y.permute(0, 2, 3, 1).contiguous().view(B, h, 1, w, 1, C) * kernel
    return windows.reshape(B, h * r, w * r, C).permute(0, 3, 1, 2)


def _unwatched(layer: nn.Conv2d | nn.ConvTranspose2d, x: Tensor) -> bool:
    """Would nobody notice that `layer` is not called?

    Inference mode, as `no_grad` alone lets forward-mode gradients through.
    """
    return (
        onednn.usable(x)
        and torch.is_inference_mode_enabled()
        and x.is_contiguous(memory_format=torch.channels_last)
        and not x.is_contiguous()  # both at once: the layer settles which layout comes out
        and layer.weight.dtype == x.dtype
        and not torch.is_autocast_enabled("cpu")
        and not (layer._forward_hooks or layer._forward_pre_hooks or "forward" in vars(layer))
        and not _has_any_global_hook()  # type: ignore[no-untyped-call]
    )
