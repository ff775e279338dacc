"""What works here: packages, the machine, folders, and which differences in time can be resolved now."""

import functools
import importlib.metadata
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from packaging.requirements import Requirement
from platformdirs import user_cache_path

from saevit.count.model_costs import count_variant
from saevit.machine import free_memory, usable_cores
from saevit.measure.conditions import available_devices, pin_threads, synchronizer
from saevit.measure.environment import environment, load_average
from saevit.measure.operator_times import time_fastest_call
from saevit.measure.progress import Tell
from saevit.measure.roofs import Roofs, find_roofs, make_product, make_triad
from saevit.measure.timing import TimingOptions, list_conditions, time_models
from saevit.runs.record import Environment
from saevit.runs.run import Run
from saevit.runs.store import default_folder
from saevit.variant import parse

REQUIRED = ""  # the name of what saevit always needs
ADDS = {
    "docs": "make site",
    "birder": "networks that timm lacks, such as EdgeViT",
    "explore": "explore --parquet, --engine ray",
    "export": "export to ONNX and OpenVINO, --runtime onnxruntime,openvino",
    "executorch": "export to ExecuTorch, --runtime executorch",
    "coreml": "export to Core ML",
    "train": "training in several processes, --data icons:FILE and digits",
    "dev": "the tests and linters of saevit itself",
}
TIMED, IMG_SIZE = "saevit_pico", (224, 224)  # the network of the noise check: a pass takes milliseconds
CALLS = 100  # of about a millisecond
VECTORS = ("avx2", "avx512_f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "neon", "sve", "bf16")


@dataclass(frozen=True, kw_only=True)
class Extra:
    """One extra of the package, or the packages that saevit always needs."""

    name: str  # REQUIRED: no extra
    installed: Mapping[str, str]  # package to version
    missing: tuple[str, ...]  # requirements of packages that are not installed, or too old

    @property
    def command(self) -> str:
        """The command that installs it."""
        return f"pip install 'saevit[{self.name}]'" if self.name else "pip install saevit"


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder that saevit or a library writes to; it may not exist yet."""

    use: str
    path: str
    is_writable: bool


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Everything that `saevit doctor` finds."""

    environment: Environment
    devices: tuple[str, ...]
    vectors: tuple[str, ...]  # extensions of the processor that matter for networks
    free_bytes: int
    load: float | None
    extras: tuple[Extra, ...]  # REQUIRED first; empty: saevit is not installed as a package
    folders: tuple[Folder, ...]
    noise: Run | None = None  # one network, timed twice in each round; None: not measured
    roofs: Roofs | None = None  # of the processor, with as many threads as usable cores; None: not measured

    @property
    def problems(self) -> tuple[str, ...]:
        """What keeps saevit from working, one line each."""
        lines = [
            f"{requirement} is not installed: {extra.command}"
            for extra in self.extras
            if extra.name == REQUIRED
            for requirement in extra.missing
        ]
        unwritable = [folder for folder in self.folders if not folder.is_writable]
        lines += [
            f"{one.path} ({one.use}) cannot be written to: change its permissions" for one in unwritable
        ]
        failures = self.noise.failures.values() if self.noise else ()
        return (*lines, *(f"the noise check failed: {reason}" for reason in failures))

    @property
    def resolution(self) -> float | None:
        """The difference in time, as a share, from which on rounds like these can resolve it now."""
        floor = self.noise.noise_floor if self.noise else None
        return max(floor.high - 1, 1 - floor.low) if floor else None


def diagnose(
    store: Path | None = None, *, is_timed: bool = True, on_progress: Tell = lambda step: None
) -> Diagnosis:
    """Look at packages, machine and folders, and time a small network against itself.

    Args:
        store: the folder of stored runs; None is the default.
        is_timed: whether to time.
        on_progress: called before each step of the timing.
    """
    return Diagnosis(
        environment=environment(),
        devices=available_devices(),
        vectors=list_vectors(),
        free_bytes=free_memory(),
        load=load_average(),
        extras=list_extras(),
        folders=list_folders(store or default_folder()),
        noise=time_twice(on_progress) if is_timed else None,
        roofs=measure_roofs() if is_timed else None,
    )


def time_twice(on_progress: Tell) -> Run:
    """Time one network against itself under the default conditions of `saevit profile`, at batch 1."""
    options = TimingOptions(batch_sizes=(1,))
    counted = count_variant(parse(TIMED), IMG_SIZE)
    (conditions,) = list_conditions(counted, IMG_SIZE, "fp32", options)
    return time_models([(counted, conditions)], options, on_progress)


def measure_roofs() -> Roofs:
    """Measure the rates of matrix products and of memory in fp32, by the fastest of many calls."""
    with pin_threads(usable_cores()), torch.inference_mode():
        product, triad = (
            time_fastest_call(call, synchronizer("cpu"), CALLS) for call in (make_product(), make_triad())
        )
    return find_roofs(product, triad)


def list_vectors() -> tuple[str, ...]:
    """Return the extensions of the processor among `VECTORS`, as far as torch knows them."""
    read = getattr(torch.cpu, "get_capabilities", None)  # not in every torch that saevit accepts
    known: dict[str, Any] = read() if read else {}
    return tuple(name for name in VECTORS if known.get(name))


def list_extras() -> tuple[Extra, ...]:
    """Return what the installed package requires, and what each extra adds to it."""
    try:
        about = importlib.metadata.metadata("saevit")
    except importlib.metadata.PackageNotFoundError:
        return ()
    lines = [Requirement(text) for text in about.get_all("Requires-Dist") or ()]
    return tuple(check_extra(name, lines) for name in (REQUIRED, *(about.get_all("Provides-Extra") or ())))


def check_extra(name: str, requirements: list[Requirement]) -> Extra:
    """Look up the packages that an extra adds."""
    installed, missing = {}, []
    for one in requirements:
        if one.marker is None or one.marker.evaluate({"extra": REQUIRED}):
            is_meant = name == REQUIRED
        else:
            is_meant = one.marker.evaluate({"extra": name})
        if is_meant and one.name != "saevit":
            version = find_version(one.name)
            if version is not None and one.specifier.contains(version, prereleases=True):
                installed[one.name] = version
            else:
                missing.append(f"{one.name}{one.specifier}")
    return Extra(name=name, installed=installed, missing=tuple(missing))


@functools.cache
def find_version(package: str) -> str | None:
    """Return the version of an installed package; None: it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def list_folders(store: Path) -> tuple[Folder, ...]:
    """Return the folders that runs, rendered icons and temporary files go to."""
    compiled = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    folders = {
        "stored runs": store,
        "cache": user_cache_path("saevit"),
        "temporary files": Path(tempfile.gettempdir()),
        **({"compiled code": Path(compiled)} if compiled else {}),
    }
    return tuple(
        Folder(use=use, path=str(path), is_writable=is_writable(path)) for use, path in folders.items()
    )


def is_writable(path: Path) -> bool:
    """Return whether files can be made in a folder, which may itself have to be made."""
    existing = next(one for one in (path, *path.absolute().parents) if one.exists())
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
