"""The formats: how a network gets into files of each, and how these are read back in their own runtime.

A format is one more entry of `FORMATS`.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from saevit.errors import OptionError, nearest, need
from saevit.export import onnx, openvino, torch_export
from saevit.export.onnx import EXTRA, Shape, onnx_model
from saevit.export.verify import Run

PROPERTIES = "saevit.json"  # the further file in a .pt2


@dataclass(frozen=True, kw_only=True)
class Job:
    """A network to write, in any format."""

    model: nn.Module  # for inference, on the CPU, in fp32
    shape: Shape
    is_dynamic: bool
    opset: int
    properties: Mapping[str, str]

    @functools.cached_property
    def onnx(self) -> Any:
        """The ONNX graph, made once."""
        return onnx_model(
            self.model,
            self.shape,
            is_dynamic=self.is_dynamic,
            opset=self.opset,
            properties=self.properties,
        )


@dataclass(frozen=True, kw_only=True)
class Content:
    """What stands in the files of one format."""

    operators: Mapping[str, int]  # the most frequent first
    versions: Mapping[str, str]  # of the form and of what wrote and read it


class Format(Protocol):
    """How one format is written and read."""

    @property
    def endings(self) -> tuple[str, ...]:
        """Of its files, the one that is named first."""

    @property
    def packages(self) -> tuple[str, ...]:
        """What it needs besides torch."""

    def write(self, job: Job, path: Path) -> Content:
        """Fill `path`, and its companions beside it.

        Raises:
            MeasureError: the network cannot be written in this format, in one line.
            OSError: the disk or the folder refuses.
        """

    def read(self, path: Path) -> Run:
        """Return what computes images by the files alone."""


class Onnx:
    """One .onnx file, read by ONNX Runtime."""

    endings = (".onnx",)
    packages = ("onnx", "onnxscript", "onnxruntime")

    def write(self, job: Job, path: Path) -> Content:
        """Write the graph."""
        path.write_bytes(job.onnx.SerializeToString())
        versions = {name: str(value) for name, value in onnx.versions(job.onnx).items()}
        return Content(operators=onnx.operators(job.onnx), versions=versions | installed(*self.packages))

    def read(self, path: Path) -> Run:
        """Open it in a session of its own."""
        runtime = need("onnxruntime", EXTRA)
        session = runtime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        return lambda x: np.asarray(session.run([onnx.OUTPUT], {onnx.INPUT: x.numpy()})[0])


class OpenVINO:
    """An .xml file with the graph and a .bin file with the weights, read by OpenVINO."""

    endings = (".xml", ".bin")
    packages = ("onnx", "onnxscript", "openvino")

    def write(self, job: Job, path: Path) -> Content:
        """Convert the ONNX graph and write it."""
        model = openvino.openvino_model(job.onnx.SerializeToString(), job.properties)
        openvino.save(model, path)
        versions = {"opset of its ONNX graph": str(job.opset), "IR": ir_version(path)}
        return Content(operators=openvino.operators(model), versions=versions | installed("openvino"))

    def read(self, path: Path) -> Run:
        """Compile it."""
        model = openvino.compiled(path)
        return lambda x: np.asarray(model([x.numpy()])[0])


class TorchExport:
    """One .pt2 file, read by torch."""

    endings = (".pt2",)
    packages = ()

    def write(self, job: Job, path: Path) -> Content:
        """Trace and write it."""
        program = torch_export.exported_program(job.model, job.shape, is_dynamic=job.is_dynamic)
        path.write_bytes(torch_export.saved(program, {PROPERTIES: json.dumps(dict(job.properties))}))
        return Content(operators=torch_export.operators(program), versions={"torch": torch.__version__})

    def read(self, path: Path) -> Run:
        """Load it."""
        with onnx.quiet():
            module = torch.export.load(path).module()

        def run(x: Tensor) -> np.ndarray:
            with torch.no_grad():
                return np.asarray(module(x))

        return run


FORMATS: dict[str, Format] = {"onnx": Onnx(), "pt2": TorchExport(), "openvino": OpenVINO()}


def format_named(name: str) -> Format:
    """Return a format whose packages are all there.

    Raises:
        OptionError: there is none of that name.
        MissingPackageError: a package is not installed.
    """
    if name not in FORMATS:
        raise OptionError(f"format {name!r} is not known: {nearest(name, FORMATS)}")
    for package in FORMATS[name].packages:
        need(package, EXTRA)
    return FORMATS[name]


def installed(*packages: str) -> dict[str, str]:
    """Return the versions of packages."""
    return {name: version(name) for name in packages}


def ir_version(path: Path) -> str:
    """Return the version that the first line of an .xml file states."""
    with path.open(encoding="utf-8") as file:
        head = file.read(400)
    return head.partition('<net name="')[2].partition('version="')[2].partition('"')[0]
