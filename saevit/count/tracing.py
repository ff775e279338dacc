"""What the tracing counters share: the class of a count, and copies of a model to run it on."""

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Literal

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from saevit.errors import name_and_line, need

Shape = tuple[int, int, int, int]  # (B, C, H, W)
Place = Callable[[Tensor], Tensor]  # what a copy of a network holds for each tensor


@dataclass(frozen=True, kw_only=True)
class Count:
    """One counter's count of one forward pass. The unit is the MAC, one multiply-add."""

    counter: Literal["torch", "fvcore", "thop"]
    macs: Mapping[str, int]
    """MACs of contractions, by path of the innermost module that ran them ("" is the root); no zeros."""
    out_of_box: int | float | None
    """What the tool reports without our formulas, as MACs (torch's FLOPs halved); None where it fails."""
    reasons: tuple[str, ...]
    """Why `out_of_box` differs from `total`: each ends in a signed amount, which add up exactly."""
    apart: Mapping[str, int] = field(default_factory=dict)
    """torch only: elements written by operators that compute without contracting, by operator."""
    uncounted: Mapping[str, int] = field(default_factory=dict)
    """Calls of operators (thop: modules) without a formula that may have contracted, by name."""
    activations: Mapping[str, int] | None = None
    """torch only: elements written by convolution, linear, matmul and attention, by path."""
    notes: tuple[str, ...] = ()
    """Remarks without an amount, such as why the count needed real tensors."""

    @property
    def total(self) -> int:
        """MACs of the whole pass."""
        return sum(self.macs.values())


def count_without_data(count: Callable[[Place, tuple[str, ...]], Count], place: Place) -> Count:
    """Count on tensors without data, or on real ones where the model looks at data, which a note says."""
    try:
        return count(place, ())
    except Exception as error:  # if real tensors do not help, it is raised there
        reason = f"without data the model stops ({name_and_line(error)[:200]})"
        return count(copy_to_cpu, (f"counted with real tensors, because {reason}",))


def itemise(amounts: Mapping[str, int]) -> tuple[str, ...]:
    """Write each text with its signed amount, the largest first; zeros are left out."""
    nonzero = [(text, amount) for text, amount in amounts.items() if amount]
    return tuple(f"{text}: {amount:+,}" for text, amount in sorted(nonzero, key=lambda item: -abs(item[1])))


def copy_placed(model: nn.Module, place: Place) -> nn.Module:
    """Copy a model in eval mode, each of its tensors replaced by `place(it)`, none wanting gradients.

    Tied tensors stay tied, and `place` alone copies weights.
    """
    memo: dict[int, object] = {}
    for tensor in [*model.parameters(), *model.buffers(), *list_plain_tensors(model)]:
        placed = place(tensor.detach())
        is_weight = isinstance(tensor, nn.Parameter)
        memo[id(tensor)] = nn.Parameter(placed, requires_grad=False) if is_weight else placed
    return copy.deepcopy(model, memo).eval()


def list_plain_tensors(model: nn.Module) -> list[Tensor]:
    """Return the tensors that modules keep as plain attributes, neither parameter nor buffer."""
    return [value for m in model.modules() for value in vars(m).values() if isinstance(value, Tensor)]


def keep_shape(device: str, dtype: torch.dtype | None = None) -> Place:
    """Return a `place` that keeps shape and strides only, and casts floating tensors to `dtype`."""

    def place(tensor: Tensor) -> Tensor:
        kind = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
        return torch.empty_strided(tensor.size(), tensor.stride(), dtype=kind, device=device)

    return place


def copy_to_cpu(tensor: Tensor) -> Tensor:
    """Copy a tensor to the CPU; one without data (meta) becomes zeros."""
    return torch.zeros_like(tensor, device="cpu") if tensor.is_meta else tensor.to("cpu", copy=True)


def find_dtype(model: nn.Module) -> torch.dtype:
    """Return the type of a model's first floating parameter: what its input must be."""
    floating = (p.dtype for p in model.parameters() if p.is_floating_point())
    return next(floating, torch.float32)


@contextmanager
def run_eagerly() -> Iterator[None]:
    """Run operators one by one, independent of the modes that the caller has set.

    The fused fast path of nn.MultiheadAttention has no formula, and inference mode hides what an operator
    is made of. Gradients are enabled, but no parameter wants one: FlopCounterMode needs it so.
    """
    fastpath = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fastpath)


@contextmanager
def track_modules(model: nn.Module) -> Iterator[list[str]]:
    """Yield the paths of the modules being executed, outermost first; a shared module has its first path."""
    running = [""]
    handles = []

    def leave(*_: object) -> None:
        running.pop()

    def enter(path: str) -> Callable[..., None]:
        return lambda *_: running.append(path)

    for path, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(enter(path)))
        handles.append(module.register_forward_hook(leave, always_call=True))
    try:
        yield running
    finally:
        for handle in handles:
            handle.remove()


def trace_shapes(model: nn.Module, input_shape: Shape) -> dict[str, tuple[int, int, int]]:
    """Return (channels, height, width) of what each module writes.

    Read are (B, C), (B, C, H, W), and (B, H, W, C) where only that has the image's aspect. A module that runs
    more than once has its last shape; one that returns anything else has none.
    """
    shapes: dict[str, tuple[int, int, int]] = {}

    def record(path: str, out: object) -> None:
        if isinstance(out, Tensor) and out.ndim in (2, 4) and out.shape[0] == input_shape[0]:
            shapes[path] = order_channels_first((*out.shape[1:], 1, 1)[:3], input_shape)

    with run_eagerly(), FakeTensorMode(allow_non_fake_inputs=True):
        copied = copy_placed(model, keep_shape("cpu"))
        for path, module in copied.named_modules():
            module.register_forward_hook(lambda _m, _x, out, path=path: record(path, out))
        copied(torch.zeros(input_shape, dtype=find_dtype(copied)))
    return shapes


def order_channels_first(sides: tuple[int, ...], input_shape: Shape) -> tuple[int, int, int]:
    """Return (C, H, W), given these or, for a (B, C, H, W) input, (H, W, C). Halving rounds by a pixel."""
    a, b, c = sides
    H, W = input_shape[2:]
    first, last = (abs(height * W - width * H) <= max(H, W) for height, width in ((b, c), (a, b)))
    return (c, a, b) if last and not first else (a, b, c)


def read_whole_number(number: float, tool: str) -> int:
    """Return one of a tool's floats as the whole number that it must be."""
    assert number == int(number), f"{tool} counts {number}, which is no whole number of MACs"
    return int(number)


def need_quietly(module: str) -> ModuleType:
    """Import a package without the warnings of its own imports about deprecated functions."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated")  # fvcore
        warnings.filterwarnings("ignore", message="distutils Version classes are deprecated")  # thop
        return need(module)
