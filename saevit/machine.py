"""How many cores and how much memory this process may use, within its control groups, and what fits."""

import contextlib
import os
import sys
from pathlib import Path

from saevit.errors import MemoryLimitError

ROOT = Path("/")  # where proc and sys are mounted
# What a process takes beyond what is counted: the worst rows of benchmarks/peak_memory.py (torch 2.14, CPU).
BUILDING, FOLDING = 1.2, 6.1  # times the weights, while they are made; folding computes in float64
HELD = 2.2  # times the weights afterwards: as built, and as placed or packed
PASSING, SCRATCH = 1.5, 70e6  # times the counted peak of live activations, and bytes for any network
BINDING = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")
THREADS_A_CORE = 8


def count_affinity(process: int = 0) -> int:
    """Return how many cores a process may run on; 0 is this one, by the thread that asks."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    return len(os.sched_getaffinity(process))


def is_bound() -> bool:
    """Return whether environment variables let OpenMP bind threads to cores."""
    return any(name in os.environ for name in BINDING)


UNBOUND = count_affinity()  # when saevit is imported
if "torch" in sys.modules and is_bound():  # this thread is bound already: the parent process is not
    with contextlib.suppress(OSError):
        UNBOUND = count_affinity(os.getppid())


def usable_cores() -> int:
    """Return how many cores this process may keep busy: its affinity, cut by the quota of its container."""
    allowed = max(UNBOUND, count_affinity()) if is_bound() else count_affinity()
    quotas = [quota for folder in list_groups("cpu") if (quota := read_quota(folder)) is not None]
    return max(1, min([allowed, *map(int, quotas)]))


def most_threads() -> int:
    """Return the most threads to ask of an OpenMP library, which ends a process if it cannot start them."""
    return THREADS_A_CORE * (os.cpu_count() or 1)


def free_memory(device: str = "cpu") -> int:
    """Return the bytes that can still be allocated on a device without swapping or being killed."""
    kind = device.partition(":")[0]
    if kind in ("cuda", "mps"):
        import torch

        if kind == "cuda":
            return int(torch.cuda.mem_get_info(device)[0])
        # It shares the main memory, up to a limit.
        room = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
        return max(0, min(free_memory(), room))
    import psutil  # type: ignore[import-untyped]

    groups = [left for folder in list_groups("memory") if (left := read_memory_left(folder)) is not None]
    return max(0, min([int(psutil.virtual_memory().available), *groups]))


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an allocation failed, on any device."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text)


def check_fits(
    what: str,
    weights: float,
    image: float,
    *,
    free: float,
    way_out: str,
    batch: int = 1,
    folds: bool = False,
    device: str = "cpu",
) -> None:
    """Refuse a network that cannot fit in the free memory.

    Args:
        what: the subject of the error's sentence.
        weights: their bytes.
        image: bytes of the live activations of one image at their peak.
        free: bytes that can be allocated on `device`.
        way_out: what the error proposes where no smaller batch fits.
        batch: images at once.
        folds: whether the network is folded too, which takes more memory than building it.
        device: for the error.

    Raises:
        MemoryLimitError: names the batch that fits, or `way_out`.
    """
    building, held = (FOLDING if folds else BUILDING) * weights, HELD * weights + SCRATCH
    needed = max(building, held + PASSING * image * batch)
    if needed > free:
        fitting = int((free - held) // (PASSING * image)) if building <= free else 0
        nearest = f"--batch-size {fitting}" if 1 <= fitting < batch else way_out
        raise MemoryLimitError(
            f"{what} needs {needed / 1e9:.3g} GB, {HELD * weights / 1e9:.3g} of them for weights, and "
            f"{free / 1e9:.3g} GB are free on {device}: nearest is {nearest}"
        )


def list_groups(controller: str) -> list[Path]:
    """Return the control groups this process is in, innermost first, as far as a container shows them."""
    try:
        lines = (ROOT / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []  # not Linux
    folders: list[Path] = []
    for line in lines:
        _, names, group = line.split(":", 2)
        if names == "" or controller in names.split(","):
            mount = ROOT / "sys/fs/cgroup" / names  # names is empty in version 2
            inner = mount / group.lstrip("/")
            folders += [path for path in (inner, *inner.parents) if path.is_relative_to(mount)]
    return [folder for folder in folders if folder.is_dir()]


def read_quota(folder: Path) -> float | None:
    """Return a control group's limit in cores; None: it has none."""
    files = ("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")  # version 2, version 1; microseconds
    for names in files:
        with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
            quota, period = map(int, " ".join((folder / name).read_text() for name in names).split())
            return quota / period if quota > 0 else None
    return None


def read_memory_left(folder: Path) -> int | None:
    """Return the bytes left under a control group's limit; page cache that can be dropped counts as left."""
    files = (  # version 2, version 1
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    )
    for limit, usage, cache in files:
        with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
            left = int((folder / limit).read_text()) - int((folder / usage).read_text())
            stat = folder / "memory.stat"
            lines = stat.read_text().splitlines() if stat.exists() else []
            return left + int(dict(line.split(" ", 1) for line in lines).get(cache, 0))
    return None
