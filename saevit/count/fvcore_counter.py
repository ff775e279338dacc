"""Counter 3: fvcore, which reads the graph that torch.jit traces."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import torch
from torch import nn

from saevit.count.operators import kind_of
from saevit.count.tracing import (
    Count,
    Shape,
    copy_placed,
    copy_to_cpu,
    find_dtype,
    itemise,
    need_quietly,
    read_whole_number,
    run_eagerly,
)
from saevit.errors import name_and_line

Handle = Callable[[list[Any], list[Any]], Any]  # inputs and outputs of a node of the graph -> amount


def read_shape(value: Any) -> list[int]:
    """Return a traced tensor's shape."""
    found: list[int] = value.type().sizes()
    return found


def attention_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """MACs of softmax(q k^T) v; (..., n, d), (..., m, d), (..., m, e)."""
    q, k, v = (read_shape(value) for value in inputs[:3])
    return prod(q[:-1]) * k[-2] * (q[-1] + v[-1])


def einsum_macs(inputs: list[Any], outputs: list[Any]) -> int | None:
    """MACs of an einsum of two operands as PyTorch runs it; None: of another form, not counted.

    PyTorch sums over an index that only one operand has before it multiplies.
    """
    equation = str(inputs[0].toIValue()).replace(" ", "")
    shapes = [read_shape(value) for value in inputs[1].node().inputs()]
    if len(shapes) != 2 or "->" not in equation or "." in equation:
        return None
    terms, _, result = equation.partition("->")
    first, second = (
        dict(zip(term, shape, strict=True)) for term, shape in zip(terms.split(","), shapes, strict=True)
    )
    shared = [i for i in first.keys() & second.keys() if first[i] > 1 and second[i] > 1]
    if all(i in result for i in shared):
        return 0  # an element-wise product
    outer = [max(first.get(i, 1), second.get(i, 1)) for i in set(result)]
    inner = [first[i] for i in shared if i not in result]
    return prod(outer) * prod(inner)


def mode_conv_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """MACs of a convolution whose padding is a word ("same")."""
    out = read_shape(outputs[0])
    return out[0] * prod(out[2:]) * prod(read_shape(inputs[1]))


MATMULS = ("aten::matmul", "aten::mv", "aten::dot", "aten::vdot")
# Where fvcore has no handle, or one that fails (matmul of vectors), undercounts (matmul whose second operand
# has the larger batch) or rounds to four digits (einsum).
OWN_HANDLES: dict[str, Handle] = {
    # of any ranks: the result's elements times the length that is contracted
    **dict.fromkeys(MATMULS, lambda x, y: prod(read_shape(y[0])) * read_shape(x[0])[-1]),
    "aten::addmv": lambda x, y: prod(read_shape(x[1])),  # x + a b; a (n, k)
    # x + a b; a (B, n, k), b (B, k, m)
    **dict.fromkeys(
        ("aten::baddbmm", "aten::addbmm"), lambda x, y: prod(read_shape(x[1])) * read_shape(x[2])[-1]
    ),
    "aten::einsum": einsum_macs,
    "aten::_convolution_mode": mode_conv_macs,
    "aten::scaled_dot_product_attention": attention_macs,
}

THEIR_CONTRACTIONS = frozenset({"aten::addmm", "aten::bmm", "aten::mm", "aten::linear", "aten::_convolution"})


