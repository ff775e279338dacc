"""Core ML: a package (.mlpackage, a folder) for Apple's devices, which only macOS can compute."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.fx import Graph

from saevit.errors import MeasureError, need
from saevit.export import formats
from saevit.export.executorch import silence_native

ENDING = ".mlpackage"
MAIN = "Manifest.json"
PACKAGE_FILES = (MAIN, "Data/com.apple.CoreML/model.mlmodel", "Data/com.apple.CoreML/weights/weight.bin")
NOT_COUNTED = "const"  # an operator that computes nothing


def write_mlpackage(source: formats.ExportInput, folder: Path) -> formats.Content:
    """Convert a network and write the package, for the batch size of the images' shape.

    In fp16, weights are stored and operators computed in float16; images and outputs are float32.

    Raises:
        MeasureError: this network cannot be converted, in one line.
        MissingPackageError: coremltools is not installed.
    """
    with formats.silence_exporters(), silence_native():
        model = convert(source)
        model.user_defined_metadata.update(source.properties)
        model.save(str(folder))
    blocks = model.get_spec().mlProgram.functions["main"].block_specializations.values()
    operators = [one.type for block in blocks for one in block.operations if one.type != NOT_COUNTED]
    return formats.Content(
        operators=formats.count_operators(operators),
        versions={"coremltools": version("coremltools"), "torch": torch.__version__},
    )


def convert(source: formats.ExportInput) -> Any:
    """Return a `coremltools.models.MLModel`: `image` (B, C, H, W) to `output`."""
    tools = need("coremltools", COREML.extra)
    precision = tools.precision.FLOAT16 if source.dtype == "fp16" else tools.precision.FLOAT32
    try:
        with torch.inference_mode(False), torch.no_grad():
            program = torch.export.export(source.model, (torch.zeros(source.shape),)).run_decompositions({})
            remove_aliases(program.graph)
            return tools.convert(
                program,
                convert_to="mlprogram",
                compute_precision=precision,
                minimum_deployment_target=tools.target.iOS16,
                inputs=[tools.TensorType(name="image", shape=source.shape, dtype=np.float32)],
                outputs=[tools.TensorType(name="output", dtype=np.float32)],
                skip_model_load=True,
            )
    except Exception as error:  # networks and the converter raise all kinds
        raise MeasureError(f"coremltools cannot convert the network: {formats.first_cause(error)}") from error


def remove_aliases(graph: Graph) -> None:
    """Remove operators that return their input, which coremltools 9.0 does not know."""
    for node in list(graph.nodes):
        if node.target == torch.ops.aten.alias.default:
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)


COREML = formats.Format(
    endings=(ENDING,),
    packages=("coremltools",),
    extra="coreml",
    dtypes=("fp32", "fp16"),
    any_batch=False,
    write=write_mlpackage,
    read=None,
)
