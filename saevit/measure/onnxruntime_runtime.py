"""ONNX Runtime on the CPU, running the graph that `saevit export` writes."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor, nn

from saevit.errors import MeasureError, need
from saevit.export.formats import EXTRA, first_cause, silence_exporters
from saevit.export.onnx import INPUT, OUTPUT
from saevit.machine import is_out_of_memory
from saevit.measure.exchange import check_conditions, graph
from saevit.measure.outputs import check_finite
from saevit.runs.record import Conditions

PROVIDER = "CPUExecutionProvider"


class OnnxRuntime:
    """A session for exactly the shape that is measured; images and outputs stay where they are in memory."""

    name = "onnxruntime"

    def check(self, conditions: Conditions) -> None:
        """Refuse what it is not measured on."""
        check_conditions(self.name, conditions, ("onnx", "onnxscript", "onnxruntime"))

    def prepare(self, model: nn.Module, example: Tensor, conditions: Conditions) -> Callable[[], object]:
        """Write the graph, open it, bind images and outputs.

        Raises:
            MeasureError: the network cannot be written, or not be run here.
        """
        data = graph(model, example)
        try:
            with silence_exporters():
                opened = session(data, conditions.threads)
                call = bound(opened, example.numpy())
            done = call()
        except Exception as error:  # sessions raise kinds of their own
            if is_out_of_memory(error):
                raise
            raise MeasureError(
                f"ONNX Runtime cannot run it: {first_cause(error)}; measure it eagerly"
            ) from error
        if (providers := opened.get_providers()) != [PROVIDER]:
            raise MeasureError(f"ONNX Runtime runs it on {', '.join(providers)}, not on {PROVIDER}")
        check_finite(done.copy_outputs_to_cpu())
        return call


def session(data: bytes, threads: int) -> Any:
    """Open a graph with so many threads, one operator at a time."""
    onnxruntime = need("onnxruntime", EXTRA)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3  # errors
    # Between operators its threads wait in a loop, as by default; after a pass they leave the cores alone.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(data, options, providers=[PROVIDER])


def bound(opened: Any, images: np.ndarray) -> Callable[[], Any]:
    """Return a call that computes these images, into the same memory every time."""
    onnxruntime = need("onnxruntime", EXTRA)
    (wanted,) = opened.get_outputs()
    binding = opened.io_binding()
    binding.bind_cpu_input(INPUT, images)
    binding.bind_ortvalue_output(
        OUTPUT, onnxruntime.OrtValue.ortvalue_from_numpy(np.empty(wanted.shape, np.float32))
    )

    return functools.partial(run, opened, binding, images)


def run(opened: Any, binding: Any, images: np.ndarray) -> Any:
    """Run a session; its binding does not own the memory of the images, whoever calls it does."""
    opened.run_with_iobinding(binding)
    return binding
