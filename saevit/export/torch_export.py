"""A network as a program of torch.export, which any torch runs without the code that built it."""

import io
from collections import Counter
from collections.abc import Mapping

import torch
from torch import nn

from saevit.errors import MeasureError
from saevit.export.onnx import Shape, example, quiet, reason_of


def exported_program(model: nn.Module, shape: Shape, *, is_dynamic: bool) -> torch.export.ExportedProgram:
    """Return the program of a network for inference, (B, C, H, W) to its outputs.

    Raises:
        MeasureError: torch cannot trace this network, in one line.
    """
    sizes = ({0: torch.export.Dim("batch", min=1)},) if is_dynamic else None
    try:
        with quiet(), torch.inference_mode(False), torch.no_grad():
            return torch.export.export(model, (example(shape, is_dynamic=is_dynamic),), dynamic_shapes=sizes)
    except Exception as error:  # networks and the tracer raise all kinds
        raise MeasureError(f"torch.export cannot trace it: {reason_of(error)}") from error


def saved(program: torch.export.ExportedProgram, extra: Mapping[str, str]) -> bytes:
    """Return what a .pt2 file of the program holds, with further texts by file name."""
    buffer = io.BytesIO()
    with quiet():
        torch.export.save(program, buffer, extra_files=dict(extra))
    return buffer.getvalue()


def operators(program: torch.export.ExportedProgram) -> dict[str, int]:
    """Return how often each operator stands in a program, the most frequent first."""
    called = (node for node in program.graph.nodes if node.op == "call_function")
    return dict(Counter(str(node.target) for node in called).most_common())
