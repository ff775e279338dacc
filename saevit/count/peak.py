"""The most memory that activations hold at once, traced rather than derived."""

import math
import weakref
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from saevit.count.tracing import Shape, copy_placed, keep_shape, run_eagerly, track_modules
from saevit.errors import MemoryLimitError


@dataclass(frozen=True, kw_only=True)
class Peak:
    """The moment of a forward pass at which activations hold most memory."""

    bytes: int
    """Bytes of all live activations, the input and the result being written included."""
    path: str
    """The module that was running ("" is the root)."""
    op: str
    """The operator that wrote last, such as `aten::convolution`; "" if the input alone is the peak."""


class MemoryWatch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch does not type it
    """Adds up the storages that operators allocate, and subtracts each when its last tensor is freed.

    Beyond `most` bytes it raises MemoryLimitError, before the last allocation is filled.
    """

    def __init__(self, running: list[str], most: float = math.inf) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.running = running
        self.most = most
        self.live = 0  # bytes
        self.peak: Peak = Peak(bytes=0, path="", op="")
        self.known: dict[int, weakref.ref[Any] | None] = {}  # by address; None: not an activation

    def exempt(self, model: nn.Module) -> None:
        """Leave parameters and buffers out."""
        for tensor in [*model.parameters(), *model.buffers()]:
            self.known[storage_key(tensor)] = None

    def see(self, tensor: Tensor, op: str) -> None:
        """Add a tensor's storage, unless it is known: of a view, or of a result written in place."""
        storage, key = tensor.untyped_storage(), storage_key(tensor)
        if key in self.known or tensor.device.type == "meta":  # which has no memory
            return
        size = storage.nbytes()

        def free(_: object) -> None:
            del self.known[key]
            self.live -= size

        self.known[key] = weakref.ref(storage, free)
        self.live += size
        if self.live > self.most:
            raise MemoryLimitError(f"it needs more than {self.most / 1e9:.3g} GB, which do not fit here")
        if self.live > self.peak.bytes:
            self.peak = Peak(bytes=self.live, path=self.running[-1], op=op)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self.see(leaf, func._schema.name)
        return out


def storage_key(tensor: Tensor) -> int:
    """Return a key that is unique to a storage while it exists."""
    key: int = tensor.untyped_storage()._cdata
    return key


def trace_peak(
    model: nn.Module,
    input_shape: Shape,
    dtype: torch.dtype = torch.float32,
    recording: Callable[[nn.Module], AbstractContextManager[object]] = nullcontext,
) -> Peak:
    """Return the peak of live activations over one eval forward pass without gradients, in bytes.

    Counted are the storages of the (B, C, H, W) input, which its caller keeps, and of every operator's
    results, by-products included (the indices of a max-pool), from when they are written until eager
    PyTorch on a CPU frees them. Left out are parameters, buffers, and kernels' own scratch memory. The model
    is not touched: it runs on fake tensors, so the figure is exact, the same everywhere, and needs no memory.
    What `recording` of the model keeps while it runs counts too.

    Raises:
        RuntimeError: the model looks at data (`.item()`), which fake tensors do not have.
    """
    with run_eagerly(), torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
        copied = copy_placed(model, keep_shape("cpu", dtype))
        x = torch.zeros(input_shape, dtype=dtype)
        with track_modules(copied) as running, MemoryWatch(running) as watch:
            watch.exempt(copied)
            watch.see(x, "")
            with recording(copied):
                copied(x)
        peak: Peak = watch.peak
    return peak
