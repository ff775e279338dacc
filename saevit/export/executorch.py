"""ExecuTorch: a program (.pte) for phones and computers, most of it computed by XNNPACK on the CPU."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from saevit.count.tracing import copy_placed
from saevit.errors import MeasureError, need
from saevit.export import formats
from saevit.export.int8 import fill_batches

EXTRA = "executorch"  # extra of the package
PACKAGE = "executorch.exir"
NOT_COUNTED = ("alloc", "getitem", "free")  # calls that compute nothing


def make_program(model: nn.Module, shape: formats.Shape, calibration: Tensor | None = None) -> Any:
    """Return an ExecuTorch program of a network, for images of exactly this shape.

    XNNPACK computes all operators that it has; the others run in ExecuTorch's own kernels.

    Args:
        model: in eval mode, on the CPU, in fp32.
        shape: of the images.
        calibration: normalised images (N, C, H, W) for int8; None writes in fp32.

    Raises:
        MeasureError: this network cannot be written, in one line.
        MissingPackageError: executorch is not installed.
    """
    exir = import_silently(PACKAGE)
    # XNNPACK's passes refuse weights in another layout, and its results get the layout of the weights.
    network = copy_placed(model, lambda tensor: tensor.clone(memory_format=torch.contiguous_format))
    try:
        with formats.silence_exporters(), torch.inference_mode(False), torch.no_grad():
            traced = torch.export.export(network, (torch.zeros(shape),))
            if calibration is not None:
                quantised = quantize(traced.module(), fill_batches(calibration, shape[0]))
                traced = torch.export.export(quantised, (torch.zeros(shape),))
            return exir.to_edge_transform_and_lower(
                traced,
                partitioner=[make_partitioner(is_int8=calibration is not None)],
            ).to_executorch()
    except Exception as error:  # networks and the exporter raise all kinds
        raise MeasureError(f"ExecuTorch cannot write the network: {formats.first_cause(error)}") from error


def make_partitioner(*, is_int8: bool) -> Any:
    """Return what chooses the operators that XNNPACK computes."""
    xnnpack = import_silently("executorch.backends.xnnpack.partition.xnnpack_partitioner")
    configs = import_silently("executorch.backends.xnnpack.partition.config").ALL_PARTITIONER_CONFIGS
    # XNNPACK refuses programs that pad a dequantised tensor, as soon as they are loaded.
    left_out = "constant_pad_nd.default" if is_int8 else None
    return xnnpack.XnnpackPartitioner([each for each in configs if each.target_name != left_out])


def quantize(network: Any, batches: Tensor) -> Any:
    """Return a traced network in int8, quantised statically for XNNPACK and calibrated on batches of images.

    Weights have a scale for each output channel. Convolutions, products by weights, additions,
    multiplications and concatenations are computed in int8, all others in fp32.
    """
    pt2e = import_silently("torchao.quantization.pt2e.quantize_pt2e")
    xnnpack = import_silently("executorch.backends.xnnpack.quantizer.xnnpack_quantizer")
    config = xnnpack.get_symmetric_quantization_config(is_per_channel=True)
    observed = pt2e.prepare_pt2e(network, xnnpack.XNNPACKQuantizer().set_global(config))
    for images in batches:
        observed(images)
    return pt2e.convert_pt2e(observed)


def import_silently(module: str) -> Any:
    """Import a part of ExecuTorch without the warnings that it logs about other packages."""
    with formats.silence_exporters():
        return need(module, EXTRA)


@dataclass(frozen=True)
class LoadedProgram:
    """A program in memory; its method uses the bytes and the program, which are therefore kept."""

    data: bytes
    program: Any
    method: Any

    @property
    def batch_size(self) -> int:
        """The only batch size that it accepts."""
        return self.method.metadata.input_tensor_meta(0).sizes()[0]

    def __call__(self, images: Tensor) -> Any:
        """Compute images (B, C, H, W), and return the list of its outputs."""
        return self.method.execute([images])


def load_program(data: bytes, threads: int | None = None) -> LoadedProgram:
    """Load a program.

    Args:
        data: of a .pte file.
        threads: of XNNPACK, in the whole process; None leaves them as they are.
    """
    runtime = import_silently("executorch.runtime")
    library = import_silently("executorch.extension.pybindings.portable_lib")
    with silence_native():
        if threads is not None and library._threadpool_get_thread_count() != threads:
            library._unsafe_reset_threadpool(threads)
        program = runtime.Runtime.get().load_program(data)
        return LoadedProgram(data, program, program.load_method("forward"))


@contextmanager
def silence_native() -> Iterator[None]:
    """Hide what ExecuTorch writes to stderr about the processor and its own kernels, below Python."""
    sys.stderr.flush()
    kept = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(null)
        os.close(kept)


def write_pte(source: formats.ExportInput, path: Path) -> formats.Content:
    """Write one .pte file, for the batch size of the images' shape."""
    program = make_program(source.model, source.shape, source.calibration)
    path.write_bytes(program.buffer)
    names = [
        name_operator(node.target)
        for node in program.exported_program().graph.nodes
        if node.op == "call_function"
    ]
    return formats.Content(
        operators=formats.count_operators(name for name in names if name not in NOT_COUNTED),
        versions={"executorch": version("executorch")},
    )


def name_operator(target: Any) -> str:
    """Return the name of an operator in a program's graph; what XNNPACK computes at once is one operator."""
    name = getattr(target, "__name__", str(target)).removeprefix("aten.").partition(".")[0]
    return "XNNPACK" if "delegate" in str(target) else name


def read_pte(path: Path) -> formats.Runner:
    """Load a file; images are computed as many at a time as it accepts."""
    run = load_program(path.read_bytes())

    def compute(x: Tensor) -> np.ndarray:
        with silence_native():
            return np.concatenate([run(part)[0].numpy() for part in torch.split(x, run.batch_size)])

    return compute


EXECUTORCH = formats.Format(
    endings=(".pte",),
    packages=("executorch.exir",),
    extra=EXTRA,
    dtypes=("fp32", "int8"),
    quantiser="torchao with XNNPACKQuantizer",
    any_batch=False,
    write=write_pte,
    read=read_pte,
)
