"""OpenVINO on the CPU, running the graph that `saevit export` writes."""

import functools
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from saevit.errors import MeasureError, need
from saevit.export.formats import EXTRA, first_cause, silence_exporters
from saevit.export.openvino import compile_openvino, make_openvino_model
from saevit.machine import is_out_of_memory
from saevit.measure.exchange import check_conditions, graph
from saevit.measure.outputs import check_finite
from saevit.runs.record import Conditions


class OpenVINORuntime:
    """A compiled model for exactly the shape that is measured, one request in one stream, in fp32."""

    name = "openvino"

    def check(self, conditions: Conditions) -> None:
        """Refuse what it is not measured on."""
        check_conditions(self.name, conditions, ("onnx", "onnxscript", "openvino"))

    def prepare(self, model: nn.Module, example: Tensor, conditions: Conditions) -> Callable[[], object]:
        """Write the graph, compile it, bind the images.

        Raises:
            MeasureError: the network cannot be written, or not be run here.
        """
        openvino = need("openvino", EXTRA)
        data = graph(model, example)
        try:
            with silence_exporters():
                made = compile_openvino(make_openvino_model(data), conditions.threads)
                request = made.create_infer_request()
            request.set_input_tensor(openvino.Tensor(example.numpy(), shared_memory=True))
            outputs = list(request.infer().values())
            devices = made.get_property("EXECUTION_DEVICES")
        except MeasureError:
            raise
        except Exception as error:  # OpenVINO raises RuntimeError and kinds of its own
            if is_out_of_memory(error):
                raise
            raise MeasureError(f"OpenVINO cannot run it: {first_cause(error)}; measure it eagerly") from error
        if devices != ["CPU"]:
            raise MeasureError(f"OpenVINO runs it on {devices}, not on the CPU alone")
        check_finite(outputs)
        return functools.partial(infer, request, example)


def infer(request: Any, images: Tensor) -> object:
    """Run a request; it does not own the memory of its images, whoever calls it does."""
    return request.infer()
