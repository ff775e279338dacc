"""fp16: ONNX graphs that store their weights in half the bytes and compute in fp32."""

from typing import Any

import numpy as np

from saevit.errors import MeasureError, need
from saevit.export import formats

ENDING = "_fp16"  # of the name of a stored tensor


def store_in_fp16(data: bytes) -> Any:
    """Return an `onnx.ModelProto` whose weights are float16, each followed by a Cast to float32.

    ONNX Runtime casts them once, when it loads the graph. Constants of one value stay in float32.

    Args:
        data: an ONNX file in fp32.

    Raises:
        MeasureError: a weight is outside the range of float16, in one line.
        MissingPackageError: onnx is not installed.
    """
    onnx = need("onnx", formats.EXTRA)
    made = onnx.ModelProto.FromString(data)
    fp32, casts = onnx.TensorProto.FLOAT, []
    for weight in made.graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if weight.data_type != fp32 or values.size == 1:
            continue
        check_range(weight.name, values)
        casts.append(onnx.helper.make_node("Cast", [weight.name + ENDING], [weight.name], to=fp32))
        weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), weight.name + ENDING))
    nodes = [*casts, *made.graph.node]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    return made


def check_range(name: str, values: np.ndarray) -> None:
    """Refuse weights that float16 cannot hold."""
    largest, limit = np.abs(values).max(initial=0), np.finfo(np.float16).max
    if limit < largest < np.inf:
        raise MeasureError(f"{name} reaches {largest:.3g}, above {limit:.6g}, the largest value of fp16")
