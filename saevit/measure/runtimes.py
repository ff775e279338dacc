"""Ways to run a model, devices, precisions and threads: all that is set before the clock starts.

A runtime is one more entry of `RUNTIMES`: an object with a name that turns a placed model into a call.
"""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from saevit.count.tracing import copy_placed
from saevit.errors import MeasureError, OptionError, nearest
from saevit.machine import is_out_of_memory, most_threads
from saevit.measure.onnxruntime_runtime import OnnxRuntime
from saevit.measure.openvino_runtime import OpenVINORuntime
from saevit.measure.outputs import check_finite
from saevit.runs.record import Conditions

Call = Callable[[], object]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
ACCELERATORS = ("cuda", "mps")
COMPILED_MODELS = 1000  # one run may compile that many models of one class
SWITCHES = ("TORCH_COMPILE_DISABLE", "TORCHDYNAMO_DISABLE")  # turn torch.compile off


class Runtime(Protocol):
    """Turns a model into the call that is timed."""

    @property
    def name(self) -> str:
        """What `Conditions.runtime` and the records show."""

    def check(self, conditions: Conditions) -> None:
        """Refuse, before any work, conditions that this runtime is never measured under.

        Raises:
            OptionError: a device, precision or layout that it does not take.
            MissingPackageError: what it needs is not installed.
        """

    def prepare(self, model: nn.Module, example: Tensor, conditions: Conditions) -> Call:
        """Return a call that runs `model` on `example` once and leaves the result on the device.

        Model and example are as `place` and `example_input` make them. Preparing and calling happen under
        `inference_mode` and the pinned threads. The model may be shared with other calls: do not change it.

        Raises:
            MeasureError: this runtime cannot run this model, in one line.
        """


class Eager:
    """torch as it comes, operator by operator."""

    name = "eager"

    def check(self, conditions: Conditions) -> None:
        """Nothing: it runs whatever torch runs."""

    def prepare(self, model: nn.Module, example: Tensor, conditions: Conditions) -> Call:
        """Return the forward pass itself; a MeasureError says that its outputs are not finite."""
        call = functools.partial(model, example)
        check_finite(call())
        return call


class Compile:
    """`torch.compile` with its default mode, for exactly the shape that is measured.

    Weights are frozen where TORCHINDUCTOR_FREEZING=1 says so.
    """

    name = "compile"

    def check(self, conditions: Conditions) -> None:
        """Nothing: it runs whatever torch runs."""

    def prepare(self, model: nn.Module, example: Tensor, conditions: Conditions) -> Call:
        """Compile now, so that no later call does, and see that it was compiled.

        Raises:
            MeasureError: the compiler failed or did nothing, or outputs are not finite.
        """
        graphs: list[int] = []  # operators of each graph that was compiled

        def compiler(graph: Any, inputs: Any, **options: Any) -> Any:
            kernels = torch._dynamo.lookup_backend("inductor")(graph, inputs, **options)
            graphs.append(sum(node.op.startswith("call_") for node in graph.graph.nodes))
            return kernels

        # Every compiled model of a class, at every batch size, counts against one limit of 8: beyond it
        # dynamo runs eagerly with no more than a log line. Static, as a second batch size would otherwise
        # get kernels for any size. As one graph, as what is between graphs would run eagerly.
        made = torch.compile(model, backend=compiler, fullgraph=True, dynamic=False)
        call = functools.partial(made, example)
        limits = {"recompile_limit": COMPILED_MODELS, "fail_on_recompile_limit_hit": True}
        try:
            with torch._dynamo.config.patch(limits):
                outputs, first = call(), len(graphs)
                call()
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise MeasureError(
                f"torch.compile failed: {one_line(error)}{switches()}; measure it eagerly"
            ) from error
        if not sum(graphs):
            raise MeasureError(f"torch.compile compiled nothing and ran it eagerly{switches()}")
        if len(graphs) > first:
            raise MeasureError("torch.compile compiles it anew in every pass; measure it eagerly")
        check_finite(outputs)
        return call


def switches() -> str:
    """Name the variables that turn torch.compile off."""
    return "".join(f", {name}={os.environ[name]}" for name in SWITCHES if name in os.environ)


RUNTIMES: dict[str, Runtime] = {
    made.name: made for made in (Eager(), Compile(), OnnxRuntime(), OpenVINORuntime())
}


def runtime(name: str) -> Runtime:
    """Return the runtime of that name.

    Raises:
        OptionError: there is none.
    """
    if name not in RUNTIMES:
        raise OptionError(f"runtime {name!r} is not known: {nearest(name, RUNTIMES)}")
    return RUNTIMES[name]


