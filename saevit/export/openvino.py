"""A network as an OpenVINO graph, by way of its ONNX graph."""

import errno
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saevit.errors import MeasureError, need
from saevit.export.onnx import EXTRA, quiet, reason_of

GROUP = "saevit"  # of what a file says of itself, in its rt_info
NODES_APART = ("Constant", "Parameter", "Result")


def openvino_model(data: bytes, properties: Mapping[str, str] | None = None) -> Any:
    """Return an `openvino.Model` of an ONNX graph, given as its file holds it.

    Raises:
        MeasureError: OpenVINO cannot read it, in one line.
        MissingPackageError: openvino is not installed.
    """
    openvino = need("openvino", EXTRA)
    try:
        with quiet():
            made = openvino.Core().read_model(data, b"")
            folding = need("openvino.passes").Manager()
            folding.register_pass(need("openvino.passes").ConstantFolding())
            # Else the shape of every bias is worked out at run time: saevit_pico had 940 operators, not 319.
            folding.run_passes(made)
    except Exception as error:  # OpenVINO raises RuntimeError and kinds of its own
        raise MeasureError(f"OpenVINO cannot read its ONNX graph: {reason_of(error)}") from error
    for key, value in (properties or {}).items():
        made.set_rt_info(value, [GROUP, key])
    return made


def compiled(model: Any, threads: int | None = None) -> Any:
    """Return a model or the path of one, compiled for the CPU to compute in fp32, one request at a time.

    Without being told so, OpenVINO computes in bf16 where the processor has it.

    Args:
        model: an `openvino.Model`, or the path of an .xml file.
        threads: None leaves their number to OpenVINO.
    """
    openvino = need("openvino", EXTRA)
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "ENABLE_CPU_PINNING": False,  # no other runtime binds its threads to cores
    }
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
    with quiet():
        return openvino.Core().compile_model(model, "CPU", settings)


def save(model: Any, path: Path) -> None:
    """Write `path` (.xml) and the weights beside it (.bin), in fp32.

    Raises:
        OSError: the disk is full.
        MeasureError: OpenVINO cannot, in one line.
    """
    openvino = need("openvino", EXTRA)
    try:
        openvino.save_model(model, path, compress_to_fp16=False)
    except Exception as error:  # it says "iostream error" of a full disk
        constants = (op for op in model.get_ops() if op.get_type_name() == "Constant")
        if shutil.disk_usage(path.parent).free < sum(op.get_byte_size() for op in constants):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise MeasureError(f"OpenVINO cannot write it: {reason_of(error)}") from error


def operators(model: Any) -> dict[str, int]:
    """Return how often each operator stands in a graph, the most frequent first."""
    kinds = Counter(node.get_type_name() for node in model.get_ops())
    return {kind: count for kind, count in kinds.most_common() if kind not in NODES_APART}
