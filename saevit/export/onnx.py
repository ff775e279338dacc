"""ONNX: the graph that `saevit export` writes and that the runtimes are measured on."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from saevit.errors import MeasureError, OptionError, need
from saevit.export import formats
from saevit.export.fp16 import store_in_fp16
from saevit.export.int8 import quantize_graph

OPSET = 20  # the first with GELU as one operator
OPSETS = range(18, 24)  # what torch's exporter writes without converting
INPUT, OUTPUT = "image", "output"
LARGEST = 2**31 - 2**24  # bytes of weights that one ONNX file holds


def make_onnx_model(
    model: nn.Module,
    shape: formats.Shape,
    *,
    is_dynamic: bool,
    opset: int = OPSET,
    properties: Mapping[str, str] | None = None,
) -> Any:
    """Return an `onnx.ModelProto` of a network: `image` (B, C, H, W) to `output`.

    Args:
        model: in eval mode, on the CPU, in fp32.
        shape: of the images.
        is_dynamic: accept any batch size, not only that of the shape.
        opset: version of the standard operators, one of `OPSETS`.
        properties: what the file says about the network.

    Raises:
        OptionError: the opset is not one of `OPSETS`.
        MeasureError: this network cannot be written, in one line.
        MissingPackageError: onnx or onnxscript is not installed.
    """
    check_opset(opset)
    for package in ("onnx", "onnxscript"):
        need(package, formats.EXTRA)
    size = sum(weight.numel() * 4 for weight in model.parameters())
    if size > LARGEST:
        raise MeasureError(
            f"an ONNX file holds at most 2 GB of weights, and the network has {size / 1e9:.3g} GB"
        )
    images, dynamic = formats.trace_arguments(shape, is_dynamic=is_dynamic)
    try:
        with formats.silence_exporters(), torch.inference_mode(False), torch.no_grad():
            program = torch.onnx.export(
                model,
                images,
                dynamo=True,
                dynamic_shapes=dynamic,
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=opset,
                optimize=True,
                verbose=False,
            )
        assert program is not None  # as dynamo=True returns it
        graph = program.model_proto
    except Exception as error:  # networks and the exporter raise all kinds
        raise MeasureError(f"torch cannot write the network as ONNX: {formats.first_cause(error)}") from error
    for key, value in (properties or {}).items():
        graph.metadata_props.add(key=key, value=value)
    return graph


def check_opset(opset: int) -> None:
    """Refuse an opset that torch's exporter does not write."""
    if opset not in OPSETS:
        near = min(max(opset, OPSETS[0]), OPSETS[-1])
        raise OptionError(f"opset {opset}: from {OPSETS[0]} to {OPSETS[-1]}, nearest is {near}")


def graph_of(source: formats.ExportInput) -> Any:
    """Return the ONNX graph of a network to write, in int8 or fp32; formats share one."""
    if "onnx" not in source.graphs:
        graph = make_onnx_model(
            source.model,
            source.shape,
            is_dynamic=source.is_dynamic,
            opset=source.opset,
            properties=source.properties,
        )
        if source.dtype == "int8":
            assert source.calibration is not None  # as `export_network` gives it
            graph = quantize_graph(graph.SerializeToString(), source.calibration)
        source.graphs["onnx"] = graph
    return source.graphs["onnx"]


def write_onnx(source: formats.ExportInput, path: Path) -> formats.Content:
    """Write one .onnx file."""
    graph = graph_of(source)
    if source.dtype == "fp16":
        graph = store_in_fp16(graph.SerializeToString())
    path.write_bytes(graph.SerializeToString())
    (opset,) = [entry.version for entry in graph.opset_import if entry.domain in ("", "ai.onnx")]
    versions = {"opset": str(opset), "IR": str(graph.ir_version)}
    versions |= {package: version(package) for package in ONNX.packages}
    return formats.Content(
        operators=formats.count_operators(node.op_type for node in graph.graph.node),
        versions=versions,
    )


def read_onnx(path: Path) -> formats.Runner:
    """Load a file in ONNX Runtime."""
    runtime = need("onnxruntime", formats.EXTRA)
    session = runtime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return lambda x: np.asarray(session.run([OUTPUT], {INPUT: x.numpy()})[0])


ONNX = formats.Format(
    endings=(".onnx",),
    packages=("onnx", "onnxscript", "onnxruntime"),
    write=write_onnx,
    read=read_onnx,
    dtypes=("fp32", "fp16", "int8"),
    quantiser="ONNX Runtime",
)
