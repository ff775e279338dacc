"""Counter 2: PyTorch's own formulas, applied to every operator that runs."""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils import flop_counter
from torch.utils._python_dispatch import TorchDispatchMode

from saevit.count.operators import kind_of, short_name
from saevit.count.tracing import (
    Count,
    Place,
    Shape,
    copy_placed,
    count_without_data,
    find_dtype,
    itemise,
    keep_shape,
    run_eagerly,
    track_modules,
)

Formula = Callable[..., int]  # shapes of the arguments, out_shape -> FLOPs, two for a MAC

aten = torch.ops.aten


def attention_flops(q: torch.Size, k: torch.Size, v: torch.Size, *_: object, **__: object) -> int:
    """FLOPs of softmax(q k^T) v; (..., n, d), (..., m, d), (..., m, e). Fewer heads in k, v are repeated."""
    return 2 * prod(q[:-1]) * k[-2] * (q[-1] + v[-1])


# Contractions for which some supported torch has no formula (fused attention on CPU: before 2.15).
OWN_FORMULAS: dict[Any, Formula] = {
    aten._scaled_dot_product_flash_attention_for_cpu: attention_flops,
    aten._scaled_dot_product_fused_attention_overrideable: attention_flops,
    aten._scaled_dot_product_attention_math_for_mps: attention_flops,
    **dict.fromkeys((aten.dot, aten.vdot, aten.mv), lambda a, *_, **__: 2 * prod(a)),  # a (k) or (n, k)
    aten.addmv: lambda _, a, *__, **___: 2 * prod(a),  # x + a b; a (n, k)
    aten.addbmm: lambda _, a, b, *__, **___: 2 * prod(a) * b[-1],  # x + sum of a b; a (B, n, k), b (B, k, m)
}


def wrap_formula(formula: Formula) -> Formula:
    """Return a formula of tensors made of a formula of their shapes."""
    wrapped: Formula = flop_counter.shape_wrapper(formula)  # type: ignore[no-untyped-call]
    return wrapped


class Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch does not type it
    """Records every operator that runs under it, at the path of the module that is running."""

    def __init__(self, running: list[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.running = running
        own = {packet: wrap_formula(formula) for packet, formula in OWN_FORMULAS.items()}
        self.formulas = own | flop_counter.flop_registry  # torch's come first where both exist
        self.macs: Counter[str] = Counter()
        self.written: Counter[str] = Counter()
        self.apart: Counter[str] = Counter()
        self.uncounted: Counter[str] = Counter()
        self.unknown_to_torch: Counter[str] = Counter()  # MACs by operator, where only we have a formula

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        packet = func._overloadpacket
        if packet not in self.formulas and kind_of(func._schema.name) != "movement":
            with self:  # what it is made of may have formulas; indices of a copy are no work
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        out = func(*args, **kwargs)
        if packet in self.formulas:
            self.record_contraction(packet, self.formulas[packet](*args, **kwargs, out_val=out), out)
        elif not uses_weights_alone(args):
            self.record_other(func._schema.name, out)
        return out

    def record_contraction(self, packet: Any, flops: int, out: Any) -> None:
        """Record a contraction: half its FLOPs, and its result's elements."""
        macs, odd = divmod(flops, 2)
        assert not odd, f"{packet} has {flops} FLOPs, which is no whole number of multiply-adds"
        self.macs[self.running[-1]] += macs
        self.written[self.running[-1]] += count_elements(out)
        if packet not in flop_counter.flop_registry:
            self.unknown_to_torch[str(packet)] += macs

    def record_other(self, name: str, out: Any) -> None:
        """Record an operator without a formula: apart, or as uncounted."""
        kind = kind_of(name)
        if kind == "arithmetic":
            self.apart[short_name(name)] += count_elements(out)
        elif kind == "unknown":
            self.uncounted[name] += 1


class AttentionAsOne(TorchFunctionMode):
    """Records scaled_dot_product_attention as one operator, both for a fused kernel and for products."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger = ledger

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        ledger = self.ledger
        written, apart = ledger.written.copy(), ledger.apart.copy()
        out = func(*args, **(kwargs or {}))
        ledger.written, ledger.apart = written, apart
        ledger.written[ledger.running[-1]] += count_elements(out)
        return out


def uses_weights_alone(args: tuple[Any, ...]) -> bool:
    """Return whether an operator is given parameters only: no work on an image, for any batch."""
    tensors = [arg for arg in args if isinstance(arg, Tensor)]
    return bool(tensors) and all(isinstance(tensor, nn.Parameter) for tensor in tensors)


def count_elements(out: Any) -> int:
    """Return the elements of an operator's result, the first of several (the others are by-products)."""
    first = out[0] if isinstance(out, list | tuple) and out else out
    return first.numel() if isinstance(first, Tensor) else 0


def count_torch(model: nn.Module, input_shape: Shape) -> Count:
    """Count one eval forward pass of a (B, C, H, W) input with PyTorch's formulas. The model is not touched.

    It runs on fake CPU tensors: shapes without data, and the operators (fused attention among them) that a
    CPU would run.
    Source: torch.utils.flop_counter, whose own total is checked against ours in the same pass.
    """

    def run(place: Place, notes: tuple[str, ...]) -> Count:
        fake = nullcontext() if notes else FakeTensorMode(allow_non_fake_inputs=True)
        with run_eagerly(), fake:
            return run_torch(copy_placed(model, place), input_shape, notes)

    return count_without_data(run, keep_shape("cpu"))


def run_torch(model: nn.Module, input_shape: Shape, notes: tuple[str, ...]) -> Count:
    """Count a model that may be changed, on the kind of tensors it holds."""
    x = torch.zeros(input_shape, dtype=find_dtype(model))
    proof = flop_counter.FlopCounterMode(display=False)
    with track_modules(model) as running, proof, Ledger(running) as ledger, AttentionAsOne(ledger):
        model(x)
    out_of_box = proof.get_total_flops() // 2
    unknown = ledger.unknown_to_torch
    assert ledger.macs.total() == out_of_box + unknown.total(), "torch's own total differs from ours"
    reasons = {f"torch {torch.__version__} has no formula for {name}": -n for name, n in unknown.items()}
    return Count(
        counter="torch",
        macs={path: n for path, n in ledger.macs.items() if n},
        out_of_box=out_of_box,
        reasons=itemise(reasons),
        apart=dict(ledger.apart),
        uncounted=dict(ledger.uncounted),
        activations=dict(ledger.written),
        notes=notes,
    )
