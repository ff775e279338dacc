"""Devices, precisions, layouts and threads: what is set on this machine before the clock starts."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from saevit.count.tracing import copy_placed
from saevit.errors import OptionError, first_line, nearest
from saevit.machine import most_threads
from saevit.runs.record import Conditions

DTYPES = {  # of the network and its images; for int8 the runtime quantises both
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "int8": torch.float32,
}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
ACCELERATORS = ("cuda", "mps")


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
    reason = "is not available" if kind in ("cpu", *ACCELERATORS) else "is not known"
    raise OptionError(
        f"device {name!r} {reason}: torch {torch.__version__} offers auto or {' or '.join(devices)}"
    )


@functools.cache
def check_dtype(device: str, dtype: str) -> torch.dtype:
    """Return torch's type for the precision, after a convolution and a product ran in it on `device`.

    Raises:
        OptionError: the precision is not known, or the device cannot compute in it.
    """
    if dtype not in DTYPES:
        raise OptionError(f"dtype {dtype!r} is not known: {nearest(dtype, DTYPES)}")
    try:
        _try_out(device, DTYPES[dtype])
    except RuntimeError as error:
        others = [name for name in DTYPES if name not in (dtype, "int8") and _runs(device, name)]
        raise OptionError(
            f"dtype {dtype!r} does not run on {device} ({first_line(error)}): choose from {', '.join(others)}"
        ) from error
    return DTYPES[dtype]


def synchronizer(device: str) -> Callable[[], None]:
    """Return a function that waits until `device` has finished; on the CPU it does nothing."""
    if torch.device(device).type == "cpu":
        return lambda: None
    return functools.partial(torch.accelerator.synchronize, torch.device(device))


def check_threads(count: int) -> None:
    """Refuse, by an OptionError, a number of threads for which OpenMP may end the process."""
    if not 1 <= count <= most_threads():
        raise OptionError(f"threads {count}: from 1 to {most_threads()}")


@contextmanager
def pin_threads(count: int) -> Iterator[None]:
    """Let torch compute with `count` threads inside the block; raise OptionError for an invalid number."""
    check_threads(count)
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def place_network(model: nn.Module, conditions: Conditions) -> nn.Module:
    """Return a copy of the model for inference, on the device, in the precision and layout of the conditions.

    Weights that need no conversion are shared with the model, so that a comparison holds them once.

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
    """Return a note on int8, or if the accelerator rounds the factors of convolutions or products in fp32."""
    if conditions.dtype == "int8":
        return (
            "int8: quantised statically and calibrated on noise, for times only; accuracies are not in int8"
        )
    if conditions.dtype != "fp32" or not conditions.device.startswith("cuda"):
        return None
    modes = {
        "convolutions": torch.backends.cudnn.conv.fp32_precision,  # type: ignore[attr-defined]
        "matrix products": torch.backends.cuda.matmul.fp32_precision,
    }
    rounded = [f"{what} in {mode}" for what, mode in modes.items() if mode not in ("ieee", "none")]
    return f"fp32 with {' and '.join(rounded)}, as set in torch" if rounded else None


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
