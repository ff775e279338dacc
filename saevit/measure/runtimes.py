"""Ways to run a network: each turns a placed network into the call that is timed.

A new runtime is one more entry of `RUNTIMES`.
"""

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from saevit.errors import MeasureError, OptionError, first_line, nearest, need
from saevit.export import executorch
from saevit.export.executorch import load_program, make_program, silence_native
from saevit.export.formats import EXTRA, Shape, first_cause, silence_exporters
from saevit.export.int8 import make_noise_calibration, quantize_graph
from saevit.export.onnx import INPUT, OUTPUT, make_onnx_model
from saevit.export.openvino import compile_openvino, make_openvino_model
from saevit.machine import is_out_of_memory
from saevit.runs.record import Conditions, Dtype

Call = Callable[[], object]

COMPILED_MODELS = 1000  # one run may compile that many models of one class
SWITCHES = ("TORCH_COMPILE_DISABLE", "TORCHDYNAMO_DISABLE")  # turn torch.compile off
PROVIDER = "CPUExecutionProvider"  # of ONNX Runtime

# One graph for each network, shape and precision, for all runtimes that need it.
_GRAPHS: WeakKeyDictionary[nn.Module, dict[tuple[Shape, Dtype], bytes]] = WeakKeyDictionary()


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """A way to run a network.

    `prepare(network, example, conditions)` returns a call that runs the network on the example once and
    leaves the result on the device. It raises MeasureError, in one line, if the runtime cannot run it.
    Network and example are as `place_network` and `example_input` make them. Preparing and calling happen in
    `inference_mode` and with pinned threads. Other calls may share the network, so it is not changed.
    """

    name: str  # as in `Conditions.runtime`
    prepare: Callable[[nn.Module, Tensor, Conditions], Call]
    packages: tuple[str, ...] = ()  # of a runtime for exported graphs: it is measured on the CPU only
    extra: str = EXTRA  # of saevit, with these packages
    dtypes: tuple[Dtype, ...] = ("fp32", "bf16", "fp16")

    def check(self, conditions: Conditions) -> None:
        """Refuse, before any work, conditions under which this runtime is never measured.

        Raises:
            OptionError: a device, precision or layout that it does not support.
            MissingPackageError: a package is not installed.
        """
        if conditions.dtype not in self.dtypes:
            raise OptionError(
                f"runtime {self.name} runs in {', '.join(self.dtypes)}, not in {conditions.dtype}: "
                f"{self.suggest(conditions.dtype)}"
            )
        if not self.packages:
            return
        if conditions.device != "cpu":
            raise OptionError(
                f"runtime {self.name} runs on the CPU only, not on {conditions.device}: use --device cpu"
            )
        if conditions.memory_format != "contiguous":
            raise OptionError(
                f"runtime {self.name} takes images in NCHW only, not in {conditions.memory_format}: "
                "use --memory-format contiguous"
            )
        for package in self.packages:
            with silence_exporters():  # some warn when they are imported
                need(package, self.extra)

    def suggest(self, dtype: Dtype) -> str:
        """Return the end of an error line: what to use instead of this runtime in this precision."""
        others = [name for name, runtime in RUNTIMES.items() if dtype in runtime.dtypes]
        return f"use --dtype fp32 or --runtime {' or '.join(others)}"


def find_runtime(name: str) -> Runtime:
    """Return the runtime of that name. Raises OptionError if there is none."""
    if name not in RUNTIMES:
        raise OptionError(f"runtime {name!r} is not known: {nearest(name, RUNTIMES)}")
    return RUNTIMES[name]


def prepare_eager(network: nn.Module, example: Tensor, conditions: Conditions) -> Call:
    """Run the network operator by operator, as torch does by default."""
    call = functools.partial(network, example)
    check_finite(call())
    return call


