"""torch.export: a program that torch runs without the code that built the network."""

import io
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from saevit.errors import MeasureError
from saevit.export import formats

PROPERTIES = "saevit.json"  # name of the properties inside a .pt2 file


def write_pt2(source: formats.ExportInput, path: Path) -> formats.Content:
    """Trace a network and write one .pt2 file."""
    images, dynamic = formats.trace_arguments(source.shape, is_dynamic=source.is_dynamic)
    buffer = io.BytesIO()
    with formats.silence_exporters():
        try:
            with torch.inference_mode(False), torch.no_grad():
                program = torch.export.export(source.model, images, dynamic_shapes=dynamic)
        except Exception as error:  # networks and the tracer raise all kinds
            raise MeasureError(
                f"torch.export cannot trace the network: {formats.first_cause(error)}"
            ) from error
        extra = {PROPERTIES: json.dumps(dict(source.properties))}
        torch.export.save(program, buffer, extra_files=extra)
    path.write_bytes(buffer.getvalue())
    called = (str(node.target) for node in program.graph.nodes if node.op == "call_function")
    return formats.Content(operators=formats.count_operators(called), versions={"torch": torch.__version__})


def read_pt2(path: Path) -> formats.Runner:
    """Load a file."""
    with formats.silence_exporters():
        module = torch.export.load(path).module()

    def compute(x: Tensor) -> np.ndarray:
        with torch.no_grad():
            return np.asarray(module(x))

    return compute


TORCH_EXPORT = formats.Format(endings=(".pt2",), packages=(), write=write_pt2, read=read_pt2)