def available_devices() -> tuple[str, ...]:
    """Return the devices this torch can use here, such as ("cpu", "cuda:0", "cuda:1")."""
    found = torch.accelerator.current_accelerator(check_available=True)
    if found is None or found.type not in ACCELERATORS:
        return ("cpu",)
    return ("cpu", *(f"{found.type}:{index}" for index in range(torch.accelerator.device_count())))


def resolve_device(name: str) -> str:
    """Return the device to use: `name` itself, or for "auto" the accelerator if there is one, else the CPU.

    Raises:
        OptionError: no such device here.
    """
    devices = available_devices()
    if name == "auto":
        return devices[-1].partition(":")[0]
    if name in devices or name in {device.partition(":")[0] for device in devices}:
        return name
    kind = name.partition(":")[0]
    reason = "is not here" if kind in ("cpu", *ACCELERATORS) else "is not known"
    raise OptionError(
        f"device {name!r} {reason}: torch {torch.__version__} offers auto or {' or '.join(devices)}"
    )


@functools.cache
def check_dtype(device: str, dtype: str) -> torch.dtype:
    """Return torch's name of the precision, after a convolution and a product have run in it on `device`.

    Raises:
        OptionError: the precision is not known, or the device cannot compute in it.
    """
    if dtype not in DTYPES:
        raise OptionError(f"dtype {dtype!r} is not known: {nearest(dtype, DTYPES)}")
    try:
        _try_out(device, DTYPES[dtype])
    except RuntimeError as error:
        others = [name for name in DTYPES if name != dtype and _runs(device, name)]
        raise OptionError(
            f"dtype {dtype!r} does not run on {device} ({one_line(error)}): choose from {', '.join(others)}"
        ) from error
    return DTYPES[dtype]


def synchronizer(device: str) -> Callable[[], None]:
    """Return the call that waits until `device` has finished; on the CPU there is nothing to wait for."""
    if torch.device(device).type == "cpu":
        return lambda: None
    return functools.partial(torch.accelerator.synchronize, torch.device(device))


def check_threads(count: int) -> None:
    """Refuse, by an OptionError, a number of threads with which OpenMP may end the process."""
    if not 1 <= count <= most_threads():
        raise OptionError(f"threads {count}: from 1 to {most_threads()}")


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch compute with `count` threads inside the block, and with as many as before after it.

    Raises:
        OptionError: fewer than one, or more than an OpenMP library can be asked for.
    """
    check_threads(count)
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def place(model: nn.Module, conditions: Conditions) -> nn.Module:
    """Return a copy of the model for inference, on the device, in the precision and layout of the conditions.

    Weights that are as wanted already are shared with the model, so that a comparison holds them once.

    Raises:
        OptionError: the device is not here, or cannot compute in this precision.
    """
    device = resolve_device(conditions.device)
    dtype = check_dtype(device, conditions.dtype)
    layout: dict[str, Any] = {
        "memory_format": LAYOUTS[conditions.memory_format]
    }  # not in every torch's stubs
    return copy_placed(model, lambda tensor: tensor).to(device=device, dtype=dtype).to(**layout)


def example_input(conditions: Conditions, channels: int) -> Tensor:
    """Return a batch of noise (B, channels, H, W), the same on every call."""
    shape = (conditions.batch_size, channels, *conditions.img_size)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    noise = noise.to(device=conditions.device, dtype=DTYPES[conditions.dtype])
    return noise.contiguous(memory_format=LAYOUTS[conditions.memory_format])


def precision_note(conditions: Conditions) -> str | None:
    """Return what "fp32" leaves out, where the accelerator rounds the factors of convolutions or products."""
    if conditions.dtype != "fp32" or not conditions.device.startswith("cuda"):
        return None
    modes = {
        "convolutions": torch.backends.cudnn.conv.fp32_precision,  # type: ignore[attr-defined]
        "matrix products": torch.backends.cuda.matmul.fp32_precision,
    }
    rounded = [f"{what} in {mode}" for what, mode in modes.items() if mode not in ("ieee", "none")]
    return f"fp32 with {' and '.join(rounded)}, as torch is set" if rounded else None


def one_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its kind where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".:") if lines else type(error).__name__


def _try_out(device: str, dtype: torch.dtype) -> None:
    image = torch.ones(1, 8, 8, 8, device=device, dtype=dtype)
    weight = torch.ones(8, 8, 3, 3, device=device, dtype=dtype)
    with torch.inference_mode():
        flat = torch.nn.functional.conv2d(image, weight, padding=1).flatten(1)
        (flat @ flat.T).item()  # waits for the device


def _runs(device: str, dtype: str) -> bool:
    try:
        _try_out(device, DTYPES[dtype])
    except RuntimeError:
        return False
    return True