def prepare_compiled(network: nn.Module, example: Tensor, conditions: Conditions) -> Call:
    """Compile with the default mode of `torch.compile`, for the measured shape only.

    Compiles now, so that no later call does, and checks that a graph was compiled. Weights are frozen if the
    variable TORCHINDUCTOR_FREEZING=1 is set.
    """
    graphs: list[int] = []  # operators of each graph that was compiled

    def compiler(graph: Any, inputs: Any, **options: Any) -> Any:
        kernels = torch._dynamo.lookup_backend("inductor")(graph, inputs, **options)
        graphs.append(sum(node.op.startswith("call_") for node in graph.graph.nodes))
        return kernels

    # Every compiled model of a class, at every batch size, counts against one limit of 8: beyond it dynamo
    # runs eagerly with no more than a log line. Static, as a second batch size would otherwise get kernels
    # for any size. As one graph, as operators between graphs would run eagerly.
    made = torch.compile(network, backend=compiler, fullgraph=True, dynamic=False)
    call = functools.partial(made, example)
    limits = {"recompile_limit": COMPILED_MODELS, "fail_on_recompile_limit_hit": True}
    switches = "".join(f", {name}={os.environ[name]}" for name in SWITCHES if name in os.environ)
    try:
        with torch._dynamo.config.patch(limits):
            outputs, first = call(), len(graphs)
            call()
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise MeasureError(
            f"torch.compile failed: {first_line(error)}{switches}; use --runtime eager"
        ) from error
    if not sum(graphs):
        raise MeasureError(f"torch.compile compiled nothing, the network ran in eager mode{switches}")
    if len(graphs) > first:
        raise MeasureError("torch.compile recompiles the network on every call; use --runtime eager")
    check_finite(outputs)
    return call


def prepare_onnxruntime(network: nn.Module, example: Tensor, conditions: Conditions) -> Call:
    """Open a session of ONNX Runtime for the measured shape, inputs and outputs in fixed memory."""
    graph = write_graph(network, example, conditions.dtype)
    try:
        with silence_exporters():
            session = open_session(graph, conditions.threads)
            call = bind_images(session, example.numpy())
        done = call()
    except Exception as error:  # sessions raise several kinds of errors
        if is_out_of_memory(error):
            raise
        raise MeasureError(
            f"ONNX Runtime cannot run the network: {first_cause(error)}; use --runtime eager"
        ) from error
    if (providers := session.get_providers()) != [PROVIDER]:
        raise MeasureError(f"ONNX Runtime runs the network on {', '.join(providers)}, not on {PROVIDER}")
    check_finite(done.copy_outputs_to_cpu())
    return call


def open_session(
    graph: bytes, threads: int, *, profile: Path | None = None, optimised: Path | None = None
) -> Any:
    """Open a graph with this number of threads, one operator at a time.

    Args:
        graph: the bytes of an ONNX file.
        threads: that compute.
        profile: where the profile of the operators is written, as the beginning of the file's path.
        optimised: where the graph that runs is written.
    """
    onnxruntime = need("onnxruntime", EXTRA)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3  # errors
    # Between operators its threads wait in a loop, as by default; after a pass they release the cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    if optimised:
        options.optimized_model_filepath = str(optimised)
    return onnxruntime.InferenceSession(graph, options, providers=[PROVIDER])


def bind_images(session: Any, images: np.ndarray) -> Callable[[], Any]:
    """Return a call that computes these images, into the same memory every time."""
    onnxruntime = need("onnxruntime", EXTRA)
    (wanted,) = session.get_outputs()
    binding = session.io_binding()
    binding.bind_cpu_input(INPUT, images)
    binding.bind_ortvalue_output(
        OUTPUT, onnxruntime.OrtValue.ortvalue_from_numpy(np.empty(wanted.shape, np.float32))
    )

    def compute(images: np.ndarray) -> Any:
        session.run_with_iobinding(binding)
        return binding

    return functools.partial(compute, images)  # owns the images: the binding does not own their memory


