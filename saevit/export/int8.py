"""Int8: ONNX graphs whose weights and activations are quantised statically, and images to calibrate with."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saevit.errors import MeasureError, need
from saevit.export import formats

NOISE_IMAGES = 8


@dataclass(frozen=True, kw_only=True)
class Int8Images:
    """Images that int8 is calibrated and compared with, normalised."""

    source: str  # what they are
    images: Tensor  # (N, C, H, W)
    compared: Mapping[str, Tensor]  # further ones by name (C, H, W), on which outputs are compared


def make_noise_calibration(channels: int, img_size: tuple[int, int]) -> Int8Images:
    """Return noise to calibrate a network of random weights with."""
    generator = torch.Generator().manual_seed(1)
    first, second = torch.randn(2, NOISE_IMAGES, channels, *img_size, generator=generator)
    compared = {f"noise {number}": image for number, image in enumerate(second, start=1)}
    return Int8Images(source="noise", images=first, compared=compared)


@dataclass(frozen=True)
class ImageReader:
    """Gives the quantiser its images, as many at a time as the graph accepts."""

    name: str  # of the graph's input
    batches: Iterator[np.ndarray]  # (B, C, H, W)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next input of the graph, or None after the last."""
        batch = next(self.batches, None)
        return None if batch is None else {self.name: batch}


def quantize_graph(data: bytes, images: Tensor) -> Any:
    """Return an `onnx.ModelProto` in int8, made of one in fp32 by ONNX Runtime's own quantiser.

    Weights have a scale for each output channel. Activations are unsigned, with one scale a tensor, from the
    smallest and the largest value that occurs. All operators that ONNX Runtime computes in int8 are
    quantised: if only convolutions and products were, conversions between them would take more time.

    Args:
        data: an ONNX file in fp32.
        images: to calibrate with (N, C, H, W), normalised; the last ones that fill no batch are not used.

    Raises:
        MeasureError: the quantiser refuses the graph, in one line.
        MissingPackageError: onnx or onnxruntime is not installed.
    """
    onnx, quantization = need("onnx", formats.EXTRA), need("onnxruntime.quantization", formats.EXTRA)
    graph = onnx.ModelProto.FromString(data)
    size = graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1  # 0: any
    try:
        with formats.silence_exporters(), TemporaryDirectory(prefix="saevit-") as folder:
            path = Path(folder) / "int8.onnx"
            quantization.quantize_static(
                onnx.ModelProto.FromString(data),
                path,
                ImageReader(graph.graph.input[0].name, iter(fill_batches(images, size).numpy())),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                nodes_to_exclude=find_padding(graph),
                weight_type=quantization.QuantType.QInt8,
                activation_type=quantization.QuantType.QUInt8,
            )
            made = onnx.load(path)
    except Exception as error:  # the quantiser raises all kinds
        raise MeasureError(
            f"ONNX Runtime cannot quantise the network: {formats.first_cause(error)}"
        ) from error
    del made.metadata_props[:]
    made.metadata_props.extend(graph.metadata_props)
    return made


def fill_batches(images: Tensor, size: int) -> Tensor:
    """Return images (N, C, H, W) as full batches (M, size, C, H, W).

    The last images that fill no batch are left out; too few for one batch are repeated.
    """
    if len(images) < size:
        images = images.repeat(-(-size // len(images)), 1, 1, 1)
    return images[: len(images) // size * size].reshape(-1, size, *images.shape[1:])


def find_padding(graph: Any) -> list[str]:
    """Return the names of the nodes of an ONNX graph that have to stay in fp32 because of padding.

    These are each `Pad`, what computes its input, and after padding with -inf everything up to the softmax:
    scores of pixels outside the image are -inf, which int8 does not have. OpenVINO 2026.4 computes something
    else where a dequantised tensor is padded.
    """
    onnx = need("onnx", formats.EXTRA)
    nodes = list(graph.graph.node)
    infinite = {
        each.name
        for each in graph.graph.initializer
        if not np.isfinite(onnx.numpy_helper.to_array(each)).all()
    }
    pads = [node for node in nodes if node.op_type == "Pad"]
    padded = {node.input[0] for node in pads}
    masked = {node.output[0] for node in pads if infinite & set(node.input)}
    found = [node.name for node in nodes if node.op_type == "Pad" or padded & set(node.output)]
    for node in nodes:  # in the order of the data
        if masked & set(node.input):
            found.append(node.name)
            if node.op_type != "Softmax":
                masked |= set(node.output)
    return found
