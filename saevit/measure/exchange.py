"""What runtimes of exchange formats share: the graph that `saevit export` writes, and what they cannot do."""

from weakref import WeakKeyDictionary

from torch import Tensor, nn

from saevit.errors import OptionError, need
from saevit.export.formats import EXTRA, Shape
from saevit.export.onnx import make_onnx_model
from saevit.runs.record import Conditions

# One graph for each network and shape, however many runtimes ask for it.
_GRAPHS: WeakKeyDictionary[nn.Module, dict[Shape, bytes]] = WeakKeyDictionary()


def graph(model: nn.Module, example: Tensor) -> bytes:
    """Return the ONNX graph of a network for exactly the example's shape.

    Raises:
        MeasureError: it cannot be written, in one line.
    """
    made = _GRAPHS.setdefault(model, {})
    B, C, H, W = example.shape
    shape = (B, C, H, W)
    if shape not in made:
        made[shape] = make_onnx_model(model, shape, is_dynamic=False).SerializeToString()
    return made[shape]


def check_conditions(runtime: str, conditions: Conditions, packages: tuple[str, ...]) -> None:
    """Refuse what is measured on none of these runtimes: accelerators, other precisions, other layouts.

    Raises:
        OptionError: one of these.
        MissingPackageError: a package is not installed.
    """
    if conditions.device != "cpu":
        raise OptionError(
            f"runtime {runtime} is measured on the CPU, not on {conditions.device}: --device cpu"
        )
    if conditions.dtype != "fp32":
        raise OptionError(f"runtime {runtime} is measured in fp32, not in {conditions.dtype}: --dtype fp32")
    if conditions.memory_format != "contiguous":
        raise OptionError(
            f"runtime {runtime} takes images in NCHW, not in {conditions.memory_format}: "
            "--memory-format contiguous"
        )
    for package in packages:
        need(package, EXTRA)
