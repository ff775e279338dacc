"""The operators of an ONNX graph: their module, their MACs and the kind of work they do.

Both runtimes for ONNX graphs rewrite the graph. What they run is mapped back to these operators by name.
"""

import ast
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from saevit.errors import need
from saevit.export.formats import EXTRA

SCOPES = "pkg.torch.onnx.name_scopes"  # torch's exporter: the paths of the modules around an operator
WEIGHT, WORD = ".weight", 4  # the name of a module's weight ends so; bytes of a value in fp32
CONTRACTIONS = ("Conv", "ConvTranspose", "MatMul", "Gemm")
PRODUCT, CONVOLUTION, REORDER, ELEMENTWISE = "matrix product", "convolution", "reorder", "element-wise"
KINDS = {  # of a runtime's operators, by the names that the runtimes give to them
    CONVOLUTION: "Conv FusedConv ConvTranspose Convolution GroupConvolution Deconvolution",
    PRODUCT: "MatMul FusedMatMul Gemm FusedGemm FullyConnected",
    "softmax": "Softmax LogSoftmax",
    "attention": "Attention MultiHeadAttention ScaledDotProductAttention",
    "pooling, mean": "AveragePool GlobalAveragePool MaxPool GlobalMaxPool AvgPool Pooling ReduceMean Reduce",
    "upsampling": "Upsample Resize Interpolate",
    REORDER: "ReorderInput ReorderOutput Reorder",
    "transpose, split, pad": "Transpose Reshape Split VariadicSplit Concat Slice StridedSlice Pad Expand "
    "Gather DepthToSpace SpaceToDepth Squeeze Unsqueeze Flatten Broadcast Tile",
    "normalisation": "BatchNormalization LayerNormalization InstanceNormalization GroupNormalization "
    "SkipLayerNormalization LpNormalization MVN NormalizeL2 RMSNorm",
    ELEMENTWISE: "Add Sub Mul Div Pow Sqrt Neg Abs Exp Log Relu LeakyRelu PRelu Clip Sigmoid HardSigmoid "
    "HardSwish Tanh Erf Gelu FastGelu QuickGelu BiasGelu Elu Selu Softplus Mish Sum Max Min Where Cast "
    "Eltwise Subgraph Math",
}
KIND_OF = {operator: kind for kind, names in KINDS.items() for operator in names.split()}


@dataclass(frozen=True, kw_only=True)
class GraphNode:
    """One operator of the graph."""

    name: str
    operator: str
    path: str  # of its module; "" where neither it nor what it reads has one
    macs: int
    kind: str
    weight_bytes: int  # of its constant inputs
    inputs: tuple[str, ...]  # values; those of weights too
    outputs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class OnnxGraph:
    """The operators of a graph, by their names and by the values that they write."""

    nodes: dict[str, GraphNode]
    writers: dict[str, GraphNode]

    def find(self, name: str) -> GraphNode | None:
        """Return the operator of that name, or that writes the value of that name."""
        return self.nodes.get(name) or self.writers.get(name)

    def find_contraction(self, value: str) -> GraphNode | None:
        """Return the contraction that writes a value, or the nearest one before it.

        A runtime gives a contraction the name of what it fuses with it, such as an activation.
        """
        values, seen = [value], set()
        while values:
            writer = self.writers.get(values.pop(0))
            if writer is None or writer.name in seen:
                continue
            if writer.operator in CONTRACTIONS:
                return writer
            seen.add(writer.name)
            values += writer.inputs
        return None

    def find_path(self, values: Iterable[str]) -> str:
        """Return the module that writes the first of these values that a module writes."""
        return next((self.writers[v].path for v in values if v in self.writers and self.writers[v].path), "")


def read_graph(data: bytes) -> OnnxGraph:
    """Read the operators of a graph with fixed shapes.

    An operator that the exporter or its optimiser left without a module gets that of the operator before it.
    """
    onnx = need("onnx", EXTRA)
    graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(data)).graph
    shapes = {value.name: read_shape(value) for value in (*graph.value_info, *graph.input, *graph.output)}
    weights = {weight.name: tuple(weight.dims) for weight in graph.initializer}
    readers = Counter(name for node in graph.node for name in node.input)
    found = OnnxGraph(nodes={}, writers={})
    for node in graph.node:
        macs, kind = count_node(node, shapes | weights)
        constants = [name for name in node.input if name in weights]
        made = GraphNode(
            name=node.name,
            operator=node.op_type,
            path=read_owner([name for name in constants if readers[name] == 1])
            or read_scope(node)
            or found.find_path(node.input),
            macs=macs,
            kind=kind,
            weight_bytes=sum(WORD * math.prod(weights[name]) for name in constants),
            inputs=tuple(node.input),
            outputs=tuple(node.output),
        )
        found.nodes[made.name] = made
        found.writers.update(dict.fromkeys(made.outputs, made))
    return found


def read_shape(value: Any) -> tuple[int, ...]:
    """Return the sizes of a value."""
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)


def read_owner(constants: Sequence[str]) -> str:
    """Return the module whose weight an operator reads; a BN folded into it leaves its own scope there.

    The exporter keeps one of several equal weights, so those that other operators read too are not given.
    """
    return next((name.removesuffix(WEIGHT) for name in constants if name.endswith(WEIGHT)), "")


def read_scope(node: Any) -> str:
    """Return the path of the module that an operator comes from, or "" if the exporter wrote none."""
    scopes = next((entry.value for entry in node.metadata_props if entry.key == SCOPES), "")
    paths: list[str] = ast.literal_eval(scopes) if scopes else []
    return paths[-2] if len(paths) > 1 else ""


def count_node(node: Any, shapes: dict[str, tuple[int, ...]]) -> tuple[int, str]:
    """Return the MACs and the kind of an operator."""
    kind = name_kind(node.op_type)
    if node.op_type not in CONTRACTIONS:
        return 0, kind
    first, second = (shapes[name] for name in node.input[:2])
    out = math.prod(shapes[node.output[0]])
    if kind == CONVOLUTION:
        if node.op_type == "ConvTranspose":
            return math.prod(first) * math.prod(second[1:]), f"transposed {kind}"
        return out * math.prod(second[1:]), name_convolution(first[1], second)
    transposed = any(entry.name == "transA" and entry.i for entry in node.attribute)
    return out * (first[0] if transposed else first[-1]), kind


def name_convolution(channels: int, weight: Sequence[int]) -> str:
    """Return the kind of a convolution of some channels by its weight (C', C / groups, k, k)."""
    _, fan_in, *kernel = weight
    sides = " x ".join(map(str, kernel))
    if fan_in == channels:
        return f"convolution {sides}"
    return f"{'depth-wise' if fan_in == 1 else 'grouped'} convolution {sides}"


def name_kind(operator: str) -> str:
    """Return the kind of a runtime's operator; the name of one that is not known stays visible."""
    return KIND_OF.get(operator, f"other: {operator}")
