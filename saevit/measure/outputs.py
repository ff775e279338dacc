"""Whether what a network answers are numbers: the time of one that answers NaN is no time of a network."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from saevit.errors import MeasureError


def check_finite(outputs: object) -> None:
    """Refuse outputs of which one is not finite.

    Raises:
        MeasureError: infinity or NaN.
    """
    if not all(bool(torch.isfinite(one).all()) for one in tensors(outputs)):
        raise MeasureError("its outputs are not finite: choose a wider --dtype, or other weights")


def tensors(outputs: object) -> Iterator[Tensor]:
    """Yield all tensors of what a network returned, whether of torch or of numpy."""
    if isinstance(outputs, Tensor):
        yield outputs
    elif isinstance(outputs, np.ndarray):
        yield torch.from_numpy(outputs)
    elif isinstance(outputs, Mapping | list | tuple):
        for one in outputs.values() if isinstance(outputs, Mapping) else outputs:
            yield from tensors(one)
