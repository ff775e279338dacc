"""A network as an ONNX graph: the one that `saevit export` writes, and that the runtimes are measured on."""

import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from saevit.errors import MeasureError, OptionError, need

OPSET = 20  # the first with GELU as one operator
OPSETS = range(18, 24)  # what torch's exporter writes without converting
INPUT, OUTPUT = "image", "output"
EXTRA = "export"
LARGEST = 2**31 - 2**24  # bytes of weights that one ONNX file holds

Shape = tuple[int, int, int, int]  # (B, C, H, W)


def onnx_model(
    model: nn.Module,
    shape: Shape,
    *,
    is_dynamic: bool,
    opset: int = OPSET,
    properties: Mapping[str, str] | None = None,
) -> Any:
    """Return an `onnx.ModelProto` of a network for inference: `image` (B, C, H, W) to `output`.

    Args:
        model: in eval mode, on the CPU, in fp32.
        shape: of the images.
        is_dynamic: take any batch, not that of the shape alone.
        opset: version of the standard operators, one of `OPSETS`.
        properties: what the file says of itself.

    Raises:
        OptionError: an opset that is not written.
        MeasureError: this network cannot be written, in one line.
        MissingPackageError: onnx or onnxscript is not installed.
    """
    check_opset(opset)
    for package in ("onnx", "onnxscript"):
        need(package, EXTRA)
    check_size(model)
    sizes = ({0: torch.export.Dim("batch", min=1)},) if is_dynamic else None
    try:
        with quiet(), torch.inference_mode(False), torch.no_grad():
            program = torch.onnx.export(
                model,
                (example(shape, is_dynamic=is_dynamic),),
                dynamo=True,
                dynamic_shapes=sizes,
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=opset,
                optimize=True,
                verbose=False,
            )
        assert program is not None  # as dynamo=True returns it
        made = program.model_proto
    except Exception as error:  # networks and the exporter raise all kinds
        raise MeasureError(f"it cannot be written as ONNX: {reason_of(error)}") from error
    for key, value in (properties or {}).items():
        made.metadata_props.add(key=key, value=value)
    return made


def example(shape: Shape, *, is_dynamic: bool) -> torch.Tensor:
    """Return images to trace with: at least two for any batch, as one would fix the batch at 1."""
    return torch.zeros(max(2, shape[0]) if is_dynamic else shape[0], *shape[1:])


def check_opset(opset: int) -> None:
    """Refuse an opset that is not written."""
    if opset not in OPSETS:
        near = min(max(opset, OPSETS[0]), OPSETS[-1])
        raise OptionError(f"opset {opset}: from {OPSETS[0]} to {OPSETS[-1]}, nearest is {near}")


def check_size(model: nn.Module) -> None:
    """Refuse weights that one file cannot hold."""
    size = sum(weight.numel() * 4 for weight in model.parameters())
    if size > LARGEST:
        raise MeasureError(f"it cannot be written as ONNX: {size / 1e9:.3g} GB of weights, a file holds 2")


def operators(model: Any) -> dict[str, int]:
    """Return how often each operator stands in a graph, the most frequent first."""
    return dict(Counter(node.op_type for node in model.graph.node).most_common())


def versions(model: Any) -> dict[str, int]:
    """Return the versions of the standard operators and of the file's form."""
    (opset,) = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    return {"opset": opset, "IR": model.ir_version}


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporters' remarks on their own inner workings to themselves."""
    level = logging.root.manager.disable
    logging.disable(max(level, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def reason_of(error: BaseException) -> str:
    """Return the first line of what an error came from: exporters wrap it in advice on themselves."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
