"""OpenVINO: a graph (.xml) and its weights (.bin), converted from the ONNX graph."""

import errno
import os
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from saevit.errors import MeasureError, need
from saevit.export import formats
from saevit.export.onnx import graph_of

GROUP = "saevit"  # group of the properties in rt_info
NOT_COUNTED = ("Constant", "Parameter", "Result")  # nodes that compute nothing


def make_openvino_model(
    data: bytes, properties: Mapping[str, str] | None = None, *, is_int8: bool = False
) -> Any:
    """Return an `openvino.Model` of the bytes of an ONNX file.

    Args:
        data: the file.
        properties: what the model says about the network.
        is_int8: the graph is quantised; its weights then stay as they are, and OpenVINO computes in int8.

    Raises:
        MeasureError: OpenVINO cannot read the graph, in one line.
        MissingPackageError: openvino is not installed.
    """
    openvino = need("openvino", formats.EXTRA)
    try:
        with formats.silence_exporters():
            model = openvino.Core().read_model(data, b"")
            # Otherwise the shapes of biases are computed at run time: saevit_pico has 940 operators, not 319.
            # Folding would also turn the weights of a quantised graph back to fp32.
            folding = need("openvino.passes").Manager()
            if not is_int8:
                folding.register_pass(need("openvino.passes").ConstantFolding())
            folding.run_passes(model)
    except Exception as error:  # OpenVINO raises RuntimeError and kinds of its own
        raise MeasureError(f"OpenVINO cannot read the ONNX graph: {formats.first_cause(error)}") from error
    for key, value in (properties or {}).items():
        model.set_rt_info(value, [GROUP, key])
    return model


def compile_openvino(model: Any, threads: int | None = None, *, is_profiled: bool = False) -> Any:
    """Compile a model for the CPU, in fp32 and for one request at a time.

    By default OpenVINO computes in bf16 on processors that have it.

    Args:
        model: an `openvino.Model`, or the path of an .xml file.
        threads: None is OpenVINO's default.
        is_profiled: keep the time of every operator.
    """
    openvino = need("openvino", formats.EXTRA)
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "ENABLE_CPU_PINNING": False,  # no other runtime binds its threads to cores
        "PERF_COUNT": is_profiled,
    }
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
    with formats.silence_exporters():
        return openvino.Core().compile_model(model, "CPU", settings)


def write_openvino(source: formats.ExportInput, path: Path) -> formats.Content:
    """Convert the ONNX graph and write `path` (.xml) and the weights beside it (.bin)."""
    data = graph_of(source).SerializeToString()
    model = make_openvino_model(data, source.properties, is_int8=source.dtype == "int8")
    nodes = list(model.get_ops())
    try:
        need("openvino", formats.EXTRA).save_model(model, path, compress_to_fp16=source.dtype == "fp16")
    except Exception as error:  # on a full disk it says "iostream error"
        constants = (node for node in nodes if node.get_type_name() == "Constant")
        if shutil.disk_usage(path.parent).free < sum(node.get_byte_size() for node in constants):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise MeasureError(f"OpenVINO cannot write the file: {formats.first_cause(error)}") from error
    with path.open(encoding="utf-8") as file:  # its first line states the version of the format
        ir = file.read(400).partition('<net name="')[2].partition('version="')[2].partition('"')[0]
    kinds = (node.get_type_name() for node in nodes)
    return formats.Content(
        operators=formats.count_operators(kind for kind in kinds if kind not in NOT_COUNTED),
        versions={
            "opset of its ONNX graph": str(source.opset),
            "IR": ir,
            "openvino": version("openvino"),
        },
    )


def read_openvino(path: Path) -> formats.Runner:
    """Load and compile the files."""
    model = compile_openvino(path)
    return lambda x: np.asarray(model([x.numpy()])[0])


OPENVINO = formats.Format(
    endings=(".xml", ".bin"),
    packages=("onnx", "onnxscript", "openvino", "onnxruntime"),  # the last one quantises
    dtypes=("fp32", "fp16", "int8"),
    quantiser="ONNX Runtime",
    write=write_openvino,
    read=read_openvino,
)
