"""What all export formats share: their definition, their input, and the handling of libraries' exporters."""

import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from saevit.runs.record import Dtype

EXTRA = "export"  # extra of the package with what the formats need

Shape = tuple[int, int, int, int]  # (B, C, H, W)
Runner = Callable[[Tensor], np.ndarray]  # computes images (B, C, H, W) to (B, classes)


@dataclass(frozen=True, kw_only=True)
class ExportInput:
    """A network to write, in any format."""

    model: nn.Module  # for inference, on the CPU, in fp32
    shape: Shape  # of the images
    is_dynamic: bool  # accept any batch size, not only that of the shape
    opset: int  # version of ONNX's operators
    properties: Mapping[str, str]  # what the files say about the network
    dtype: Dtype = "fp32"  # of the weights in the files; int8: of the activations too
    calibration: Tensor | None = None  # images (N, C, H, W), for int8
    graphs: dict[str, Any] = field(default_factory=dict)  # made once, shared by formats


@dataclass(frozen=True, kw_only=True)
class Content:
    """What the files of one format contain."""

    operators: Mapping[str, int]  # the most frequent first
    versions: Mapping[str, str]  # of the format, and of the packages that wrote and read it


@dataclass(frozen=True, kw_only=True)
class Format:
    """How one format is written and read."""

    endings: tuple[str, ...]  # of its files; the user names the first one
    packages: tuple[str, ...]  # required besides torch
    extra: str = EXTRA  # of saevit, with these packages
    dtypes: tuple[Dtype, ...] = ("fp32",)
    quantiser: str = ""  # what quantises it in int8
    any_batch: bool = True  # False: files accept one batch size
    write: Callable[[ExportInput, Path], Content]  # fills the file and those beside it; MeasureError, OSError
    read: Callable[[Path], Runner] | None  # loads the files in the format's own runtime; None: it is not here


def trace_arguments(shape: Shape, *, is_dynamic: bool) -> tuple[tuple[Tensor], Any]:
    """Return the images to trace a network with, and which of their sizes are dynamic.

    A dynamic batch is traced with at least two images, as one image would fix the batch size at 1.
    """
    batch = max(2, shape[0]) if is_dynamic else shape[0]
    dynamic = ({0: torch.export.Dim("batch", min=1)},) if is_dynamic else None
    return (torch.zeros(batch, *shape[1:]),), dynamic


def count_operators(names: Iterable[str]) -> dict[str, int]:
    """Return how often each operator occurs, the most frequent first."""
    return dict(Counter(names).most_common())


@contextmanager
def silence_exporters() -> Iterator[None]:
    """Hide warnings and log messages of the exporters about their own internals."""
    level = logging.root.manager.disable
    logging.disable(max(level, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def first_cause(error: BaseException) -> str:
    """Return the first line of the error that caused this one, without the exporter's advice around it."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