class Handles:
    """Handles for one analysis that record our count of each operator and fvcore's own."""

    def __init__(self, theirs: dict[str, Handle]) -> None:
        self.theirs = theirs
        self.uncounted: Counter[str] = Counter()
        self.failures: list[str] = []  # operators at which fvcore without our handles stops

    def make_all(self) -> dict[str, Handle]:
        """Return a handle for every operator that either side counts."""
        return {kind: partial(self.count, kind) for kind in self.theirs.keys() | OWN_HANDLES.keys()}

    def count(self, kind: str, inputs: list[Any], outputs: list[Any]) -> Counter[str]:
        """Return both counts of one operator."""
        return Counter(
            {f"own {kind}": self.own(kind, inputs, outputs), f"box {kind}": self.box(kind, inputs, outputs)}
        )

    def own(self, kind: str, inputs: list[Any], outputs: list[Any]) -> int:
        """Return the MACs by our handle, else by fvcore's if it is of a contraction, else 0."""
        handle = OWN_HANDLES.get(kind) or (self.theirs[kind] if kind in THEIR_CONTRACTIONS else None)
        counted = handle(inputs, outputs) if handle else 0
        if counted is None:
            self.uncounted[kind] += 1
        return read_amount(counted or 0)

    def box(self, kind: str, inputs: list[Any], outputs: list[Any]) -> int:
        """Return what fvcore counts of a node without our handles."""
        try:
            return read_amount(self.theirs[kind](inputs, outputs)) if kind in self.theirs else 0
        except (AssertionError, IndexError, NotImplementedError, TypeError) as error:
            self.failures.append(f"{kind} ({name_and_line(error)})")
            return 0


def read_amount(counted: Any) -> int:
    """Return what a handle counts, a number or a Counter of one."""
    return read_whole_number(sum(counted.values()) if isinstance(counted, Counter) else counted, "fvcore")


def count_fvcore(model: nn.Module, input_shape: Shape) -> Count:
    """Count one eval forward pass of a (B, C, H, W) input with fvcore. The model is not touched.

    It runs on real CPU tensors: torch.jit cannot trace a convolution without data. Work whose result is
    dropped is not in a traced graph, and is not counted.

    Raises:
        MissingPackageError: fvcore is absent.
    """
    fvcore = need_quietly("fvcore.nn.flop_count")
    handles = Handles(fvcore._DEFAULT_SUPPORTED_OPS)
    copied = copy_placed(model, copy_to_cpu)
    x = torch.zeros(input_shape, dtype=find_dtype(copied))
    analysis = fvcore.FlopCountAnalysis(copied, x).set_op_handle(**handles.make_all())
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    with run_eagerly():
        inclusive = analysis.by_module_and_operator()
    by_operator = inclusive[""]
    unknown = {k: n for k, n in analysis.unsupported_ops().items() if kind_of(k) == "unknown"}
    failures = [f"fvcore as it comes fails at {failure}" for failure in dict.fromkeys(handles.failures)]
    return Count(
        counter="fvcore",
        macs=subtract_children({path: sum_own(counts) for path, counts in inclusive.items()}),
        out_of_box=None if failures else sum(n for k, n in by_operator.items() if k.startswith("box ")),
        reasons=() if failures else itemise(explain_differences(by_operator)),
        uncounted=unknown | dict(handles.uncounted),
        notes=tuple(failures),
    )


def sum_own(counts: Counter[str]) -> int:
    """MACs by our handles."""
    return sum(n for kind, n in counts.items() if kind.startswith("own "))


def subtract_children(inclusive: dict[str, int]) -> dict[str, int]:
    """Turn counts that include a module's children into counts that do not; zeros are left out."""
    exclusive = dict(inclusive)
    for path, n in inclusive.items():
        if path:
            exclusive[path.rpartition(".")[0]] -= n
    return {path: n for path, n in exclusive.items() if n}


def explain_differences(by_operator: Counter[str]) -> dict[str, int]:
    """Return for each operator how fvcore without our handles differs from our count, in MACs."""
    kinds = dict.fromkeys(key.partition(" ")[2] for key in by_operator)
    found = {}
    for kind in kinds:
        own, box = by_operator[f"own {kind}"], by_operator[f"box {kind}"]
        verdict = (
            "is not seen" if not box else "is miscounted" if own else "is counted, but contracts nothing"
        )
        found[f"{kind.partition('::')[2]} {verdict}"] = box - own
    return found