def prepare_openvino(network: nn.Module, example: Tensor, conditions: Conditions) -> Call:
    """Compile with OpenVINO for the measured shape, one request in one stream."""
    openvino = need("openvino", EXTRA)
    graph = write_graph(network, example, conditions.dtype)
    model = make_openvino_model(graph, is_int8=conditions.dtype == "int8")
    try:
        with silence_exporters():
            made = compile_openvino(model, conditions.threads)
            request = made.create_infer_request()
        request.set_input_tensor(openvino.Tensor(example.numpy(), shared_memory=True))
        outputs = list(request.infer().values())
        devices = made.get_property("EXECUTION_DEVICES")
    except MeasureError:
        raise
    except Exception as error:  # OpenVINO raises RuntimeError and further kinds
        if is_out_of_memory(error):
            raise
        raise MeasureError(
            f"OpenVINO cannot run the network: {first_cause(error)}; use --runtime eager"
        ) from error
    if devices != ["CPU"]:
        raise MeasureError(f"OpenVINO runs the network on {devices}, not on the CPU alone")
    check_finite(outputs)

    def infer(images: Tensor) -> object:
        return request.infer()

    return functools.partial(infer, example)  # owns the images: the request does not own their memory


def prepare_executorch(network: nn.Module, example: Tensor, conditions: Conditions) -> Call:
    """Lower to ExecuTorch with XNNPACK for the measured shape, and load the program."""
    B, C, H, W = example.shape
    noise = make_noise_calibration(C, (H, W)).images if conditions.dtype == "int8" else None
    data = bytes(make_program(network, (B, C, H, W), noise).buffer)
    try:
        program = load_program(data, conditions.threads)
        with silence_native():
            outputs = program(example)
    except Exception as error:  # a RuntimeError with a number
        if is_out_of_memory(error):
            raise
        raise MeasureError(
            f"ExecuTorch cannot run the network: {first_cause(error)}; use another --runtime"
        ) from error
    check_finite(outputs)
    return functools.partial(program, example)


def write_graph(network: nn.Module, example: Tensor, dtype: Dtype = "fp32") -> bytes:
    """Return the ONNX graph of a network for the shape of the example. Raises MeasureError if it has none."""
    made = _GRAPHS.setdefault(network, {})
    B, C, H, W = example.shape
    shape = (B, C, H, W)
    if (shape, dtype) not in made:
        if dtype == "int8":
            noise = make_noise_calibration(C, (H, W)).images
            graph = quantize_graph(write_graph(network, example), noise)
        else:
            graph = make_onnx_model(network, shape, is_dynamic=False)
        made[shape, dtype] = graph.SerializeToString()
    return made[shape, dtype]


def check_finite(outputs: object) -> None:
    """Refuse, by a MeasureError, outputs of a network that are not finite: its time would mean nothing."""
    if isinstance(outputs, Tensor | np.ndarray):
        if not torch.isfinite(torch.as_tensor(outputs)).all():
            raise MeasureError("the outputs are not finite: use a wider --dtype or other weights")
    elif isinstance(outputs, Mapping | list | tuple):
        for one in outputs.values() if isinstance(outputs, Mapping) else outputs:
            check_finite(one)


RUNTIMES = {
    runtime.name: runtime
    for runtime in (
        Runtime(name="eager", prepare=prepare_eager),
        Runtime(name="compile", prepare=prepare_compiled),
        Runtime(
            name="onnxruntime",
            prepare=prepare_onnxruntime,
            packages=("onnx", "onnxscript", "onnxruntime"),
            dtypes=("fp32", "int8"),
        ),
        Runtime(
            name="openvino",
            prepare=prepare_openvino,
            packages=("onnx", "onnxscript", "openvino", "onnxruntime"),  # the last one quantises
            dtypes=("fp32", "int8"),
        ),
        Runtime(
            name="executorch",
            prepare=prepare_executorch,
            packages=(executorch.PACKAGE,),
            extra=executorch.EXTRA,
            dtypes=("fp32", "int8"),
        ),
    )
}
