"""Whether what a network answers are numbers: the time of one that answers NaN is no time of a network."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from saevit.errors import MeasureError


def check_finite(outputs: object) -> None:
    """Refuse, by a MeasureError, what a network returned if a number of it is not finite."""
    if isinstance(outputs, Tensor | np.ndarray):
        if not torch.isfinite(torch.as_tensor(outputs)).all():
            raise MeasureError("its outputs are not finite: choose a wider --dtype, or other weights")
    elif isinstance(outputs, Mapping | list | tuple):
        for one in outputs.values() if isinstance(outputs, Mapping) else outputs:
            check_finite(one)
