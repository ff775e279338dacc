"""The machine and the software behind a figure, read once."""

import functools
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping

import psutil  # type: ignore[import-untyped]
import torch

import saevit
from saevit import machine
from saevit.machine import usable_cores
from saevit.runs.record import Environment
from saevit.text import printable

# Variables that change how fast the same code runs: thread pools, kernels, allocator, compiler.
_SETTINGS = re.compile(
    r"(OMP|KMP|GOMP|MKL|DNNL|ONEDNN|OPENBLAS|MALLOC|ATEN|CUDA|CUDNN|CUBLAS|PYTORCH|TORCH|TORCHINDUCTOR|"
    r"TORCHDYNAMO|TRITON|TIMM|ORT|OV|TBB)_\w+|NVIDIA_TF32_OVERRIDE|NVIDIA_VISIBLE_DEVICES|GLIBC_TUNABLES|LD_PRELOAD"
)
_FOLDERS = re.compile(r"[^\s:;,=]*[/\\]")


@functools.cache
def environment() -> Environment:
    """Return the software and the machine of this process."""
    return Environment(
        python=platform.python_version(),
        torch=torch.__version__,
        timm=_installed("timm"),
        birder=_installed("birder"),
        onnxruntime=_installed("onnxruntime"),
        openvino=_installed("openvino"),
        executorch=_installed("executorch"),
        saevit=saevit.__version__,
        os=platform.platform(),
        machine=platform.machine(),
        cpu=cpu_name(),
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        governor=_text("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        physical_cores=psutil.cpu_count(logical=False),
        logical_cores=os.cpu_count() or 1,
        usable_cores=usable_cores(),
        memory_bytes=int(psutil.virtual_memory().total),
        accelerator=_accelerator(),
        accelerator_driver=_driver(),
        accelerator_toolkit=_toolkit(),
        settings=settings(os.environ),
    )


def cpu_name() -> str:
    """Return the name of the processor, or its instruction set if the system has no name."""
    found = re.search(r"^model name\s*:\s*(.+)$", _text("proc/cpuinfo") or "", re.MULTILINE)
    if found:
        return found[1].strip()
    if sys.platform == "darwin":
        name = subprocess.run(
            ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout.strip()
        if name:
            return name
    return platform.processor() or platform.machine()


def load_average() -> float | None:
    """Return the mean number of running or waiting processes in the last minute; None: unknown."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def settings(variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return NAME=value of the variables that change speed; paths are cut to their last part."""
    return tuple(
        printable(f"{name}={_FOLDERS.sub('', value)}")
        for name, value in sorted(variables.items())
        if _SETTINGS.fullmatch(name) and not name.endswith(("_DIR", "_HOME", "_PATH"))
    )


def _accelerator() -> str | None:
    kind = torch.accelerator.current_accelerator(check_available=True)
    if kind is None:
        return None
    if kind.type != "cuda":
        return f"{cpu_name()} ({kind.type})"
    names = Counter(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
    return ", ".join(name if count == 1 else f"{count} x {name}" for name, count in names.items())


def _driver() -> str | None:
    found = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)", _text("proc/driver/nvidia/version") or "")
    return found[1] if found else None


def _toolkit() -> str | None:
    if not torch.cuda.is_available():
        return None
    return f"hip {torch.version.hip}" if torch.version.hip else f"cuda {torch.version.cuda}"


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _text(path: str) -> str | None:
    try:
        return (machine.ROOT / path).read_text(errors="replace").strip()
    except OSError:
        return None
